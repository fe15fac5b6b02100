import argparse
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float)
parser.add_argument("--beta", type=float, default=2)
args = parser.parse_args()
print(__name__, __file__, sys.argv, args)
if "FAIL" in globals():
    sys.exit(7)
