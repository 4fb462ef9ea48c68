"""Whether torch, which only the extra `train` installs, is there; asking does not import it."""

from __future__ import annotations

from importlib.util import find_spec

from vocr_cli.core.errors import DependencyError


def has_torch() -> bool:
    """Whether torch is installed."""
    return find_spec("torch") is not None


def need_torch(what: str) -> None:
    """Refuse what cannot be done without torch.

    Args:
        what: What needs it, as the sentence begins: `vocr train`.

    Raises:
        DependencyError: torch is not installed.
    """
    if not has_torch():
        raise DependencyError(f"{what} needs torch.", "Install it: pip install 'vocr-cli[train]'")
