#!/usr/bin/env bash
# In VietOCR's transformer with fresh weights another character changes a token's vector 40 times as much as a place five characters
# further on: characters have a spread of 1 and are multiplied by the root of the width, 16, before sines of at most 1 are added. One
# would expect both to weigh about the same, as in the paper whose formula it is; met by who trains vgg_transformer from random weights
# (vietocr 0.3.13, torch 2.13.0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 'numpy<3'
env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps vietocr==0.3.13 einops==0.2.0
cat >probe.py <<'PY'
import sys
import types
import warnings
from importlib.metadata import version

# The file of the transformer imports torchvision and uses nothing of it.
torchvision = types.ModuleType("torchvision")
torchvision.models = types.ModuleType("torchvision.models")
sys.modules |= {"torchvision": torchvision, "torchvision.models": torchvision.models}
warnings.simplefilter("ignore")

import torch
from vietocr.model.seqmodel.transformer import LanguageTransformer

print(*(f"{name} {version(name)}" for name in ("vietocr", "torch")))
torch.manual_seed(0)
width = 256
model = LanguageTransformer(233, width, 8, 6, 6, 2048, 1024, 0.1, 0.1).eval()


def vectors(tokens, divisor=1):
    """What the decoder is given for (L, 1) tokens, by the model's own steps."""
    with torch.no_grad():
        return model.pos_enc(model.embed_tgt(tokens) / divisor * width**0.5)[:, 0]


def shares(divisor):
    """Mean distance of a character to itself five places on, and to another one in its place."""
    places, characters = [], []
    for token in range(4, 204):
        same = vectors(torch.full((10, 1), token), divisor)
        other = vectors(torch.full((10, 1), token + 1), divisor)
        places.append((same[2] - same[7]).norm())
        characters.append((same[2] - other[2]).norm())
    return float(torch.stack(places).mean()), float(torch.stack(characters).mean())


place, character = shares(1)
print(f"as it starts: five places on {place:.1f}, another character {character:.1f}, {character / place:.0f} times as much")
scaled_place, scaled_character = shares(16)
print(
    f"embedding divided by 16: five places on {scaled_place:.1f}, another character {scaled_character:.1f}, "
    f"{scaled_character / scaled_place:.1f} times as much"
)
holds = 30 < character / place < 60 and scaled_character / scaled_place < 5
print("as found" if holds else "the behaviour has changed")
sys.exit(not holds)
PY
env/bin/python probe.py
