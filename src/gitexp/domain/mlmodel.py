"""The `MLmodel` file: what a saved model is, in the format that MLflow's users and platforms read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gitexp.domain.signature import Signature, signature_from_dict, signature_to_dict
from gitexp.errors import CorruptData

FILE = "MLmodel"
PYFUNC = "python_function"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """What an `MLmodel` file says.

    Attributes:
        flavors: by name, each with what its loader needs; `python_function` says who loads the model as a function.
        created: seconds since 1970, UTC.
        run_id: the run that logged it, where one did.
        input_example: `saved_input_example_info`: the example's file and how it is to be read.
        unknown: keys that mean nothing here; kept when the file is written again.
    """

    flavors: Mapping[str, Mapping[str, Any]]
    created: float
    uuid: str
    artifact_path: str | None = None
    run_id: str | None = None
    signature: Signature | None = None
    input_example: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    size_bytes: int | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pyfunc(self) -> Mapping[str, Any] | None:
        return self.flavors.get(PYFUNC)


def model_to_dict(model: ModelFile) -> dict[str, Any]:
    """The mapping of the file, keys sorted as MLflow sorts them."""
    moment = datetime.fromtimestamp(model.created, UTC).replace(tzinfo=None)
    made = {
        "artifact_path": model.artifact_path,
        "flavors": {name: dict(flavor) for name, flavor in model.flavors.items()},
        "metadata": None if model.metadata is None else dict(model.metadata),
        "model_size_bytes": model.size_bytes,
        "model_uuid": model.uuid,
        "run_id": model.run_id,
        "saved_input_example_info": None if model.input_example is None else dict(model.input_example),
        "signature": None if model.signature is None else signature_to_dict(model.signature),
        "utc_time_created": moment.isoformat(sep=" ", timespec="microseconds"),
        **model.unknown,
    }
    return {key: made[key] for key in sorted(made) if made[key] is not None}


def model_from_dict(data: object) -> ModelFile:
    """Raises CorruptData: it is not what an `MLmodel` file holds."""
    if not isinstance(data, Mapping) or not isinstance(data.get("flavors"), Mapping):
        raise CorruptData("MLmodel: 'flavors' is missing.")
    if not all(isinstance(flavor, Mapping) for flavor in data["flavors"].values()):
        raise CorruptData("MLmodel: a flavor is not a mapping.")
    signature = data.get("signature")
    size = data.get("model_size_bytes")
    return ModelFile(
        artifact_path=data.get("artifact_path"),
        flavors={str(name): dict(flavor) for name, flavor in data["flavors"].items()},
        created=_time(data.get("utc_time_created")),
        uuid=str(data.get("model_uuid", "")),
        run_id=data.get("run_id"),
        signature=None if signature is None else signature_from_dict(signature),
        input_example=data.get("saved_input_example_info"),
        metadata=data.get("metadata"),
        size_bytes=None if size is None else int(size),
        unknown={key: value for key, value in data.items() if key not in _KNOWN},
    )


_KNOWN = frozenset(
    "artifact_path flavors metadata model_size_bytes model_uuid run_id saved_input_example_info signature"
    " utc_time_created".split()
)


def _time(text: object) -> float:
    """Seconds since 1970, UTC; 0 where the file does not say, or PyYAML made a moment of it."""
    moment = text if isinstance(text, datetime) else None
    if isinstance(text, str):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return 0.0
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() if moment else 0.0
