#!/bin/sh
# Is vocr right, and how fast is it, on this card? One command, eight minutes at most, one table and a JSON file.
#   benchmarks/gpu_check.sh [--device cuda|cpu] [--minutes 8] [--out FOLDER] [--vietocr FOLDER] [--size full|tiny]
#   benchmarks/gpu_check.sh --device cpu        rehearses all of it at tiny sizes, without a card
# PYTHON names the interpreter (default: .venv's, else python3). Where nothing can be downloaded, WHEELS names a
# folder of wheels of what it lacks; they are installed beside what it has. --vietocr names the folder that holds
# the package `vietocr` of the wheel of VietOCR 0.3.13; without it, the one that is installed is taken, if any.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
python=${PYTHON:-$root/.venv/bin/python}
command -v "$python" >/dev/null 2>&1 || python=python3
if test -n "${WHEELS:-}"; then
  venv=$(mktemp -d)/venv
  "$python" -m venv --system-site-packages "$venv"
  # A virtual environment of a virtual environment sees the packages of the outermost Python alone.
  "$python" -c 'import site; print(*site.getsitepackages(), sep="\n")' >"$(echo "$venv"/lib/python*/site-packages)/base.pth"
  "$venv/bin/python" -m pip install --quiet --no-index --no-deps "$WHEELS"/*.whl
  python=$venv/bin/python
fi
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}" # threads of torch that wait on a busy CPU let others have it
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "$python" "$here/gpu_check/check.py" "$@"
