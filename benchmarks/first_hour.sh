#!/usr/bin/env bash
# A new user's first hour: every fenced command and program of README.md and docs/*.md, verbatim, in an empty
# folder, on a wheel installed into an empty environment. Each must end as its page says.
#
#   benchmarks/first_hour.sh [--train] [FOLDER [PAGE]...]      default runs/first-hour, all pages
#
# PAGE: one such as docs/vietocr.md. PYTHON=python3.12 chooses the interpreter.
#
# Without --train, what needs the extra `train` must be refused with the line that installs it. With --train, the
# README's second line installs it, and all is run; PIP_CONSTRAINT may name a file that chooses torch's CPU build.
# Trainings are ended by Ctrl-C once they have taken steps. What cannot be run is listed with its reason.
set -euo pipefail
unset PYTHONPATH

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root/benchmarks/fresh_wheel.sh"
options=()
[ "${1:-}" = --train ] && options=(--train) && shift
folder=${1:-runs/first-hour}
pages=("${@:2}")
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
fresh_wheel "$folder"
exec python3 "$root/benchmarks/first_hour.py" "${options[@]}" "$folder" "${pages[@]}"
