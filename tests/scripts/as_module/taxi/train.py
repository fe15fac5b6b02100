"""python -m taxi.train"""

import sys
from dataclasses import dataclass, fields

from . import __doc__ as about
from .models.linear import Linear


@dataclass
class Options:
    epochs: int = 3
    shuffle: bool = False


def parse(argv):
    options = Options()
    for word in argv:
        key, _, value = word.removeprefix("--").partition("=")
        kind = {field.name: field.type for field in fields(Options)}[key]
        setattr(options, key, kind(value))
    return options


if __name__ == "__main__":
    options = parse(sys.argv[1:])
    print(about, __package__, __spec__.name, sys.path[0] != "")
    model = Linear()
    for epoch in range(options.epochs):
        loss = sum(model.step(x, 3 * x) for x in (1.0, 2.0))
        print("{:>5} {:>10}".format(epoch, round(loss, 6)))
    print(f"MSE: {loss:.6f}")
