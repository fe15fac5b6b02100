import argparse
import sys
import warnings

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, default=1.0)
args = parser.parse_args()
print(sys.warnoptions, len(warnings.filters), sys.flags.dev_mode)
f = open(__file__)
del f  # a ResourceWarning, which cannot be raised
try:
    warnings.warn("alpha is deprecated", DeprecationWarning, stacklevel=1)
except DeprecationWarning as error:
    print("raised:", error)
print("loss: 0.25")
assert False, "not reached with -O"
