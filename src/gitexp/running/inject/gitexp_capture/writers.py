"""Where this process writes metrics to: event files of TensorBoard and folders of DVCLive, which may lie anywhere.

Each is a line, kind and path, in the file `writers-<pid>` of the capture folder.
"""

# mypy: ignore-errors

import os

EVENT_WRITERS = {
    "tensorboard.summary.writer.event_file_writer": "EventFileWriter",
    "tensorboardX.event_file_writer": "EventsWriter",
}
"""By module: the class whose `_file_name` is the event file that it writes."""


def watch(module, folder):
    """Report what the writers of `module`, one of `gitexp_capture.WRITERS`, are made for."""
    if module.__name__ in EVENT_WRITERS:
        writer = getattr(module, EVENT_WRITERS[module.__name__])
        writer._file_name = _Told("_file_name", lambda _, path: report(folder, "file", path))
    elif module.__name__ == "dvclive.live":
        for name in ("_dir", "_resume"):
            setattr(module.Live, name, _Told(name, lambda live, _: _report_dvclive(folder, live)))
    else:
        _watch_tensorflow(module, folder)


def _report_dvclive(folder, live):
    known = live.__dict__
    if "_resume" in known and "_dir" in known:
        report(folder, "dvclive-resumed" if known["_resume"] else "dvclive", known["_dir"])


def report(folder, kind, path):
    path = os.fsencode(path)
    if b"://" in path or b"\n" in path:
        return
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    fd = os.open(os.path.join(folder, f"writers-{os.getpid()}"), flags, 0o600)
    try:
        os.write(fd, kind.encode() + b"\t" + os.path.abspath(path) + b"\n")
    finally:
        os.close(fd)


class _Told:
    """An attribute whose values lie in the object as ever, and are told as well; no frame shows it in a traceback."""

    def __init__(self, name, tell):
        self._name = name
        self._tell = tell

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        try:
            return instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(f"{type(instance).__name__!r} object has no attribute {self._name!r}") from None

    def __set__(self, instance, value):
        instance.__dict__[self._name] = value
        try:
            self._tell(instance, value)
        except Exception:
            pass

    def __delete__(self, instance):
        instance.__dict__.pop(self._name, None)


def _watch_tensorflow(module, folder):
    from functools import wraps  # TensorFlow has it

    original = module.create_summary_file_writer

    @wraps(original)
    def create_summary_file_writer(writer, logdir, *args, **kwargs):
        result = original(writer, logdir, *args, **kwargs)
        try:
            report(folder, "folder", logdir.numpy() if hasattr(logdir, "numpy") else logdir)
        except Exception:
            pass
        return result

    module.create_summary_file_writer = create_summary_file_writer
