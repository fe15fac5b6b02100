#!/bin/sh
# Takes models across to the real MLflow and back, which it installs into .venv-peers.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
[ -x .venv-peers/bin/python ] || "${PYTHON:-python3}" -m venv .venv-peers
.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r tests/peers.txt
GITEXP_PEERS_PYTHON=$PWD/.venv-peers/bin/python .venv/bin/python -m pytest -m peers tests/test_models_mlflow.py "$@"
