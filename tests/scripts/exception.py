"""Fails in the middle of a training, with a chain of exceptions, after it has saved something."""

import atexit
import json
import sys

CONFIG = {"lr": 0.1, "layers": [32, 16], "name": "baseline"}


class TrainingDiverged(ArithmeticError):
    def __str__(self):
        return f"loss: {self.args[0]} at step {self.args[1]}"


@atexit.register
def goodbye():
    print("cleaning up")
    sys.stdout.write("no line break at the end")


def step(number):
    loss = 10.0**number
    print(f"step={number} loss={loss:g}")
    if loss > 100:
        try:
            raise OverflowError("too large")
        except OverflowError as error:
            raise TrainingDiverged(loss, number) from error


json.dump(CONFIG, open("config.json", "w"))
for number in range(10):
    step(number)
