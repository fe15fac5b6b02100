"""
This training script runs on a single core. To run with overrides:
$ python train.py --batch_size=32
$ python train.py config/small.py --max_iters=20
"""

import math
import os
import pickle
import random
import time

# -----------------------------------------------------------------------------
# default config values designed to train a tiny bigram model
# I/O
out_dir = "out"
eval_interval = 10
log_interval = 1
eval_only = False  # if True, script exits right after the first eval
always_save_checkpoint = True
# wandb logging
wandb_log = False  # disabled by default
wandb_project = "owt"
# data
dataset = "shakespeare"
gradient_accumulation_steps = 5 * 8
batch_size = 12
# model
n_layer = 12
dropout = 0.0
bias = False
# adamw optimizer
learning_rate = 6e-4
max_iters = 600
beta1 = 0.9
grad_clip = 1.0
decay_lr = True
# system
device = "cpu"
compile = False
# -----------------------------------------------------------------------------
config_keys = [k for k, v in globals().items() if not k.startswith("_") and isinstance(v, (int, float, bool, str))]
exec(open("configurator.py").read())  # overrides from command line or config file
config = {k: globals()[k] for k in config_keys}  # will be useful for logging
# -----------------------------------------------------------------------------

tokens_per_iter = gradient_accumulation_steps * batch_size
print(f"tokens per iteration will be: {tokens_per_iter:,}")
os.makedirs(out_dir, exist_ok=True)
random.seed(1337)


def get_lr(it):
    return learning_rate * (0.5 * (1.0 + math.cos(math.pi * it / max_iters)) if decay_lr else 1.0)


def estimate_loss(it):
    return {"train": 4.0 / (1 + it), "val": 4.2 / (1 + 0.9 * it)}


print("number of parameters: 0.80M")
iter_num = 0
best_val_loss = 1e9
t0 = time.time()
while True:
    lr = get_lr(iter_num)
    if iter_num % eval_interval == 0:
        losses = estimate_loss(iter_num)
        print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
        if losses["val"] < best_val_loss or always_save_checkpoint:
            best_val_loss = losses["val"]
            if iter_num > 0:
                checkpoint = {"model": [lr] * n_layer, "iter_num": iter_num, "config": config}
                print(f"saving checkpoint to {out_dir}")
                pickle.dump(checkpoint, open(os.path.join(out_dir, "ckpt.pt"), "wb"))
    if iter_num == 0 and eval_only:
        break
    t1 = time.time()
    dt = t1 - t0
    t0 = t1
    if iter_num % log_interval == 0:
        print(f"iter {iter_num}: loss {4.1 / (1 + iter_num):.4f}, time {dt * 1000:.2f}ms, mfu {-100.00 * 1:.2f}%")
    iter_num += 1
    if iter_num > max_iters:
        break
