"""Reports what a launched Python is and which arguments it parsed, as small JSON files in the capture folder.

Runs inside the user's process: it never raises, imports nothing that costs, and changes one method of argparse, which
behaves as before. Reading the reports is the business of `gitexp.running.capture`.
"""

# mypy: ignore-errors
# Untyped, because importing `typing` would cost the script as much as all the rest.

import _thread
import os
import sys
import time

MASK = "***"

# The rule of gitexp.domain.masking, which a test holds beside it.
SECRET_WORDS = frozenset(
    "pwd secret secrets credential credentials authorization apikey accesskey privatekey secretkey authkey accountkey"
    " signingkey encryptionkey authtoken accesstoken apitoken bearertoken refreshtoken sessiontoken hftoken"
    " ghtoken".split()
)
SECRET_ENDS = ("password", "passwd", "passphrase")
HARMLESS_ENDS = frozenset("file path dir env name type size dim len length count".split())
TOKENIZER_WORDS = frozenset(
    "bos eos pad unk sep cls mask start stop begin end image audio video special prompt prefix per next last first"
    " think".split()
)

DEEPEST = 20
LONGEST_TEXT = 1_000_000
PACKAGE_FOLDERS = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


def begin(folder):
    """Report this interpreter to `folder` now, and arguments whenever argparse has parsed some."""
    facts = {
        "implementation": sys.implementation.name,
        "version": sys.version.split()[0],
        "executable": sys.executable,
        "path": sys.path,
    }
    _Report(folder, "python").write(facts)
    recorder = _Recorder(_Report(folder, "arguments"))
    argparse = sys.modules.get("argparse")
    if argparse is not None:
        recorder.patch(argparse)
    else:
        sys.meta_path.insert(0, _ArgparseFinder(recorder.patch))


def is_secret_name(name):
    words = name.lower().replace("-", "_").replace(".", "_").split("_")
    last = words[-1]
    if last in HARMLESS_ENDS:
        return False
    before = ""
    for word in words:
        if word in SECRET_WORDS or before + word in SECRET_WORDS or word.rstrip("0123456789").endswith(SECRET_ENDS):
            return True
        before = word
    return last == "token" and (len(words) == 1 or words[-2] not in TOKENIZER_WORDS)


class _ArgparseFinder:
    """Calls `then` with argparse once it has been imported; costs nothing where it never is."""

    def __init__(self, then):
        self._then = then

    def find_spec(self, name, path=None, target=None):
        if name != "argparse":
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._done)
                return spec
        return None

    def _done(self, module):
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._then(module)


class _Loader:
    """The real loader, and then a call."""

    def __init__(self, loader, then):
        self._loader = loader
        self._then = then

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        try:
            self._then(module)
        except Exception:
            pass


class _Recorder:
    """Collects what the outermost parsers of this process returned."""

    def __init__(self, report):
        self._report = report
        self._pid = os.getpid()
        self._argv = list(getattr(sys, "argv", ()))[1:]
        self._values = {}
        self._state = _thread._local()

    def patch(self, argparse):
        for name in ("parse_known_args", "parse_known_intermixed_args"):
            original = getattr(argparse.ArgumentParser, name)
            setattr(argparse.ArgumentParser, name, self._watched(original))

    def _watched(self, original):
        state, finished = self._state, self._finished

        def parse(self, args=None, namespace=None):
            if getattr(state, "inside", False):  # a subparser, or one kind of parsing calling the other
                return original(self, args, namespace)
            state.inside = True
            try:
                result = original(self, args, namespace)
            finally:
                state.inside = False
            finished(args, result)
            return result

        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(parse, attribute, getattr(original, attribute))
        parse.__wrapped__ = original
        return parse

    def _finished(self, args, result):
        try:
            if os.getpid() == self._pid and self._is_ours(args):
                self._values.update(_plain_arguments(vars(result[0])))
                self._report.write(self._values)
        except Exception:
            pass

    def _is_ours(self, args):
        """Whether `args` are the command line's, or none at all for a parser of the script; not a library's own."""
        if args is None:
            return True
        if not isinstance(args, (list, tuple, str)):
            return False
        given = list(args)
        for line in (sys.argv[1:], self._argv):
            if given == line or (given and _is_within(given, line)) or (line and _is_within(line, given)):
                return True
        return not given and not _called_by_a_library()


class _Report:
    """One JSON file in the capture folder, replaced whole at each write."""

    def __init__(self, folder, kind):
        self._path = os.path.join(folder, f"{kind}-{time.time_ns()}-{os.getpid()}.json")

    def write(self, mapping):
        temporary = self._path + ".tmp"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            data = _json(mapping).encode("ascii")
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
        os.replace(temporary, self._path)


def _is_within(part, whole):
    """Whether `part` is `whole` with some of it left out."""
    rest = iter(whole)
    return all(item in rest for item in part)


def _called_by_a_library():
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name != __file__ and os.path.basename(name) != "argparse.py":
            return any(folder in name for folder in PACKAGE_FOLDERS)
        frame = frame.f_back
    return False


def _plain_arguments(values):
    plain = {}
    for name, value in values.items():
        if not isinstance(name, str) or name.startswith("_"):
            continue
        if is_secret_name(name) and value is not None and value is not True and value is not False:
            plain[name] = MASK
            continue
        try:
            if not _is_code(value):
                plain[name] = _plain(value, 0)
        except Exception:
            plain[name] = f"<{type(value).__name__}>"
    return plain


def _is_code(value):
    """Functions and classes say what a script does, not with which parameters."""
    return callable(value) and not hasattr(value, "_value_") and not hasattr(value, "item")


def _plain(value, depth):
    """`value` in terms of JSON, as a person would write it."""
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is float:
        return value
    if depth > DEEPEST:
        return "..."
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, depth + 1) for item in value), key=repr)
    if hasattr(value, "_value_") and hasattr(value, "_name_"):  # an enum: its text, or else its name
        return value._value_ if isinstance(value._value_, str) else str(value._name_)
    if isinstance(value, str):
        return str.__str__(value)[:LONGEST_TEXT]
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if hasattr(value, "__fspath__"):
        return os.fsdecode(value)
    if kind.__name__ == "Namespace":
        return _plain_arguments(vars(value))
    if hasattr(value, "name") and (hasattr(value, "read") or hasattr(value, "write")):  # an open file
        return str(value.name)
    for convert in ("item", "tolist"):
        if callable(getattr(value, convert, None)):
            try:
                return _plain(getattr(value, convert)(), depth + 1)
            except Exception:
                continue
    text = str(value)
    return f"<{kind.__name__}>" if " at 0x" in text else text[:LONGEST_TEXT]


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
