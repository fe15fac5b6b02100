"""Whether a step was run before with the same code, values, inputs and environment, and what it made then."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from gitexp.domain.identity import RunId
from gitexp.domain.summary import RunSummary
from gitexp.errors import GitexpError, UsageError
from gitexp.projects.command import filled
from gitexp.projects.parameters import Setting
from gitexp.projects.specification import EntryPoint, Project
from gitexp.reading import Artifact, RunView
from gitexp.repo import Repository
from gitexp.running.globs import Globs
from gitexp.running.inputs import Inputs
from gitexp.sharing.artifacts import Chosen, get
from gitexp.sharing.exchange import Listener
from gitexp.store.git.index_writing import tree_files
from gitexp.store.git.snapshot import SnapshotRules, take
from gitexp.store.manifests import SKIPPED

KEY_TAG = "project.key"
"""The tag by which a run of a step is found again."""

KEY_LENGTH = 40
_OURS = ".gitexp"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneStep:
    """A step whose run is there.

    Attributes:
        outcome: stands for what it made: digests of its declared outputs, or the run itself where it declares none.
    """

    name: str
    run_id: RunId
    commit: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the steps of a project work: its folder, in the work tree of `repository`."""

    repository: Repository
    folder: str

    @property
    def root(self) -> str:
        return self.repository.git.work_tree or self.folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An entry point with its values."""

    entry: EntryPoint
    settings: Mapping[str, Setting]
    more: Mapping[str, Setting]

    def patterns(self, templates: Sequence[str]) -> tuple[str, ...]:
        """`inputs` or `outputs` with values in their placeholders."""
        return tuple(filled(template, self.settings, quoted=False) for template in templates)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.patterns(self.entry.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.patterns(self.entry.outputs)


def key_of(
    place: Place, project: Project, step: Step, before: Sequence[DoneStep], *, steps: Sequence[Step], facts: object
) -> str:
    """The digest of all that a step's result depends on.

    Args:
        before: the steps that it comes after.
        steps: all that are run together; what they read and make is not code.
        facts: what else counts: the environment, the seed.

    Raises:
        NotFound, UsageError: an input or the declared code is not there.
    """
    entry = step.entry
    read = Inputs(step.inputs, (), place.folder, place.root).read(
        os.path.join(place.repository.git.gitexp_dir, "hashes"), lambda: False
    )
    said = {
        "format": 1,
        "run": [entry.name, entry.command, entry.script, entry.module],
        "folder": os.path.relpath(place.folder, place.root),
        "params": {name: setting.text for name, setting in {**step.settings, **step.more}.items()},
        "code": _code(place, project, step, steps),
        "inputs": sorted((found.input.name, found.input.digest) for found in read),
        "outputs": step.outputs,
        "after": sorted((done.name, done.outcome) for done in before),
        "facts": facts,
    }
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]


def find_done(repository: Repository, key: str) -> RunSummary | None:
    """The newest finished run with this key."""
    found = repository.search(f'tags."{KEY_TAG}" = "{key}" and run.status = "finished"', limit=1)
    return found[0] if found and found[0].commit is not None else None


def restore(
    place: Place,
    step: Step,
    run: RunSummary,
    *,
    engine: str,
    listener: Listener | None,
    on_trouble: Callable[[str], None],
) -> DoneStep | None:
    """Put the outputs that a run of a step made into the work tree, over what is there; None where they are gone."""
    view = place.repository.view(run)
    outputs = _outputs(place, step, view)
    if outputs is None:
        return None
    if outputs:
        chosen = Chosen(view=view, artifacts=outputs, name="")
        try:
            get(place.repository, chosen, place.root, force=True, listener=listener, engine=engine)
        except GitexpError as error:
            on_trouble(f"What '{step.entry.name}' made before cannot be had: {error}")
            return None
    return done_step(place, step, view)


def done_step(place: Place, step: Step, view: RunView) -> DoneStep:
    """What is known of a step from its run, which is sealed."""
    outputs = _outputs(place, step, view) or []
    said = "\n".join(f"{artifact.sha256} {path}" for path, artifact in sorted(outputs, key=lambda item: item[0]))
    outcome = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest() if outputs else view.id
    return DoneStep(name=step.entry.name, run_id=view.record.id, commit=view.commit or "", outcome=outcome)


def undeclared(place: Place, step: Step, view: RunView) -> list[str]:
    """Files that a step made without saying so: next time they would be taken for code."""
    declared = Globs(step.outputs, (place.folder, place.root))
    inside = os.path.relpath(place.folder, place.root)
    start = "" if inside == "." else f"{inside}/"
    return [
        path
        for path in view.artifacts
        if path.startswith(start)
        and not declared.matches(os.path.join(place.root, path))
        and os.path.isfile(os.path.join(place.root, path))
    ]


def _outputs(place: Place, step: Step, view: RunView) -> list[tuple[str, Artifact]] | None:
    """The artifacts that are declared outputs, by their path from the root; None where one has none."""
    found: dict[str, Artifact] = {}
    for pattern in step.outputs:
        globs = Globs((pattern,), (place.folder, place.root))
        matching = {
            path: artifact
            for path, artifact in view.artifacts.items()
            if globs.matches(os.path.join(os.path.realpath(place.root), path))
        }
        if not matching and not pattern.startswith("!"):
            return None
        found.update(matching)
    return sorted(found.items())


def _code(place: Place, project: Project, step: Step, steps: Sequence[Step]) -> str:
    """A digest of the files of the project, or of those that the step declares; without inputs, outputs and settings.

    Raises:
        UsageError: what it declares is not there.
    """
    repository = place.repository
    config = repository.config
    rules = SnapshotRules(
        max_file=config.snapshot_max_file_bytes,
        max_total=config.snapshot_max_total_bytes,
        secrets=config.snapshot_secrets,
    )
    snapshot = take(repository.git, repository.objects, repository.content, rules)
    if snapshot.new_objects:
        repository.objects.write(snapshot.new_objects)
    root, folder = os.path.realpath(place.root), os.path.realpath(place.folder)
    only = Globs(step.entry.code, (folder,)) if step.entry.code else None
    known = {other.entry.name: other for other in steps}
    data: list[str] = []
    for name, entry in project.entry_points.items():
        templates = (*entry.inputs, *entry.outputs)
        other = known.get(name)
        data += other.patterns(templates) if other else [item for item in templates if not _has_placeholder(item)]
    without = Globs(tuple(item.removeprefix("!") for item in data), (folder, root))
    lines = []
    for path, (mode, oid) in tree_files(repository.objects, bytes.fromhex(snapshot.tree)):
        whole = os.path.join(root, os.fsdecode(path))
        if not SKIPPED.isdisjoint(os.fsdecode(path).split("/")):  # what programs leave behind by themselves
            continue
        if not whole.startswith(folder.rstrip("/") + "/") or whole.startswith(os.path.join(folder, _OURS) + "/"):
            continue
        if only.matches(whole) if only else not without.matches(whole):
            lines.append(b"%o %s %s" % (mode, oid.hex().encode(), os.fsencode(os.path.relpath(whole, folder))))
    if only and not lines:
        raise UsageError(f"The code of '{step.entry.name}', {', '.join(step.entry.code)}, is not there.")
    return hashlib.sha256(b"\n".join(sorted(lines))).hexdigest()


def _has_placeholder(template: str) -> bool:
    return any(name is not None for _, name, _, _ in Formatter().parse(template))
