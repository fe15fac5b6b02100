"""Writes in every way there is: text, bytes, descriptors, invalid UTF-8, colours, NULs, no line break at the end."""

import argparse
import io
import os
import subprocess
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--encoding", default="latin-1")
args = parser.parse_args()

sys.stdout.reconfigure(encoding=args.encoding, errors="xmlcharrefreplace", newline="\r\n")
print("grün, \N{GREEK SMALL LETTER ALPHA}")
sys.stdout.flush()
sys.stdout.buffer.write(b"\xff\xfe invalid \x00 NUL\n")
sys.stdout.buffer.flush()
os.write(1, "\x1b[1;32mloss\x1b[0m: \x1b[33m0.125\x1b[0m\n".encode())
os.write(2, b"\x1b]0;title\x07 bell \a and a form feed \f and tabs\t|\r\n")
subprocess.run("printf 'from the shell '; printf 'to stderr\\n' >&2", shell=True, check=True)
sys.stdout = io.TextIOWrapper(open(os.dup(1), "wb", buffering=0), write_through=True)
print("unbuffered", end=" ")
print("\u2028 line separators \x85 \x1c", end="", flush=True)
sys.stderr.write("| the same loss: 0.125 |\n")
sys.stderr.write("ends without a line break")
os.closerange(1, 2)
