"""A worker thread dies of an exception; the script goes on and ends well, as Python has it."""

import logging
import queue
import threading

logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(name)s:%(threadName)s:%(message)s")
log = logging.getLogger("trainer")
BATCHES = 6
work = queue.Queue()


def worker():
    while True:
        item = work.get()
        if item is None:
            return
        if item == 4:
            raise RuntimeError(f"cannot handle batch {item}")
        log.info("batch %d loss=%.3f", item, 1 / (item + 1))


thread = threading.Thread(target=worker, name="loader")
thread.start()
for i in range(BATCHES):
    work.put(i)
work.put(None)
thread.join()
log.warning("the loader has died, loss=%.1f is the last", 99)
print("done", threading.active_count())
