"""Scripts in the style of real projects: they notice nothing, and the record holds what a person would have noted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from framework_runs import needs_frameworks
from gitexp.domain.metrics import SYSTEM
from gitexp.reading import RunView
from script_runs import SCRIPTS, Ended, Project, Spec

pytestmark = pytest.mark.scripts

GROUPS: dict[str, list[pytest.MarkDecorator]] = {
    "quick": [],
    "slow": [pytest.mark.slow],
    "frameworks": [pytest.mark.frameworks, needs_frameworks],
}


def scripts(*, in_terminal: bool = False) -> list[Any]:
    """All scripts, or those that are run in a terminal, too."""
    specs = {path.stem: Spec.read(path.stem) for path in sorted(SCRIPTS.glob("*.yaml"))}
    return [
        pytest.param(name, marks=GROUPS[spec.group], id=name)
        for name, spec in specs.items()
        if spec.terminal or not in_terminal
    ]


@pytest.mark.parametrize("name", scripts())
def test_a_script_notices_nothing_and_its_record_is_what_a_person_would_note(name: str, tmp_path: Path) -> None:
    """Same output, exit, files, environment; exactly the params, metrics, artifacts and status that its spec names."""
    project = Project(tmp_path, name)
    spec = project.spec
    bare = project.bare()
    assert bare.code == spec.exit, bare.err.decode(errors="replace")
    launched = project.launched()
    compare(project, bare, launched)
    run, *others = project.runs()
    assert all(other.record.parent == run.id for other in others)
    assert len(others) == spec.nested
    assert noted(run, spec) == wanted(spec)
    check_metrics(run, spec.metrics)
    check_names(list(run.artifacts), spec.artifacts)
    if spec.kept:
        assert Counter(run.output or b"") == Counter(launched.out + launched.err)  # their order may differ


@pytest.mark.parametrize("name", scripts(in_terminal=True))
def test_in_a_terminal_it_notices_nothing_either(name: str, tmp_path: Path) -> None:
    """The same bytes on the screen, but for the line that tells how the run went."""
    project = Project(tmp_path, name)
    bare, launched = project.bare(terminal=True), project.launched(terminal=True)
    screen, line = launched.out.removesuffix(b"\r\n").rsplit(b"\r\n", 1)
    assert b"gitexp show" in line
    shown = [project.without_variation(text.decode()) for text in (bare.out, screen + b"\r\n")]
    assert shown[0] == shown[1]
    assert (launched.code, launched.files) == (bare.code, bare.files)
    assert project.runs()[0].params == project.spec.params


def compare(project: Project, bare: Ended, launched: Ended) -> None:
    """Everything that a program or a person outside of the script, or the script itself, could see."""
    for mine, theirs in ((bare.out, launched.out), (bare.err, launched.err)):
        if project.spec.varies:
            both = [project.without_variation(text.decode(errors="surrogateescape")) for text in (mine, theirs)]
            assert both[1] == both[0]
        else:
            assert theirs == mine
    assert launched.code == bare.code
    assert launched.files == bare.files
    assert launched.surroundings.keys() == bare.surroundings.keys()
    for moment, facts in bare.surroundings.items():
        is_autologged = moment.endswith(".end") and project.spec.group == "frameworks"
        see = beside_autologging if is_autologged else dict
        assert see(launched.surroundings[moment]) == see(facts), moment


def beside_autologging(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Without what recording inside a process takes: modules, its journals' descriptors, a thread, torch's end."""
    inside = {**facts, "fds": sorted(target for target in facts["fds"].values() if is_the_script_s(target))}
    for name in ("modules", "path_importer_cache"):
        del inside[name]
    if "torch" in facts["modules"]:
        del inside["callbacks"]  # by one of ours, its switches for determinism are read when the script is done
    inside["threads"] = [name for name in facts["threads"] if name not in ("gitexp-sync", "tqdm_monitor")]
    return inside


def is_the_script_s(target: str) -> bool:
    return not target.startswith("/dev/null")


def noted(run: RunView, spec: Spec) -> dict[str, Any]:
    more = [key for key in run.params if any(fnmatchcase(key, pattern) for pattern in spec.more_params)]
    return {
        "status": str(run.status),
        "exit": run.record.exit_code,
        "params": {key: value for key, value in run.params.items() if key not in more},
        "tags": {key: "*" if key == "best_run" else value for key, value in run.tags.items()},  # a made-up id
        "metrics": sorted(name for name in run.metrics if not name.startswith(SYSTEM)),
        "warnings": list(run.record.warnings),
    }


def wanted(spec: Spec) -> dict[str, Any]:
    return {
        "status": spec.status,
        "exit": spec.exit if spec.exit >= 0 else None,
        "params": dict(spec.params),
        "tags": dict(spec.tags),
        "metrics": sorted(spec.metrics),
        "warnings": list(spec.warnings),
    }


def check_metrics(run: RunView, metrics: Mapping[str, list[float]]) -> None:
    for name, (count, step, *value) in metrics.items():
        history = list(run.history(name))
        assert [len(history) if count is not None else None, history[-1].step] == [count, step], name
        last = float(history[-1].value)
        if len(value) == 1:
            assert math.isclose(last, value[0], rel_tol=1e-3), (name, last)
        elif value:
            assert value[0] <= last <= value[1], (name, last)


def check_names(names: list[str], patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        assert any(fnmatchcase(name, pattern) for name in names), (pattern, names)
    assert [name for name in names if not any(fnmatchcase(name, pattern) for pattern in patterns)] == []
