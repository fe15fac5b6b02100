"""Runs the stages of a pipeline, each a script of its own with options of its own."""

import argparse
import subprocess
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=100)
parser.add_argument("--stages", nargs="*", default=["prepare", "train"])
args = parser.parse_args()

for stage in args.stages:
    words = [sys.executable, "stage.py", stage, "--rows", str(args.size), "--inner-option", "1"]
    print("+", *words[1:], flush=True)
    subprocess.run(words, check=True)
found = subprocess.check_output([sys.executable, "stage.py", "report"], text=True)
print("captured:", found.strip())
failed = subprocess.run([sys.executable, "stage.py", "fail"], stderr=subprocess.PIPE, text=True)
print("exit code of the failing stage:", failed.returncode, failed.stderr.strip().splitlines()[-1])
