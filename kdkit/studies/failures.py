"""What the stored study of failures says: ``benchmarks/failures.py`` made it.

An arm's students are those with the learning rate that was best on validation images, by one more student.
"""

from typing import NamedTuple

from kdkit.measure import metrics
from kdkit.studies.results import TUNING_SEED


def settings(result: dict) -> list[str]:
    """The settings that were measured, in the order in which they were."""
    return list(dict.fromkeys(row["setting"] for row in result["rows"]))


def arms(result: dict, setting: str) -> list[str]:
    """The arms of a setting of which a student is reported, in the order in which they were tuned."""
    found = dict.fromkeys(row["arm"] for row in _rows(result, setting))
    return [arm for arm in found if by_seed(result, setting, arm)]


def tries(result: dict, setting: str, arm: str) -> dict[float, float]:
    """How the learning rate of an arm was chosen: rate to accuracy on validation images."""
    rows = [row for row in _rows(result, setting, arm) if row["seed"] == TUNING_SEED]
    return {row["lr"]: row["val_accuracy"] for row in rows}


def chosen(result: dict, setting: str, arm: str) -> float:
    """The rate that was best on validation images. Raises ``ValueError`` where none was tried."""
    found = tries(result, setting, arm)
    if not found:
        raise ValueError(f"{arm!r} was not tried in the setting {setting!r}; there are: {', '.join(settings(result))}.")
    return max(found, key=lambda rate: found[rate])


def by_seed(result: dict, setting: str, arm: str, measure: str = "accuracy") -> dict[int, float]:
    """Seed to ``measure`` of the students of ``arm`` with its chosen rate, without those that diverged.

    Measures: "accuracy", "ece" and "ece_fitted" (with one temperature, "fitted_temperature"), "after 120" (steps), and
    with a teacher "agreement", "own_agreement" (on the images learnt from), "right_where_teacher_errs" and
    "teacher_accuracy". Raises ``ValueError`` where a seed comes twice.
    """
    rate = chosen(result, setting, arm)
    rows = [row for row in _rows(result, setting, arm) if row["seed"] != TUNING_SEED and row["lr"] == rate]
    found = {row["seed"]: row[measure] for row in sorted(rows, key=lambda row: row["seed"]) if "diverged" not in row}
    if len(found) < sum("diverged" not in row for row in rows):
        raise ValueError(f"a seed of {arm!r} in the setting {setting!r} was trained twice.")
    return found


def compare(
    result: dict,
    setting: str,
    arm: str,
    *,
    baseline: str,
    measure: str = "accuracy",
    baseline_measure: str | None = None,
) -> metrics.Paired:
    """The paired gain of ``arm`` over ``baseline``, over the seeds that both have, with its interval.

    ``baseline_measure``: another measure for the baseline, such as "ece_fitted"; None for the same. Raises
    ``ValueError`` where they have no seed in common, and as ``by_seed`` does.
    """
    values = by_seed(result, setting, arm, measure)
    base = by_seed(result, setting, baseline, baseline_measure or measure)
    both = sorted(values.keys() & base.keys())
    return metrics.paired_interval([values[seed] for seed in both], baseline=[base[seed] for seed in both])


def teachers(result: dict, setting: str) -> dict[str, dict[str, float]]:
    """What the teachers of a setting are worth, by name: each measure's mean over the seeds.

    Measures: "accuracy", "own_accuracy" (on the images they learnt from), "confidence" there, and "beyond_class at 4":
    what their soft targets at that temperature say beyond the class, in bits.
    """
    rows = [row for row in result["rows"] if row["setting"] == setting and "teacher" in row]
    found = {}
    for name in dict.fromkeys(row["teacher"] for row in rows):
        own = [row for row in rows if row["teacher"] == name]
        measures = [measure for measure in own[0] if measure not in ("setting", "teacher", "seed")]
        found[name] = {measure: sum(row[measure] for row in own) / len(own) for measure in measures}
    return found


class Claim(NamedTuple):
    """A failure, the comparison that would show it, and what has been published about it."""

    failure: str
    setting: str
    arm: str
    baseline: str
    published: str
    measure: str = "accuracy"
    baseline_measure: str | None = None


def found(result: dict, claim: Claim) -> metrics.Paired | None:
    """The comparison of a claim; None where it has not been measured."""
    measured = settings(result)
    if claim.setting not in measured or not {claim.arm, claim.baseline} <= set(arms(result, claim.setting)):
        return None
    measures = {"measure": claim.measure, "baseline_measure": claim.baseline_measure}
    return compare(result, claim.setting, claim.arm, baseline=claim.baseline, **measures)


def shown(pair: metrics.Paired) -> str:
    """What the interval says of a difference: "more", "less" or "not shown"."""
    if pair.low > 0:
        return "more"
    return "less" if pair.high < 0 else "not shown"


def _rows(result, setting, arm=None):
    rows = [row for row in result["rows"] if row["setting"] == setting and "arm" in row]
    return [row for row in rows if arm in (None, row["arm"])]
