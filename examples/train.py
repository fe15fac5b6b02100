"""Learns to read handwritten digits. A plain script: it knows nothing of gitexp, and `gitexp run` records it."""

import argparse
import json
import pickle

from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, default=1e-4, help="strength of the L2 penalty")
parser.add_argument("--hidden", type=int, default=32, help="units of the hidden layer")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

images, digits = load_digits(return_X_y=True)
train_x, test_x, train_y, test_y = train_test_split(images / 16, digits, random_state=args.seed)

model = MLPClassifier(hidden_layer_sizes=(args.hidden,), alpha=args.alpha, random_state=args.seed)
for epoch in range(1, args.epochs + 1):
    model.partial_fit(train_x, train_y, classes=range(10))
    if epoch % 10 == 0:
        print(f"epoch {epoch}: loss {model.loss_:.4f}")

metrics = {
    "accuracy": accuracy_score(test_y, model.predict(test_x)),
    "log_loss": log_loss(test_y, model.predict_proba(test_x)),
}
with open("metrics.json", "w") as file:
    json.dump(metrics, file, indent=1)
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
