"""How this process takes memory from the system."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Lets glibc keep freed blocks instead of giving each large one back to the kernel.

    Activations of a training step are tens of MB each; by default every one is mapped, zeroed page by page
    and unmapped again, which took half of all CPU time here. Peak memory stays as it is.

    Returns:
        Whether the C library is one that can be told so.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    limit = 2**31 - 1
    return bool(
        mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, limit) and mallopt(_M_TOP_PAD, 256 * 2**20)
    )
