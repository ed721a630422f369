"""Fair comparisons over seeds: tuned alike, resumable, with an interval."""

from kdkit.studies import failures, generators, methods, teachers, top_k
from kdkit.studies.comparison import (
    FIRST_RATE,
    RATES,
    SETTINGS,
    TEMPERATURE,
    Comparison,
    Setting,
    expected_seconds,
    judge,
    run,
    taught_by,
    with_labels,
)
from kdkit.studies.diagnosis import Diagnosis, diagnose
from kdkit.studies.ledger import Ledger
from kdkit.studies.results import (
    CAVEAT,
    MEASURES,
    QUESTIONS,
    TUNING_SEED,
    by_seed,
    compare,
    comparisons,
    summary,
    tuned,
    tuning,
    verdicts,
)

__all__ = [
    "CAVEAT",
    "FIRST_RATE",
    "MEASURES",
    "QUESTIONS",
    "RATES",
    "SETTINGS",
    "TEMPERATURE",
    "TUNING_SEED",
    "Comparison",
    "Diagnosis",
    "Ledger",
    "Setting",
    "by_seed",
    "compare",
    "comparisons",
    "diagnose",
    "expected_seconds",
    "failures",
    "generators",
    "judge",
    "methods",
    "run",
    "summary",
    "taught_by",
    "teachers",
    "top_k",
    "tuned",
    "tuning",
    "verdicts",
    "with_labels",
]
