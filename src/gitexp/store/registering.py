"""Making versions of what a run asked for while it was recorded, once it is sealed (docs/format.md, 3 and 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from gitexp.domain.manifest import manifest_digest
from gitexp.domain.pointer import Pointer
from gitexp.domain.registry import ModelVersion
from gitexp.domain.run import Content, Run
from gitexp.store.modelstore import ModelStore
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
            digest=f"sha256:{manifest_digest((path, _sha256(content)) for path, content in files.items())}",
            size_bytes=sum(c.size_bytes if isinstance(c, Pointer) else len(c) for c in files.values()),
            created=signature.time,
            author=signature.author,
        )
        models.add_version(registration.model, version, run.record.name, signature, once=True)


def _below(artifacts: Mapping[str, Content], path: str) -> dict[str, Content]:
    prefix = f"{path}/"
    return {name.removeprefix(prefix): content for name, content in artifacts.items() if name.startswith(prefix)}


def _sha256(content: Content) -> str:
    return content.sha256 if isinstance(content, Pointer) else hashlib.sha256(content).hexdigest()
