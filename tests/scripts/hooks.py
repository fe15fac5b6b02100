"""Every hook that Python has: exceptions, threads, unraisable ones, display, atexit, audit, tracing."""

import argparse
import atexit
import gc
import sys
import threading

EVENTS = []


def hook(kind, value, trace):
    depth = 0
    while trace:
        depth += 1
        trace = trace.tb_next
    print(f"excepthook: {kind.__name__}: {value} ({depth} frames)", file=sys.stderr)


sys.addaudithook(lambda name, args: EVENTS.append(name) if name == "open" and args[0] == __file__ else None)
sys.excepthook = hook
threading.excepthook = lambda args: print("threading:", args.exc_type.__name__, args.thread.name)
sys.unraisablehook = lambda args: print("unraisable:", args.exc_value)
sys.displayhook = lambda value: print("display:", value)
atexit.register(lambda: print("first registered, last called"))
atexit.register(lambda: print("excepthook is mine:", sys.excepthook is hook, atexit._ncallbacks()))

calls = []


def trace(frame, event, arg):
    if frame.f_code.co_filename == __file__:
        calls.append(frame.f_code.co_name)


sys.settrace(trace)
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=lambda text: float(text), default=0.5)
args = parser.parse_args()
sys.settrace(None)
open(__file__).close()
print(len(calls), "calls traced", calls)


class Odd:
    def __del__(self):
        raise ValueError("in a destructor")


Odd()
gc.collect()
thread = threading.Thread(target=lambda: 1 / 0, name="worker-1")
thread.start()
thread.join()
sys.displayhook(args)
print(len(EVENTS), "files opened")
raise KeyError("the end")
