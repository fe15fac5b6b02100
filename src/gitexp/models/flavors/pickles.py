"""Python objects as files: by skops, which runs no code when it loads, or as pickles, which do."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from gitexp.errors import UsageError
from gitexp.models.flavors import require
from gitexp.models.requirements import modules_in_pickle

SKOPS, CLOUDPICKLE, PICKLE = "skops", "cloudpickle", "pickle"
ENDINGS = {SKOPS: ".skops", CLOUDPICKLE: ".pkl", PICKLE: ".pkl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pickled:
    """What was written: the modules that loading it imports, and the types that skops has to be told to trust."""

    modules: frozenset[str]
    trusted: Sequence[str] = ()


def choose_format(wanted: str | None, model: Any) -> str:
    """The format to write in: skops, where it is installed and knows every type in the model, unless one is wanted.

    Raises:
        UsageError: there is no such format.
    """
    if wanted is not None:
        if wanted not in ENDINGS:
            raise UsageError(f"There is no format '{wanted}'.", hint=f"There are {', '.join(ENDINGS)}.")
        return wanted
    if find_spec("skops"):
        skops = require("skops.io", "skops")
        with suppress(Exception):  # a type that it cannot write
            if not skops.get_untrusted_types(data=skops.dumps(model)):
                return SKOPS
    return CLOUDPICKLE if find_spec("cloudpickle") else PICKLE


def write(model: Any, path: str, form: str) -> Pickled:
    """Raises UsageError: what writes the format is not installed."""
    if form == SKOPS:
        skops = require("skops.io", "skops")
        skops.dump(model, path)
        trusted = sorted(skops.get_untrusted_types(file=path))
        return Pickled(modules=frozenset({"skops", *(name.partition(".")[0] for name in trusted)}), trusted=trusted)
    writer = require("cloudpickle", "cloudpickle") if form == CLOUDPICKLE else pickle
    with open(path, "wb") as file:
        writer.dump(model, file)
    return Pickled(modules=modules_in_pickle(path) | ({form} if form == CLOUDPICKLE else set()))


def read(path: str, form: str | None, trusted: Sequence[str] | None) -> Any:
    """What was written. A pickle runs what it says."""
    if form == SKOPS or path.endswith(ENDINGS[SKOPS]):
        return require("skops.io", "skops").load(path, trusted=list(trusted or ()))
    with open(path, "rb") as file:
        return pickle.load(file)


def is_pickle(form: object) -> bool:
    return form != SKOPS
