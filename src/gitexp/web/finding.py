"""The run that an address names: by its id, or by a commit, which shows it as it was then."""

from __future__ import annotations

import re
from dataclasses import replace

from gitexp.domain.identity import is_run_id, run_ref
from gitexp.domain.summary import RunSummary
from gitexp.errors import GitexpError, NotFound
from gitexp.reading import RunView
from gitexp.store.git.objects import COMMIT, decode_commit
from gitexp.store.states import trailers
from gitexp.web.changing import sealed_or_live
from gitexp.web.workspace import Workspace

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")


def view_of(workspace: Workspace, name: str) -> RunView:
    """The run called `name`: an id, the whole name of any commit of its history, or what `gitexp show` takes.

    Raises:
        NotFound, Ambiguous
    """
    repository = workspace.repository
    repository.index.refresh()
    if is_run_id(name):
        return repository.view(sealed_or_live(workspace, name))
    if _COMMIT.match(name):
        return repository.view(_at_commit(workspace, name))
    return repository.get_run(name)


def _at_commit(workspace: Workspace, commit: str) -> RunSummary:
    repository = workspace.repository
    try:
        kind, data = repository.objects.read(bytes.fromhex(commit))
        run_id = trailers(decode_commit(data)).get("Run", "") if kind == COMMIT else ""
        found = next(repository.runs.load([(run_id, commit)]))
    except (GitexpError, StopIteration):
        found = None
    if not isinstance(found, RunSummary):
        raise NotFound(f"'{commit}' is no commit of a run that is here.", hint="'gitexp pull' brings the others' runs.")
    # its ref may be gone: a model keeps the commits of its versions
    return replace(found, ref=run_ref(found.record.experiment, found.record.id))
