"""What the refs of gitexp are called on a remote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gitexp.domain.identity import EXPERIMENTS, REFS, RUNS, is_run_id

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
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
        """The runs and experiments among a remote's refs, by the names they have here.

        What is no such name or no such id is left out, so that nothing a remote says becomes a path of its choice.
        """
        found = {}
        for name, oid in refs.items():
            if name.startswith(self.prefix) and _OID.match(oid):
                ours = REFS + name[len(self.prefix) :]
                if is_run_name(ours) or is_experiment_name(ours):
                    found[ours] = oid
        return found

    @property
    def wanted(self) -> tuple[str, str]:
        """The prefixes below which runs and experiments are found there."""
        return self.there(RUNS), self.there(EXPERIMENTS)


def is_run_name(name: str) -> bool:
    slug, slash, identity = name.removeprefix(RUNS).partition("/")
    return name.startswith(RUNS) and bool(slash) and bool(_SLUG.match(slug)) and is_run_id(identity)


def is_experiment_name(name: str) -> bool:
    return name.startswith(EXPERIMENTS) and bool(_SLUG.match(name.removeprefix(EXPERIMENTS)))


def experiment_of(run_name: str) -> str:
    """The name of the ref of the experiment that a run's ref belongs to."""
    return EXPERIMENTS + run_name.removeprefix(RUNS).partition("/")[0]
