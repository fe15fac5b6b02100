"""What pip's configuration says about indexes reaches uv, and Pythons are found as recorded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitexp.environments.indexes import pip_settings, uv_options
from gitexp.environments.pythons import find_python, this_interpreter
from gitexp.errors import EnvironmentFailed

BEST = ["--index-strategy", "unsafe-best-match"]


@pytest.fixture
def own_file(tmp_path: Path) -> dict[str, str]:
    """Variables that name a configuration file, whose text tests write."""
    (tmp_path / "pip.conf").write_text("")
    return {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}


def test_files_and_variables_of_pip_become_options_of_uv(tmp_path: Path, own_file: dict[str, str]) -> None:
    """Lists stand on lines or between blanks; a variable wins over a file."""
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://one/simple\ntimeout = 7\n"
        "[install]\nextra_index_url =\n    https://two/simple\n    https://three/simple\n"
        "[freeze]\nindex-url = https://other\n"
    )
    environ = own_file | {"PIP_INDEX_URL": "https://four/simple", "PIP_FIND_LINKS": "/a /b", "PIP_CERT": "/c.pem"}
    options, variables = uv_options(environ, str(tmp_path / "prefix"))
    expected = ["--default-index", "https://four/simple"]
    for address in ("https://two/simple", "https://three/simple"):
        expected += ["--index", address]
    for folder in ("/a", "/b"):
        expected += ["--find-links", folder]
    assert options[: len(expected)] == expected
    assert options[-2:] == BEST
    assert variables.items() >= {"SSL_CERT_FILE": "/c.pem", "UV_HTTP_TIMEOUT": "7"}.items()


def test_uvs_own_settings_win(tmp_path: Path, own_file: dict[str, str]) -> None:
    """Who has told uv where to look is not told again."""
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://one/simple\nno-index = true\n")
    assert uv_options(own_file | {"UV_INDEX": "https://mine"}, str(tmp_path))[0] == []
    assert "--no-index" in uv_options(own_file, str(tmp_path))[0]


def test_an_environments_own_file_counts_and_none_where_pip_reads_none(tmp_path: Path) -> None:
    """As pip does it; a damaged file is none."""
    (tmp_path / "pip.conf").write_text("[global]\nretries = 9\n")
    assert pip_settings({}, str(tmp_path))["retries"] == "9"
    assert pip_settings({"PIP_CONFIG_FILE": os.devnull}, str(tmp_path)) == {}
    (tmp_path / "pip.conf").write_text("retries = 9\n[[[")
    assert "retries" not in pip_settings({}, str(tmp_path))


def test_any_python_is_the_one_that_runs(tmp_path: Path) -> None:
    """Nothing is looked for where nothing is asked for; a minor version needs no note."""
    ours = this_interpreter()
    environ = {"PATH": str(tmp_path)}
    assert find_python(None, environ=environ, say=pytest.fail) == (ours, "")
    assert find_python(ours.name, environ=environ, say=pytest.fail) == (ours, "")
    assert find_python(ours.version.rpartition(".")[0], environ=environ, say=pytest.fail)[1] == ""
    with pytest.raises(EnvironmentFailed, match="not a version"):
        find_python("latest", environ=environ, say=pytest.fail)


def test_a_python_that_is_not_here_is_fetched(tmp_path: Path) -> None:
    """Where that cannot be, those that are here are named."""
    fetched = tmp_path / "python"
    fetched.write_text(f'#!/bin/sh\necho \'["cpython", "3.2.6", "{fetched}"]\'\n')
    fetched.chmod(0o755)
    said: list[str] = []
    environ = {"PATH": str(tmp_path / "empty")}
    found, note = find_python("3.2.1", environ=environ, install=lambda _: str(fetched), say=said.append)
    assert found.path == str(fetched)
    assert note == "Python 3.2.1 cannot be had: Python 3.2.6 is used instead."
    assert said == ["Python 3.2.1 is not here: it is fetched."]
    with pytest.raises(EnvironmentFailed, match=r"Python 3\.2\.1 is not here; there is ") as failed:
        find_python("3.2.1", environ=environ, install=lambda _: None, say=said.append)
    assert this_interpreter().name in str(failed.value)
    assert "uv python install 3.2.1" in failed.value.hint
