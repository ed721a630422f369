"""kdkit: knowledge distillation that you can see, touch and measure.

The modules, lowest floor first (each imports only from the floors below it):

1. ``losses``, ``models``, ``fingerprints``, ``data``, ``checkpoints``, ``files``, ``rows``, ``memory``, ``threads``,
   ``whole``, ``measured``: pure functions, networks and what tells one from another, images and text, a training on
   disk, files, tables in files, the machine, whole numbers that people give, stored figures
2. ``cache``, ``metrics``, ``profiling``, ``runs``, ``berts``: teacher logits kept; what is measured; what a network
   costs; a training from its first epoch to its last; networks that read
3. ``training``, ``distilbert``, ``transfer``, ``zoo``: ``kd_step``, ``train``; DistilBERT's recipe, and what its
   student is good for; trained weights that ship with the kit
4. ``figures``, ``workbench``, ``experiments``: pictures; quick trainings for trying out a step; fair comparisons
5. ``widgets``, ``check``, ``museum``: sliders; exercises; the symptoms of bugs
6. ``__main__``: ``python -m kdkit``

Nothing heavy is imported before it is used: ``import kdkit`` itself takes milliseconds.
"""

import importlib

from kdkit import threads

threads.sleep_while_waiting()  # now, before anything here imports torch: then it would be too late

__version__ = "0.1.0"

_FUNCTIONS = {"kd_step": "training", "train": "training", "show": "figures"}
_MODULES = (
    "berts",
    "cache",
    "check",
    "data",
    "distilbert",
    "experiments",
    "figures",
    "losses",
    "measured",
    "metrics",
    "models",
    "museum",
    "profiling",
    "training",
    "transfer",
    "widgets",
    "workbench",
    "zoo",
)

__all__ = [*_MODULES, *_FUNCTIONS]


def __getattr__(name):
    if name in _FUNCTIONS:
        value = getattr(importlib.import_module(f"kdkit.{_FUNCTIONS[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"kdkit.{name}")
    else:
        raise AttributeError(f"module 'kdkit' has no attribute {name!r}; it has: {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
