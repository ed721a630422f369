"""A better teacher, or more steps? What the stored students of two teachers say: ``benchmarks/teachers.py`` made them.

An arm is (teacher, length): both teachers have one size and one recipe, and were trained for 12 epochs or for 50.
"""

import statistics

from kdkit.measure import metrics

WEAK, STRONG = "12 epochs", "50 epochs"
SHORT, LONG = "600 steps", "2,400 steps"
QUESTIONS = {  # what is gained over what
    "better teacher, 600 steps": ((STRONG, SHORT), (WEAK, SHORT)),
    "better teacher, 2,400 steps": ((STRONG, LONG), (WEAK, LONG)),
    "more steps, worse teacher": ((WEAK, LONG), (WEAK, SHORT)),
    "more steps, better teacher": ((STRONG, LONG), (STRONG, SHORT)),
    "better teacher instead of more steps": ((STRONG, SHORT), (WEAK, LONG)),
}


def by_seed(result: dict, arm: tuple[str, str], measure: str) -> list[float]:
    """``measure`` of the students of an ``arm``, in the order of their seeds."""
    found = [row for row in result["rows"] if (row.get("teacher"), row.get("steps")) == arm]
    return [row[measure] for row in sorted(found, key=lambda row: row["seed"])]


def gains(result: dict, measure: str) -> dict[str, metrics.Paired]:
    """The paired gains in ``measure``, over seeds: each of ``QUESTIONS`` to its ``Paired``."""
    return {
        question: metrics.paired_interval(by_seed(result, first, measure), baseline=by_seed(result, second, measure))
        for question, (first, second) in QUESTIONS.items()
    }


def table(result: dict) -> dict[str, dict[str, str]]:
    """Both teachers, and the means over seeds of their students: a table of validity and coverage."""
    rows = {}
    for name in WEAK, STRONG:
        taught = next(row for row in result["rows"] if row.get("about") == name)
        rows[f"teacher, {name}"] = {measure: f"{taught[measure]:.1%}" for measure in ("validity", "coverage")}
        for length in SHORT, LONG:
            values = {measure: by_seed(result, (name, length), measure) for measure in ("validity", "coverage")}
            means = {measure: f"{statistics.mean(each):.1%}" for measure, each in values.items()}
            rows[f"student of {name}, {length}"] = means
    return rows


def verdict(result: dict) -> str:
    """A title: which gains more validity, the better teacher or four times the steps, if that is shown."""
    pair = gains(result, "validity")["better teacher instead of more steps"]
    if pair.low > 0:
        return "The better teacher gains more validity than four times the steps"
    if pair.high < 0:
        return "Four times the steps gain more validity than the better teacher"
    return "Which gains more validity, teacher or steps, is not shown"
