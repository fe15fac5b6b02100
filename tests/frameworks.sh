#!/bin/sh
# Tests autologging and the scripts of real projects with real frameworks, in .venv-frameworks. Needs .venv, which
# tests/run.sh makes.
#
#     sh tests/frameworks.sh          what CI runs: the classic frameworks whole, and of each deep one the main facts
#     sh tests/frameworks.sh all      everything
#     sh tests/frameworks.sh oldest   scikit-learn, XGBoost and LightGBM in the oldest versions that are supported
set -eu
cd "$(dirname "$0")/.."

FACTS="params_are_what or each_epoch or metrics_have_the_steps or each_trial or everything_logged or exception_keeps"
DEEP="tests/test_autolog_lightning.py tests/test_autolog_keras.py tests/test_autolog_transformers.py
    tests/test_autolog_optuna.py tests/test_autolog_hyperopt.py"

main() {
    case ${1:-} in
        oldest)
            environment .venv-frameworks-oldest tests/frameworks-oldest.txt
            with .venv-frameworks-oldest -m frameworks tests/test_autolog_scikit_learn.py tests/test_autolog_boosting.py \
                -k "not catboost"
            ;;
        all)
            environment .venv-frameworks tests/frameworks.txt
            with .venv-frameworks -m frameworks
            ;;
        *)
            environment .venv-frameworks tests/frameworks.txt
            with .venv-frameworks -m "frameworks and not slow"
            # shellcheck disable=SC2086 (a list)
            with .venv-frameworks -m frameworks $DEEP -k "$FACTS"
            ;;
    esac
}

environment() {
    [ -x "$1/bin/python" ] || "${PYTHON:-python3}" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$2"
}

with() {
    environment=$1
    shift
    GITEXP_FRAMEWORKS_PYTHON=$PWD/$environment/bin/python .venv/bin/python -m pytest -n 2 "$@"
}

main "$@"
