"""Several transfers at once, and an end that does not wait for them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from gitexp.errors import CorruptData, NotFound
from gitexp.store.artifacts.store import ObjectRefused, OnBytes

GRACE_S = 1.0
"""How long transfers have to notice that they are to stop."""

_OF_ONE = (NotFound, CorruptData, ObjectRefused)

T = TypeVar("T")


class Stopped(Exception):
    """This transfer is to end, because another failed or the user wants no more of it."""


def side_by_side(
    act: Callable[[T, OnBytes], None], items: Iterable[T], on_bytes: OnBytes, *, at_once: int, name: str = "transfer"
) -> None:
    """Call `act(item, on_bytes)` for each item in threads.

    What is wrong with one object keeps no other from travelling; any other error ends all. So does Ctrl-C: a transfer
    that tells of its bytes ends at the next ones; one that waits for a silent server is left behind.

    Args:
        on_bytes: told of what travels; `act` is given one that raises Stopped where it is to end.
    """
    waiting = deque(items)
    failures: list[BaseException] = []
    stop = threading.Event()

    def tell(size_bytes: int) -> None:
        if stop.is_set():
            raise Stopped
        on_bytes(size_bytes)

    def work() -> None:
        while not stop.is_set():
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                act(item, tell)
            except Stopped:
                return
            except BaseException as error:
                failures.append(error)
                if not isinstance(error, _OF_ONE):
                    stop.set()

    # Not an executor: the interpreter would wait for its threads, whatever they wait for.
    threads = [
        threading.Thread(target=work, name=f"gitexp-{name}", daemon=True) for _ in range(min(at_once, len(waiting)))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and not stop.is_set():
                thread.join(0.5)
    finally:
        stop.set()
        give_up = time.monotonic() + GRACE_S
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, give_up - time.monotonic()))
    if failures:
        raise next((error for error in failures if not isinstance(error, _OF_ONE)), failures[0])
