import argparse
import os
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("--rows", type=int, default=1)
parser.add_argument("--inner-option")
options = parser.parse_args()
if options.name == "prepare":
    Path("data.csv").write_text("x\n" * options.rows)
elif options.name == "train":
    rows = len(Path("data.csv").read_text().split())
    for epoch in range(1, 3):
        print(f"epoch {epoch} train loss {rows / epoch:.1f}")
    Path("model.bin").write_bytes(bytes(70_000))
elif options.name == "report":
    print("val_loss: 0.75", "PYTHONPATH" in os.environ, sorted(n for n in os.environ if n.startswith("GITEXP_A")))
else:
    sys.exit("this stage fails")
