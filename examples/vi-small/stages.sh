# Sourced by distil.sh and ../vi-base/train.sh: reads TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER], renders what to validate
# on, and trains in stages on rendered lines.

# arguments DEFAULT_WORK_FOLDER TEXT_FOLDER FONT_FOLDER... [--out WORK_FOLDER]: sets text, fonts, work, system and vocr
arguments() {
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

# render_valid: lines of three strengths to choose the best checkpoint by, and to calibrate on
render_valid() {
  for strength in 0 0.5 1; do
    [ -e "$work/valid-$strength.lmdb" ] || "$vocr" synth "$work/valid-$strength.lmdb" --count "${VALID_LINES:-800}" \
      --seed 99 --strength "$strength" --text "$text" --fonts "${fonts[0]}"
  done
}

# rendered WEIGHT STRENGTH SEED TEXT_SHARE: an entry of data.train
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

# stage NAME INIT STEPS RATE DECAY_SHARE VALID MODEL TRAIN: MODEL and TRAIN are further lines of these parts of the
# config, the entries of data.train come on stdin
stage() {
  cat >"$work/$1.yaml" <<YAML
model: {family: ctc, channels: [32, 48, 128], column_outputs: 2, $7dropout: 0.0}  # every line is new: nothing to overfit
batch: {pixels: 3000000, max_lines: ${LINES:-64}, bucket_px: 32}
optim: {name: muon, lr: $4, weight_decay: 0.01, ema_decay: 0.998}
schedule: {name: wsd, decay_share: $5, warmup_steps: ${WARMUP:-200}, final_lr_share: 0.02}
train: {max_steps: $3, $8log_every_steps: 100, checkpoint_every_minutes: 5}
validate: {every_steps: ${VALIDATE:-500}, max_lines: 600}
data:
  workers: ${WORKERS:-2}
  valid: ["$work/$6"]
  train:
$(cat)
YAML
  local more=(--init "$2")
  [ -e "$work/$1/checkpoints/last.pt" ] && more=(--resume)
  # Memory in large pages.
  GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "$vocr" train "$work/$1.yaml" --out "$work/$1" "${more[@]}"
}

# ship NAME STAGE: exports the best weights of a stage in fp16 and int8, and calibrates them
ship() {
  "$vocr" export "$work/$2/checkpoints/best.safetensors" "$work/$1.safetensors" --dtype fp16
  "$vocr" export "$work/$1.safetensors" "$work/$1.int8.onnx" --calibrate "$work/valid-1.lmdb"
  "$vocr" calibrate "$work/$1.safetensors" "$work"/valid-{0,0.5,1}.lmdb
  ls -l "$work/$1".*
}
