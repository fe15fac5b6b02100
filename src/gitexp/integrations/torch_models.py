"""PyTorch models and optimizers, as text and as params."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from gitexp.integrations.patching import plain_params

ALWAYS = ("lr", "momentum", "weight_decay")
"""Settings of an optimizer that are recorded also where they are the default, if they are not zero."""


def summarize(model: Any) -> str:
    """A table of a model's modules with their numbers of parameters.

    Made by looking at it only: running it on an example, as some summaries do, would move random number generators.
    """
    rows = [("Module", "Type", "Params", "Trainable")]
    for name, module in model.named_modules():
        if name:
            indent = "  " * name.count(".")
            rows.append((indent + name, type(module).__name__, *_counts(module)))
    rows.append(("Total", type(model).__name__, *_counts(model)))
    first, second, third, fourth = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [
        f"{name:<{first}}  {kind:<{second}}  {count:>{third}}  {trained:>{fourth}}".rstrip()
        for name, kind, count, trained in rows
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], ""])


def optimizer_params(optimizers: Sequence[Any]) -> dict[str, Any]:
    """The class and settings of optimizers; those of the second and later ones under `optimizer_2` and so on."""
    params: dict[str, Any] = {}
    for index, optimizer in enumerate(optimizers):
        prefix = "" if index == 0 else f"optimizer_{index + 1}_"
        optimizer = getattr(optimizer, "_optimizer", optimizer)  # Lightning's wrapper
        optimizer = getattr(optimizer, "optimizer", optimizer)  # Accelerate's
        kind = type(optimizer)
        params[f"{prefix}name" if prefix else "optimizer_name"] = kind.__name__
        given = getattr(optimizer, "defaults", None)
        if not isinstance(given, Mapping):
            continue
        usual = {name: item.default for name, item in inspect.signature(kind.__init__).parameters.items()}
        for name, value in given.items():
            if name in ALWAYS and _number(value):
                params[prefix + name] = _number(value)
            elif name not in ALWAYS and name in usual and not _same(value, usual[name]):
                params[prefix + name] = value
    return plain_params(params)


def _counts(module: Any) -> tuple[str, str]:
    count = trained = 0
    for parameter in module.parameters():
        try:
            size = parameter.numel()
        except (ValueError, RuntimeError):  # a lazy module that has seen no data yet
            return "?", "?"
        count += size
        trained += size if parameter.requires_grad else 0
    return f"{count:,}", f"{trained:,}"


def _number(value: Any) -> Any:
    """A number, also where it is kept as a tensor."""
    return value.item() if hasattr(value, "item") else value


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(_number(one) == _number(other))
    except Exception:  # what cannot be compared
        return False
