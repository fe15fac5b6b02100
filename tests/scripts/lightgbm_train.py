import lightgbm as lgb
import numpy as np

params = {
    "objective": "binary",
    "metric": ["auc", "binary_logloss"],
    "num_leaves": 7,
    "learning_rate": 0.1,
    "verbose": -1,
    "num_threads": 1,
    "seed": 1,
}
num_boost_round = 12

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 6))
y = (X[:, 0] + X[:, 1] > 0).astype(int)
train_data = lgb.Dataset(X[:300], label=y[:300])
valid_data = lgb.Dataset(X[300:], label=y[300:], reference=train_data)
print("Starting training...")
gbm = lgb.train(
    params,
    train_data,
    num_boost_round=num_boost_round,
    valid_sets=[train_data, valid_data],
    valid_names=["train", "valid"],
    callbacks=[lgb.early_stopping(5), lgb.log_evaluation(3)],
)
gbm.save_model("model.txt")
print(f"The auc of prediction is: {gbm.best_score['valid']['auc']:.4f}")
