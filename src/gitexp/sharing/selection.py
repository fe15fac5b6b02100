"""Which runs are meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gitexp.domain.identity import MODELS, RUNS, VIEWS, model_ref, run_ref, slug
from gitexp.errors import Ambiguous, NotFound, UsageError
from gitexp.repo import Repository
from gitexp.sharing.namespace import experiment_of, is_model_name, is_run_name, is_view_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a person asked for: runs by any of their names, experiments and models by name; nothing means all.

    Who names only models means no runs; what a version needs of its run travels with it.
    """

    runs: Sequence[str] = ()
    experiments: Sequence[str] = ()
    models: Sequence[str] = ()

    def of_ours(self, repository: Repository) -> dict[str, str]:
        """The refs to share and their tips: of the runs, of their experiments, of the models, of saved views.

        Raises:
            NotFound, Ambiguous: a name that no run answers to, or several.
            UsageError: a run that is still being recorded.
        """
        tips = repository.tips()
        if self.runs:
            chosen = {}
            for text in self.runs:
                run = repository.resolve(text)
                if run.commit is None:
                    raise UsageError(f"The run '{run.record.name}' is still being recorded.", hint="Wait for its end.")
                chosen[run.ref] = run.commit
        else:
            chosen = self._in_experiments(tips)
        others = self._models(repository.refs.list(MODELS)) | self._views(repository.refs.list(VIEWS))
        return chosen | _experiments(chosen, repository) | others

    def of_theirs(self, refs: Mapping[str, str], repository: Repository) -> dict[str, str]:
        """Those of a remote's refs that are meant; runs by id or its beginning, or by a name that is known here.

        Raises:
            NotFound, Ambiguous
        """
        runs = {name: oid for name, oid in refs.items() if is_run_name(name)}
        chosen = {name: oid for text in self.runs for name, oid in _find(text, runs, repository)}
        if not self.runs:
            chosen = self._in_experiments(runs)
        wanted = {experiment_of(name) for name in chosen}
        models = self._models({name: oid for name, oid in refs.items() if is_model_name(name)})
        views = self._views({name: oid for name, oid in refs.items() if is_view_name(name)})
        return chosen | {name: oid for name, oid in refs.items() if name in wanted} | models | views

    def _in_experiments(self, runs: Mapping[str, str]) -> dict[str, str]:
        if not self.experiments:
            return {} if self.models else dict(runs)
        prefixes = tuple(f"{RUNS}{slug(name)}/" for name in self.experiments)
        return {name: oid for name, oid in runs.items() if name.startswith(prefixes)}

    def _models(self, tips: Mapping[str, str]) -> dict[str, str]:
        if self.models:
            missing = next((name for name in self.models if model_ref(name) not in tips), None)
            if missing is not None:
                raise NotFound(f"There is no model '{missing}'.", hint="'gitexp models ls' lists those that are here.")
            return {model_ref(name): tips[model_ref(name)] for name in self.models}
        return {} if self.runs or self.experiments else dict(tips)

    def _views(self, tips: Mapping[str, str]) -> dict[str, str]:
        """Saved views, where all is meant."""
        return {} if self.runs or self.experiments or self.models else dict(tips)


def _experiments(runs: Iterable[str], repository: Repository) -> dict[str, str]:
    found = {}
    folders = {run.rpartition("/")[0] for run in runs}
    for name in {experiment_of(f"{folder}/") for folder in folders}:
        tip = repository.refs.read(name)
        if tip:
            found[name] = tip
    return found


def _find(text: str, runs: Mapping[str, str], repository: Repository) -> list[tuple[str, str]]:
    near = [(name, oid) for name, oid in runs.items() if name.rpartition("/")[2].startswith(text)]
    if not near:
        try:
            record = repository.resolve(text).record
        except NotFound:
            record = None
        near = [(name, oid) for name, oid in runs.items() if record and name == run_ref(record.experiment, record.id)]
    if len(near) > 1:
        raise Ambiguous(f"'{text}' begins the ids of {len(near)} runs there.", hint="Say more of it.")
    if not near:
        raise NotFound(
            f"The remote has no run '{text}'.",
            hint="Runs that are not here yet are named by their id; without names, pull brings all records.",
        )
    return near
