"""Which files below the repository this process, and those it forks, open for reading.

Each is a path that ends in a zero byte, in the file `opened-<pid>` of the capture folder, once.
"""

# mypy: ignore-errors

import os
import sys

MOST = 10_000
"""Paths of one process; beyond them nothing is noted, and an empty path says so."""

CODE = (".py", ".pyc", ".pyi", ".pyd", ".so", ".pth", ".ipynb", ".egg-link", ".dist-info", "pyvenv.cfg", ".DS_Store")
LIBRARIES = ("/.git/", "/.gitexp/", "/site-packages/", "/dist-packages/", "/__pycache__/", "/node_modules/", "/.venv/")


def watch(folder, roots):
    """Note what is opened below one of `roots`, absolute paths of the same folder."""
    report = os.path.join(folder, f"opened-{os.getpid()}")
    below = tuple(root.rstrip("/") + "/" for root in roots)
    flags_of_report = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    access = os.O_RDONLY | os.O_WRONLY | os.O_RDWR
    not_a_file = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)
    seen = set()
    noted = 0
    # Bound here, as the interpreter takes modules apart before its last events.
    getcwd, join, normpath, fsencode = os.getcwd, os.path.join, os.path.normpath, os.fsencode
    open_file, write_file, close_file = os.open, os.write, os.close

    def note(path):
        descriptor = open_file(report, flags_of_report, 0o600)
        try:
            write_file(descriptor, path + b"\0")
        finally:
            close_file(descriptor)

    def hook(event, arguments):
        nonlocal noted
        if event != "open":
            return
        try:
            path, _mode, flags = arguments
            if path in seen or type(path) is not str or noted > MOST:
                return
            whole = path if path[:1] == "/" else join(getcwd(), path)
            if not whole.startswith(below) or whole.endswith(CODE):
                return
            whole = normpath(whole)
            if not whole.startswith(below) or flags & not_a_file:
                return
            seen.add(path)
            if whole in seen and whole != path:
                return
            seen.add(whole)
            if flags & access:  # what it wrote itself is no input, whoever reads it then
                return
            for part in LIBRARIES:
                if part in whole:
                    return
            noted += 1
            note(fsencode(whole) if noted <= MOST else b"")
        except Exception:
            pass

    sys.addaudithook(hook)
