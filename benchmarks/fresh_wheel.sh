# For scripts that install vocr as a user does: builds the wheel of the files that git tracks. To be sourced.
# Built from a copy: in the checkout, setuptools would put in what an earlier build has left there.

fresh_wheel() { # FOLDER: gets env/, an empty environment, source/, the copy, and wheel/, the wheel
  local root
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  rm -rf "$1/env" "$1/source" "$1/wheel"
  mkdir -p "$1/source"
  git -C "$root" ls-files -z | tar -C "$root" --null -T - -c | tar -C "$1/source" -x
  "${PYTHON:-python3}" -m venv "$1/env"
  "$1/env/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$1/wheel" "$1/source"
}
