from .. import settings


class Linear:
    weight = 0.0

    def step(self, x, y):
        error = self.weight * x - y
        self.weight -= settings.RATE * error * x
        return error * error
