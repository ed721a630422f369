"""Ask the system's allocator to keep the memory that a training step frees, for the next step; or to give it back.

glibc (Linux) gives blocks of more than 32 MB back to the kernel at once. A training step frees and asks for such blocks
a dozen times, and each time the kernel hands out fresh pages, zeroed, one fault per 4 KB. What that costs is measured
by ``benchmarks/memory.py``.
"""

import ctypes
import sys

# from <malloc.h>, with the values that glibc begins with (mallopt(3))
TRIM_THRESHOLD, MMAP_MAX = -1, -4
BEGINNING = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65_536}
KEEPING = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0}  # never trim; no block straight from the kernel


def keep_freed():
    """Keep freed memory in this process, from now on. True if that was possible.

    It changes no number, only where memory comes from; elsewhere than on Linux with glibc it does nothing.
    """
    libc = _glibc()
    return libc is not None and _set(libc, KEEPING)


def give_back():
    """Give the memory that has been freed back to the system, now and from now on. True if that was possible.

    For a process that has trained and goes on with something else. The next training keeps its memory again. A block
    that later fills a gap between blocks in use stays with the process until the next call.
    """
    libc = _glibc()
    if libc is None or not _set(libc, BEGINNING):
        return False
    libc.malloc_trim(0)
    return True


def _glibc():
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if libc.mallopt and libc.malloc_trim else None
    except (OSError, AttributeError):  # musl, or no libc by that name
        return None


def _set(libc, values):
    return all([libc.mallopt(*one) for one in values.items()])
