"""Ask the system's allocator to keep the memory that a training step frees, for the next step.

By default glibc (Linux) gives blocks of more than 32 MB back to the kernel at once. A training step frees and asks
for such blocks a dozen times, and each time the kernel hands out fresh pages, zeroed, one fault per 4 KB: up to a
third of the time of a small network's step. ``benchmarks/memory.py`` measures it.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from <malloc.h>
KEEP = {M_TRIM_THRESHOLD: 2**31 - 1, M_MMAP_MAX: 0}  # trim never, and take no block straight from the kernel
DEFAULTS = {M_TRIM_THRESHOLD: 128 * 1024, M_MMAP_MAX: 65536}


def keep_freed(keep=True):
    """Keep freed memory in this process (or, with ``keep=False``, give it back as usual). True if that was possible.

    It changes no number, only where memory comes from; elsewhere than on Linux with glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl, or no libc by that name
        return False
    return all([mallopt(option, value) for option, value in (KEEP if keep else DEFAULTS).items()])
