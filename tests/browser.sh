#!/bin/sh
# Tests that drive the web pages in Chromium: installs what is missing where it may, and fails where something still is.
# Arguments go to pytest. Pictures of every page are kept in the folder that GITEXP_SCREENSHOTS names.
set -eu
cd "$(dirname "$0")/.."

main() {
    if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
    fi
    [ -x .venv-browser/bin/python ] || "${PYTHON:-python3}" -m venv .venv-browser
    .venv-browser/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' -r tests/browser.txt
    .venv-browser/bin/python -m pytest -m browser "$@"
}

main "$@"
