"""Prints 100 MB as quickly as it can, some to stderr."""

import argparse
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--megabytes", type=int, default=100)
args = parser.parse_args()

line = ("x" * 99 + "\n") * 10_000
for number in range(args.megabytes):
    sys.stdout.write(line)
    if number % 10 == 0:
        print(f"step {number} loss {1 / (number + 1):.4f}", file=sys.stderr)
sys.stdout.write("the end, without a line break")
