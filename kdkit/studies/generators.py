"""What the stored study of networks that write says: ``benchmarks/generators.py`` made it.

An arm is a way to go on from a start that all arms of a seed share. Its students are those of the rate that was best in
the tries of one more seed: the one with the smallest sum of both KLs between teacher and student, which favours neither
whoever covers much nor whoever is sure.
"""

from kdkit.measure import metrics
from kdkit.studies.results import TUNING_SEED

START = "start"  # the student before any arm


def arms(result: dict, student: str) -> list[str]:
    """The arms of a ``student``, a name of its size, of which one has been trained on a seed that is reported."""
    rows = [row for row in _rows(result, student) if row["seed"] != TUNING_SEED]
    return list(dict.fromkeys(row["arm"] for row in rows if row["arm"] != START))


def tries(result: dict, student: str, arm: str) -> dict[float, float]:
    """How the rate of ``arm`` was chosen: rate to the sum of both KLs. An arm that runs longer has those of its own."""
    named = result["arms"][arm]["rate_of"]
    rows = [row for row in _rows(result, student, named) if row["seed"] == TUNING_SEED]
    return {row["lr"]: row["forward_kl"] + row["reverse_kl"] for row in rows}


def chosen(result: dict, student: str, arm: str) -> float:
    """The best of these rates. Raises ``ValueError`` where none was tried."""
    found = tries(result, student, arm)
    if not found:
        raise ValueError(f"{arm!r} was not tried by the student {student!r}.")
    return min(found, key=found.__getitem__)


def by_seed(result: dict, student: str, arm: str, measure: str) -> dict[int, float]:
    """Seed to ``measure`` of the students of ``arm``, or of ``START``. ``ValueError`` if a seed comes twice."""
    rows = [row for row in _rows(result, student, arm) if row["seed"] != TUNING_SEED]
    if arm != START:
        rate = chosen(result, student, arm)
        rows = [row for row in rows if row["lr"] == rate]
    found = {row["seed"]: row[measure] for row in sorted(rows, key=lambda row: row["seed"])}
    if len(found) < len(rows):
        raise ValueError(f"a seed of {arm!r} was trained twice by the student {student!r}.")
    return found


def gain(result: dict, student: str, arm: str, baseline: str, measure: str) -> metrics.Paired:
    """The paired gain in ``measure`` of ``arm`` over ``baseline``, over the seeds that both have.

    Raises ``ValueError`` where there is none.
    """
    values, others = (by_seed(result, student, name, measure) for name in (arm, baseline))
    both = sorted(values.keys() & others.keys())
    return metrics.paired_interval([values[seed] for seed in both], baseline=[others[seed] for seed in both])


def _rows(result: dict, student: str, arm: str | None = None) -> list[dict]:
    rows = [row for row in result["rows"] if row.get("student") == student]
    return [row for row in rows if arm in (None, row["arm"])]
