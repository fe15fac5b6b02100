#!/bin/sh
# Installs gitexp and what its tests need into .venv, and runs the quick tests. Arguments go to pytest: `sh tests/run.sh -m slow`.
set -eu
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m venv "${VENV:-.venv}"
"${VENV:-.venv}/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[test]'
exec "${VENV:-.venv}/bin/python" -m pytest -n 2 --dist loadgroup "$@"
