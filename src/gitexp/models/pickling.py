"""A pickler that notes which modules the pickled things are of."""

from __future__ import annotations

import dis
from types import CodeType, ModuleType
from typing import Any

from gitexp.models.flavors import require


def noting_pickler(found: set[str]) -> Any:
    """A class like `cloudpickle.Pickler`; the top-level modules of all that it pickles are added to `found`.

    Raises:
        UsageError: cloudpickle is not installed.
    """
    cloudpickle = require("cloudpickle", "cloudpickle")

    class Noting(cloudpickle.Pickler):  # type: ignore[name-defined, misc]
        def persistent_id(self, thing: Any) -> None:
            """Called with everything that is pickled."""
            found.update(_modules_of(thing))

    return Noting


def _modules_of(thing: Any) -> set[str]:
    if isinstance(thing, ModuleType):
        return {thing.__name__.partition(".")[0]}
    if isinstance(thing, CodeType):
        names = (step.argval for step in dis.get_instructions(thing) if step.opname == "IMPORT_NAME")
        return {name.partition(".")[0] for name in names}
    module = getattr(thing if isinstance(thing, type) else type(thing), "__module__", None)
    return {str(module).partition(".")[0]}
