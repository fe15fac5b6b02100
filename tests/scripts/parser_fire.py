"""A class as a command line."""

import fire


class Trainer:
    """Trains things."""

    def __init__(self, lr=0.1, name="baseline", layers=(32, 16)):
        self.lr = lr
        self.name = name
        self.layers = layers

    def train(self, epochs, dropout=0.0, **extra):
        loss = 1.0
        for epoch in range(epochs):
            loss *= 1 - self.lr
            print(f"{self.name}: epoch={epoch} loss={loss:.4f}")
        return {"final_loss": round(loss, 4), "extra": extra}


if __name__ == "__main__":
    fire.Fire(Trainer)
