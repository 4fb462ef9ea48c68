#!/usr/bin/env bash
# Installs the wheel without extras into an empty environment and shows what each package takes on disk.
# Then it checks that torch is not among them, and that lines are read and scored and a model inspected all the same.
#
#   benchmarks/wheel_install.sh [FOLDER]      default runs/wheel-install; PYTHON=python3.12 chooses the interpreter
set -euo pipefail
unset PYTHONPATH

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/benchmarks/fresh_wheel.sh"
folder=${1:-runs/wheel-install}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
env=$folder/env
fresh_wheel "$folder"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check "$folder"/wheel/vocr_cli-*.whl

cd "$folder" # where no vocr_cli lies but the one that was installed
"$env/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import distributions
from importlib.util import find_spec

MIB = 1 << 20
sizes = {}
for distribution in distributions():
    files = [file.locate() for file in distribution.files or ()]
    name = f"{distribution.name} {distribution.version}"
    sizes[name] = sum(file.stat().st_blocks * 512 for file in files if file.is_file()) / MIB
print(f"Python {sys.version.split()[0]}; MiB on disk:")
for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
    print(f"{size:8.1f}  {name}")
tools = sum(size for name, size in sizes.items() if name.split()[0] in ("pip", "setuptools"))
print(f"{sum(sizes.values()):8.1f}  in all, {tools:.1f} of them the environment's own pip and setuptools")
if find_spec("torch"):
    sys.exit("torch is installed.")
PYTHON

failed=0
check() { # ARGUMENTS...: runs vocr with them, shows its exit code, and of a failure the last lines
  local code=0
  "$env/bin/vocr" "$@" >"$folder/output.txt" 2>&1 || code=$?
  echo "exit code $code: vocr $*"
  [ "$code" = 0 ] || { failed=1 && tail -n 3 "$folder/output.txt"; }
}
assets=$("$env/bin/python" -c 'import vocr_cli; print(vocr_cli.__path__[0])')/assets
check infer "$assets/lines/images"
check eval "$root/examples/lines"
check inspect vi-small
exit "$failed"
