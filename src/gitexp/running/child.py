"""A child process that behaves as if nobody watched: same bytes, same order, same terminal, same signals, same end."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gitexp.running.signals import SignalRelay
from gitexp.running.streams import Channel, OnOutput, Pump, open_channels

SETTLE_S = 0.05

HURRY_S = 0.3
"""A signal this long after the child's end is for us: whoever reads our output does not, and we are not to wait."""

MOST_FDS, RESERVED_FDS = 1024, 16
"""Descriptors that the child inherits have numbers right below as many as every process may have, or as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResult:
    """How a child ended.

    Attributes:
        exit_code: None where it died by a signal.
        signal: the signal it died by, or None.
        stopped_by: the last SIGINT, SIGTERM or SIGHUP that came while it ran, whatever the child made of it; or None.
        duration_s: from its start to its end, by a monotonic clock.
        trouble: why part of its output could not be passed on, as on a full disk; empty where all was.
    """

    exit_code: int | None
    signal: int | None
    stopped_by: int | None
    duration_s: float
    trouble: str = ""


def run_child(
    program: str,
    arguments: list[str],
    *,
    environ: Mapping[str, str],
    on_output: OnOutput,
    relay: SignalRelay,
    pass_fds: Sequence[int] = (),
) -> ChildResult:
    """Run a program in the current directory and wait for its end.

    Args:
        program: the path of the file to execute.
        arguments: the whole `argv`, its name first.
        on_output: gets every chunk that the child writes to stdout and stderr; called from threads, must not raise.
        relay: entered by the caller; until it is left, signals that come after the child's end are held back.
        pass_fds: descriptors that the child inherits besides 0, 1 and 2.

    Raises:
        OSError: the program cannot be executed.
    """
    channels = open_channels()
    try:
        relay.expect_child()
        started = time.monotonic()
        pid = _spawn(program, arguments, environ, channels, pass_fds)
    except BaseException:
        for channel in channels:
            channel.close()
        raise
    finally:
        for channel in channels:
            channel.close_inside()
    if any(channel.is_terminal for channel in channels):
        relay.on_resize = lambda: _copy_sizes(channels)
    relay.attach(pid)
    pumps = [Pump(channel, on_output) for channel in channels]
    code = _wait(pid, relay)
    relay.detach()
    ended = time.monotonic()
    stopped_by = relay.stopped_by
    for pump in pumps:
        pump.stop(give_up=lambda: relay.asked_after(ended + HURRY_S))
    return ChildResult(
        exit_code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        stopped_by=stopped_by,
        duration_s=ended - started,
        trouble=next((pump.trouble for pump in pumps if pump.trouble), ""),
    )


def exit_like(result: ChildResult) -> int:
    """The child's exit code; where it died by a signal, die by the same (without a second core file)."""
    if result.signal is None:
        return result.exit_code or 0
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with suppress(OSError):  # SIGKILL has no handler to reset
        signal.signal(result.signal, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [result.signal])
    os.kill(os.getpid(), result.signal)
    return 128 + result.signal


def _spawn(
    program: str, arguments: list[str], environ: Mapping[str, str], channels: list[Channel], pass_fds: Sequence[int]
) -> int:
    held = [_out_of_the_way(fd) for fd in pass_fds]
    actions = [(os.POSIX_SPAWN_DUP2, channel.inside, number) for channel in channels for number in channel.numbers]
    ignored_by_python = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        return os.posix_spawn(program, arguments, environ, file_actions=actions, setsigdef=ignored_by_python)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # A script without "#!": as every shell does.
        command = ["sh", program, *arguments[1:]]
        return os.posix_spawn("/bin/sh", command, environ, file_actions=actions, setsigdef=ignored_by_python)
    finally:
        for fd in held:
            os.close(fd)


def _out_of_the_way(fd: int) -> int:
    """An inheritable copy of a descriptor, of so high a number that the child's own have those they have without us."""
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return fcntl.fcntl(fd, fcntl.F_DUPFD, max(min(highest, MOST_FDS) - RESERVED_FDS, 3))


def _wait(pid: int, relay: SignalRelay) -> int:
    """The child's exit code, or minus the signal it died by. While it is stopped, so are we."""
    changed, status = 0, 0
    while True:
        if not changed:
            changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if not changed:
            relay.wait()
        elif os.WIFSTOPPED(status):
            time.sleep(SETTLE_S)  # Ctrl-Z stops us as well, in here; once we go on, the child has too
            changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if not changed:
                os.kill(os.getpid(), signal.SIGSTOP)
                os.kill(pid, signal.SIGCONT)
        elif os.WIFCONTINUED(status):
            changed = 0
        else:
            return os.waitstatus_to_exitcode(status)


def _copy_sizes(channels: list[Channel]) -> None:
    for channel in channels:
        channel.copy_size()
