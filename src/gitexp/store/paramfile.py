"""A file that holds params (YAML, JSON, TOML, or a Python script with constants): its values, and changing one of them.

What is changed is read again before it counts: only the value that was asked for may differ.
"""

from __future__ import annotations

import codecs
import math
import os
import stat
from dataclasses import dataclass
from typing import Any

from gitexp.domain.keys import shorten
from gitexp.domain.spans import (
    Format,
    Path,
    add_value,
    remove_value,
    replace_value,
    value_at,
    with_value,
    without_value,
)
from gitexp.errors import CorruptData, UsageError

LARGEST = 10 << 20
SUFFIXES = (".yaml", ".yml", ".json", ".toml", ".py")

_TRUE, _FALSE = frozenset({"yes", "on"}), frozenset({"no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A value that a file gets. `is_new`: the file had nothing at `path`."""

    path: Path
    value: Any
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class ParamFile:
    """One state of a file.

    Attributes:
        path: as a person would name it; decides, by its ending, how the content is read.
    """

    path: str
    content: bytes

    def values(self) -> dict[str, Any]:
        """All that the file says, nested. Raises CorruptData where it makes no sense."""
        form = self._form()
        return self._load(form, self._text()[0])

    def with_edit(self, path: Path, value: Any, *, is_new: bool = False) -> tuple[ParamFile, Edit]:
        """The file with another value at `path`, and what has been done.

        Args:
            is_new: there is nothing at `path` yet; mappings on the way are made.

        Raises:
            UsageError: it cannot be changed without touching something else, or the format has no such value.
        """
        form = self._form()
        text, prefix, encoding = self._text()
        before = self._load(form, text)
        key = ".".join(path)
        if is_new:
            path, value = _top_of_new(before, path, value)
        try:
            old = None if is_new else value_at(before, path)
            value = form.adapt(_as_flag(value, old), old)
            root = form.tree(text)
            is_written = not is_new and _has(root, path)
            change = replace_value if is_written else add_value
            after = change(text, root, path, value, form)
            content = prefix + after.encode(encoding)
            found = form.load(after)
        except (LookupError, ValueError, RecursionError) as error:
            reason = str(error).rstrip(".") if isinstance(error, ValueError) else "it is not written there by itself"
            raise UsageError(
                f"{self.path}: {shorten(key)} cannot be set to {shorten(str(value))}: {reason}.",
                hint=f"Change {self.path} by hand.",
            ) from error
        wanted = with_value(before, path, value)
        if not same(found, wanted) and (is_new or not _is_shared(before, found, old, value)):
            raise UsageError(
                f"{self.path}: {shorten(key)} cannot be set without changing something else.",
                hint=f"Change {self.path} by hand.",
            )
        return ParamFile(self.path, content), Edit(path=path, value=value, is_new=not is_written)

    def without_edit(self, edit: Edit, original: ParamFile) -> ParamFile | None:
        """The file with what `edit` did to `original` taken back; None where it has another value there by now.

        Raises:
            CorruptData: the file, or the original, makes no sense.
            UsageError: it cannot be taken back without touching something else.
        """
        form = self._form()
        text, prefix, encoding = self._text()
        now = self._load(form, text)
        try:
            if not same(value_at(now, edit.path), edit.value):
                return None
            if edit.is_new:
                after = remove_value(text, form.tree(text), edit.path)
                wanted = without_value(now, edit.path)
                if same(form.load(after), wanted):
                    return ParamFile(self.path, prefix + after.encode(encoding))
                raise LookupError(edit.path)
        except (LookupError, ValueError, RecursionError) as error:
            raise UsageError(f"{self.path}: {shorten('.'.join(edit.path))} cannot be taken back.") from error
        return self.with_edit(edit.path, value_at(original.values(), edit.path))[0]

    def _form(self) -> Format:
        return form_of(self.path)

    def _load(self, form: Format, text: str) -> dict[str, Any]:
        try:
            return form.load(text)
        except (ValueError, RecursionError) as error:
            raise CorruptData(f"{self.path}: {str(error).rstrip('.')}.") from error

    def _text(self) -> tuple[str, bytes, str]:
        """The text, the byte order mark before it, and how it is encoded."""
        prefix = codecs.BOM_UTF8 if self.content.startswith(codecs.BOM_UTF8) else b""
        body = self.content[len(prefix) :]
        try:
            if self.path.endswith(".py"):
                from gitexp.domain.constants import decode_source  # scripts are not what most runs set values in

                text, encoding = decode_source(body)
                return text, prefix, encoding
            return body.decode(), prefix, "utf-8"
        except ValueError as error:
            raise CorruptData(f"{self.path}: it is not UTF-8 text.") from error


def read_file(path: str, shown: str) -> ParamFile:
    """The file as it is now.

    Raises:
        OSError: it cannot be read.
        CorruptData: it is no regular file, or too large to be one that people write.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a fifo would wait for its writer
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CorruptData(f"{shown}: it is not a regular file.")
        if status.st_size > LARGEST:
            raise CorruptData(f"{shown}: it is larger than {LARGEST >> 20} MiB.")
        return ParamFile(shown, file.readall())


def form_of(path: str) -> Format:
    """How files of this name hold values. Raises UsageError where that is not known."""
    # Each in its branch, because a launch needs at most one or two of them.
    if path.endswith((".yaml", ".yml")):
        from gitexp.store.yamltext import YamlText

        return YamlText()
    if path.endswith(".json"):
        from gitexp.domain.jsontext import JsonText

        return JsonText()
    if path.endswith(".toml"):
        from gitexp.domain.tomltext import TomlText

        return TomlText()
    if path.endswith(".py"):
        from gitexp.domain.constants import PythonText

        return PythonText()
    raise UsageError(f"'{path}' is no file that values are set in.", hint=f"Such files end in {', '.join(SUFFIXES)}.")


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from 1.0 and True, and takes NaN for NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def _has(root: Any, path: Path) -> bool:
    for part in path:
        if part not in root.items:
            return False
        root = root.items[part].node
    return True


def _top_of_new(values: Any, path: Path, value: Any) -> tuple[Path, Any]:
    """The first key of `path` that is new, with a value that holds the others."""
    for at, part in enumerate(path[:-1]):
        if not isinstance(values, dict) or part not in values:
            for inner in reversed(path[at + 1 :]):
                value = {inner: value}
            return path[: at + 1], value
        values = values[part]
    return path, value


def _as_flag(value: Any, old: Any) -> Any:
    """`yes`, `no`, `on`, `off` in the place of a boolean: what YAML 1.1 takes them for; elsewhere they are text."""
    if isinstance(old, bool) and isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    return value


def _is_shared(before: Any, after: Any, old: Any, value: Any) -> bool:
    """Whether only `old` became `value`, if in several places: so it is with what YAML's aliases name."""
    if same(before, after) or (same(before, old) and same(after, value)):
        return True
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        return all(_is_shared(before[key], after[key], old, value) for key in before)
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return all(_is_shared(was, now, old, value) for was, now in zip(before, after, strict=True))
    return False
