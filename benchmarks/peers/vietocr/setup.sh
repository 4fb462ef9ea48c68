#!/bin/sh
# Makes an isolated environment with VietOCR 0.3.13 from PyPI: FOLDER/venv (default runs/peers/vietocr/venv).
#   benchmarks/peers/vietocr/setup.sh [FOLDER]      PYTHON=python3.11 chooses the interpreter
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-runs/peers/vietocr}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

test -x "$folder/venv/bin/python" || "${PYTHON:-python3}" -m venv "$folder/venv"
pip="$folder/venv/bin/python -m pip --disable-pip-version-check"
# prefetch-generator and others come as sources whose setup.py needs an older setuptools.
$pip install --quiet 'setuptools<80' wheel
$pip install --quiet --no-build-isolation -r "$here/requirements.txt"
$pip install --quiet --no-deps vietocr==0.3.13
"$folder/venv/bin/python" "$here/peer.py"
