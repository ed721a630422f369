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
