"""What the stored study of features and other losses says: ``benchmarks/beyond_logits.py`` made it.

An arm is "labels", "kd" (plain distillation with the weight 0.9), "kd, tuned" (its weight was tuned as often as the
weights of the others), or a method. Its students are those of the try that was best on validation images.
"""

from kdkit.measure import metrics
from kdkit.studies.results import TUNING_SEED

PLAIN = ("labels", "kd")  # what the others are compared with: for them only the rate was tuned


def arms(result: dict, setting: str) -> list[str]:
    """The arms of a setting of which more than one student has been trained, in the order in which they were."""
    methods = list(dict.fromkeys(row["method"] for row in _rows(result, setting)))
    names = [name for method in methods for name in ([method, "kd, tuned"] if method == "kd" else [method])]
    return [name for name in names if len(accuracies(result, setting, name)) > 1]


def tries(result: dict, setting: str, arm: str, papers: bool = False) -> list[dict]:
    """The rows that ``arm`` was tuned by; ``papers``: only those with the weight of its paper.

    They may be those of another setting: one that says where it is ``tuned_in``.
    """
    method, setting = _method(arm), result["settings"][setting].get("tuned_in") or setting
    found = {(row["weight"], row["lr"]): row for row in _rows(result, setting, method) if _is_try(row)}
    rates, finer = result["rates"]
    published = result["weights"].get(method)
    if arm in PLAIN:
        wanted = [(published, rate) for rate in finer]
        return [found[key] for key in wanted if key in found]
    first = [found[published, rate] for rate in rates if (published, rate) in found]
    return first if papers else first + [row for key, row in found.items() if key[0] != published]


def chosen(result: dict, setting: str, arm: str, papers: bool = False) -> dict:
    """The best of ``tries``: a row. Raises ``ValueError`` where there is none."""
    rows = tries(result, setting, arm, papers)
    if not rows:
        raise ValueError(f"{arm!r} was not tried in the setting {setting!r}.")
    return best_of(rows)


def best_of(rows: list[dict]) -> dict:
    """The first of the tries ``rows`` that were best on validation images."""
    return max(rows, key=lambda row: row["val_accuracy"])


def accuracies(result: dict, setting: str, arm: str, papers: bool = False) -> list[float]:
    """Test accuracy of the students of ``arm`` with its chosen rate and weight, in the order of their seeds.

    Without those that diverged. Raises ``ValueError`` where a seed comes twice.
    """
    return list(_by_seed(result, setting, arm, papers).values())


def gains(result: dict, setting: str, baseline: str, papers: bool = False) -> dict[str, metrics.Paired]:
    """The paired gain of each method over ``baseline``, an arm, by its name, the largest first.

    Over the seeds that both have. Empty where the baseline was not trained. An arm whose best try was the baseline's
    own is left out. Raises ``ValueError`` where a seed comes twice.
    """
    if baseline not in arms(result, setting):
        return {}
    base, own = _by_seed(result, setting, baseline), chosen(result, setting, baseline)
    found = {}
    for arm in arms(result, setting):
        values = _by_seed(result, setting, arm, papers and arm not in PLAIN)
        both = sorted(values.keys() & base.keys())
        if arm not in PLAIN and both and chosen(result, setting, arm, papers) != own:
            pairs = [values[seed] for seed in both], [base[seed] for seed in both]
            found[arm] = metrics.paired_interval(pairs[0], baseline=pairs[1])
    return dict(sorted(found.items(), key=lambda item: -item[1].mean))


def more_bytes(costs: dict, method: str, baseline: str) -> int:
    """How much memory a step with ``method`` takes beyond one with ``baseline``, by their ``costs`` in a setting.

    What is kept until the backward pass, and the weights that learn beside the student, each with its gradient and its
    momentum, in float32. What comes and goes within the step is not counted.
    """
    mine, other = costs[method], costs[baseline]
    return mine["kept"] - other["kept"] + 3 * 4 * (mine["more_weights"] - other["more_weights"])


def verdict(found: dict[str, metrics.Paired]) -> str:
    """One sentence on such gains: for which of them the interval leaves out 0."""
    better, worse = ([name for name, pair in found.items() if shown(pair)] for shown in (_gains, _loses))
    sentence = f"A gain is shown for {len(better)} of {len(found)}{': ' * bool(better)}{', '.join(better)}"
    return sentence + f"; a loss for {len(worse)}: {', '.join(worse)}" * bool(worse)


def _by_seed(result, setting, arm, papers=False):
    """Seed to test accuracy, of the students of ``arm`` that did not diverge."""
    best = chosen(result, setting, arm, papers)
    rows = [row for row in _rows(result, setting, _method(arm)) if not _is_try(row) and not row.get("diverged")]
    rows = [row for row in rows if (row["weight"], row["lr"]) == (best["weight"], best["lr"])]
    found = {row["seed"]: row["accuracy"] for row in sorted(rows, key=lambda row: row["seed"])}
    if len(found) < len(rows):
        raise ValueError(f"a seed of {arm!r} in the setting {setting!r} was trained twice.")
    return found


def _gains(pair):
    return pair.low > 0


def _loses(pair):
    return pair.high < 0


def _method(arm):
    return "kd" if arm == "kd, tuned" else arm


def _is_try(row):
    return row["seed"] == TUNING_SEED


def _rows(result, setting, method=None):
    rows = [row for row in result["rows"] if row.get("setting") == setting]
    return [row for row in rows if method in (None, row["method"])]
