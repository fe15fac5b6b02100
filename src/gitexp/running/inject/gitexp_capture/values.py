"""Params as a person would write them, in terms of JSON, with what is secret masked."""

# mypy: ignore-errors

import os
import sys

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
OPEN_FILES = frozenset(("LazyFile", "KeepOpenFile"))
"""Files of click. To ask one of them for anything but its name would open it."""


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


def plain_params(values, depth=0, path=""):
    """A parser's values, without functions, classes and names that begin with an underscore."""
    plain = {}
    for name, value in values.items():
        if not isinstance(name, str) or name.startswith("_"):
            continue
        try:
            if not _is_code(value):
                plain[name] = _plain(value, depth, path + name)
        except Exception:
            plain[name] = f"<{type(value).__name__}>"
    return plain


def fields_of(value):
    """What a dataclass, an object of attrs or a model of pydantic holds, or None for anything else."""
    kind = type(value)
    for attribute in ("__dataclass_fields__", "model_fields", "__fields__"):
        names = getattr(kind, attribute, None)
        if isinstance(names, dict):
            return {name: getattr(value, name) for name in names if hasattr(value, name)}
    attributes = getattr(kind, "__attrs_attrs__", None)
    if attributes is not None:
        return {attribute.name: getattr(value, attribute.name) for attribute in attributes}
    return None


def _is_code(value):
    """Functions and classes say what a script does, not with which parameters."""
    return callable(value) and not _is_enum(value) and not hasattr(type(value), "item")


def _is_enum(value):
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(value, enum.Enum)


def _plain(value, depth, path):
    """`value` in terms of JSON. Attributes are looked up in its class, as looking them up in it could run anything."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if depth > DEEPEST:
        return "..."
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1, f"{path}.{key}") for key, item in value.items()}
    if kind.__name__ == "Namespace":
        return plain_params(vars(value), depth + 1, path + ".")
    fields = fields_of(value)
    if fields is not None:
        return plain_params(fields, depth + 1, path + ".")
    if is_secret_name(path) and not (isinstance(value, str) and not value):
        return MASK
    if kind is int or kind is float:
        return value
    if isinstance(value, (list, tuple, range)):
        return [_plain(item, depth + 1, path) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, depth + 1, path) for item in value), key=repr)
    if _is_enum(value):  # its text, or else its name
        return value._value_ if isinstance(value._value_, str) else str(value._name_)
    if isinstance(value, str):
        return str.__str__(value)[:LONGEST_TEXT]
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if hasattr(kind, "__fspath__"):
        return str(getattr(value, "relative", "") or os.fsdecode(value))  # jsonargparse's know how they were written
    if kind.__name__.lstrip("_") in OPEN_FILES or hasattr(kind, "read") or hasattr(kind, "write"):
        return str(value.name)
    if kind.__name__ == "ConfigDict":  # of ml_collections
        return _plain(value.to_dict(), depth + 1, path)
    for convert in ("item", "tolist"):
        if callable(getattr(kind, convert, None)):
            try:
                return _plain(getattr(value, convert)(), depth + 1, path)
            except Exception:
                continue
    text = str(value)
    return f"<{kind.__name__}>" if " at 0x" in text else text[:LONGEST_TEXT]
