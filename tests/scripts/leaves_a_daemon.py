"""Starts something that outlives it, as `tensorboard &` or a server does."""

import os
import sys
import time

READY = "ready"

read_end, write_end = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(read_end)
    os.umask(0)
    os.write(write_end, b"!")
    time.sleep(0.4)  # longer than its parent lives
    os.write(1, b"the daemon says good bye\n")
    os._exit(0)
os.close(write_end)
os.wait()
os.read(read_end, 1)
print(READY)
print("loss: 0.5", file=sys.stderr)
