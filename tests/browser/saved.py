"""What JupyterLab shows against what stands in the notebook's file; and which notebooks nbval need not run again."""

import os
import re

import lab
from nbval.plugin import IPyNbFile, coalesce_streams

WHOLE_RUN = "test_notebook_runs_in_jupyterlab_without_an_error_and_shows_what_was_saved"
ASKS_FOR_DATA = re.compile(r"\b(?:cifar10|mnist)\(")


def differences(session, path, shown):
    """What nbval would say of each compared cell; ``shown``: the outputs of all code cells, in their order."""
    for cell in IPyNbFile.from_parent(session, path=path).collect():
        now, before = coalesce_streams(shown[cell.cell_num]), coalesce_streams(cell.cell.outputs)
        if cell.options["check"] and not cell.compare_outputs(now, before):
            yield f"{path.name}, cell {cell.cell_num}:\n" + "\n".join(cell.comparison_traceback)


def run_twice(items):
    """The cells for nbval of notebooks that JupyterLab runs and compares in the same session.

    Not those that learn from real data where it is there: JupyterLab runs them without.
    """
    if lab.find_browser() is None:
        return []
    names = {item.callspec.params["ran"] for item in items if getattr(item, "originalname", None) == WHOLE_RUN}
    if os.environ.get("KDKIT_DATA"):
        names = {name for name in names if not asks_for_data(name)}
    return [item for item in items if item.path.suffix == ".ipynb" and item.path.name in names]


def asks_for_data(name):
    return bool(ASKS_FOR_DATA.search((lab.ROOT / "notebooks" / name).read_text(encoding="utf-8")))
