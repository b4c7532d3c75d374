#!/usr/bin/env bash
# Prints a Python of version 3.11 to 3.13, the newest first, that can make virtual environments.
set -uo pipefail

for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
        echo "$candidate"
        exit 0
    fi
done
echo 'No Python from 3.11 to 3.13 with the module venv was found; install one, or name it: make env PYTHON=/path/to/python' >&2
exit 1
