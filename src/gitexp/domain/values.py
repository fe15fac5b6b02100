"""Values of params and metrics: what may be recorded, and how foreign types become plain ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gitexp.domain.keys import parse_key, shorten
from gitexp.errors import InvalidName, UsageError

Number = int | float
Scalar = str | int | float | bool | None
Value = Scalar | list[Any] | dict[str, Any]

LARGEST_INTEGER_BITS = 13_000
"""Just below 4,300 decimal digits, the most that Python and other readers turn back into a number."""

_DEEPEST = 50


def plain_number(value: object, *, key: str) -> Number:
    """A metric's value as a Python int or float.

    Booleans become 0 or 1; numpy scalars and 0-d arrays or tensors their item.

    Raises:
        UsageError: `value` is not one number.
    """
    if type(value) is float:
        return value
    if isinstance(value, int):
        if value.bit_length() > LARGEST_INTEGER_BITS:
            raise UsageError(f"The metric {key!r} is an integer of {value.bit_length():,} bits, too large to record.")
        return int(value)
    if isinstance(value, float):
        return float(value)
    item = getattr(value, "item", None)
    try:
        plain = item() if callable(item) else value
        if isinstance(plain, (int, float)):
            return plain_number(plain, key=key)
        if hasattr(plain, "__float__") and not isinstance(plain, (str, bytes, complex)):
            return float(plain)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"The metric {key!r} is not one number but {_describe(value)}.") from error
    raise UsageError(f"The metric {key!r} is not a number but {_describe(value)}.")


def plain_value(value: object, _depth: int = 0) -> Value:
    """A param's value in plain Python types.

    Strings, numbers, booleans and None stay; numpy scalars give their item, arrays lists; tuples, sets and lists give
    lists; mappings and dataclasses dicts; enums their value; paths and everything else their text.
    """
    kind = type(value)
    if kind is str:
        return _storable(value)  # type: ignore[arg-type]
    if kind is int or kind is float or kind is bool or value is None:
        return value  # type: ignore[return-value]
    if _depth > _DEEPEST:
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(key): plain_value(item, _depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item, _depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain_value(item, _depth + 1) for item in value), key=repr)
    if hasattr(value, "_value_") and hasattr(value, "_name_"):
        return plain_value(value._value_, _depth + 1)
    if isinstance(value, str):
        return _storable(str.__str__(value))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None:
        return {name: plain_value(getattr(value, name, None), _depth + 1) for name in fields}
    for convert in ("item", "tolist"):
        method = getattr(value, convert, None)
        if callable(method):
            try:
                return plain_value(method(), _depth + 1)
            except Exception:
                continue
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode(errors="backslashreplace")
    return _text(value)


def flatten(params: Mapping[Any, object]) -> dict[str, Value]:
    """Params addressed flat: `{"optim": {"lr": 0.1}}` gives `{"optim.lr": 0.1}`. Empty mappings stay as values.

    Raises:
        InvalidName: a key that cannot be recorded, or two that flatten to the same.
    """
    if not isinstance(params, Mapping):
        raise UsageError(f"Params are a mapping of keys to values, not {type(params).__name__}.")
    flat: dict[str, Value] = {}
    _flatten_into(flat, "", params)
    return flat


def nest(flat: Mapping[str, Value]) -> dict[str, Any]:
    """The nested form of flat params, keys sorted. `flatten(nest(flat)) == flat`.

    A key nests at its dots unless a part would be empty or a prefix of it is a key itself; then it stays whole.
    """
    nested: dict[str, Any] = {}
    for key in sorted(flat):
        parts = key.split(".")
        stays = "" in parts or any(".".join(parts[:i]) in flat for i in range(1, len(parts)))
        into = nested
        if not stays:
            for part in parts[:-1]:
                into = into.setdefault(part, {})
        into[key if stays else parts[-1]] = flat[key]
    return nested


def same_value(one: object, other: object) -> bool:
    """Equality of recorded values: NaN equals itself, 1 differs from True, 1 equals 1.0."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    return one == other


def parse_tag_value(value: object) -> str:
    """A tag's value: text. Other plain values become the text that a person would write."""
    if isinstance(value, str):
        return _storable(str.__str__(value))
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return _text(plain_value(value))


def parse_tags(tags: Mapping[str, object]) -> dict[str, str]:
    """Tags as they are stored.

    Raises:
        InvalidName, UsageError
    """
    if not isinstance(tags, Mapping):
        raise UsageError(f"Tags are a mapping of keys to texts, not {type(tags).__name__}.")
    return {parse_key(key, what="tag"): parse_tag_value(value) for key, value in tags.items()}


def _flatten_into(flat: dict[str, Value], prefix: str, params: Mapping[Any, object]) -> None:
    for name, value in params.items():
        key = prefix + (name if type(name) is str else _text(name))
        plain = plain_value(value)
        if isinstance(plain, dict) and plain:
            _flatten_into(flat, key + ".", plain)
            continue
        key = parse_key(key, what="param")
        if key in flat:
            raise InvalidName(f"Two params are both {shorten(key)} when written flat.")
        flat[key] = plain


def _text(value: object) -> str:
    try:
        return _storable(str(value))
    except Exception:
        return f"<{type(value).__name__}>"


def storable(value: Any) -> Any:
    """Plain values with lone surrogates, which UTF-8 cannot hold, written as escapes in every text."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def _storable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold, written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _describe(value: object) -> str:
    return f"{shorten(_text(value))} ({type(value).__name__})"
