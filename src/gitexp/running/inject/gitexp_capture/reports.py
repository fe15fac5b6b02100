"""JSON files in the capture folder."""

# mypy: ignore-errors

import os
import time


class Report:
    """One file, replaced whole at each write. Its name tells when it was begun and by which process."""

    def __init__(self, folder, kind):
        self._path = os.path.join(folder, f"{kind}-{time.time_ns()}-{os.getpid()}.json")
        self._written = None

    def write(self, mapping):
        text = _json(mapping)
        if text == self._written:
            return
        temporary = self._path + ".tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            data = text.encode("ascii")
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
        os.replace(temporary, self._path)
        self._written = text


def _json(value):
    """JSON text. Importing `json` for this would cost the script more than all the rest."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, float):
        text = repr(value)
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(_quote(key) + ":" + _json(item) for key, item in value.items()) + "}"
    return "[" + ",".join(map(_json, value)) + "]"


def _quote(text):
    try:
        from _json import encode_basestring_ascii
    except ImportError:  # an interpreter without the accelerator
        from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii
    return encode_basestring_ascii(text)
