#!/usr/bin/env bash
# Makes .venv with the package, editable, and everything its tests need.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    python="$(tools/python.sh)"
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

# Dependency groups need pip 25.1; Python 3.11 brings an older one.
.venv/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
echo 'Installing napari-diptomo and what it needs: some minutes the first time'
.venv/bin/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[all]' --group dev
# pip compiles on one core, for two minutes, tests of other packages too. Their templates of code compile for nobody.
.venv/bin/python -m compileall -qq -j 0 -x 'site-packages/.*/tests/' .venv/lib || true
