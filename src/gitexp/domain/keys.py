"""Keys of params, metrics and tags, paths of artifacts, and the file names they become."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from gitexp.errors import InvalidName

LONGEST = 250

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSAFE = re.compile(r'[%\\:*?"<>|\x00-\x1f]')
_UNSAFE_OR_LIKE_ANOTHER = re.compile(r'[%\\:*?"<>|\x00-\x1fA-Z]|[^\x00-\x7f]')
_IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_ESCAPED = re.compile(r"(?:%[0-9A-F]{2})+")


def parse_key(text: object, *, what: str) -> str:
    """A key: 1 to 250 bytes of UTF-8 without control characters. `what` ("metric", "param") names it in errors."""
    if type(text) is not str:
        if not isinstance(text, str):
            raise InvalidName(f"A {what} key must be text, not {type(text).__name__}.")
        text = str.__str__(text)
    if not text:
        raise InvalidName(f"The {what} key is empty.")
    if _CONTROL.search(text):
        raise InvalidName(f"The {what} key {shorten(text)} holds a control character or a lone surrogate.")
    if len(text) * 4 > LONGEST and len(text.encode()) > LONGEST:
        raise InvalidName(f"The {what} key {shorten(text)} is longer than {LONGEST} bytes.")
    return text


def parse_artifact_path(text: str) -> str:
    """A path inside a run's artifacts: relative, with `/`, and unable to name anything outside."""
    if not isinstance(text, str):
        raise InvalidName(f"An artifact path must be text, not {type(text).__name__}.")
    if text.startswith("/") or re.match(r"[A-Za-z]:", text):
        raise InvalidName(
            f"The artifact path {shorten(text)} is absolute.", hint="Give a path inside the run, like 'plots/roc.png'."
        )
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts:
        raise InvalidName(f"The artifact path {shorten(text)} names no file.")
    for part in parts:
        if part == "..":
            raise InvalidName(f"The artifact path {shorten(text)} climbs out of the run.")
        if is_git_folder(part):
            raise InvalidName(f"The artifact path {shorten(text)} has a part that git refuses: {part!r}.")
        if _CONTROL.search(part) or "\\" in part:
            raise InvalidName(
                f"The artifact path {shorten(text)} holds a control character, a backslash or a lone surrogate."
            )
        if len(part.encode()) > 255:
            raise InvalidName(f"The artifact path {shorten(text)} has a part longer than 255 bytes.")
    if sum(len(part) + 1 for part in parts) > 4096:
        raise InvalidName(f"The artifact path {shorten(text)} is longer than 4096 characters.")
    return "/".join(parts)


def is_git_folder(part: str) -> bool:
    """Whether git refuses `part` in a tree: `.git` in any spelling that some file system takes for it."""
    plain = _IGNORED_BY_HFS.sub("", part.partition(":")[0]).rstrip(". ").lower()
    return plain == ".git" or re.fullmatch(r"git~\d", plain) is not None


def file_names(keys: Iterable[str]) -> dict[str, str]:
    """The file name (without suffix) of each key, distinct also where neither case nor Unicode form counts."""
    folded = {key: _fold(key) for key in keys}
    seen = Counter(folded.values())
    return {key: _file_name(key, is_plain=seen[fold] == 1) for key, fold in folded.items()}


def key_of_file(name: str) -> str:
    """The key that `file_names` turned into `name`."""
    return "/".join("" if part == "%" else _ESCAPED.sub(_unescape, part) for part in name.split("/"))


def shorten(text: str, width: int = 60) -> str:
    """`text` quoted for a message, its middle left out where it is long."""
    shown = repr(text)
    return shown if len(shown) <= width else f"{shown[: width - 16]}...{shown[-12:]}"


def _fold(text: str) -> str:
    """What no file system tells `text` from: at least equal where Windows or macOS take two names for one."""
    if text.isascii():
        return text.lower()
    from unicodedata import normalize  # a millisecond that few need

    return normalize("NFKD", normalize("NFKD", text).upper().casefold()).casefold()


def _file_name(key: str, *, is_plain: bool) -> str:
    """The name of a key; only ASCII without capitals where it is not `is_plain`, but like another one's."""
    *folders, last = key.split("/")
    parts = [_part(folder, is_plain, is_folder=True) for folder in folders]
    return "/".join([*parts, _part(last, is_plain, is_folder=False)])


def _part(part: str, is_plain: bool, *, is_folder: bool) -> str:
    if not part:
        return "%"
    if is_git_folder(part):
        return _percent(part)
    unsafe = _UNSAFE if is_plain else _UNSAFE_OR_LIKE_ANOTHER
    escaped = unsafe.sub(lambda match: _percent(match.group()), part)
    if escaped[0] in ". ":
        escaped = _percent(escaped[0]) + escaped[1:]
    if escaped[-1] in ". ":
        escaped = escaped[:-1] + _percent(escaped[-1])
    if is_folder and _fold(escaped).endswith(".csv"):  # or it might stand where another metric has its file
        escaped = "%2E".join(escaped.rsplit(".", 1))
    return escaped


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _unescape(match: re.Match[str]) -> str:
    return bytes.fromhex(match.group().replace("%", "")).decode(errors="backslashreplace")
