"""What the stored study of top-k targets on text says: ``benchmarks/top_k_text.py`` made it.

An arm is what a student sees of its teacher. Its students are those of the rate that was best in the tries of one more
seed: the one with the smallest KL to the teacher on validation texts.
"""

from kdkit.measure import metrics
from kdkit.studies.results import TUNING_SEED

START = "start"  # the student before any arm


def arms(result: dict, student: str) -> list[str]:
    """The arms of which a ``student``, by its name, has been trained on a seed that is reported."""
    rows = [row for row in _rows(result, student) if row["seed"] != TUNING_SEED and row["arm"] != START]
    return list(dict.fromkeys(row["arm"] for row in rows))


def start(result: dict, student: str) -> dict:
    """The row of a ``student`` that has learnt nothing yet: its ``kl`` and ``perplexity`` on test texts."""
    [found] = _rows(result, student, START)
    return found


def tries(result: dict, student: str, arm: str) -> dict[float, float]:
    """How the rate of ``arm`` was chosen: rate to KL on validation texts."""
    rows = [row for row in _rows(result, student, arm) if row["seed"] == TUNING_SEED]
    return {row["lr"]: row["val_kl"] for row in rows}


def chosen(result: dict, student: str, arm: str) -> float:
    """The best of these rates. Raises ``ValueError`` where none was tried."""
    found = tries(result, student, arm)
    if not found:
        raise ValueError(f"{arm!r} was not tried by the student {student!r}.")
    return min(found, key=found.__getitem__)


def by_seed(result: dict, student: str, arm: str, measure: str = "kl") -> dict[int, float]:
    """Seed to ``measure`` on test texts of the students of ``arm``. ``ValueError`` if a seed comes twice."""
    rate = chosen(result, student, arm)
    rows = [row for row in _rows(result, student, arm) if row["seed"] != TUNING_SEED and row["lr"] == rate]
    found = {row["seed"]: row[measure] for row in sorted(rows, key=lambda row: row["seed"])}
    if len(found) < len(rows):
        raise ValueError(f"a seed of {arm!r} was trained twice by the student {student!r}.")
    return found


def change(result: dict, student: str, arm: str, baseline: str, measure: str = "kl") -> metrics.Paired:
    """The paired difference in ``measure`` of ``arm`` from ``baseline``: above 0 where the arm's KL is larger.

    Raises ``ValueError`` where the two have no seed in common.
    """
    values, others = (by_seed(result, student, name, measure) for name in (arm, baseline))
    both = sorted(values.keys() & others.keys())
    return metrics.paired_interval([values[seed] for seed in both], baseline=[others[seed] for seed in both])


def _rows(result: dict, student: str, arm: str | None = None) -> list[dict]:
    rows = [row for row in result["rows"] if row["student"] == student]
    return [row for row in rows if arm in (None, row["arm"])]
