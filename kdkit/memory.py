"""Ask the system's allocator to keep the memory that a training step frees, for the next step.

glibc (Linux) gives blocks of more than 32 MB back to the kernel at once. A training step frees and asks for such blocks
a dozen times, and each time the kernel hands out fresh pages, zeroed, one fault per 4 KB. What that costs is measured
by ``benchmarks/memory.py``.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from <malloc.h>


def keep_freed():
    """Keep freed memory in this process, from now on. True if that was possible.

    It changes no number, only where memory comes from; elsewhere than on Linux with glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl, or no libc by that name
        return False
    trim_never, no_block_straight_from_the_kernel = (M_TRIM_THRESHOLD, 2**31 - 1), (M_MMAP_MAX, 0)
    return all([mallopt(*trim_never), mallopt(*no_block_straight_from_the_kernel)])
