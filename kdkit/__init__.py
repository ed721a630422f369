"""kdkit: knowledge distillation that you can see, touch and measure.

``PACKAGES`` says what lies where. Nothing heavy is imported before it is used: ``import kdkit`` takes milliseconds.
"""

import importlib

from kdkit.measure import machine

machine.sleep_while_waiting()  # now, before anything here imports torch: then it would be too late

__version__ = "0.1.0"

# The packages, lowest floor first: each imports only from those above it in this table.
PACKAGES = {
    "losses": "pure functions of tensors, and the checks of what is handed to them",
    "data": "images, their views and corruptions, drawn things, folders, text; seeds and files",
    "models": "the course's networks, DistilBERT's classes, and what holds for any network",
    "zoo": "trained weights with their cards",
    "measure": "scores and intervals, what a network costs, and on what machine",
    "training": "the step, the loop, checkpoints, the cache of teacher outputs, and a recipe for each kind of data",
    "studies": "fair comparisons over seeds, resumable",
    "course": "exercises, sliders, figures, quick trainings, stored results",
    "export": "trained networks as files that run without the kit, and the report to show around",
    "cli": "``python -m kdkit``",
}
# What ``kdkit.NAME`` and ``from kdkit import NAME`` find below the packages.
_MODULES = {
    "bert": "models",
    "gpt": "models",
    "masked_lm": "training",
    "generators": "training",
    "fine_tuning": "training",
    "metrics": "measure",
    "profiling": "measure",
    "machine": "measure",
    "bugs": "course",
    "check": "course",
    "figures": "course",
    "inside": "course",
    "lessons": "course",
    "measured": "course",
    "patients": "course",
    "sandbox": "course",
    "widgets": "course",
    "doctor": "cli",
}
_FUNCTIONS = {
    "kd_step": "training",
    "compute_loss": "training",
    "train": "training",
    "diagnose": "studies",
    "show": "course.figures",
}

__all__ = [*PACKAGES, *_MODULES, *_FUNCTIONS]


def __getattr__(name):
    if name in _FUNCTIONS:
        value = getattr(importlib.import_module(f"kdkit.{_FUNCTIONS[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"kdkit.{_MODULES[name]}.{name}")
    elif name in PACKAGES:
        value = importlib.import_module(f"kdkit.{name}")
    else:
        raise AttributeError(f"module 'kdkit' has no attribute {name!r}; it has: {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
