"""Dies by a signal that it sends itself, after faulthandler has spoken."""

import faulthandler
import os
import signal
import sys

STEPS = 3

faulthandler.enable()
signal.signal(signal.SIGUSR1, lambda *_: print("got SIGUSR1"))
for i in range(STEPS):
    os.kill(os.getpid(), signal.SIGUSR1)
    print(f"iteration {i}: loss = {1.5 - i / 2}")
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGABRT)
