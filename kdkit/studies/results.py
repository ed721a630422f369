"""What stored results of a comparison say: means, paired differences over the seeds, sentences."""

from collections.abc import Iterator

from kdkit.measure import metrics

TUNING_SEED = 1000  # none of those that are reported: its students only served to find a learning rate
CAVEAT = (
    "Intervals are over seeds; teacher, learning rates and test images are taken as given. Of twenty 95 % intervals, "
    "one misses the truth."
)
MEASURES = ("accuracy", "agreement", "kl", "ece")
Arm = tuple[str, float | None]  # how a student is taught, and the share of images with labels, if it takes any
# what the difference of two arms says
QUESTIONS = {
    "what a teacher's answers give (argmax - labels)": ("labels", "argmax"),
    "what softness adds to them (soft - argmax)": ("argmax", "soft"),
    "both (soft - labels)": ("labels", "soft"),
}


def compare(
    result: dict, setting: str, student: str, arm: Arm, *, baseline: Arm, measure: str = "accuracy"
) -> metrics.Paired:
    """Paired gain of one (arm, budget) of a stored ``result`` over another, the ``baseline``.

    Over the seeds that both have, without those of which one diverged. Raises ``ValueError`` where none is
    left, or an arm has a seed twice.
    """
    values, others = (_by_seed(result, setting, student, *each, measure) for each in (arm, baseline))
    both = sorted(values.keys() & others.keys())
    return metrics.paired_interval([values[seed] for seed in both], baseline=[others[seed] for seed in both])


def comparisons(result: dict, measure: str = "accuracy") -> dict[tuple[str, str, float | None, str], metrics.Paired]:
    """All that a stored ``result`` compares: (setting, student, budget, question) to ``metrics.Paired``.

    The budget is None where neither of the two takes a label. What has not been trained yet is left out.
    Raises ``ValueError`` where an arm has a seed twice.
    """
    found: dict[tuple[str, str, float | None, str], metrics.Paired] = {}
    for setting, student in dict.fromkeys((row["setting"], row["student"]) for row in result["rows"]):
        own = _reported(result, setting, student)
        budgets = list(dict.fromkeys(row["budget"] for row in own if row["arm"] == "labels"))
        for question, (first, second) in QUESTIONS.items():
            for budget in budgets if "labels" in (first, second) else [None]:
                one, other = ((arm, budget if arm == "labels" else None) for arm in (first, second))
                if set.intersection(*({row["seed"] for row in _ended(own, *arm)} for arm in (one, other))):
                    pair = compare(result, setting, student, other, baseline=one, measure=measure)
                    found[setting, student, budget, question] = pair
    return found


def summary(result: dict) -> Iterator[dict]:
    """One row for each arm of a stored ``result``: a dict of what it is and the means over its seeds.

    ``diverged`` says how many of the ``seeds`` did; the means are over the others, and None where there are none.
    """
    arms: dict[tuple, list[dict]] = {}
    for row in result["rows"]:
        if row["seed"] != TUNING_SEED:
            arms.setdefault((row["setting"], row["student"], row["arm"], row["budget"]), []).append(row)
    for (setting, student, arm, budget), rows in arms.items():
        ended = _ended(rows, arm, budget)
        means = {name: sum(row[name] for row in ended) / len(ended) if ended else None for name in MEASURES}
        about = {"setting": setting, "student": student, "arm": arm, "budget": budget, "seeds": len(rows)}
        yield {**about, "diverged": len(rows) - len(ended), "lr": rows[0]["lr"], **means}


def verdicts(result: dict) -> Iterator[str]:
    """A sentence for each of ``comparisons``, with the t interval, which decides, and the bootstrap's.

    Then one for each arm of which students diverged: the comparisons leave them out. Raises ``ValueError`` as they do.
    """
    for (setting, student, budget, question), pair in comparisons(result).items():
        labelled = "" if budget is None else f", {budget:.0%} of the images labelled"
        drawn = metrics.bootstrap_interval(pair.differences, baseline=[0.0] * len(pair.differences))
        bootstrap = f"{100 * drawn.low:+.2f} to {100 * drawn.high:+.2f}"
        yield f"{setting}, student {student}{labelled}: {question}: {pair.verdict}; bootstrap {bootstrap}"
    for row in summary(result):
        if row["diverged"]:
            labelled = "" if row["budget"] is None else f" with {row['budget']:.0%} of the images labelled"
            yield (
                f"{row['setting']}, student {row['student']}, {row['arm']}{labelled}: {row['diverged']} of "
                f"{row['seeds']} trainings diverged at rate {row['lr']:g} and are left out above."
            )


def by_seed(
    result: dict, setting: str, student: str, arm: str, budget: float | None = None, measure: str = "accuracy"
) -> list[float]:
    """``measure`` of the students of one arm, in the order of their seeds, without trainings that diverged.

    Raises ``ValueError`` where no such student was trained to its end, or one seed was trained twice, with two
    learning rates.
    """
    return list(_by_seed(result, setting, student, arm, budget, measure).values())


def tuned(result: dict, setting: str, student: str) -> dict[str, float]:
    """The learning rates that were found for the three arms with all labels; empty for an unknown student."""
    return {row["arm"]: row["lr"] for row in _reported(result, setting, student) if row["budget"] in (None, 1.0)}


def tuning(result: dict, setting: str, student: str) -> dict[str, dict[float, float]]:
    """How those rates were found: arm to (rate to accuracy on validation images). Empty for an unknown student."""
    found: dict[str, dict[float, float]] = {}
    for row in sorted(_rows(result, setting, student), key=lambda row: row["lr"]):
        if row["seed"] == TUNING_SEED and row["budget"] in (None, 1.0):
            found.setdefault(row["arm"], {})[row["lr"]] = row["val_accuracy"]
    return found


def _reported(result, setting, student):
    """The rows of one student in one setting, without those that only served to find a learning rate."""
    return [row for row in _rows(result, setting, student) if row["seed"] != TUNING_SEED]


def _ended(rows, arm, budget):
    """Those of ``rows`` that belong to an arm and did not diverge."""
    wanted = {"arm": arm, "budget": budget}
    return [row for row in rows if wanted.items() <= row.items() and not row.get("diverged")]


def _rows(result, setting, student):
    wanted = {"setting": setting, "student": student}
    return [row for row in result["rows"] if wanted.items() <= row.items()]


def _by_seed(result, setting, student, arm, budget, measure):
    wanted = {"arm": arm, "budget": budget}
    found = _ended(_reported(result, setting, student), arm, budget)
    values = {row["seed"]: row[measure] for row in sorted(found, key=lambda row: row["seed"])}
    if not found or len(values) < len(found):
        problem = "was trained to its end" if not found else "was trained once only for each seed"
        raise ValueError(f"no student {student} of {setting!r} {problem} with {wanted}.")
    return values
