#!/bin/sh
# Tests with real servers, started on loopback: installs what is missing where it may, and fails where something still is.
# Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."

main() {
    PATH=$PATH:/usr/sbin
    missing=
    for program in sshd:openssh-server ssh:openssh-client git-lfs:git-lfs; do
        command -v "${program%:*}" >/dev/null || missing="$missing ${program#*:}"
    done
    if [ -n "$missing" ] && [ "$(id -u)" = 0 ]; then
        apt-get update -qq
        # shellcheck disable=SC2086 (a list)
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
    fi
    [ -x .venv-servers/bin/python ] || "${PYTHON:-python3}" -m venv .venv-servers
    .venv-servers/bin/python -m pip install --quiet --disable-pip-version-check --editable . -r tests/servers.txt
    # Much of the time goes into waiting for connections, so more run at once than there are processors.
    # shellcheck disable=SC2046 (a list)
    GITEXP_SERVERS=required .venv-servers/bin/python -m pytest -n 4 -m servers $(grep -l mark.servers tests/test_*.py) "$@"
}

main "$@"
