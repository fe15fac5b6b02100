#!/bin/sh
# Tests autologging with real frameworks, in .venv-frameworks; then scikit-learn, XGBoost and LightGBM in the oldest
# versions that it supports, in .venv-frameworks-oldest. Needs .venv, which tests/run.sh makes. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."

main() {
    environment .venv-frameworks tests/frameworks.txt
    with .venv-frameworks "$@"
    if .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
        environment .venv-frameworks-oldest tests/frameworks-oldest.txt
        with .venv-frameworks-oldest tests/test_autolog_scikit_learn.py tests/test_autolog_boosting.py -k "not catboost"
    fi
}

environment() {
    [ -x "$1/bin/python" ] || "${PYTHON:-python3}" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$2"
}

with() {
    environment=$1
    shift
    GITEXP_FRAMEWORKS_PYTHON=$PWD/$environment/bin/python .venv/bin/python -m pytest -n 2 -m frameworks "$@"
}

main "$@"
