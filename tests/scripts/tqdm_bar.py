import argparse
import sys
import warnings

from tqdm import tqdm, trange

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()

for epoch in trange(args.epochs, desc="training", file=sys.stderr):
    with tqdm(total=20, desc=f"Epoch {epoch}", leave=False, ncols=80) as bar:
        for batch in range(20):
            bar.update()
            bar.set_postfix(loss=1 / (epoch * 20 + batch + 1))
    tqdm.write(f"Epoch {epoch}: val_loss {1 / (epoch + 1):.3f}")
warnings.warn("loss: 3.0 was the first of all")
