#!/bin/sh
# Print the Python of an environment with the peer (jwst 3.0.0), made when it is not there yet.
# PEER_PYTHON or PEER_ENVIRONMENT choose an existing one.
set -eu
if [ -n "${PEER_PYTHON:-}" ]; then
    echo "$PEER_PYTHON"
    exit 0
fi
home=$(cd "$(dirname "$0")/../.." && pwd)
environment=${PEER_ENVIRONMENT:-$home/.venv-peer}
if [ ! -x "$environment/bin/python" ] || ! "$environment/bin/python" -c 'import jwst' 2> /dev/null; then
    for candidate in python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[23]*/bin/python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 14))' 2> /dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "${python:-}" ]; then
        echo "the peer needs Python 3.12 or 3.13, and there is none" >&2
        exit 1
    fi
    "$python" -m venv "$environment" >&2
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check jwst==3.0.0 >&2
fi
echo "$environment/bin/python"
