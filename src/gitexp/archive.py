"""One run as a zip file that is read without gitexp: its record, code, environment and artifacts, and how to run it.

The same run gives the same bytes: names are sorted, times are fixed.
"""

from __future__ import annotations

import os
import shlex
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from gitexp.domain.masking import MASK
from gitexp.domain.pointer import Pointer
from gitexp.domain.run import format_time
from gitexp.errors import GitexpError, NotFound, UsageError
from gitexp.reading import Artifact, RunView
from gitexp.repo import Repository
from gitexp.sharing.anywhere import fetch_anywhere
from gitexp.sharing.artifacts import copy
from gitexp.sharing.exchange import Listener
from gitexp.store.git.objects import MODE_EXECUTABLE, MODE_GITLINK, MODE_SYMLINK
from gitexp.store.manifests import storable
from gitexp.store.userfolder import check_name

_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can say."""

_UNIX = 3

Write = Callable[[bytes], object]
Give = Callable[[Write], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What was written.

    Attributes:
        missing: the paths in the zip file of what could not be had; `README.md` names them, too.
    """

    files: int
    size_bytes: int
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file to be: its size, what gives its content, and its mode."""

    size_bytes: int
    give: Give
    mode: int = 0o100644
    pointer: Pointer | None = None


def write_archive(
    repository: Repository,
    view: RunView,
    path: str,
    *,
    artifacts: bool = True,
    listener: Listener | None = None,
    engine: str = "auto",
) -> Archived:
    """Write a sealed run as the zip file `path`, which appears whole or not at all.

    Args:
        artifacts: whether the content of artifacts is part of it; what is not on this machine is fetched.

    Raises:
        UsageError: the run is still being recorded.
        NotFound: there is no such folder.
        CorruptData: something of the run is damaged.
        OSError
    """
    if view.commit is None:
        raise UsageError(f"The run '{view.name}' is still being recorded.", hint="Wait until it has ended.")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise NotFound(f"There is no folder '{folder}'.")
    entries = _entries(repository, view, view.commit, artifacts=artifacts)
    missing = _fetch(repository, entries, listener, engine)
    missing_names = tuple(sorted(missing))
    entries = {name: entry for name, entry in entries.items() if name not in missing}
    entries["README.md"] = _text(_readme(view, entries, missing_names, artifacts=artifacts))
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name in sorted(entries):
                _write(archive, f"{_top(view)}/{storable(name)}", entries[name])
        size = os.path.getsize(temporary)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    return Archived(files=len(entries), size_bytes=size, missing=missing_names)


def _entries(repository: Repository, view: RunView, commit: str, *, artifacts: bool) -> dict[str, _Entry]:
    runs = repository.runs
    entries = {name: _text(data) for name, data in runs.texts(commit)}
    pointers = dict(runs.pointers(commit))
    for path, (mode, blob) in view.code.files().items():
        name = f"code/{path}"
        if mode == MODE_GITLINK:
            continue
        pointer = pointers.get(name)
        if pointer is not None:
            artifact = Artifact(path, pointer, repository.content)
            entries[name] = _Entry(pointer.size_bytes, partial(copy, artifact), _mode(mode), pointer)
        else:
            data = repository.objects.read(bytes.fromhex(blob))[1]
            entries[name] = _Entry(len(data), partial(_give, data), _mode(mode))
    for path, artifact in view.artifacts.items() if artifacts else ():
        pointer = pointers.get(f"artifacts/{path}")
        entries[f"artifacts/{path}"] = _Entry(artifact.size_bytes, partial(copy, artifact), pointer=pointer)
    for name in entries:
        for part in os.fsencode(name).split(b"/"):
            check_name(part)
    return entries


def _fetch(
    repository: Repository, entries: dict[str, _Entry], listener: Listener | None, engine: str
) -> dict[str, Pointer]:
    """Bring here what is not; gives what nobody has."""
    away = _away(repository, entries)
    if away:
        try:
            fetch_anywhere(repository, list(away.values()), listener, engine=engine)
        except GitexpError:  # whoever reads the archive is told which; what came is here
            return _away(repository, entries)
    return {}


def _away(repository: Repository, entries: dict[str, _Entry]) -> dict[str, Pointer]:
    content = repository.content
    return {
        name: entry.pointer
        for name, entry in entries.items()
        if entry.pointer is not None and not content.contains(entry.pointer)
    }


def _write(archive: zipfile.ZipFile, name: str, entry: _Entry) -> None:
    info = zipfile.ZipInfo(name, _TIME)
    info.create_system = _UNIX
    info.external_attr = entry.mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = entry.size_bytes  # so that a large one gets the room for its size
    with archive.open(info, "w") as stream:
        entry.give(stream.write)


def _text(data: bytes) -> _Entry:
    return _Entry(len(data), partial(_give, data))


def _give(data: bytes, add: Write) -> None:
    add(data)


def _mode(mode: int) -> int:
    return {MODE_SYMLINK: 0o120777, MODE_EXECUTABLE: 0o100755}.get(mode, 0o100644)


def _top(view: RunView) -> str:
    name = "".join(character if character.isalnum() or character in "-_." else "-" for character in view.name)
    return f"{name.strip('.-')[:80] or 'run'}-{view.id}"


def _readme(view: RunView, entries: dict[str, _Entry], missing: tuple[str, ...], *, artifacts: bool) -> bytes:
    return "\n".join(_lines(view, entries, missing, artifacts=artifacts)).encode("utf-8", "backslashreplace") + b"\n"


def _lines(view: RunView, entries: dict[str, _Entry], missing: tuple[str, ...], *, artifacts: bool) -> Iterator[str]:
    record = view.record
    yield f"# {record.name}"
    yield ""
    took = "" if record.duration_s is None else f" after {record.duration_s:.1f} s"
    yield f"Run `{record.id}` of the experiment '{record.experiment}', {record.status.value}{took}."
    yield f"Begun {format_time(record.start)}{f' by {record.author}' if record.author else ''}."
    if record.note:
        yield ""
        yield record.note
    yield ""
    yield "## What is here"
    yield ""
    for name, what in _CONTENTS.items():
        if any(entry == name or entry.startswith(f"{name}/") for entry in entries):
            yield f"- `{name}`: {what}"
    if not artifacts and view.artifacts:
        yield f"- not the {len(view.artifacts):,} artifacts; their paths and sizes are below"
    yield ""
    yield from _how_to_run(view)
    if record.inputs:
        yield ""
        yield "## What it read"
        yield ""
        for item in record.inputs:
            made = f", made by the run `{item.run}`" if item.run else ""
            yield f"- {item.kind} `{item.name}`: {item.digest or 'no digest'}{made}"
        yield ""
        yield "The digest of a folder is what this prints in it:"
        yield ""
        yield "    find -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    if not artifacts and view.artifacts:
        yield ""
        yield "## Artifacts"
        yield ""
        for path, artifact in view.artifacts.items():
            yield f"- `{path}`: {artifact.size_bytes:,} bytes, sha256:{artifact.sha256}"
    if missing:
        yield ""
        yield "## Missing"
        yield ""
        yield "Their content was on no machine that could be reached:"
        yield ""
        for name in missing:
            yield f"- `{name}`"


def _how_to_run(view: RunView) -> Iterator[str]:
    record = view.record
    yield "## How to run it"
    yield ""
    python = view.environment.python if view.environment else {}
    requirements = view.environment.requirements if view.environment else ()
    version = python.get("version")
    if version:
        yield f"With Python {version}{':' if requirements or record.command else '.'}"
        yield ""
    if requirements:
        yield "    python -m venv .venv && . .venv/bin/activate"
    if requirements or record.command:
        yield "    cd code"
    if requirements:  # among them may be packages of the code, whose paths are seen from there
        yield "    pip install -r ../environment/requirements.txt"
    if record.command:
        if record.directory not in (None, "."):
            yield f"    cd {shlex.quote(str(record.directory))}"
        yield f"    {shlex.join(record.command)}"
        if any(MASK in word for word in record.command):
            yield ""
            yield f"`{MASK}` stands for secrets, which are not recorded."
    else:
        yield ""
        yield f"It was started from Python{f', by `{record.entry_point}`' if record.entry_point else ''}."
    local = [line.partition(" @ ")[0] for line in requirements if " @ file:" in line]
    if local:
        yield ""
        yield f"Installed from files of the machine where it ran, which may not be here: {', '.join(local)}."
    seeds = python.get("seeds")
    if seeds:
        yield ""
        yield f"Seeds that it set: {', '.join(f'{name} {value}' for name, value in seeds.items())}."
    yield ""
    yield f"In its repository, gitexp does it all: `gitexp reproduce {record.id}`."


_CONTENTS = {
    "code": "the repository as it was when the run began",
    "params.yaml": "what went in",
    "metrics.json": "what came out: the last value of each metric",
    "points.csv": "metrics of one value: step, time, value, name",
    "history": "every value of each metric: step, time, value",
    "artifacts": "the files that it made",
    "inputs": "for each file that it read and that was kept, its SHA-256 and size (a Git LFS pointer)",
    "environment": "the packages by version, the interpreter, the machine",
    "output.log": "what it printed",
    "run.yaml": "the whole record",
    "tags.yaml": "its tags",
}
