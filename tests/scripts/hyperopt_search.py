import numpy as np
from hyperopt import STATUS_OK, fmin, hp, tpe

MAX_EVALS = 5
space = {"x": hp.uniform("x", -5, 5), "depth": hp.choice("depth", [2, 4])}


def objective(point):
    return {"loss": point["x"] ** 2 + point["depth"], "status": STATUS_OK}


best = fmin(objective, space, algo=tpe.suggest, max_evals=MAX_EVALS, rstate=np.random.default_rng(0))
print("best:", {key: round(float(value), 4) for key, value in best.items()})
