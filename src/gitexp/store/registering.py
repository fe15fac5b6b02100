"""Making versions of what a run asked for while it was recorded, once it is sealed (docs/format.md, 3 and 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from gitexp.domain.pointer import Pointer
from gitexp.domain.registry import ModelVersion, RegisteredModel, manifest_digest
from gitexp.domain.run import Content, Run
from gitexp.store.modelstore import ModelChange, ModelStore
from gitexp.store.runs import Signature


def register_asked(models: ModelStore, run: Run, commit: str, signature: Signature) -> None:
    """Register what a run asked for. What is a version already stays one: this may be done again after a crash.

    Args:
        commit: of the run.

    Raises:
        Conflict: others kept changing a model.
    """
    for registration in run.registrations:
        files = _below(run.artifacts, registration.path)
        if not files:  # the process died before it had written the model
            continue
        version = ModelVersion(
            number=0,
            run=run.record.id,
            commit=commit,
            path=registration.path,
            digest=manifest_digest({path: _sha256(content) for path, content in files.items()}),
            size_bytes=sum(c.size_bytes if isinstance(c, Pointer) else len(c) for c in files.values()),
            created=signature.time,
            author=signature.author,
        )
        _add(models, registration.model, version, run.record.name, signature)


def _add(models: ModelStore, name: str, made: ModelVersion, run_name: str, signature: Signature) -> None:
    def create(before: RegisteredModel | None) -> tuple[RegisteredModel, ModelChange]:
        model = before or RegisteredModel(name=name, created=signature.time)
        return model, ModelChange(event="create", subject="created")

    def add(before: RegisteredModel | None) -> tuple[RegisteredModel, ModelChange]:
        model, _ = create(before)
        known = {(version.run, version.path, version.digest) for version in model.versions}
        number = model.next_number
        subject = f"version {number} registered from {run_name} ({made.run}), {made.path}"
        change = ModelChange(event="register", subject=subject, parents=[made.commit])
        if (made.run, made.path, made.digest) in known:
            return model, change
        return replace(model.with_version(replace(made, number=number)), deleted=None), change

    models.change(name, create, signature)
    models.change(name, add, signature)


def _below(artifacts: Mapping[str, Content], path: str) -> dict[str, Content]:
    prefix = f"{path}/"
    return {name.removeprefix(prefix): content for name, content in artifacts.items() if name.startswith(prefix)}


def _sha256(content: Content) -> str:
    return content.sha256 if isinstance(content, Pointer) else hashlib.sha256(content).hexdigest()
