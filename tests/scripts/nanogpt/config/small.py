# a model that trains on a laptop
out_dir = 'out-small'
n_layer = 4
max_iters = 100
dropout = 0.2
