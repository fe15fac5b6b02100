"""Two runs side by side: what differs in params, metrics, code, environment, artifacts; and one run's own history."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitexp.contents.change import ContentChange, compare_contents
from gitexp.domain.comparison import (
    ArtifactState,
    Change,
    Comparison,
    FileChange,
    Kind,
    changes,
    differing,
    metric_changes,
)
from gitexp.domain.environment import Environment
from gitexp.domain.pointer import SMALL, Pointer
from gitexp.domain.run import RunRecord
from gitexp.domain.summary import RunSummary
from gitexp.errors import GitexpError
from gitexp.reading import RunView
from gitexp.repo import Repository
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import (
    MODE_EXECUTABLE,
    MODE_FILE,
    MODE_GITLINK,
    MODE_TREE,
    TreeEntry,
    decode_commit,
    decode_tree,
    object_id,
)
from gitexp.store.runs import RunEvent

LARGEST_TEXT = 1 << 20
"""Bytes up to which a file is compared line by line."""

MOST_PAIRS = 3_000_000

MOST_LOOKED_INTO = 100
"""Artifacts whose content is compared."""

MOST_TRACED = 1_000
"""Files that differ; of more it is not found out which of them earlier runs made."""

_PLAIN_PATH = re.compile(r'[^\x00-\x1f"\\\x7f-\U0010ffff]+')
_ESCAPES = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePair:
    """One file of the code in two states, each as (mode, hex id) or None. `path` is as `os.fsdecode` gives it."""

    path: str
    before: tuple[int, str] | None
    after: tuple[int, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One event of a run's own history, and what it changed in `run.yaml` and the tags."""

    event: RunEvent
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a run came from: a `kind` ("code", "run", "parent", "input"), its commit if it has one, a line about it."""

    kind: str
    commit: str | None
    text: str


def compare(repository: Repository, before: RunView, after: RunView) -> Comparison:
    """Everything that differs between two runs."""
    code, outputs = _compare_code(repository, before, after)
    return Comparison(
        record=changes(record_of(before.record), record_of(after.record)),
        params=changes(before.params, after.params),
        metrics=metric_changes(before.metrics, after.metrics),
        code=code,
        outputs=outputs,
        python=changes(machine_of(before.environment), machine_of(after.environment)),
        packages=changes(packages_of(before.environment), packages_of(after.environment)),
        artifacts=changes(artifacts_of(before), artifacts_of(after)),
    )


def content_changes(before: RunView, after: RunView, found: Comparison) -> dict[str, ContentChange]:
    """How the content of artifacts that both runs have differs, by path, as far as it can be looked into here."""
    changed = [change.key for change in found.artifacts if change.kind is Kind.CHANGED][:MOST_LOOKED_INTO]
    pairs = {path: compare_contents(before.artifacts[path], after.artifacts[path]) for path in changed}
    return {path: change for path, change in pairs.items() if change is not None}


def changed_since_commit(repository: Repository, run: RunView) -> list[FileChange] | None:
    """How a run's code differs from the commit it was based on; None where either is not there."""
    code = run.record.code
    if run.code.tree is None or code is None or code.commit is None:
        return None
    try:
        base = decode_commit(repository.objects.read(bytes.fromhex(code.commit))[1]).tree
        pairs = list(tree_pairs(repository.objects, base, run.code.tree))
    except GitexpError:
        return None
    return [_file_change(repository.objects, pair) for pair in pairs]


def code_diff(repository: Repository, before: RunView, after: RunView) -> Iterator[str]:
    """The unified diff of the code of two runs, line by line with line ends, as `git apply` takes it.

    Bytes that are not UTF-8 are lone surrogates, as `os.fsdecode` makes them.
    """
    if before.code.tree is None or after.code.tree is None:
        return
    for pair in tree_pairs(repository.objects, before.code.tree, after.code.tree):
        yield from _file_diff(repository.objects, pair)


def git_diff_command(before: RunView, after: RunView, *, code: bool = False) -> str | None:
    """The plain git command that says the same; None where one of the runs is live and has no commit yet."""
    if before.commit is None or after.commit is None:
        return None
    command = f"git diff {before.commit[:12]} {after.commit[:12]}"
    return f"{command} -- :/code" if code else command


def history(repository: Repository, run: RunView) -> list[HistoryEntry]:
    """The run's own history, newest first: what each event changed. The seal, the last, changed nothing before it."""
    events = run.events()
    states = [_state(repository, run.ref, event.commit) for event in events]
    entries = []
    for position, event in enumerate(events):
        older = states[position + 1] if position + 1 < len(states) else None
        newer = states[position]
        found = differing(changes(older, newer)) if older is not None and newer is not None else []
        entries.append(HistoryEntry(event=event, changes=tuple(found)))
    return entries


def origins(repository: Repository, run: RunView) -> list[Origin]:
    """What the run came from: the commit of its code, the run it is nested in, the runs and files it consumed."""
    record = run.record
    found = []
    commits = list(run.parents())
    if record.code and record.code.commit and commits[:1] == [record.code.commit]:
        branch = f" ({record.code.branch})" if record.code.branch else ""
        found.append(Origin(kind="code", commit=commits[0], text=_subject(repository, commits.pop(0)) + branch))
    if record.parent:
        found.append(Origin(kind="parent", commit=None, text=record.parent))
    found += [Origin(kind="run", commit=commit, text=_subject(repository, commit)) for commit in commits]
    for item in record.inputs:
        if item.run is None:
            text = f"{item.kind} {item.name}" + (f" ({item.digest})" if item.digest else "")
            found.append(Origin(kind="input", commit=None, text=text))
    return found


def _subject(repository: Repository, commit: str) -> str:
    try:
        message = decode_commit(repository.objects.read(bytes.fromhex(commit))[1]).message
    except GitexpError:
        return "not in this repository"
    return message.lstrip("\n").partition("\n")[0]


def record_of(record: RunRecord) -> dict[str, Any]:
    """What of a run's record is compared, by its name."""
    code = record.code
    found = {
        "experiment": record.experiment,
        "status": record.status.value,
        "duration": record.duration_s,
        "command": list(record.command) or None,
        "author": record.author,
        "host": record.host,
        "code commit": code and code.commit,
        "code branch": code and code.branch,
    }
    return {key: value for key, value in found.items() if value is not None}


def machine_of(environment: Environment | None) -> dict[str, Any]:
    """`environment/python.yaml` flat, without what only says where things lie."""
    flat: dict[str, Any] = {}
    for key, value in (environment.python if environment else {}).items():
        if key == "executable":
            continue
        key = "python" if key == "version" else key
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": item for name, item in value.items()})
        else:
            flat[key] = value
    return flat


def packages_of(environment: Environment | None) -> dict[str, str]:
    """The version of each package."""
    return environment.packages() if environment else {}


def artifacts_of(run: RunView) -> dict[str, ArtifactState]:
    """The state of each artifact, by its path."""
    return {
        path: ArtifactState(size_bytes=artifact.size_bytes, sha256=artifact.sha256)
        for path, artifact in run.artifacts.items()
    }


def _compare_code(
    repository: Repository, before: RunView, after: RunView
) -> tuple[tuple[FileChange, ...] | None, tuple[str, ...]]:
    if before.code.tree is None or after.code.tree is None:
        return None, ()
    pairs, outputs = code_pairs(repository, before, after)
    return tuple(_file_change(repository.objects, pair) for pair in pairs), tuple(outputs)


def code_pairs(repository: Repository, before: RunView, after: RunView) -> tuple[list[FilePair], list[str]]:
    """The files of the code of two runs that differ, and the paths of those that differ only as outputs.

    These are files that git does not track and an earlier run made. Without captured code there are none.
    """
    if before.code.tree is None or after.code.tree is None:
        return [], []
    pairs = list(tree_pairs(repository.objects, before.code.tree, after.code.tree))
    made_before = _made_earlier(repository, before, {pair.path: pair.before for pair in pairs})
    made_after = _made_earlier(repository, after, {pair.path: pair.after for pair in pairs})
    outputs = [
        pair.path
        for pair in pairs
        if (pair.before is None or pair.path in made_before) and (pair.after is None or pair.path in made_after)
    ]
    left_out = set(outputs)
    return [pair for pair in pairs if pair.path not in left_out], outputs


def _made_earlier(repository: Repository, run: RunView, files: Mapping[str, tuple[int, str] | None]) -> set[str]:
    """Which files of a run's code git did not track and an earlier run made just so, by their paths.

    Made means that the earlier run has the file as an artifact of that path and did not begin with it: a script that
    logs its own source makes nothing.
    """
    code, objects = run.record.code, repository.objects
    there = {path: file[1] for path, file in files.items() if file is not None and file[0] != MODE_GITLINK}
    if code is None or len(there) > MOST_TRACED:
        return set()
    try:
        base = None if code.commit is None else decode_commit(objects.read(bytes.fromhex(code.commit))[1]).tree
        untracked = {path: blob for path, blob in there.items() if _blob_at(objects, base, path) is None}
        if not untracked:
            return set()
        kept = {path: _as_artifact(objects, blob) for path, blob in untracked.items()}
        repository.index.refresh()
        makers = repository.index.makers(set(kept.values()), repository.runs.artifact_blobs)
        return {
            path
            for path, blob in kept.items()
            if any(_has_made(objects, maker, run, path, blob, untracked[path]) for maker in makers.get(blob, ()))
        }
    except GitexpError:  # not all objects came along: then nothing is known of it
        return set()


def _has_made(objects: ObjectDatabase, maker: RunSummary, run: RunView, path: str, artifact: str, code: str) -> bool:
    if maker.commit is None or maker.record.start >= run.record.start:
        return False
    tree = decode_commit(objects.read(bytes.fromhex(maker.commit))[1]).tree
    return _blob_at(objects, tree, f"artifacts/{path}") == artifact and _blob_at(objects, tree, f"code/{path}") != code


def _as_artifact(objects: ObjectDatabase, blob: str) -> str:
    """The blob as which a file of the code would be an artifact: large ones are pointers there."""
    data = objects.read(bytes.fromhex(blob))[1]
    if len(data) <= SMALL:
        return blob
    pointer = Pointer(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    return object_id("blob", pointer.to_bytes()).hex()


def _blob_at(objects: ObjectDatabase, tree: str | None, path: str) -> str | None:
    """The blob (hex id) at a path of a tree; None where there is no file."""
    *folders, name = os.fsencode(path).split(b"/")
    at = None if tree is None else bytes.fromhex(tree)
    for folder in folders:
        entry = _entries(objects, at).get(folder)
        at = entry.oid if entry and entry.mode == MODE_TREE else None
    entry = _entries(objects, at).get(name)
    return entry.oid.hex() if entry and entry.mode != MODE_TREE else None


def _state(repository: Repository, ref: str, commit: str) -> dict[str, Any] | None:
    found = next(repository.runs.load([(ref, commit)]))
    if not isinstance(found, RunSummary):
        return None
    record = found.record
    state: dict[str, Any] = {f"tags.{key}": value for key, value in found.tags.items()}
    state["name"] = record.name
    said = {"note": record.note, "deleted": record.deleted}
    return state | {key: value for key, value in said.items() if value is not None}


# Trees


def tree_pairs(objects: ObjectDatabase, before: str | None, after: str) -> Iterator[FilePair]:
    """Every file that differs between two trees, paths sorted; equal folders are not even read. None: no files."""
    return _folder_pairs(objects, bytes.fromhex(before) if before else None, bytes.fromhex(after), b"")


def _folder_pairs(
    objects: ObjectDatabase, before: bytes | None, after: bytes | None, prefix: bytes
) -> Iterator[FilePair]:
    if before == after:
        return
    old, new = _entries(objects, before), _entries(objects, after)
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name), new.get(name)
        if one == other:
            continue
        path = prefix + name
        file_before, folder_before = _split(one)
        file_after, folder_after = _split(other)
        if file_before != file_after:
            yield FilePair(path=os.fsdecode(path), before=file_before, after=file_after)
        if folder_before or folder_after:
            yield from _folder_pairs(objects, folder_before, folder_after, path + b"/")


def _entries(objects: ObjectDatabase, tree: bytes | None) -> dict[bytes, TreeEntry]:
    return {entry.name: entry for entry in decode_tree(objects.read(tree)[1])} if tree else {}


def _split(entry: TreeEntry | None) -> tuple[tuple[int, str] | None, bytes | None]:
    """An entry as a file or as a folder."""
    if entry is None:
        return None, None
    return (None, entry.oid) if entry.mode == MODE_TREE else ((entry.mode, entry.oid.hex()), None)


# Files


def _file_change(objects: ObjectDatabase, pair: FilePair) -> FileChange:
    kind = Kind.ADDED if pair.before is None else Kind.REMOVED if pair.after is None else Kind.CHANGED
    old, new = text_lines(objects, pair.before), text_lines(objects, pair.after)
    if old is None or new is None:
        return FileChange(path=pair.path, kind=kind)
    added = removed = 0
    for tag, a, b, c, d in opcodes(old, new):
        if tag != "equal":
            removed += b - a
            added += d - c
    return FileChange(path=pair.path, kind=kind, added=added, removed=removed)


def text_lines(objects: ObjectDatabase, state: tuple[int, str] | None) -> list[str] | None:
    """The lines of a file with their ends, no lines for an absent file; None where it is not text or too large."""
    if state is None:
        return []
    mode, oid = state
    if mode == MODE_GITLINK:
        return [f"Subproject commit {oid}\n"]
    data = objects.read(bytes.fromhex(oid))[1]
    if len(data) > LARGEST_TEXT or b"\0" in data[:8000]:
        return None
    lines = os.fsdecode(data).split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def opcodes(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """difflib's opcodes, its slow part spared what is the same at both ends."""
    from difflib import SequenceMatcher  # only where code differs

    head = 0
    limit = min(len(old), len(new))
    while head < limit and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < limit - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    found = [("equal", 0, head, 0, head)] if head else []
    if not middle_old or not middle_new or _is_slow(middle_old, middle_new):
        inner = [("replace", 0, len(middle_old), 0, len(middle_new))] if middle_old or middle_new else []
    else:
        inner = list(SequenceMatcher(None, middle_old, middle_new).get_opcodes())
    found += [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in inner]
    if tail:
        found.append(("equal", len(old) - tail, len(old), len(new) - tail, len(new)))
    return found


def _is_slow(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether so many lines repeat that difflib, which looks at every pair of equal lines, would take minutes."""
    counts = Counter(new)
    return sum(times * counts[line] for line, times in Counter(old).items()) > MOST_PAIRS


def _file_diff(objects: ObjectDatabase, pair: FilePair) -> Iterator[str]:
    if pair.before and pair.after and _is_other_kind(pair.before[0], pair.after[0]):
        yield from _file_diff(objects, FilePair(path=pair.path, before=pair.before, after=None))
        yield from _file_diff(objects, FilePair(path=pair.path, before=None, after=pair.after))
        return
    yield from _header(pair)
    if pair.before and pair.after and pair.before[1] == pair.after[1]:
        return
    old, new = text_lines(objects, pair.before), text_lines(objects, pair.after)
    before = _quoted("a/" + pair.path) if pair.before else "/dev/null"
    after = _quoted("b/" + pair.path) if pair.after else "/dev/null"
    if old is None or new is None:
        yield f"Binary files {before} and {after} differ\n"
    elif old or new:
        yield f"--- {before}{_tab(before)}\n"
        yield f"+++ {after}{_tab(after)}\n"
        for group in _grouped(opcodes(old, new)):
            yield from _hunk(group, old, new)


def _is_other_kind(before: int, after: int) -> bool:
    regular = (MODE_FILE, MODE_EXECUTABLE)
    return before != after and not (before in regular and after in regular)


def _header(pair: FilePair) -> Iterator[str]:
    yield f"diff --git {_quoted('a/' + pair.path)} {_quoted('b/' + pair.path)}\n"
    before, after = pair.before, pair.after
    if before is None and after is not None:
        yield f"new file mode {after[0]:o}\nindex {'0' * 40}..{after[1]}\n"
    elif before is not None and after is None:
        yield f"deleted file mode {before[0]:o}\nindex {before[1]}..{'0' * 40}\n"
    elif before is not None and after is not None:
        if before[0] != after[0]:
            yield f"old mode {before[0]:o}\nnew mode {after[0]:o}\n"
        if before[1] != after[1]:
            mode = f" {after[0]:o}" if before[0] == after[0] else ""
            yield f"index {before[1]}..{after[1]}{mode}\n"


def _grouped(
    opcodes: Sequence[tuple[str, int, int, int, int]], context: int = 3
) -> Iterator[list[tuple[str, int, int, int, int]]]:
    """Hunks: changes with `context` equal lines around; as difflib's `get_grouped_opcodes` does."""
    group: list[tuple[str, int, int, int, int]] = []
    for position, (tag, a, b, c, d) in enumerate(opcodes):
        if tag != "equal":
            group.append((tag, a, b, c, d))
            continue
        is_last = position == len(opcodes) - 1
        if b - a > 2 * context or is_last or not group:
            if group:
                end = min(b, a + context)
                yield [*group, (tag, a, end, c, c + end - a)]
            start = max(a, b - context)
            group = [] if is_last else [(tag, start, b, d - (b - start), d)]
        else:
            group.append((tag, a, b, c, d))
    if group:
        yield group


def _hunk(group: Sequence[tuple[str, int, int, int, int]], old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
    for tag, a, b, c, d in group:
        if tag == "equal":
            yield from (_diff_line(" ", line) for line in old[a:b])
        else:
            yield from (_diff_line("-", line) for line in old[a:b])
            yield from (_diff_line("+", line) for line in new[c:d])


def _diff_line(mark: str, line: str) -> str:
    return mark + line if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"


def _range(start: int, stop: int) -> str:
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _tab(path: str) -> str:
    """A tab ends a name that holds a space, so that `patch` takes it whole; git does the same."""
    return "\t" if " " in path and not path.startswith('"') else ""


def _quoted(path: str) -> str:
    """A path as git writes it: in quotes with C escapes where it holds more than plain ASCII."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    return '"' + "".join(_escaped(byte) for byte in os.fsencode(path)) + '"'


def _escaped(byte: int) -> str:
    if byte in _ESCAPES:
        return "\\" + _ESCAPES[byte]
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
