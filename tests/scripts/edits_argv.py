"""A launcher that takes its own options out of sys.argv and leaves the rest to a tool, as test runners are wrapped."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))


def pop_option(name, default=None):
    for i, word in enumerate(sys.argv):
        if word == name:
            value = sys.argv[i + 1]
            del sys.argv[i : i + 2]
            return value
        if word.startswith(name + "="):
            del sys.argv[i]
            return word.split("=", 1)[1]
    return default


mode = pop_option("--mode", "fast")
sys.argv[0] = "tool"
sys.argv.append("--added=by-the-script")
print(sys.argv)

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--added")
args, unknown = parser.parse_known_args()
print(parser.prog, args, unknown, mode)
sys.argv[:] = ["replaced"]
