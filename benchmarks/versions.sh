#!/usr/bin/env bash
# Do the bounds of pyproject.toml tell the truth? Runs the tests with the lowest versions that they allow, or with
# the highest that there are, whatever constraints.txt says; each in an environment of its own.
#
#   benchmarks/versions.sh lowest|highest [FOLDER] [-- ARGUMENTS OF pytest]...      default runs/versions
#
# All extras but ray, pages, browser and gpu, dev included. PYTHON=python3.12 chooses the interpreter; what uv reads from the environment holds,
# as UV_TORCH_BACKEND=cpu. FOLDER keeps the environments; what is installed is listed in lowest.txt and highest.txt.
set -euo pipefail

which=${1:?lowest or highest}
shift
folder=runs/versions
[ $# -gt 0 ] && [ "$1" != -- ] && folder=$1 && shift
[ "${1:-}" = -- ] && shift
case $which in
  lowest) resolution=lowest-direct ;;
  highest) resolution=highest ;;
  *) echo "Say lowest or highest, not $which." >&2 && exit 2 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
python=${PYTHON:-python3}
env=$folder/$which

[ -x "$folder/uv/bin/uv" ] || { "$python" -m venv "$folder/uv" && "$folder/uv/bin/python" -m pip install --quiet uv; }
uv=$folder/uv/bin/uv
extras=(train onnx openvino png tensorboard parquet layout web dev)
"$uv" pip compile --quiet --no-header --no-annotate --resolution "$resolution" --python "$python" \
  "${extras[@]/#/--extra=}" "$root/pyproject.toml" --output-file "$folder/$which.txt" >/dev/null
[ -x "$env/bin/python" ] || "$python" -m venv "$env"
"$uv" pip install --quiet --python "$env" --requirement "$folder/$which.txt"
"$uv" pip install --quiet --python "$env" --no-deps --editable "$root"

cd "$root"
unset PYTHONPATH
exec "$env/bin/python" -m pytest -q -n logical --dist worksteal "$@"
