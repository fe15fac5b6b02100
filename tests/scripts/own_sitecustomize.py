import argparse
import json
import os
import sys

import sitecustomize

p = argparse.ArgumentParser()
p.add_argument("--x", type=int)
args = p.parse_args()
print(args.x, sys.path[:4], os.environ["PYTHONPATH"], sitecustomize.__file__)
print(json.dumps(sorted(name for name in sys.modules if "site" in name)))
try:
    import gitexp_not_there
except ImportError as error:
    print(error)
os.system("python -c 'import sys; print(sys.path[:4])'")
raise ValueError("for my hook")
