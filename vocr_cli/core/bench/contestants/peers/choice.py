"""Which peers there are, and that those asked for are installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vocr_cli.core.bench.contestants.peers.peer import Peer
from vocr_cli.core.bench.contestants.peers.rapidocr import RAPIDOCR
from vocr_cli.core.bench.contestants.peers.tesseract import Tesseract
from vocr_cli.core.bench.contestants.peers.trueocr import TRUEOCR
from vocr_cli.core.errors import DependencyError

PEERS: dict[str, Peer] = {peer.name: peer for peer in (Tesseract(), TRUEOCR, RAPIDOCR)}
"""All peers by name."""


def installed_peers(names: Sequence[str], install: bool, on_message: Callable[[str], None]) -> list[Peer]:
    """Return the peers of those names, in their order.

    Args:
        names: Of `PEERS`.
        install: Whether missing ones are installed.
        on_message: Called with what is being done.

    Raises:
        DependencyError: Some are missing and not to be installed, or that failed.
    """
    peers = [PEERS[name] for name in names]
    missing = [peer for peer in peers if not peer.is_installed()]
    if missing and not install:
        raise DependencyError(
            f"Not installed: {', '.join(peer.name for peer in missing)}.",
            "\n".join(peer.remedy for peer in missing),
        )
    for peer in missing:
        peer.install(on_message)
    return peers
