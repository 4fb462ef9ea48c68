"""The learning rate of fine-tuning: the better the weights read the lines already, the lower it is.

Measured from vi-small (benchmarks/LOG.md, "Rates of fine-tuning"): a rate that teaches handwriting fast makes
print worse, and one that is good for print learns handwriting slowly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vocr_cli.core.config.families import Head
from vocr_cli.core.config.tree import Config

FEW_ERRORS, MANY_ERRORS = 0.05, 0.2
"""CER of the starting weights up to which little, and from which on much, is to be learned."""

_TOO_HIGH = 2.5  # times the rate that is known to be good: more than the next one of `_RATES`


@dataclass(frozen=True)
class KnownRate:
    """A learning rate that was measured, and the pixels of its steps."""

    rate: float
    pixels: int

    def at(self, pixels: int) -> float:
        """The rate of steps of another size: it grows with the root (Malladi et al., 2022), within 0.3..2."""
        return self.rate * min(max(math.sqrt(pixels / self.pixels), 0.3), 2.0)


_RATES: dict[tuple[Head, str], tuple[KnownRate, ...]] = {
    ("ctc", "muon"): (KnownRate(1e-3, 400_000), KnownRate(2e-3, 400_000), KnownRate(4e-3, 400_000)),
    ("autoregressive", "adamw"): (KnownRate(3e-4, 400_000),) * 3,
}
"""Where little, more and much is to be learned."""


def fine_tuning_rate(head: Head, optimizer: str, cer: float | None) -> KnownRate | None:
    """The rate that fine-tunes models of a head well.

    Args:
        head: Of the model.
        optimizer: `optim.name`.
        cer: Of the starting weights on the lines to learn, 0..; None: not known, and taken for high.

    Returns:
        None: none is known.
    """
    rates = _RATES.get((head, optimizer))
    if rates is None:
        return None
    cer = MANY_ERRORS if cer is None else cer
    return rates[(cer > FEW_ERRORS) + (cer >= MANY_ERRORS)]


def rate_advice(config: Config, cer: float) -> str | None:
    """What to do about a rate that makes weights worse which read well; None: nothing.

    Args:
        config: Of the run.
        cer: Of its starting weights on the validation lines.
    """
    known = fine_tuning_rate(config.model.HEAD, config.optim.name, cer)
    if known is None or cer >= MANY_ERRORS:  # nothing that is read well can be lost
        return None
    good = known.at(config.batch.pixels)
    if config.optim.lr <= _TOO_HIGH * good:
        return None
    return (
        f"The weights to start from read only {cer:.1%} of the characters wrong; "
        f"optim.lr {config.optim.lr:g} is for weights that have more to learn, and makes these worse. "
        f"What suits them: --set optim.lr={good:.1g}, or a whole config for fine-tuning, by "
        "`vocr autoconf --init MODEL`."
    )
