#!/bin/sh
# Installs gitexp and scikit-learn into a new folder, trains twice, and shows what was recorded.
#
#     sh examples/quickstart.sh [folder]
#
# PYTHON names another interpreter than python3; GITEXP another thing to install than this checkout, a wheel for example.
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-quickstart}

run() { printf '\n$ %s\n' "$*" && "$@"; }

echo "Installing gitexp and scikit-learn into $folder/venv ..."
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "${GITEXP:-$checkout}" scikit-learn
PATH=$(cd "$folder/venv/bin" && pwd):$PATH

mkdir -p "$folder/project"
cp "$checkout"/examples/*.py "$checkout/examples/.gitignore" "$folder/project"
cd "$folder/project"

run gitexp init --yes
run gitexp run -e digits -n small train.py
run gitexp run -e digits -n wide train.py --hidden 64 --epochs 60
run gitexp ls
run gitexp diff small wide

printf '\nYours to go on with:\n\n    cd %s\n    . ../venv/bin/activate\n    gitexp --help\n\n' "$folder/project"
