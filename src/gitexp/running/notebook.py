"""A notebook as what is run: its params, the copy that is executed, and what becomes of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gitexp.domain.constants import PythonText, find_constants, has_work
from gitexp.domain.keys import shorten
from gitexp.domain.masking import mask_params
from gitexp.domain.source import Source
from gitexp.domain.spans import Path
from gitexp.domain.values import flatten, plain_value
from gitexp.errors import CorruptData, GitexpError, NotFound, UsageError
from gitexp.recording import Recorder
from gitexp.running.capture import INJECT, read_reports
from gitexp.running.child import ChildResult
from gitexp.running.command import Command
from gitexp.running.reports import FOLDER
from gitexp.running.watching import Watcher
from gitexp.store.paramfile import ParamFile, read_file

SUFFIX = ".ipynb"
SOURCE, OUTPUT = "GITEXP_NOTEBOOK_SOURCE", "GITEXP_NOTEBOOK_OUTPUT"
DRIVER = os.path.join(INJECT, "gitexp_notebook.py")

_PARAMETERS, _INJECTED = "parameters", "injected-parameters"
_MISSING = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n) is None))"
_MAGIC = re.compile(r"^([ \t]*)[%!]", re.MULTILINE)
_PYTHON_MAGIC = re.compile(r"\s*%%(?:time|timeit|capture|prun)\b")


def notebook_command(
    words: Sequence[str], python: str, environ: Mapping[str, str], overrides: Sequence[str] = ()
) -> Command:
    """How to execute the notebook that `words` name.

    Args:
        overrides: what is set in it; part of what the record says was typed, because its code does not show it.

    Raises:
        NotFound: there is none.
        UsageError: it is no notebook, has arguments, or `python` lacks what executes notebooks.
    """
    path = words[0]
    if not os.path.isfile(path):
        raise NotFound(f"There is no notebook '{path}' here.")
    if len(words) > 1:
        raise UsageError(
            f"A notebook takes no arguments, like {shorten(words[1])}.",
            hint=f"Values are set with gitexp run {path} --set NAME=VALUE",
        )
    try:
        Notebook.read(path, path)
    except OSError as error:
        raise UsageError(f"The notebook '{path}' cannot be read: {error.strerror}.") from error
    except CorruptData as error:
        raise UsageError(str(error)) from error
    asked = [python, "-c", _MISSING, "nbclient", "ipykernel"]
    missing = subprocess.run(asked, env=dict(environ), capture_output=True, text=True, check=False).stdout.split()
    if missing:
        raise UsageError(
            f"Notebooks need {' and '.join(missing)}, which '{python}' does not have.",
            hint=f"{python} -m pip install nbclient ipykernel",
        )
    return Command(
        program=python,
        arguments=[python, DRIVER, path],
        shown=["gitexp", "run", *(word for text in overrides for word in ("--set", text)), path],
        entry_point=path,
        directory=os.path.dirname(os.path.abspath(path)),
    )


@dataclass(frozen=True)
class Notebook:
    """A notebook's content.

    Attributes:
        shown: how errors name it.
        content: as nbformat 4 has it.
    """

    shown: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: str, shown: str) -> Notebook:
        """Raises OSError, and CorruptData where it is no notebook of format 4."""
        try:
            content = json.loads(read_file(path, shown).content)
        except (ValueError, RecursionError) as error:
            raise CorruptData(f"{shown}: it is not JSON, as notebooks are.") from error
        if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
            raise CorruptData(f"{shown}: it is no notebook of format 4.")
        return cls(shown, content)

    @cached_property
    def places(self) -> dict[str, int]:
        """The index of the cell that says each param: the one tagged `parameters`, else any before the work begins."""
        tagged = [at for at in self._code() if _PARAMETERS in _tags(self._cells[at])]
        found: dict[str, int] = {}
        for at in tagged[:1] or self._code():
            others = [] if tagged else [self._script(other) for other in self._code() if other != at]
            try:
                found.update(
                    {constant.name: at for constant in find_constants(self._script(at), filter(_is_python, others))}
                )
                if has_work(self._script(at)) and not tagged:
                    break
            except ValueError:  # not Python, or not this Python's
                continue
        return found

    @property
    def is_tagged(self) -> bool:
        return any(_PARAMETERS in _tags(self._cells[at]) for at in self._code())

    def values(self) -> dict[str, Any]:
        """The params and their values, nested."""
        scripts = {at: PythonText().load(self._script(at)) for at in set(self.places.values())}
        return {name: scripts[at][name] for name, at in self.places.items()}

    def with_value(self, path: Path, value: Any, *, is_new: bool) -> Notebook:
        """The notebook with another value in the cell that says it; a new name gets a cell of its own, right after.

        Raises:
            UsageError: the value cannot be set alone.
        """
        cells = [dict(cell) for cell in self._cells]
        if not is_new:
            at = self.places[path[0]]
            before = self._script(at)
            after = ParamFile(f"{self.shown}.py", before.encode()).with_edit(path, value)[0].content.decode()
            cells[at]["source"] = _same_change(before, after, _source(cells[at]))
            return Notebook(self.shown, {**self.content, "cells": cells})
        name = path[0]
        if len(path) > 1 or not name.isidentifier():
            raise UsageError(f"{shorten('.'.join(path))} cannot be the name of a variable in {self.shown}.")
        injected = next((at for at in self._code() if _INJECTED in _tags(cells[at])), None)
        if injected is not None:
            cells[injected]["source"] = f"{_source(cells[injected])}\n{name} = {value!r}"
            return Notebook(self.shown, {**self.content, "cells": cells})
        cell: dict[str, Any] = {"cell_type": "code", "metadata": {"tags": [_INJECTED]}, "outputs": []}
        cell.update(execution_count=None, source=f"{name} = {value!r}")
        if (self.content.get("nbformat", 4), self.content.get("nbformat_minor", 0)) >= (4, 5):
            cell["id"] = _INJECTED
        tagged = [at for at in self._code() if _PARAMETERS in _tags(cells[at])]
        cells.insert(tagged[0] + 1 if tagged else 0, cell)
        return Notebook(self.shown, {**self.content, "cells": cells})

    def write(self, path: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.content, file, indent=1)

    @property
    def _cells(self) -> list[Any]:
        return list(self.content["cells"])

    def _code(self) -> list[int]:
        cells = enumerate(self._cells)
        return [at for at, cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]

    def _script(self, at: int) -> str:
        """A cell's Python; lines that are IPython's own are comments in it, so that everything keeps its place."""
        source = _source(self._cells[at])
        if source.lstrip().startswith("%%") and not _PYTHON_MAGIC.match(source):
            return ""
        return _MAGIC.sub(r"\1#", source)


class NotebookRun(Watcher):
    """Has the notebook that was executed kept as an artifact, and its params recorded.

    Args:
        notebook: as it is executed.
    """

    def __init__(self, recorder: Recorder, notebook: Notebook, path: str, *, with_constants: bool) -> None:
        self._recorder = recorder
        self._notebook = notebook
        self._name = os.path.basename(path)
        self._output = os.path.join(recorder.folder, "notebook.ipynb")
        self._with_constants = with_constants

    def prepare(self, environ: dict[str, str]) -> None:
        environ[OUTPUT] = self._output

    def started(self) -> None:
        if self._notebook.is_tagged:
            self._record()

    def finish(self, child: ChildResult) -> None:  # noqa: ARG002
        if not self._notebook.is_tagged and not read_reports(os.path.join(self._recorder.folder, FOLDER)).parsers:
            self._record()
        if os.path.exists(self._output):
            self._recorder.add_file(self._output, self._name)

    def _record(self) -> None:
        if not self._with_constants:
            return
        for name, value in self._notebook.values().items():
            try:
                params = mask_params(flatten({name: plain_value(value)}))
            except GitexpError as error:
                self._recorder.warn(str(error))
            else:
                self._recorder.beside(Source.CONSTANT).log_params(params)


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(map(str, source))


def _tags(cell: Mapping[str, Any]) -> Sequence[str]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tags if isinstance(tags, list) else ()


def _same_change(before: str, after: str, source: str) -> str:
    """`source` changed where `before`, which differs from it in single characters elsewhere, changed to `after`."""
    start = _common(before, after)
    rest = min(len(before), len(after)) - start
    end = _common(before[::-1][:rest], after[::-1][:rest])
    return source[:start] + after[start : len(after) - end] + source[len(source) - end :]


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (mine, its) in pairs if mine != its), min(len(one), len(other)))


def _is_python(script: str) -> bool:
    try:
        find_constants(script)
    except ValueError:
        return False
    return True
