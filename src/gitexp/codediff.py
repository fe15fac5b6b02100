"""The difference between two states of code, file by file and line by line, as a page lays it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from gitexp.comparing import FilePair, opcodes, text_lines, tree_pairs
from gitexp.domain.comparison import Kind
from gitexp.errors import GitexpError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import decode_commit

CONTEXT = 3
MOST_FILES = 300
MOST_LINES = 5_000
"""Of one difference; what goes on is left out and said to be."""

_LONGEST_COMPARED = 400
_LEAST_ALIKE = 0.35

Pieces = tuple[tuple[bool, str], ...]
"""A line in pieces: whether it is what changed, and its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    """One line in both states. `old` and `new` number it from 1; None where that state has no such line."""

    old: int | None
    new: int | None
    before: Pieces = ()
    after: Pieces = ()

    @property
    def is_same(self) -> bool:
        return self.old is not None and self.new is not None and self.before == self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """One file that differs.

    Attributes:
        hunks: groups of lines with what is around them; none where the file is no text, or too large.
        is_cut: whether lines were left out for their number.
        old, new: all lines of both states, with their ends.
    """

    path: str
    kind: Kind
    added: int
    removed: int
    hunks: tuple[tuple[DiffLine, ...], ...]
    is_text: bool = True
    is_cut: bool = False
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


def diff_trees(objects: ObjectDatabase, before: str, after: str) -> Iterator[FileDiff]:
    """Every file that differs between two trees (hex ids), up to `MOST_FILES`."""
    left = MOST_LINES
    for position, pair in enumerate(tree_pairs(objects, before, after)):
        if position == MOST_FILES:
            return
        made = _file_diff(objects, pair, left)
        left = max(left - sum(map(len, made.hunks)), 0)
        yield made


def uncommitted(repository: Repository, run: RunView) -> list[FileDiff] | None:
    """How a run's code differs from the commit it was based on; None where either is not here."""
    code = run.record.code
    if run.code.tree is None or code is None or code.commit is None:
        return None
    try:
        base = decode_commit(repository.objects.read(bytes.fromhex(code.commit))[1]).tree
        return list(diff_trees(repository.objects, base, run.code.tree))
    except GitexpError:
        return None


def between(repository: Repository, before: RunView, after: RunView) -> list[FileDiff] | None:
    """How the code of two runs differs; None where one of them has none here."""
    if before.code.tree is None or after.code.tree is None:
        return None
    try:
        return list(diff_trees(repository.objects, before.code.tree, after.code.tree))
    except GitexpError:
        return None


def _file_diff(objects: ObjectDatabase, pair: FilePair, left: int) -> FileDiff:
    kind = Kind.ADDED if pair.before is None else Kind.REMOVED if pair.after is None else Kind.CHANGED
    old, new = text_lines(objects, pair.before), text_lines(objects, pair.after)
    if old is None or new is None:
        return FileDiff(path=pair.path, kind=kind, added=0, removed=0, hunks=(), is_text=False)
    found = opcodes(old, new)
    added = sum(d - c for tag, _, _, c, d in found if tag != "equal")
    removed = sum(b - a for tag, a, b, _, _ in found if tag != "equal")
    hunks, is_cut = [], False
    for group in _groups(found):
        lines = tuple(_lines(group, old, new))
        if len(lines) > left:
            lines, is_cut = lines[:left], True
        if lines:
            hunks.append(lines)
        left -= len(lines)
        if is_cut:
            break
    return FileDiff(
        path=pair.path,
        kind=kind,
        added=added,
        removed=removed,
        hunks=tuple(hunks),
        is_cut=is_cut,
        old=tuple(old),
        new=tuple(new),
    )


Code = tuple[str, int, int, int, int]


def _groups(codes: Sequence[Code]) -> Iterator[list[Code]]:
    """Changes that are near each other, with a few lines around them."""
    group: list[Code] = []
    for position, (tag, a, b, c, d) in enumerate(codes):
        is_first, is_last = position == 0, position == len(codes) - 1
        if tag != "equal":
            group.append((tag, a, b, c, d))
            continue
        if b - a > (0 if is_first else CONTEXT) + (0 if is_last else CONTEXT):
            if not is_first:
                group.append((tag, a, a + CONTEXT, c, c + CONTEXT))
                yield group
                group = []
            if not is_last:
                group = [(tag, b - CONTEXT, b, d - CONTEXT, d)]
        else:
            group.append((tag, a, b, c, d))
    if any(tag != "equal" for tag, *_ in group):
        yield group


def _lines(group: Sequence[Code], old: Sequence[str], new: Sequence[str]) -> Iterator[DiffLine]:
    for tag, a, b, c, d in group:
        if tag == "equal":
            for one, other in zip(range(a, b), range(c, d), strict=True):
                yield DiffLine(old=one + 1, new=other + 1, before=_whole(old[one]), after=_whole(new[other]))
            continue
        for place, other_place in zip_longest(range(a, b), range(c, d)):
            if place is None:
                yield DiffLine(old=None, new=other_place + 1, after=_whole(new[other_place]))
            elif other_place is None:
                yield DiffLine(old=place + 1, new=None, before=_whole(old[place]))
            else:
                before, after = _changed(_bare(old[place]), _bare(new[other_place]))
                yield DiffLine(old=place + 1, new=other_place + 1, before=before, after=after)


def _changed(before: str, after: str) -> tuple[Pieces, Pieces]:
    """Two lines, what changed inside them marked, where they are alike at all."""
    if max(len(before), len(after)) > _LONGEST_COMPARED or before == after:
        return ((before != after, before),), ((before != after, after),)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < _LEAST_ALIKE:
        return ((False, before),), ((True, after),) if not after else ((False, after),)
    one, other = [], []
    for tag, a, b, c, d in matcher.get_opcodes():
        if b > a:
            one.append((tag != "equal", before[a:b]))
        if d > c:
            other.append((tag != "equal", after[c:d]))
    return tuple(one), tuple(other)


def _whole(line: str) -> Pieces:
    return ((False, _bare(line)),)


def _bare(line: str) -> str:
    return line.rstrip("\r\n")
