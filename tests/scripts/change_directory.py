"""Makes a folder for itself and works there, as scripts for clusters do."""

import argparse
import csv
import json
import os
import tempfile

p = argparse.ArgumentParser()
p.add_argument("--workdir", default="work")
p.add_argument("--n", type=int, default=5)
opt = p.parse_args()

os.makedirs(opt.workdir, exist_ok=True)
os.chdir(opt.workdir)
print("working in", os.path.basename(os.getcwd()))
with open("history.csv", "w", newline="") as f:
    w = csv.writer(f)
    w.writerow(["epoch", "loss"])
    for epoch in range(opt.n):
        w.writerow([epoch, 1 / (epoch + 1)])
with open("metrics.json", "w") as f:
    json.dump({"loss": 1 / opt.n, "done": True}, f)
os.symlink("history.csv", "latest.csv")
with tempfile.TemporaryDirectory(dir=".") as scratch:
    open(os.path.join(scratch, "part"), "w").write("gone soon")
os.chdir("/")
print("left", os.getcwd())
