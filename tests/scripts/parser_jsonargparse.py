from dataclasses import dataclass, field
from typing import Literal, Optional

from jsonargparse import CLI


@dataclass
class Optimizer:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass
class Model:
    depth: int = 2
    activation: Literal["relu", "gelu"] = "relu"
    optimizer: Optimizer = field(default_factory=Optimizer)


def fit(model: Model, epochs: int = 2, seed: Optional[int] = None) -> None:
    """Fit a model.

    Args:
        model: what is fitted.
        epochs: how long.
    """
    for epoch in range(epochs):
        print(f"epoch {epoch} | loss {model.optimizer.lr / (epoch + 1):.3f}")


if __name__ == "__main__":
    CLI(fit)
