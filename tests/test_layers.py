"""The floors of docs/architecture.md hold."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def test_imports_run_downwards() -> None:
    """import-linter finds the layers of pyproject.toml kept, and each module on one of them."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_git_floor_imports_dulwich() -> None:
    """No module outside `store/git` has a statement that imports dulwich, inside functions included."""
    package = PROJECT / "src/gitexp"
    importing = {path for path in package.rglob("*.py") if "dulwich" in imported(path)}
    assert all(path.is_relative_to(package / "store/git") for path in importing), importing


def test_domain_needs_nothing_but_the_standard_library() -> None:
    """Every module of `gitexp.domain` imports where no third-party package can be found."""
    modules = sorted(f"gitexp.domain.{path.stem}" for path in (PROJECT / "src/gitexp/domain").glob("[a-z]*.py"))
    program = f"import sys; sys.path.insert(0, 'src'); import {', '.join(modules)}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
