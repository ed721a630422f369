"""Let torch's threads sleep, not spin, while they wait for each other.

A small network's step is a fifth slower so on a quiet machine, but several times as fast where a browser or another
program wants the same cores. On Linux the setting is read at the moment in which torch is imported, and never again:
so ``import kdkit`` makes it, for this process and for all that it starts, and after ``import torch`` it comes too late.
"""

import os
import sys

SETTING = "OMP_WAIT_POLICY"
YOURS = (SETTING, "GOMP_SPINCOUNT")  # who has set one of these has chosen, and it stays
TOO_LATE = (
    "torch was imported before kdkit, so its threads spin while they wait for each other: where other programs want "
    "the same cores, a small training takes several times as long. Import kdkit first, or set OMP_WAIT_POLICY=PASSIVE "
    "before Python starts."
)

_missed = False


def sleep_while_waiting():
    """Make the setting, unless there is one. Where it comes too late, a note in the log says so (to stderr, once)."""
    global _missed
    if any(name in os.environ for name in YOURS):
        return
    os.environ[SETTING] = "PASSIVE"
    _missed = "torch" in sys.modules
    if _missed:
        import logging  # a warning would end a program that turns warnings into errors

        logging.getLogger("kdkit").warning(TOO_LATE)


def waiting():
    """How torch's threads wait in this process, for people: ``(ok, text)``; ok is None where that is your choice."""
    if _missed:
        return False, TOO_LATE
    chosen = ", ".join(f"{name}={os.environ[name]}" for name in YOURS if name in os.environ)
    if chosen == f"{SETTING}=PASSIVE":
        return True, f"threads sleep while they wait for each other ({chosen})"
    return None, f"threads wait for each other as you have set it: {chosen}"
