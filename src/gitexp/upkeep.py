"""Looking after a repository: `fsck` finds what is damaged and says what to do, `gc` frees what was removed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from gitexp.domain.identity import LIVE, REFS, live_ref
from gitexp.domain.pointer import Pointer
from gitexp.domain.summary import BrokenRun, RunSummary
from gitexp.errors import CorruptData, GitexpError
from gitexp.registry import Registry
from gitexp.repo import Repository
from gitexp.store.git.durable import TEMPORARY, remove
from gitexp.store.git.objects import COMMIT, MODE_GITLINK, MODE_TREE, TREE, decode_commit, decode_tree
from gitexp.store.git.remotes import remote_names
from gitexp.store.hashes import sweep
from gitexp.store.modelstore import read_model
from gitexp.store.userfolder import check_name

YOUNG_S = 24 * 3600.0
"""Content younger than this stays, whether or not a run names it yet."""

CACHED_S = 30 * YOUNG_S
"""How long a long history stays in its quick form."""


NAMED = 3
"""How many files a finding names."""


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be: where, what, and what to do."""

    severity: Severity
    where: str
    what: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcReport:
    """What `gc` freed, or would free.

    Attributes:
        runs: those forgotten for good.
        content: how many stored files went, and content_bytes their sizes together.
        objects: how many git objects were handed back to git, which frees them by its own rules.
        temporary: how many unfinished files went.
    """

    runs: tuple[RunSummary, ...]
    content: int
    content_bytes: int
    objects: int
    temporary: int


def fsck(repository: Repository, *, full: bool = False) -> Iterator[Finding]:
    """Check every ref, object, pointer and journal.

    Args:
        full: also read all content and compare it with its digest.
    """
    yield from _check_refs(repository)
    pointers: dict[str, str] = {}
    for ref, commit in sorted(repository.tips().items()):
        for found in _check_run(repository, ref, commit, pointers):
            if isinstance(found, Finding):
                yield found
    for ref, commit in sorted(repository.models.tips().items()):
        yield from _check_model(repository, ref, commit)
    yield from _check_content(repository, pointers, full=full)
    yield from _check_live(repository)


def gc(repository: Repository, *, keep_s: float | None = None, dry_run: bool = False) -> GcReport:
    """Free what was removed longer ago than `keep_s` seconds (the setting `gc.keep` by default).

    Never a live run, and nothing of the user's: git objects go back to git, whose own rules decide.
    """
    now = time.time()
    limit = now - (repository.config.gc_keep_s if keep_s is None else keep_s)
    live = {entry.run_id for entry in repository.live.list()}
    expired = [
        run
        for run in repository.search(deleted="only")
        if run.record.deleted is not None and run.record.deleted <= limit and run.record.id not in live
    ]
    refs = {run.ref for run in expired}
    remaining = {ref: commit for ref, commit in repository.tips().items() if ref not in refs}
    needed = _needed_content(repository, remaining | repository.saved.tips())
    garbage = [
        (sha256, size)
        for sha256, size, changed in repository.content.list()
        if sha256 not in needed and changed < now - YOUNG_S
    ]
    objects = temporary = 0
    if not dry_run:
        for run in expired:
            if run.commit is not None:
                repository.runs.remove(run.ref, run.commit)
        for sha256, _ in garbage:
            repository.content.remove(sha256)
        repository.saved.forget(limit)
        objects = repository.objects.rewrite_kept(_reachable_kept(repository))
        temporary = repository.objects.sweep_temporary(YOUNG_S) + repository.refs.sweep_stale(REFS)
        temporary += _sweep_transfers(repository)
        _forget_dead_live_refs(repository)
        repository.refs.pack(REFS)
        repository.index.rebuild()
        repository.histories.sweep(CACHED_S)
        sweep(os.path.join(repository.git.gitexp_dir, "hashes"), CACHED_S)
        temporary += _sweep_models(repository)
    return GcReport(
        runs=tuple(expired),
        content=len(garbage),
        content_bytes=sum(size for _, size in garbage),
        objects=objects,
        temporary=temporary,
    )


def _check_refs(repository: Repository) -> Iterator[Finding]:
    for ref in repository.refs.broken(REFS):
        yield Finding(
            severity=Severity.ERROR,
            where=ref,
            what="The ref does not hold an object id.",
            advice=f"Fetch it again from a remote that has the run, or remove it: git update-ref -d {ref}",
        )


def _check_run(repository: Repository, ref: str, commit: str, pointers: dict[str, str]) -> Iterator[Finding]:
    """Reads everything a run's commit names, and notes the content that its pointers stand for."""
    try:
        [summary] = repository.load([(ref, commit)])
        if isinstance(summary, BrokenRun):
            raise CorruptData(summary.reason)
        for key in summary.metrics:
            repository.runs.history(commit, key)
        repository.runs.environment(commit)
        for kind, oid in _objects_of(repository, commit):
            repository.objects.read(oid, verify=True)
            if kind == COMMIT and oid.hex() == commit:
                repository.runs.events(commit)
        for path, pointer in repository.runs.pointers(commit):
            pointers.setdefault(pointer.sha256, f"'{path}' of run '{summary.record.name}' ({summary.record.id})")
    except GitexpError as error:
        yield Finding(
            severity=Severity.ERROR,
            where=ref,
            what=str(error),
            advice="Fetch the run again from a remote that has it; 'git fsck --full' tells more.",
        )


def _check_model(repository: Repository, ref: str, commit: str) -> Iterator[Finding]:
    """Reads every state of a registered model, and compares each version's files with the digest it was given."""
    advice = "Fetch the model again from a remote that has it: gitexp pull --model NAME"
    try:
        model = read_model(repository.objects, commit)
        repository.models.events(model.name)
    except GitexpError as error:
        yield Finding(severity=Severity.ERROR, where=ref, what=str(error), advice=advice)
        return
    for version in model.versions:
        try:
            Registry(repository).files_of(version)
        except GitexpError as error:
            where = f"{model.name}/{version.number}"
            yield Finding(severity=Severity.ERROR, where=where, what=str(error), advice=advice)


def _check_content(repository: Repository, pointers: dict[str, str], *, full: bool) -> Iterator[Finding]:
    away = [owner for sha256, owner in pointers.items() if not repository.content.contains(sha256)]
    if away and remote_names(repository.git):
        yield Finding(
            severity=Severity.NOTE,
            where=_named(away),
            what=f"The content of {'one large file' if len(away) == 1 else f'{len(away):,} large files'} is not here.",
            advice="'gitexp get RUN' fetches that of one run, 'gitexp pull --artifacts' that of all.",
        )
    elif away:
        for owner in away:
            yield Finding(
                severity=Severity.WARNING,
                where=owner,
                what="The content of this large file is not here, and there is no remote to fetch it from.",
                advice="Copy it from a machine that has it; the run itself is whole.",
            )
    for sha256, _, _ in repository.content.list():
        if full and not repository.content.verify(sha256):
            yield Finding(
                severity=Severity.ERROR,
                where=pointers.get(sha256, f"content sha256:{sha256[:16]}"),
                what="The content is not what its digest says.",
                advice="It will not be handed out. Copy it again from a machine that has it.",
            )


def _named(owners: list[str]) -> str:
    more = f" and {len(owners) - NAMED:,} more" if len(owners) > NAMED else ""
    return ", ".join(owners[:NAMED]) + more


def _check_live(repository: Repository) -> Iterator[Finding]:
    for entry in repository.live.list():
        try:
            run = repository.live_run(entry.run_id)
        except GitexpError as error:
            yield Finding(severity=Severity.ERROR, where=f"live run {entry.run_id}", what=str(error))
            continue
        if not entry.held:
            yield Finding(
                severity=Severity.WARNING,
                where=f"live run {run.record.name} ({entry.run_id})",
                what="Its process is gone, and it could not be sealed.",
                advice="The values are kept; see what 'gitexp ls' says about it.",
            )


def _needed_content(repository: Repository, tips: dict[str, str]) -> set[str]:
    """The digests that a run, present or removed not long ago, a live run or a registered model still names."""
    registered = {version.commit for model in repository.models.all() for version in model.versions}
    commits = {*tips.values(), *(commit for commit in registered if repository.objects.contains(bytes.fromhex(commit)))}
    needed = {pointer.sha256 for commit in commits for _, pointer in repository.runs.pointers(commit)}
    needed |= {pointer.sha256 for contents in repository.added.list().values() for pointer in contents}
    for entry in repository.live.list():
        run = repository.live.read(entry.run_id)
        needed |= {pointer.sha256 for pointer in run.inputs.values()}
        needed |= {content.sha256 for content in run.artifacts.values() if isinstance(content, Pointer)}
        if run.code_tree:
            code = repository.runs.pointers_in_code(run.code_tree, run.code_pointers)
            needed |= {pointer.sha256 for _, pointer in code}
    return needed


def _sweep_transfers(repository: Repository) -> int:
    """Remove what transfers that were cut left long ago, and what is known of remotes; gives how many files went."""
    folder = os.path.join(repository.git.gitexp_dir, "tmp")
    limit = time.time() - YOUNG_S
    gone = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                is_folder = entry.is_dir(follow_symlinks=False)
                is_ours = entry.name.startswith(TEMPORARY) if is_folder else entry.name.endswith(".part")
                if is_ours and entry.stat(follow_symlinks=False).st_mtime < limit:
                    shutil.rmtree(entry.path, ignore_errors=True) if is_folder else remove(entry.path)
                    gone += 1
    shutil.rmtree(os.path.join(repository.git.gitexp_dir, "sent"), ignore_errors=True)
    return gone


def _sweep_models(repository: Repository) -> int:
    """Remove the folders of models that were not loaded for long; gives how many went."""
    limit = time.time() - CACHED_S
    gone = 0
    with suppress(FileNotFoundError), os.scandir(os.path.join(repository.git.gitexp_dir, "models")) as entries:
        for entry in entries:
            if entry.stat(follow_symlinks=False).st_mtime < limit:
                shutil.rmtree(entry.path, ignore_errors=True)
                gone += 1
    return gone


def _forget_dead_live_refs(repository: Repository) -> None:
    """Remove the refs that kept the code of runs that are live no more."""
    refs = repository.refs.list(LIVE)
    alive = {live_ref(entry.run_id) for entry in repository.live.list()}
    repository.refs.delete_all({ref: commit for ref, commit in refs.items() if ref not in alive})


def _reachable_kept(repository: Repository) -> set[bytes]:
    """The objects in gitexp's own packs that a gitexp ref or a live run reaches.

    Where the way leads out of those packs it is not followed: what lies behind is git's to keep.
    """
    keep: set[bytes] = set()
    todo = [(COMMIT, bytes.fromhex(commit)) for commit in repository.refs.list(REFS).values()]
    for entry in repository.live.list():
        tree = repository.live.read(entry.run_id).code_tree
        if tree:
            todo.append((TREE, bytes.fromhex(tree)))
    while todo:
        kind, oid = todo.pop()
        if oid in keep or not repository.objects.keeps(oid):
            continue
        keep.add(oid)
        if kind == COMMIT:
            commit = decode_commit(repository.objects.read(oid)[1])
            todo.append((TREE, bytes.fromhex(commit.tree)))
            todo += [(COMMIT, bytes.fromhex(parent)) for parent in commit.parents]
        elif kind == TREE:
            for child in decode_tree(repository.objects.read(oid)[1]):
                if child.mode == MODE_TREE:
                    todo.append((TREE, child.oid))
                elif child.mode != MODE_GITLINK:
                    todo.append(("blob", child.oid))
    return keep


def _objects_of(repository: Repository, commit: str) -> Iterator[tuple[str, bytes]]:
    """The run's own commits, and every tree and file of its newest state. Raises CorruptData: a name that is none."""
    for event in repository.runs.events(commit):
        yield COMMIT, bytes.fromhex(event.commit)
    todo = [bytes.fromhex(decode_commit(repository.objects.read(bytes.fromhex(commit))[1]).tree)]
    while todo:
        tree = todo.pop()
        yield TREE, tree
        for entry in decode_tree(repository.objects.read(tree)[1]):
            check_name(entry.name)
            if entry.mode == MODE_TREE:
                todo.append(entry.oid)
            elif entry.mode != MODE_GITLINK:
                yield "blob", entry.oid
