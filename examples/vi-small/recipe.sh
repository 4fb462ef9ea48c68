# What train.sh, distil.sh and grow.sh have in common; they source it.

# take_folders WORK TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]: sets text, fonts, work, system, vocr, and makes the folder.
take_folders() {
  work=$1
  text=$(realpath "${2:?name a folder of text}")
  shift 2
  fonts=()
  while (($#)); do
    if [ "$1" = --out ]; then
      work=$2
      shift 2
    else
      fonts+=("$(realpath "$1")")
      shift
    fi
  done
  : "${fonts[0]:?name a folder of fonts}"
  system=${SYSTEM_FONTS:-/usr/share/fonts}
  vocr=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/.venv/bin/vocr
  [ -x "$vocr" ] || vocr=vocr
  mkdir -p "$work"
}

# validation_lines: renders valid-0, valid-0.5 and valid-1, to choose the best checkpoint by and to calibrate on.
validation_lines() {
  local strength
  for strength in 0 0.5 1; do
    [ -e "$work/valid-$strength.lmdb" ] || "$vocr" synth "$work/valid-$strength.lmdb" --count "${VALID_LINES:-800}" \
      --seed 99 --strength "$strength" --text "$text" --fonts "${fonts[0]}"
  done
}

# rendered WEIGHT STRENGTH SEED TEXT_SHARE: an entry of data.train. Documents are set in Times and Arial more than in all other
# families together, so their free likenesses weigh more. The weight 0 keeps families out whose relatives are used for testing.
rendered() {
  cat <<YAML
    - weight: $1
      synth:
        text: ["$text"]
        text_share: $4
        fonts: ["$system"$(printf ', "%s"' "${fonts[@]}")]
        font_weights:
          {liberation serif: 24, tinos: 20, freeserif: 15, liberation sans: 6, arimo: 6, cousine: 4,
           liberation mono: 3, bellota: 0, lexend: 0, big shoulders: 0, encode sans: 0, cherry bomb: 0}
        strength: $2
        seed: $3
YAML
}

# train_or_go_on NAME INIT: trains by $work/NAME.yaml into $work/NAME, from the weights INIT, if any; a run that was cut off goes on.
train_or_go_on() {
  local more=()
  [ -n "$2" ] && more=(--init "$2")
  [ -e "$work/$1/checkpoints/last.pt" ] && more=(--resume)
  # Memory in large pages.
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "$vocr" train "$work/$1.yaml" --out "$work/$1" "${more[@]}"
}

# finish NAME BEST [OPTION...]: exports the weights BEST as NAME and in int8, and calibrates them, with these options.
finish() {
  local model="$work/$1"
  "$vocr" export "$2" "$model.safetensors" --dtype fp16
  "$vocr" export "$model.safetensors" "$model.int8.onnx" --calibrate "$work/valid-1.lmdb"
  "$vocr" calibrate "$model.safetensors" "$work"/valid-{0,0.5,1}.lmdb "${@:3}"
  ls -l "$model".*
}
