import argparse
import sys

import part

parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=part.DEPTH)
args = parser.parse_args()
print("in a zip:", ".pyz" in __file__, ".pyz" in part.__file__, sys.argv[1:])
print("score:", 1 / args.depth)
