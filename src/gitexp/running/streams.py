"""What stands between a child's output and ours: a pipe or a pseudo-terminal, and the thread that copies it on.

Our stdout and stderr share one channel where they are the same file, so the order of bytes stays exact. A terminal
stays a terminal: the child gets a pseudo-terminal of the same size whose output processing is off, because the real
one does it.
"""

from __future__ import annotations

import errno
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress

OnOutput = Callable[[bytes], None]

STDOUT, STDERR = 1, 2
CHUNK = 1 << 16
MOST_LEFT_BEHIND = 1 << 20
GRACE_S = 0.03
CAT = "/bin/cat"


class Channel:
    """One way from the child to `target`, our own descriptor.

    Attributes:
        inside: the end for the child, as its descriptors `numbers`; to be closed here once the child has it.
        source: the end we read; -1 once it is closed.
    """

    def __init__(self, target: int, numbers: tuple[int, ...]) -> None:
        self.target = target
        self.numbers = numbers
        self.is_terminal = os.isatty(target)
        self.source, self.inside = _open_terminal(target) if self.is_terminal else os.pipe()

    def copy_size(self) -> None:
        """Give the pseudo-terminal the size of the real terminal."""
        if self.is_terminal and self.source >= 0:
            import termios  # only where there is a terminal

            with suppress(termios.error):
                termios.tcsetwinsize(self.source, termios.tcgetwinsize(self.target))

    def close_inside(self) -> None:
        os.close(self.inside)

    def close(self) -> None:
        """Close our end: whoever writes to the other learns it as from a reader that has gone."""
        if self.source >= 0:
            os.close(self.source)
            self.source = -1


class Pump:
    """A thread that copies a channel to its target and to `on_output`, which must not raise.

    It ends when nobody can write to the channel any more or, once `stop` is called, when it has copied what is there.

    Attributes:
        trouble: what the operating system said when the target refused; empty where it did not or its reader left.
    """

    def __init__(self, channel: Channel, on_output: OnOutput) -> None:
        self._channel = channel
        self._on_output = on_output
        self.trouble = ""
        self._stopping, self._stop_end = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"gitexp-output-{channel.target}", daemon=True)
        self._thread.start()

    def stop(self, give_up: Callable[[], bool]) -> None:
        """Copy what is there, leave what others may still write to a process of its own, and end.

        Args:
            give_up: asked now and then while our own reader does not take what we write.
        """
        os.close(self._stop_end)
        while self._thread.is_alive() and not give_up():
            self._thread.join(0.2)

    def _run(self) -> None:
        try:
            if self._copy_until_stopped():
                self._copy_the_rest()
        except OSError:
            pass  # the target cannot be written to; closing the channel tells the child so
        finally:
            self._channel.close()
            os.close(self._stopping)

    def _copy_until_stopped(self) -> bool:
        """Whether somebody may still write when this returns."""
        channel = self._channel
        poller = select.poll()
        poller.register(channel.source, select.POLLIN)
        poller.register(channel.target, 0)  # nothing but errors: its reader has gone
        poller.register(self._stopping, select.POLLIN)
        while True:
            ready = dict(poller.poll())
            if channel.source in ready:
                if not self._copy_chunk():
                    return False
            elif self._stopping in ready:
                return True
            if ready.get(channel.target, 0) & select.POLLNVAL:
                poller.unregister(channel.target)  # a system that cannot watch this kind of file
            elif channel.target in ready:
                return False

    def _copy_the_rest(self) -> None:
        poller = select.poll()
        poller.register(self._channel.source, select.POLLIN)
        deadline = time.monotonic() + GRACE_S
        left = MOST_LEFT_BEHIND
        while left > 0 and poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            length = self._copy_chunk()
            if not length:
                return
            left -= length
        _leave_to_cat(self._channel)

    def _copy_chunk(self) -> int:
        try:
            chunk = os.read(self._channel.source, CHUNK)
        except OSError as error:
            if error.errno == errno.EIO:  # how a pseudo-terminal ends
                return 0
            raise
        if chunk:
            self._on_output(chunk)
            try:
                _write(self._channel.target, chunk)
            except OSError as error:
                if error.errno != errno.EPIPE:
                    self.trouble = error.strerror or str(error)
                raise
        return len(chunk)


def open_channels() -> list[Channel]:
    """The channels for a child's stdout and stderr; none for a descriptor that is closed."""
    out, err = _identity(STDOUT), _identity(STDERR)
    if out is not None and out == err:
        wanted: list[tuple[int, tuple[int, ...]]] = [(STDOUT, (STDOUT, STDERR))]
    else:
        wanted = [(fd, (fd,)) for fd, identity in ((STDOUT, out), (STDERR, err)) if identity is not None]
    channels = []
    for target, numbers in wanted:
        with suppress(OSError):  # no pseudo-terminals here: the child gets the real one, and its output is not seen
            channels.append(Channel(target, numbers))
    return channels


def hold_standard_streams() -> None:
    """Open /dev/null as each of the descriptors 0 to 2 that is closed, so that no other file gets its number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(fd, True)
    os.close(fd)


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_terminal(real: int) -> tuple[int, int]:
    import termios  # only where there is a terminal

    ours, inside = os.openpty()
    output_flags = 1
    with suppress(termios.error):
        attributes = termios.tcgetattr(real)
        attributes[output_flags] &= ~termios.OPOST
        termios.tcsetattr(inside, termios.TCSANOW, attributes)
        termios.tcsetwinsize(inside, termios.tcgetwinsize(real))
    return ours, inside


def _write(fd: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        try:
            written += os.write(fd, data[written:] if written else data)
        except BlockingIOError:  # somebody who shares our stdout made it non-blocking
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll()


def _leave_to_cat(channel: Channel) -> None:
    """Let `cat` copy what processes that outlive the child still write; without a reader they would die of SIGPIPE."""
    with suppress(OSError):
        os.posix_spawn(
            CAT,
            ["cat"],
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, channel.source, 0),
                (os.POSIX_SPAWN_DUP2, channel.target, 1),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
