"""Leaves without cleaning up: what is in Python's buffers is lost, as ever."""

import argparse
import atexit
import os
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--watchdog", type=float, default=0.01)
args = parser.parse_args()
atexit.register(print, "never printed")
print("loss: 0.5", flush=True)
print("lost in the buffer of a pipe")


def bite():
    time.sleep(args.watchdog)
    os.write(2, b"watchdog bites\n")
    os._exit(4)


threading.Thread(target=bite).start()
time.sleep(60)
