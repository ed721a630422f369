"""Figures that were measured beforehand, with the command that measured them: what takes too long for a notebook.

``README.md`` in this folder says how each was made. ``imagenet-soft-targets`` holds logits of a published network.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of what ``load`` can give."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """What was measured under ``name``. Raises ``ValueError`` for an unknown name."""
    if name not in names():
        raise ValueError(f"nothing measured is called {name!r}; there are: {', '.join(names())}.")
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def values(result: dict[str, Any], measure: str, **where: Any) -> list[Any]:
    """``measure`` of those rows of ``result``, as ``load`` gives it, that are as ``where`` says: one for each seed.

    Raises ``ValueError`` where there is no such row.

    >>> [round(value, 3) for value in values(load("ablation"), "accuracy", setting="full", arm="triple loss")]
    [0.359, 0.359, 0.361]
    """
    rows = [row for row in result["rows"] if all(row.get(name) == value for name, value in where.items())]
    if not rows:
        raise ValueError(f"no row of this result has {where}.")
    return [row[measure] for row in sorted(rows, key=lambda row: row["seed"])]
