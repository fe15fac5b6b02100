"""Why two runs of the same code may have come to different results: what else differs in their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitexp.domain.environment import Environment
from gitexp.domain.values import Value, same_value
from gitexp.domain.verdict import Cause

MOST_NAMED = 12
"""How many packages are named."""

HASH_SEED = "PYTHONHASHSEED"
"""Decides about the order of sets, and about nothing else that is random."""

_TOOLS = frozenset({"pip", "setuptools", "wheel", "uv", "gitexp"})
"""Packages that come with an environment or with us, and compute nothing."""

_SEED_NAMES = frozenset(
    "seed random_seed random_state rng_seed global_seed manual_seed seed_everything set_seed randomseed "
    "data_seed".split()
)
_PYTHON = {"version": "Python", "implementation": "the implementation of Python"}
_MACHINE = {"machine": "the architecture", "platform": "the operating system", "driver": "the GPU driver"}
_THREADS = frozenset(
    "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS VECLIB_MAXIMUM_THREADS".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a run ran with.

    Attributes:
        inputs: the digest of each input by its name, None where it is not known.
        missing: inputs that were not there, and why.
        not_captured: files that were there and are not part of its code.
        code: the id of the tree of its code.
    """

    environment: Environment | None = None
    params: Mapping[str, Value] = field(default_factory=dict)
    inputs: Mapping[str, str | None] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    not_captured: Sequence[str] = ()
    code: str | None = None


def likely_causes(before: Circumstances, after: Circumstances) -> tuple[Cause, ...]:
    """What may explain that results differ, the most likely first."""
    return (
        *_params(before.params, after.params),
        *_code(before, after),
        *_inputs(before, after),
        *_packages(before.environment, after.environment),
        *_python(before.environment, after.environment),
        *_seeds(before, after),
        *_machine(before.environment, after.environment),
        *_determinism(before.environment),
    )


def has_seed(environment: Environment | None, params: Mapping[str, Value]) -> bool:
    """Whether a record says what random numbers began with."""
    seeds = _mapping(environment, "seeds").keys() - {HASH_SEED}
    return bool(seeds) or any(
        value is not None and key.rpartition(".")[2].lower().replace("-", "_") in _SEED_NAMES
        for key, value in params.items()
    )


def _params(before: Mapping[str, Value], after: Mapping[str, Value]) -> list[Cause]:
    found = []
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            found.append(Cause(kind="param", text=f"The param '{key}' was {before[key]!r}, and is not there."))
        elif key not in before:
            found.append(Cause(kind="param", text=f"The param '{key}' is {after[key]!r}, and was not there."))
        elif not same_value(before[key], after[key]):
            found.append(Cause(kind="param", text=f"The param '{key}' was {before[key]!r}, now {after[key]!r}."))
    return found


def _code(before: Circumstances, after: Circumstances) -> list[Cause]:
    found = []
    if before.code and after.code and before.code != after.code:
        found.append(Cause(kind="code", text="The code is not the same."))
    if before.not_captured:
        named = ", ".join(f"'{path}'" for path in before.not_captured[:3])
        more = f" and {len(before.not_captured) - 3:,} more" if len(before.not_captured) > 3 else ""
        found.append(Cause(kind="file", text=f"Files that were left out of the run's code: {named}{more}."))
    return found


def _inputs(before: Circumstances, after: Circumstances) -> list[Cause]:
    found = [Cause(kind="input", text=f"The input '{name}': {why}") for name, why in sorted(after.missing.items())]
    for name, digest in sorted(before.inputs.items()):
        if name in after.missing or name not in after.inputs or digest is None or after.inputs[name] is None:
            continue
        now = after.inputs[name]
        if now != digest:
            found.append(
                Cause(
                    kind="input", text=f"The input '{name}' has another content: {_short(digest)}, now {_short(now)}."
                )
            )
    return found


def _short(digest: str | None) -> str:
    return (digest or "").removeprefix("sha256:")[:12]


def _packages(before: Environment | None, after: Environment | None) -> list[Cause]:
    if before is None or after is None or not (before.requirements and after.requirements):
        return []
    old, new = before.packages(), after.packages()
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    told = [_package(name, old.get(name), new.get(name)) for name in changed if name not in _TOOLS]
    if len(told) > MOST_NAMED:
        rest = len(told) - MOST_NAMED
        told = [*told[:MOST_NAMED], f"{rest:,} more packages differ."]
    return [Cause(kind="package", text=text) for text in told]


def _package(name: str, before: str | None, after: str | None) -> str:
    if after is None:
        return f"The package {name} was {before}, and is not installed."
    if before is None:
        return f"The package {name} is {after}, and was not installed."
    return f"The package {name} was {before}, now {after}."


def _python(before: Environment | None, after: Environment | None) -> list[Cause]:
    old, new = _facts(before), _facts(after)
    return [
        Cause(kind="python", text=f"{what[0].upper()}{what[1:]} was {old[key]}, now {new[key]}.")
        for key, what in _PYTHON.items()
        if old.get(key) and new.get(key) and old[key] != new[key]
    ]


def _seeds(before: Circumstances, after: Circumstances) -> list[Cause]:
    old, new = _mapping(before.environment, "seeds"), _mapping(after.environment, "seeds")
    found = [
        Cause(kind="seed", text=f"The seed of {name} was {old[name]}, now {new.get(name, 'none')}.")
        for name in sorted(old)
        if old[name] != new.get(name)
    ]
    if not has_seed(before.environment, before.params):
        text = (
            "No seed is recorded: what is random is random anew each time. 'gitexp run --seed N' sets and records one."
        )
        found.append(Cause(kind="seed", text=text))
    return found


def _machine(before: Environment | None, after: Environment | None) -> list[Cause]:
    old, new = _facts(before), _facts(after)
    if not old or not new:
        return []
    found = []
    cpu, other = _mapping(before, "cpu"), _mapping(after, "cpu")
    pairs: list[tuple[str, str, Any, Any]] = [
        ("gpu", "The GPUs were", _named(old.get("gpus")), _named(new.get("gpus"))),
        ("cpu", "The CPU was", cpu.get("model"), other.get("model")),
        ("threads", "The number of processors was", cpu.get("count"), other.get("count")),
        ("threads", "The number of processors that it could use was", *_usable(cpu, other)),
        *(
            ("machine", f"{what[0].upper()}{what[1:]} was", old.get(key), new.get(key))
            for key, what in _MACHINE.items()
        ),
    ]
    for kind, what, one, two in pairs:
        if one != two and (kind == "gpu" or (one and two)):
            found.append(Cause(kind=kind, text=f"{what} {one or 'none'}, now {two or 'none'}."))
    variables, others = _mapping(before, "variables"), _mapping(after, "variables")
    for name in sorted(variables.keys() | others.keys()):
        one, two = variables.get(name, "not set"), others.get(name, "not set")
        if one != two:
            kind = "threads" if name in _THREADS else "variable"
            found.append(Cause(kind=kind, text=f"The variable {name} was {one}, now {two}."))
    return found


def _usable(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Any, Any]:
    """How many of the processors were to be used, where one of the two was held to a part of them."""
    if "usable" not in before and "usable" not in after:
        return None, None
    return before.get("usable", before.get("count")), after.get("usable", after.get("count"))


def _determinism(before: Environment | None) -> list[Cause]:
    facts = _mapping(before, "determinism")
    if not _facts(before).get("gpus") or any(facts.values()):
        return []
    text = "The run used a GPU without asking its libraries for deterministic algorithms."
    return [Cause(kind="determinism", text=text)]


def _named(gpus: Any) -> str:
    return ", ".join(map(str, gpus)) if isinstance(gpus, list | tuple) else ""


def _facts(environment: Environment | None) -> Mapping[str, Any]:
    return environment.python if environment else {}


def _mapping(environment: Environment | None, key: str) -> Mapping[str, Any]:
    found = _facts(environment).get(key)
    return found if isinstance(found, Mapping) else {}
