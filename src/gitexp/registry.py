"""The model registry: models registered from runs, their aliases and stages, and who may move them.

Every change is a commit on the model's ref, with who made it, when and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gitexp.domain.comparison import Change, changes, differing
from gitexp.domain.manifest import manifest_digest
from gitexp.domain.mlmodel import FILE, ModelFile, model_from_dict
from gitexp.domain.registry import (
    SCHEME,
    ModelAddress,
    ModelVersion,
    RegisteredModel,
    Stage,
    parse_address,
    parse_alias,
    parse_model_name,
)
from gitexp.domain.selector import suggest
from gitexp.domain.values import parse_tags
from gitexp.errors import GitexpError, NotFound, UsageError
from gitexp.gates import Condition, check_gates, require_gates, run_of
from gitexp.reading import Artifact, RunView
from gitexp.repo import Repository
from gitexp.store.modelstore import ModelChange, ModelEvent
from gitexp.store.runs import Signature

RUN_SCHEME = "runs:/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredVersion:
    """A version together with the model it is of, as it is now."""

    model: RegisteredModel
    version: ModelVersion

    def __str__(self) -> str:
        return f"{self.model.name}/{self.version.number}"


class Registry:
    """The registered models of a repository."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    # Looking

    def models(self, *, deleted: bool = False) -> list[RegisteredModel]:
        """Every model, by name; removed ones only where `deleted`."""
        return [model for model in self._repository.models.all() if deleted or model.deleted is None]

    def model(self, name: str) -> RegisteredModel:
        """Raises NotFound: there is none of that name; the hint lists near ones."""
        found = self._repository.models.find(parse_model_name(name))
        if found is None:
            known = [model.name for model in self.models()]
            near = suggest(name, known)
            hint = f"Did you mean {', '.join(near)}?" if near else "'gitexp models ls' lists the models."
            raise NotFound(f"There is no model '{name}'.", hint=hint)
        return found

    def find(self, address: str) -> RegisteredVersion:
        """The version at `nyc-taxi/7`, `nyc-taxi@production`, `nyc-taxi/staging` or `nyc-taxi` (the newest).

        Raises:
            NotFound, InvalidName
        """
        parsed = parse_address(address)
        model = self.model(parsed.name)
        if model.deleted is not None:
            raise NotFound(f"The model '{model.name}' was removed.", hint=f"gitexp models restore {model.name}")
        return RegisteredVersion(model=model, version=model.find(parsed.which))

    def model_at(self, name: str, commit: str) -> RegisteredModel:
        """The model as it was at a commit (its whole name) of its history.

        Raises:
            NotFound: there is no such commit of it here.
        """
        return self._repository.models.at(parse_model_name(name), commit)

    def commit_of(self, name: str) -> str:
        """The commit that holds the model's present state. Raises NotFound."""
        return self._repository.models.tip(parse_model_name(name))

    def run_of(self, version: ModelVersion) -> RunView:
        """The run that a version came from: as it is now, or where it was removed, as when it was registered.

        Raises:
            NotFound: it is not here.
        """
        return run_of(self._repository, version)

    def file_of(self, version: ModelVersion) -> ModelFile | None:
        """What the version's `MLmodel` file says; None where it has none.

        Raises:
            NotFound: the run's commit is not here, or the file's content is not.
            CorruptData: it cannot be read.
        """
        from gitexp.store.yamlfile import load_yaml

        found = self.files_of(version).get(FILE)
        if found is None:
            return None
        return model_from_dict(load_yaml(found.read().decode(errors="replace"), what=FILE))

    @property
    def gates(self) -> Mapping[str, Sequence[str]]:
        """What the settings require, by alias or stage."""
        return self._repository.config.registry_gates

    def conditions(self, model: RegisteredModel, version: ModelVersion, target: str) -> list[Condition]:
        """The conditions of the gate of `target`, an alias or a stage, and whether they hold for a version.

        Raises:
            UsageError: one of them makes no sense.
            NotFound: a run that they ask about is not here.
        """
        return check_gates(self._repository, model, version, target, _there(model, version, target))

    def files_of(self, version: ModelVersion) -> dict[str, Artifact]:
        """The version's files by their path in the model's folder, as they were registered.

        Raises:
            NotFound: the run's commit is not here.
            CorruptData: they are not what was registered.
        """
        from gitexp.errors import CorruptData

        found = self._repository.runs.artifacts(version.commit)
        files = {path: Artifact(path, content, self._repository.content) for path, content in found.items()}
        chosen = _below(files, version.path)
        if _digest_of(chosen) != version.digest:
            raise CorruptData(
                f"The files of version {version.number} are not those that were registered.",
                hint="gitexp fsck tells what is damaged.",
            )
        return chosen

    def events(self, name: str) -> list[ModelEvent]:
        """Every change of a model, newest first."""
        return self._repository.models.events(self.model(_name_in(name)).name)

    # Changing

    def register(
        self,
        source: str,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, object] | None = None,
        reason: str = "",
    ) -> RegisteredVersion:
        """Make a new version of the model `name`, which is created if it is not there.

        Args:
            source: a run's artifact, as `runs:/RUN/PATH` or `RUN:PATH`: a folder or a file.
            reason: why, for the audit log.

        Raises:
            NotFound: there is no such run or artifact.
            UsageError: the run is still being recorded.
        """
        model = parse_model_name(name)
        view, path = self.source(source)
        if view.commit is None:
            raise UsageError(f"The run '{view.name}' is still being recorded.", hint="Wait for its end.")
        files, digest = files_at(view, path)
        signature = self._signature()
        made = ModelVersion(
            number=0,
            run=view.id,
            commit=view.commit,
            path=path,
            digest=digest,
            size_bytes=sum(file.size_bytes for file in files.values()),
            created=signature.time,
            author=signature.author,
            description=description or None,
            tags=parse_tags(tags or {}),
        )
        after, version = self._repository.models.add_version(model, made, view.name, signature, reason=reason)
        return RegisteredVersion(model=after, version=version)

    def set_alias(self, address: str, alias: str, *, reason: str = "") -> RegisteredVersion:
        """Let `alias` mean the version at `address`, whatever it meant before.

        Raises:
            UsageError: a gate of `.gitexp/config.yaml` does not let it; the message says which.
        """
        parsed = parse_alias(alias)
        found = self.find(address)
        number = found.version.number

        def edit(before: RegisteredModel) -> tuple[RegisteredModel, ModelChange]:
            present = before.find(str(number))  # somebody may have removed it meanwhile
            require_gates(self._repository, before, present, parsed, before.aliases.get(parsed))
            old = before.aliases.get(parsed)
            subject = f"{parsed} is version {number}" + (f", was {old}" if old else "")
            return replace(before, aliases={**before.aliases, parsed: number}), ModelChange(
                event="alias", subject=subject, reason=reason
            )

        after = self._change(found.model.name, edit)
        return RegisteredVersion(model=after, version=after.version(number))

    def remove_alias(self, name: str, alias: str, *, reason: str = "") -> RegisteredModel:
        """Raises NotFound: the model has no such alias."""
        model = self.model(_name_in(name))
        if alias not in model.aliases:
            model.find(f"@{alias}")

        def edit(before: RegisteredModel) -> tuple[RegisteredModel, ModelChange]:
            kept = {key: number for key, number in before.aliases.items() if key != alias}
            return replace(before, aliases=kept), ModelChange(
                event="alias", subject=f"{alias} means no version", reason=reason
            )

        return self._change(model.name, edit)

    def set_stage(
        self, address: str, stage: Stage, *, archive_others: bool = False, reason: str = ""
    ) -> RegisteredVersion:
        """Move the version at `address` to a stage.

        Args:
            archive_others: archive what is in that stage now, which is staging or production.

        Raises:
            UsageError: others cannot be archived there; or a gate of `.gitexp/config.yaml` does not let it, and the
                message says which.
        """
        if archive_others and stage not in (Stage.STAGING, Stage.PRODUCTION):
            raise UsageError(
                f"Where a version goes to '{stage}', others are not archived.",
                hint="Only what is in staging or production makes room for another.",
            )
        found = self.find(address)
        number = found.version.number

        def edit(before: RegisteredModel) -> tuple[RegisteredModel, ModelChange]:
            version = before.find(str(number))  # somebody may have removed it meanwhile
            there = [other for other in before.present if other.stage is stage and other.number != number]
            if stage is not Stage.NONE:
                require_gates(self._repository, before, version, stage.value, _there(before, version, stage))
            after = before.with_version(replace(version, stage=stage))
            for other in there if archive_others else ():
                after = after.with_version(replace(other, stage=Stage.ARCHIVED))
            was = f", was {version.stage}" if version.stage not in (stage, Stage.NONE) else ""
            subject = f"version {number} is {'in no stage' if stage is Stage.NONE else stage}{was}"
            if archive_others and there:
                subject += f"; archived {', '.join(str(other.number) for other in there)}"
            return after, ModelChange(event="stage", subject=subject, reason=reason)

        after = self._change(found.model.name, edit)
        return RegisteredVersion(model=after, version=after.version(number))

    def describe(self, address: str, text: str, *, reason: str = "") -> RegisteredModel:
        """Say what a model, or one version of it, is; an empty text removes that."""
        said = text.strip() or None
        return self._edit(
            address,
            lambda model: replace(model, description=said),
            lambda version: replace(version, description=said),
            ModelChange(event="describe", subject="described", reason=reason),
        )

    def tag(
        self, address: str, tags: Mapping[str, object], *, remove: tuple[str, ...] = (), reason: str = ""
    ) -> RegisteredModel:
        """Set and remove tags of a model, or of one version of it."""
        added = parse_tags(tags)

        def edited(old: Mapping[str, str]) -> dict[str, str]:
            return {**{key: value for key, value in old.items() if key not in remove}, **added}

        return self._edit(
            address,
            lambda model: replace(model, tags=edited(model.tags)),
            lambda version: replace(version, tags=edited(version.tags)),
            ModelChange(event="tag", subject="tagged", reason=reason),
        )

    def remove(self, address: str, *, reason: str = "") -> RegisteredModel:
        """Mark a model, or one version of it, as removed; a version's aliases go.

        Raises:
            UsageError: the version, or one of the model's, is in production.
        """
        now = time.time()

        def remove_version(version: ModelVersion) -> ModelVersion:
            if version.stage is Stage.PRODUCTION:
                raise UsageError(
                    f"Version {version.number} is in production.", hint="Archive it first, or move it to another stage."
                )
            return replace(version, deleted=version.deleted or now)

        def remove_model(model: RegisteredModel) -> RegisteredModel:
            for version in model.present:
                remove_version(version)
            return replace(model, deleted=model.deleted or now)

        return self._edit(
            address,
            remove_model,
            remove_version,
            ModelChange(event="rm", subject="removed", reason=reason),
            drop_aliases=True,
        )

    def restore(self, address: str, *, reason: str = "") -> RegisteredModel:
        """Bring a removed model, or one version of it, back."""
        return self._edit(
            address,
            lambda model: replace(model, deleted=None),
            lambda version: replace(version, deleted=None),
            ModelChange(event="restore", subject="restored", reason=reason),
        )

    def _edit(
        self,
        address: str,
        edit_model: Callable[[RegisteredModel], RegisteredModel],
        edit_version: Callable[[ModelVersion], ModelVersion],
        change: ModelChange,
        *,
        drop_aliases: bool = False,
    ) -> RegisteredModel:
        """Change a model, or where `address` says which, one version."""
        parsed = parse_address(address)
        model = self.model(parsed.name)
        number = version_of(model, parsed).number if parsed.which else None

        def edit(before: RegisteredModel) -> tuple[RegisteredModel, ModelChange]:
            if number is None:
                return edit_model(before), change
            after = before.with_version(edit_version(before.version(number)))
            if drop_aliases:
                after = replace(after, aliases={a: n for a, n in after.aliases.items() if n != number})
            return after, replace(change, subject=f"version {number} {change.subject}")

        return self._change(model.name, edit)

    def _change(
        self, name: str, edit: Callable[[RegisteredModel], tuple[RegisteredModel, ModelChange]]
    ) -> RegisteredModel:
        def checked(before: RegisteredModel | None) -> tuple[RegisteredModel, ModelChange]:
            if before is None:
                raise NotFound(f"There is no model '{name}'.")
            return edit(before)

        return self._repository.models.change(name, checked, self._signature())

    def source(self, source: str) -> tuple[RunView, str]:
        """The run and the path of its artifact that `runs:/RUN/PATH` or `RUN:PATH` names; names may hold slashes."""
        if source.startswith(SCHEME):
            found = self.find(source)
            return self.run_of(found.version), found.version.path
        if not source.startswith(RUN_SCHEME):
            run, colon, path = source.rpartition(":")
            if not colon or not run:
                raise UsageError(f"'{source}' names no artifact of a run.", hint="Say RUN:PATH, like 'baseline:model'.")
            return self._repository.get_run(run), path.strip("/")
        parts = source.removeprefix(RUN_SCHEME).strip("/").split("/")
        failure: GitexpError | None = None
        for count in range(1, len(parts) + 1):
            try:
                view = self._repository.get_run("/".join(parts[:count]))
            except NotFound as error:
                failure = failure or error
                continue
            return view, "/".join(parts[count:])
        raise failure or NotFound(f"'{source}' names no run.")

    def _signature(self) -> Signature:
        return Signature(author=self._repository.author, time=time.time())


def version_of(model: RegisteredModel, address: ModelAddress) -> ModelVersion:
    """The version that an address means; a removed one too, where it says the number itself. Raises NotFound."""
    return model.version(int(address.which)) if address.which.isdecimal() else model.find(address.which)


def stage_event(events: Iterable[ModelEvent], number: int) -> ModelEvent | None:
    """What put a version into the stage that it is in; None where nothing did. `events` come newest first."""
    return next((event for event in events if _stage(event.before, number) is not _stage(event.after, number)), None)


def concerns(event: ModelEvent, number: int) -> bool:
    """Whether a change is one of a version, its aliases included."""
    return _facts(event.before, number) != _facts(event.after, number)


def said_by(event: ModelEvent) -> list[Change]:
    """What a change said of a model or its versions that its subject does not: descriptions and tags."""
    return differing(changes(_said(event.before), _said(event.after)))


def _said(model: RegisteredModel | None) -> dict[str, str]:
    if model is None:
        return {}
    found = _said_of("", model)
    for version in model.versions:
        found |= _said_of(f"version {version.number} ", version)
    return found


def _said_of(prefix: str, each: RegisteredModel | ModelVersion) -> dict[str, str]:
    told = {"description": each.description} if each.description else {}
    told |= {f"tags.{key}": value for key, value in each.tags.items()}
    return {prefix + key: value for key, value in told.items()}


def _stage(model: RegisteredModel | None, number: int) -> Stage:
    found = [version.stage for version in model.versions if version.number == number] if model else []
    return found[0] if found else Stage.NONE


def _facts(model: RegisteredModel | None, number: int) -> object:
    if model is None:
        return ([], [])
    return ([version for version in model.versions if version.number == number], model.aliases_of(number))


def _there(model: RegisteredModel, version: ModelVersion, target: str) -> int | None:
    """The number of the version that is at an alias or in a stage now, other than `version` itself."""
    if not isinstance(target, Stage):
        return model.aliases.get(target)
    others = [other.number for other in model.present if other.stage is target and other.number != version.number]
    return others[-1] if others else None


def _name_in(address: str) -> str:
    return parse_address(address).name


def files_at(view: RunView, path: str) -> tuple[dict[str, Artifact], str]:
    """The files of a run's artifact, a folder or a file, by their path in it, and the digest of them all.

    Raises:
        NotFound: the run has no such artifact.
    """
    files = _below(view.artifacts, path)
    if not files:
        raise _no_artifact(view, path)
    return files, _digest_of(files)


def _below(files: Mapping[str, Artifact], path: str) -> dict[str, Artifact]:
    """What is in the folder `path` by the path from there, or the file of that name; all where `path` is empty."""
    if path in files:
        return {path.rpartition("/")[2]: files[path]}
    prefix = f"{path}/" if path else ""
    return {name.removeprefix(prefix): file for name, file in files.items() if name.startswith(prefix)}


def _digest_of(files: Mapping[str, Artifact]) -> str:
    return f"sha256:{manifest_digest((path, file.sha256) for path, file in files.items())}"


def _no_artifact(view: RunView, path: str) -> NotFound:
    if not view.artifacts:
        return NotFound(f"The run '{view.name}' has no artifacts.")
    tops = sorted({name.partition("/")[0] for name in view.artifacts})
    return NotFound(f"The run '{view.name}' has no artifact '{path}'.", hint=f"It has {', '.join(tops[:10])}.")
