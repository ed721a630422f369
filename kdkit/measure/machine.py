"""This machine, and what the kit asks of it: threads that sleep, memory that stays; versions and peaks for reports.

Threads: torch's threads are to sleep, not spin, while they wait for each other. A small network's step is a fifth
slower so on a quiet machine, but several times as fast where a browser or another program wants the same cores. On
Linux the setting is read at the moment in which torch is imported, and never again: so ``import kdkit`` makes it, for
this process and for all that it starts, and after ``import torch`` it comes too late.

Memory: glibc (Linux) gives blocks of more than 32 MB back to the kernel at once. A training step frees and asks for
such blocks a dozen times, and each time the kernel hands out fresh pages, zeroed, one fault per 4 KB. What that costs
is measured by ``benchmarks/memory.py``.
"""

import ctypes
import os
import platform
import re
import sys
from pathlib import Path

SETTING = "OMP_WAIT_POLICY"
YOURS = (SETTING, "GOMP_SPINCOUNT")  # who has set one of these has chosen, and it stays
TOO_LATE = (
    "torch was imported before kdkit, so its threads spin while they wait for each other: where other programs want "
    "the same cores, a small training takes several times as long. Import kdkit first, or set OMP_WAIT_POLICY=PASSIVE "
    "before Python starts."
)

# from <malloc.h>, with the values that glibc begins with (mallopt(3))
TRIM_THRESHOLD, MMAP_MAX = -1, -4
BEGINNING = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65_536}
KEEPING = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0}  # never trim; no block straight from the kernel

_missed = False


def sleep_while_waiting() -> None:
    """Make the setting, unless there is one. Where it comes too late, a note in the log says so (to stderr, once)."""
    global _missed
    if any(name in os.environ for name in YOURS):
        return
    os.environ[SETTING] = "PASSIVE"
    _missed = "torch" in sys.modules
    if _missed:
        import logging  # a warning would end a program that turns warnings into errors

        logging.getLogger("kdkit").warning(TOO_LATE)


def waiting() -> tuple[bool | None, str]:
    """How torch's threads wait in this process, for people: ``(ok, text)``; ok is None where that is your choice."""
    if _missed:
        return False, TOO_LATE
    chosen = ", ".join(f"{name}={os.environ[name]}" for name in YOURS if name in os.environ)
    if chosen == f"{SETTING}=PASSIVE":
        return True, f"threads sleep while they wait for each other ({chosen})"
    return None, f"threads wait for each other as you have set it: {chosen}"


def keep_freed() -> bool:
    """Keep freed memory in this process, from now on. True if that was possible.

    It changes no number, only where memory comes from; elsewhere than on Linux with glibc it does nothing.
    """
    libc = _glibc()
    return libc is not None and _set(libc, KEEPING)


def give_back() -> bool:
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


def versions() -> dict[str, str | int]:
    """What made a result: for cards and reports."""
    import torch

    import kdkit

    return {
        "python": platform.python_version(),
        "kdkit": kdkit.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def peak_memory_mb() -> int | None:
    """The most memory that this process has had, in MB; None where the system does not say (Windows)."""
    status = Path("/proc/self/status")  # Linux: what getrusage says there may be the peak of the parent
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found:
            return round(int(found[1]) * 1024 / 1e6)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))
