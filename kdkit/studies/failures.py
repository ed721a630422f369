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
    "teacher_accuracy". Without the students that lack it. Raises ``ValueError`` where a seed comes twice.
    """
    rate = chosen(result, setting, arm)
    rows = [row for row in _rows(result, setting, arm) if row["seed"] != TUNING_SEED and row["lr"] == rate]
    rows = [row for row in rows if "diverged" not in row]
    found = {row["seed"]: row[measure] for row in sorted(rows, key=lambda row: row["seed"]) if measure in row}
    if len({row["seed"] for row in rows}) < len(rows):
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


NAMES = {
    "ece": "calibration error",
    "ece_fitted": "calibration error, one fitted temperature",
    "teacher_accuracy": "its teacher's accuracy",
}


class Claim(NamedTuple):
    """A failure, the comparison that would show it, and what has been published about it."""

    failure: str
    setting: str
    arm: str
    baseline: str
    published: str
    measure: str = "accuracy"
    baseline_measure: str | None = None


MULLER = "Müller et al. 2019 (arXiv:1906.02629): a smoothed teacher is as good or better, and teaches worse"
LOW_T = "Chandrasegaran et al. 2022 (arXiv:2206.14532): a smoothed teacher teaches well at a low T, worse at a high one"
BEYER = "Beyer et al. 2021 (arXiv:2106.05237): student and teacher must see the same crop; there crops differ much more"
NAYAK = (
    "Nayak et al. 2020 (arXiv:2011.09113): arbitrary images, even noise, do where the teacher's answers are balanced"
)
HINTON = "Hinton et al. 2015 (arXiv:1503.02531): soft targets at a high T carry more than labels"
STANTON = (
    "Stanton et al. 2021 (arXiv:2106.05945): students agree with teachers surprisingly little, and better ones less"
)
DAS = "Das and Sanghavi 2023 (arXiv:2301.13304): with noisy labels a student can be better than its teacher"
LI = "Li et al. 2017 (arXiv:1703.02391): a teacher of clean images guides a student of noisy labels"
CHO = "Cho and Hariharan 2019 (arXiv:1910.01348): larger teachers may teach worse, teachers stopped early better"
MIRZADEH = "Mirzadeh et al. 2019 (arXiv:1902.03393): an assistant of a size between the two helps"
FURLANELLO = "Furlanello et al. 2018 (arXiv:1805.04770): a student of its teacher's size becomes better than it"
GUO = "Guo et al. 2017 (arXiv:1706.04599): one fitted temperature calibrates a network"
REPORTED = "reported by users of published code; no paper"

CLAIMS = (
    Claim("smoothed teacher", "smoothed teacher, few steps", "smoothed, T = 4", "plain, T = 4", MULLER),
    Claim("smoothed teacher", "smoothed teacher, few steps", "smoothed, T = 1", "plain, T = 1", LOW_T),
    Claim("smoothed teacher", "smoothed teacher, few steps", "smoothed, T = 4", "smoothed, T = 1", LOW_T),
    Claim("smoothed teacher", "smoothed teacher", "smoothed, T = 4", "plain, T = 4", MULLER),
    Claim("smoothed teacher", "smoothed teacher", "smoothed, T = 1", "plain, T = 1", LOW_T),
    Claim("smoothed teacher", "smoothed teacher", "smoothed, T = 4", "smoothed, T = 1", LOW_T),
    Claim("wrong images", "wrong images", "CIFAR-10 photographs", "Things", NAYAK),
    Claim("wrong images", "wrong images", "pixel noise", "Things", NAYAK),
    Claim("wrong images", "wrong images", "5 % Things, 95 % photographs", "CIFAR-10 photographs", NAYAK),
    Claim("wrong images", "wrong images", "5 % Things, 95 % photographs", "5 % Things alone", NAYAK),
    Claim("wrong images", "wrong images", "5 % Things, 95 % pixel noise", "5 % Things alone", NAYAK),
    Claim("other views", "views", "no augmentation", "exact", BEYER),
    Claim("other views", "views", "another view", "exact", BEYER),
    Claim("other views", "views", "plain image", "exact", BEYER),
    Claim("other views", "views, shift 4", "another view", "exact", BEYER),
    Claim("other views", "views, shift 4", "plain image", "exact", BEYER),
    Claim("other views", "views, shift 8", "another view", "exact", BEYER),
    Claim("other views", "views, shift 8", "plain image", "exact", BEYER),
    Claim("memorised teacher", "memorised teacher", "T = 4", "T = 1", HINTON),
    Claim("memorised teacher", "memorised teacher", "T = 4", "labels", HINTON),
    Claim("memorised teacher", "memorised teacher", "T = 4", "T = 4", FURLANELLO, "accuracy", "teacher_accuracy"),
    Claim("noisy labels", "noisy labels", "noisy teacher", "noisy labels", DAS),
    Claim("noisy labels", "noisy labels", "noisy teacher", "noisy teacher", DAS, "accuracy", "teacher_accuracy"),
    Claim("noisy labels", "noisy labels", "half and half", "noisy labels", LI),
    Claim("noisy labels", "noisy labels", "half and half", "clean teacher", LI),
    Claim("fidelity", "fidelity", "labels", "1,000 images", STANTON),
    Claim("fidelity", "fidelity", "labels", "1,000 images", STANTON, "agreement"),
    Claim("fidelity", "fidelity", "3,000 images", "100 images", STANTON, "agreement"),
    Claim("fidelity", "fidelity", "3,000 images", "100 images", STANTON),
    Claim("fidelity", "fidelity", "3,000 images", "1,000 images", STANTON, "agreement"),
    Claim("fidelity", "fidelity", "T = 1", "1,000 images", STANTON, "agreement"),
    Claim("fidelity", "fidelity", "T = 16", "1,000 images", STANTON, "agreement"),
    Claim("fidelity", "fidelity", "1,000 images", "1,000 images", STANTON, "accuracy", "teacher_accuracy"),
    Claim("gap", "gap", "width 16", "width 8", CHO),
    Claim("gap", "gap", "width 32", "width 8", CHO),
    Claim("gap", "gap", "width 32, stopped early", "width 32", CHO),
    Claim("gap", "gap", "assistant", "width 32", MIRZADEH),
    Claim("ensembles", "ensembles", "mean probabilities", "one teacher", HINTON),
    Claim("ensembles", "ensembles", "mean logits", "mean probabilities", HINTON),
    Claim("born again", "born again", "born again", "labels", FURLANELLO),
    Claim("born again", "born again", "born again", "born again", FURLANELLO, "accuracy", "teacher_accuracy"),
    Claim("overconfidence", "views", "exact", "labels", GUO, "ece"),
    Claim("overconfidence", "views", "exact", "labels", GUO, "ece", "ece_fitted"),
    Claim("overconfidence", "views", "exact", "labels", GUO, "ece_fitted"),
    Claim("mistaken teacher", "mistaken teacher", "classes in another order", "as it should be", REPORTED),
    Claim("mistaken teacher", "mistaken teacher", "normalised twice", "as it should be", REPORTED),
    Claim("mistaken teacher", "mistaken teacher", "its middle 24 pixels only", "as it should be", REPORTED),
    Claim("mistaken teacher", "mistaken teacher", "as drawn at 16 pixels", "as it should be", REPORTED),
)


def found(result: dict, claim: Claim) -> metrics.Paired | None:
    """The comparison of a claim; None where it has not been measured."""
    measured = settings(result)
    if claim.setting not in measured or not {claim.arm, claim.baseline} <= set(arms(result, claim.setting)):
        return None
    setting, arm, baseline = claim.setting, claim.arm, claim.baseline
    measure, other = claim.measure, claim.baseline_measure
    return compare(result, setting, arm, baseline=baseline, measure=measure, baseline_measure=other)


def measures(claim: Claim) -> str:
    """What a claim compares, in brackets, where it is not the accuracy of both."""
    if claim.baseline_measure:
        return f" ({_named(claim.measure)} against {_named(claim.baseline_measure)})"
    return "" if claim.measure == "accuracy" else f" ({_named(claim.measure)})"


def shown(pair: metrics.Paired) -> str:
    """What the interval says of a difference: "more", "less" or "not shown"."""
    if pair.low > 0:
        return "more"
    return "less" if pair.high < 0 else "not shown"


def _named(measure):
    return NAMES.get(measure, measure)


def _rows(result, setting, arm=None):
    rows = [row for row in result["rows"] if row["setting"] == setting and "arm" in row]
    return [row for row in rows if arm in (None, row["arm"])]
