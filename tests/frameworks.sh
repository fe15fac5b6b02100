#!/bin/sh
# Runs the scripts of real projects, and autologging with the real frameworks, which it installs into .venv-frameworks.
#
#     sh tests/frameworks.sh          what CI has time for: all scripts, which use each framework; scikit-learn and models in full
#     sh tests/frameworks.sh newest   all scripts, and what autologging promises of each framework
#     sh tests/frameworks.sh all      everything, with tensorflow, tensorboardX and DVCLive too
#     sh tests/frameworks.sh oldest   scikit-learn, XGBoost and LightGBM in the oldest versions that are supported
set -eu
cd "$(dirname "$0")/.."

main() {
    environment .venv --editable '.[test]'
    case ${1:-} in
        oldest)
            environment .venv-frameworks-oldest -r tests/frameworks-oldest.txt
            with .venv-frameworks-oldest -m frameworks tests/test_autolog_scikit_learn.py tests/test_autolog_boosting.py \
                -k "not catboost"
            ;;
        all)
            environment .venv-frameworks -r tests/frameworks.txt -r tests/frameworks-writers.txt
            autologging_and_scripts -m "frameworks and not scripts"
            ;;
        newest)
            environment .venv-frameworks -r tests/frameworks.txt
            autologging_and_scripts -m "frameworks and not scripts and not slow"
            ;;
        *)
            environment .venv-frameworks -r tests/frameworks.txt
            autologging_and_scripts -m "frameworks and not scripts and not slow" tests/test_autolog_scikit_learn.py \
                tests/test_model_flavors.py
            ;;
    esac
}

# Each file of the first by one worker, because its tests look at one training; the second one by one.
autologging_and_scripts() {
    failed=0
    with .venv-frameworks --dist loadfile "$@" || failed=1
    with .venv-frameworks -m scripts || failed=1
    return $failed
}

# A virtual environment with what pip is told to install; compiled by all processors, which pip does by one.
environment() {
    folder=$1
    shift
    [ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"
    "$folder/bin/python" -m compileall -q -j 0 -x /tests/ "$folder"/lib/python*/site-packages >/dev/null || true
}

with() {
    environment=$1
    shift
    GITEXP_FRAMEWORKS_PYTHON=$PWD/$environment/bin/python .venv/bin/python -m pytest -n 2 "$@"
}

main "$@"
