"""A progress bar of its own on stderr where that is a terminal, and plain lines where it is not; asks for its width."""

import argparse
import os
import shutil
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--batches", type=int, default=5)
opt = parser.parse_args()


def show(epoch, batch, loss):
    if sys.stderr.isatty():
        width = min(shutil.get_terminal_size().columns, 60) - 40
        done = width * batch // opt.batches
        bar = "#" * done + "." * (width - done)
        sys.stderr.write(f"\r\x1b[K{epoch}/{opt.epochs} [{bar}] {100 * batch // opt.batches:3d}% loss={loss:.4f}")
        if batch == opt.batches:
            sys.stderr.write("\n")
        sys.stderr.flush()
    elif batch == opt.batches:
        print(f"Epoch {epoch}/{opt.epochs}: loss={loss:.4f}", file=sys.stderr)


print("stdin is a terminal:", sys.stdin.isatty(), "stdout:", sys.stdout.isatty(), "TERM:", os.environ.get("TERM"))
for epoch in range(1, opt.epochs + 1):
    for batch in range(1, opt.batches + 1):
        show(epoch, batch, 1 / (epoch * batch))
    print(f"Epoch {epoch}: val_loss={0.5 / epoch:.3f}")
