"""The floors of docs/architecture.md hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def test_imports_run_downwards() -> None:
    """import-linter finds every contract of pyproject.toml kept: the layers, and dulwich on the git floor alone."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_domain_needs_nothing_but_the_standard_library() -> None:
    """Every module of `gitexp.domain` imports where no third-party package can be found."""
    modules = sorted(f"gitexp.domain.{path.stem}" for path in (PROJECT / "src/gitexp/domain").glob("[a-z]*.py"))
    program = f"import sys; sys.path.insert(0, 'src'); import {', '.join(modules)}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
