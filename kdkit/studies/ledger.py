"""Rows of results in a file that is always whole: what a study goes on from after it was stopped."""

import json
from collections.abc import Callable
from pathlib import Path

from kdkit.data import files

# what results must share to stand in one file
IDENTITY = ("experiment", "data_fingerprint", "teacher", "settings", "rates", "temperature", "versions", "device")


class Ledger:
    """Rows of results, with what they are results of (``about``, a dict), in a JSON file that is always whole.

    What stands in the file is kept. ``ValueError`` if it is of another experiment, or damaged, and in one of several
    processes. ``path`` None: in memory only.
    """

    def __init__(self, about: dict, path: str | Path | None = None, say: Callable[[dict], object] = print) -> None:
        files.refuse_several_processes("a study")
        self.about, self.path, self.say = about, Path(path) if path else None, say
        self.rows: list[dict] = []
        if self.path and self.path.exists():
            kept = self._read()
            self.rows = kept.pop("rows")
            other = [name for name in IDENTITY if kept.get(name) != self._plain().get(name)]
            if other:
                raise ValueError(f"{path} holds results of another {' and another '.join(other)}: give another file.")

    def row(self, key: dict, measure: Callable[[], dict]) -> dict:
        """The row of ``key``: the one that stands here, or a new one with what ``measure()`` gives."""
        kept = next((row for row in self.rows if key.items() <= row.items()), None)
        return self.add(key | measure()) if kept is None else kept

    def add(self, row: dict) -> dict:
        """Keep one more row, and give it back. Raises ``OSError`` where the file cannot be written."""
        self.rows.append(row)
        self.say(row)
        if self.path:
            with files.replacing(self.path) as temporary:
                content = {**self.about, "rows": self.rows}
                temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return row

    def _read(self):
        try:
            with files.explained(self.path, "read"):
                content = self.path.read_bytes()
            kept = json.loads(content)
            if all(isinstance(row, dict) for row in kept["rows"]):
                return kept
        except (ValueError, KeyError, TypeError):
            pass
        raise ValueError(f"{self.path} is damaged, or no result of experiments: give another file, or delete it.")

    def _plain(self):
        return json.loads(json.dumps(self.about))  # tuples as lists, as in the file
