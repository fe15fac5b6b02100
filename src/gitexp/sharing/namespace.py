"""What the refs of gitexp are called on a remote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gitexp.domain.identity import ALPHABET, EXPERIMENTS, ID_LENGTH, MODELS, REFS, RUNS, VIEWS

_SLUG = "[a-z0-9][a-z0-9-]{0,62}"
_RUN = re.compile(f"{RUNS}{_SLUG}/[{ALPHABET[10:]}][{ALPHABET}]{{{ID_LENGTH - 1}}}\\Z")
_EXPERIMENT = re.compile(f"{EXPERIMENTS}{_SLUG}\\Z")
_MODEL = re.compile(f"{MODELS}{_SLUG}\\Z")
_VIEW = re.compile(f"{VIEWS}{_SLUG}\\Z")
_OID = re.compile(r"[0-9a-f]{40}\Z")

HIDDEN, HEADS = "hidden", "heads"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A translation of names: `refs/gitexp/...` here, and there below `prefix`."""

    prefix: str = REFS

    @classmethod
    def named(cls, kind: str) -> Namespace:
        """ "hidden": as they are; "heads": as branches, for hosts that accept nothing else."""
        return cls({HIDDEN: REFS, HEADS: "refs/heads/gitexp/"}[kind])

    def there(self, name: str) -> str:
        return self.prefix + name.removeprefix(REFS)

    def here(self, refs: Mapping[str, str]) -> dict[str, str]:
        """The runs, experiments, models and views among a remote's refs, by the names they have here.

        What is no such name or no such id is left out, so that nothing a remote says becomes a path of its choice.
        """
        skip = len(self.prefix)
        below = refs.items()
        if self.prefix != REFS:
            below = {REFS + name[skip:]: oid for name, oid in below if name.startswith(self.prefix)}.items()
        is_run, is_id = _RUN.match, _OID.match
        return {name: oid for name, oid in below if (is_run(name) or _is_other(name)) and is_id(oid)}

    @property
    def wanted(self) -> tuple[str, ...]:
        """The prefixes below which runs, experiments, models and views are found there."""
        return self.there(RUNS), self.there(EXPERIMENTS), self.there(MODELS), self.there(VIEWS)


def is_run_name(name: str) -> bool:
    return _RUN.match(name) is not None


def is_experiment_name(name: str) -> bool:
    return name.startswith(EXPERIMENTS) and _EXPERIMENT.match(name) is not None


def is_model_name(name: str) -> bool:
    return name.startswith(MODELS) and _MODEL.match(name) is not None


def is_view_name(name: str) -> bool:
    return name.startswith(VIEWS) and _VIEW.match(name) is not None


def _is_other(name: str) -> bool:
    return is_experiment_name(name) or is_model_name(name) or is_view_name(name)


def experiment_of(run_name: str) -> str:
    """The name of the ref of the experiment that a run's ref belongs to."""
    return EXPERIMENTS + run_name.removeprefix(RUNS).partition("/")[0]
