"""Run the notebooks and keep their outputs, or check what stands in the files.

    python -m tools.notebooks [FILE ...]           run in place, then check
    python -m tools.notebooks --check [FILE ...]   check only

Without files: all of ``notebooks/``. Running twice gives the same file, byte for byte, where the outputs are
stable: nothing that a machine or a moment leaves behind (widget ids, times, the kernel's name) is written. How long
the code took in all is, where it is another figure than before: see tools/minutes.py.
"""

import argparse
import contextlib
import html.parser
import json
import os
import queue
import re
import statistics
import subprocess
import sys
from pathlib import Path

from tools.cells import code_cells, has_tag, text
from tools.drawing import drawn_by
from tools.links import ROOT, repository
from tools.minutes import WIDGET_VIEW, note_seconds

PROGRESS_BAR = re.compile(r"\d+%\|.*\| \d+/\d+ \[")  # as tqdm writes it
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {  # what "export as script" and colours need; a kernel adds its version, which differs between machines
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}


def outputs(notebook):
    """(number of the cell, output) of all outputs."""
    return [(number, output) for number, cell in code_cells(notebook) for output in cell["outputs"]]


def raises_on_purpose(cell):
    """The tag is what nbval, nbclient and JupyterLab's Run All know; a comment would only reach nbval."""
    return has_tag(cell, "raises-exception")


# ------------------------------------------------------------------------------------------------- rules
# Each takes the notebook (the JSON as read) and its size in bytes, and yields what is wrong, a sentence each.


def language_is_named(notebook, size):
    for key, wanted in ("kernelspec", KERNELSPEC), ("language_info", LANGUAGE):
        if notebook["metadata"].get(key) != wanted:
            yield f"metadata.{key} is {notebook['metadata'].get(key)}, not {wanted}: it exports as a script otherwise"


def kdkit_comes_first(notebook, size):
    for number, cell in code_cells(notebook):
        names = re.findall(r"^(?:import|from) (kdkit|torch)", text(cell["source"]), re.MULTILINE)
        if names[:1] == ["torch"]:
            yield f"cell {number} imports torch before kdkit, which sets how torch's threads wait"
        if names:
            return


def drawn_as_now(notebook, size):
    if notebook["metadata"].get("kdkit", {}).get("drawn_by") != _drawn_by(notebook):
        yield "its pictures are older than the code that draws them: make notebooks NOTEBOOKS=..."


def _drawn_by(notebook):
    return drawn_by(text(cell["source"]) for _, cell in code_cells(notebook))


def no_widget_state(notebook, size):
    if "widgets" in notebook["metadata"]:
        yield "metadata.widgets is there: GitHub would show 'Invalid Notebook'"


def no_widget_views(notebook, size):
    for number, output in outputs(notebook):
        if WIDGET_VIEW in output.get("data", {}):
            yield f"cell {number}: a widget view without its state shows as 'model not found'"


def every_cell_was_run(notebook, size):
    for number, cell in code_cells(notebook):
        if cell["execution_count"] is None:
            yield f"cell {number} was not run, so nothing of it is compared"


def counts_in_order(notebook, size):
    counts = [cell["execution_count"] for _, cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}"


def no_errors(notebook, size):
    for number, cell in code_cells(notebook):
        errors = [output["ename"] for output in cell["outputs"] if output["output_type"] == "error"]
        if errors and not raises_on_purpose(cell):
            yield f"cell {number} shows {errors[0]}; tag it raises-exception if that is the lesson"


def no_bare_show(notebook, size):
    for number, cell in code_cells(notebook):
        if "plt.show(" in text(cell["source"]):
            yield f"cell {number} calls plt.show: its picture has no alt text; use kdkit.show(fig, alt=...)"


def no_tag_twice(notebook, size):
    for number, cell in enumerate(notebook["cells"]):
        tags = cell["metadata"].get("tags", [])
        if len(tags) != len(set(tags)):
            yield f"cell {number} (counting all cells) has a tag twice, and the format forbids that: {tags}"


def solutions_are_folded(notebook, size):
    for number, cell in code_cells(notebook):
        folded = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        if has_tag(cell, "solution") and not folded:
            yield f"cell {number} is a solution that stands open: set metadata.jupyter.source_hidden"


def small_enough(notebook, size, limit=1_500_000):
    if size > limit:
        yield f"{size / 1e6:.1f} MB, more than {limit / 1e6:.1f}"


def short_cells(notebook, size, median=6, longest=25):
    lines = [len(text(cell["source"]).splitlines()) for _, cell in code_cells(notebook)]
    if lines and statistics.median(lines) > median:
        yield f"the median code cell has {statistics.median(lines):g} lines, more than {median}"
    too_long = sum(n > longest for n in lines)
    if too_long > 0.02 * len(lines):
        yield f"{too_long} of {len(lines)} code cells have over {longest} lines, more than 2 %"


def enough_compared_cells(notebook, size, least=5):
    marker = re.compile(r"^\s*#\s*NBVAL_CHECK_OUTPUT\s*$", re.MULTILINE)
    compared = [
        number
        for number, cell in code_cells(notebook)
        if marker.search(text(cell["source"])) or has_tag(cell, "nbval-check-output")
    ]
    if len(compared) < least:
        yield f"{len(compared)} cells are compared by nbval (NBVAL_CHECK_OUTPUT), fewer than {least}"


class _Images(html.parser.HTMLParser):
    """The alt text of each <img>, "" where there is none."""

    def __init__(self, source):
        super().__init__()
        self.alts = []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.alts.append((dict(attributes).get("alt") or "").strip())


def images_have_alt(notebook, size):
    for number, output in outputs(notebook):
        data = output.get("data", {})
        if not all(_Images(text(data.get("text/html", ""))).alts):
            yield f"cell {number}: an <img> without alt text"
        if any(kind.startswith("image/") for kind in data) and "text/html" not in data:
            yield f"cell {number}: a picture without text/html beside it, which would carry the alt text"
    for number, cell in enumerate(notebook["cells"]):
        source = text(cell["source"])
        if cell["cell_type"] == "markdown" and ("![](" in source or not all(_Images(source).alts)):
            yield f"text cell {number} (counting all cells): a picture without alt text"


def _as_text(output):
    """What a reader could see of an output as text: no pixels."""
    data = {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}
    parts = [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", []), *data.values()]
    joined = "\n".join(text(part) if isinstance(part, str | list) else json.dumps(part) for part in parts)
    return re.sub(r"data:image/[^\"')\s]*", "", joined)


def no_machine_paths(notebook, size):
    for number, output in outputs(notebook):
        found = re.search(r"(?<![\w.])/(?:root|home|tmp|work|Users)/[^\s'\"]*", _as_text(output))
        if found:
            yield f"cell {number} prints a path of the machine it ran on: {found[0]}"


def no_addresses(notebook, size):
    for number, output in outputs(notebook):
        found = re.search(r"<[^<>]* at 0x[0-9a-f]{6,}>", _as_text(output))
        if found:
            yield f"cell {number} prints a memory address, another one in each run: {found[0]}"


RULES = (
    language_is_named,
    kdkit_comes_first,
    drawn_as_now,
    no_widget_state,
    no_widget_views,
    every_cell_was_run,
    counts_in_order,
    no_errors,
    no_bare_show,
    no_tag_twice,
    solutions_are_folded,
    small_enough,
    short_cells,
    enough_compared_cells,
    images_have_alt,
    no_machine_paths,
    no_addresses,
)


def quiz_places(notebook):
    """The places, from 1, of the right options of each quiz question: its explanation begins with Yes."""
    texts = [text(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    for quiz in [source for source in texts if re.search(r"^##+ (◆ )?Quiz", source, re.MULTILINE)]:
        for question in re.split(r"^\*\*\d+\. ", quiz, flags=re.MULTILINE)[1:]:
            said = re.findall(r"^<details><summary>.*?</summary>(.*?)</details>", question, re.DOTALL | re.MULTILINE)
            yield [place for place, words in enumerate(said, 1) if re.match(r"\s*Yes\b", words)]


def check(path):
    """All that breaks a rule in one file, as ``file: rule: what`` lines."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    size = path.stat().st_size
    return [f"{path.name}: {rule.__name__}: {what}" for rule in RULES for what in rule(notebook, size)]


# ------------------------------------------------------------------------------------------------- running


def executed(path, python=sys.executable):
    """A copy of the notebook with fresh outputs, times and the state of its widgets, by a kernel of that ``python``."""
    import nbformat  # slow to import, and checks do without it
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        km=_kernel_manager(python),
        resources={"metadata": {"path": str(path.parent)}},
        timeout=600,
        coalesce_streams=True,
    )
    # To stderr a kernel only grumbles about its transport; without "cleanup_kc" it lives as long as this process.
    client.execute(cleanup_kc=True, stderr=subprocess.DEVNULL)
    _fail_on_broken_widgets(notebook)
    return notebook


def run(path):
    """Execute a notebook in place, in its own folder; see ``note_seconds`` and ``clean``."""
    import nbformat

    notebook = executed(path)
    note_seconds(notebook)
    path.write_text(nbformat.writes(clean(notebook)) + "\n", encoding="utf-8")


def failure(path, work=run):
    """Do ``work``, which executes a notebook; where that fails, why, in a list, and nothing is written."""
    from nbclient.exceptions import CellExecutionError

    print(f"running {path.name}", flush=True)
    try:
        work(path)
    except (CellExecutionError, BrokenWidget, FileNotFoundError) as error:
        return [f"{path.name}: {error}"]
    return []


class BrokenWidget(Exception):
    """A callback raised inside a widget: no cell shows it, so nbclient alone would pass it."""


def _fail_on_broken_widgets(notebook):
    states = notebook["metadata"].get("widgets", {}).values()
    models = [model for state in states for model in state["state"].values()]
    for output in [output for model in models for output in model["state"].get("outputs", ())]:
        if output["output_type"] == "error":
            raise BrokenWidget("in a widget: " + "\n".join(output["traceback"]))


def _kernel_manager(python):
    """A kernel of that Python, whatever kernel named "python3" the machine has."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.asynchronous import AsyncKernelClient
    from jupyter_client.channels import AsyncZMQSocketChannel
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThatPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            _, *launch = get_kernel_dict()["argv"]
            return KernelSpec(**get_kernel_dict() | {"argv": [str(python), *launch]})

    class Patient(AsyncZMQSocketChannel):
        """Looks again each second: of a reply that comes while a widget's output is sent, zmq may give no sign."""

        async def get_msg(self, timeout=None):
            while timeout is None or timeout > 1:
                with contextlib.suppress(queue.Empty):
                    return await super().get_msg(timeout=1)
                timeout = timeout and timeout - 1
            return await super().get_msg(timeout=timeout)

    class Client(AsyncKernelClient):
        shell_channel_class = Patient

    return AsyncKernelManager(kernel_spec_manager=ThatPython(), client_factory=Client)


def portable(source):
    """Markdown for a copy that will be handed on: links to the repository's files lead to GitHub."""
    return source.replace("](../", f"](https://github.com/{repository()}/blob/main/")


def clean(notebook):
    """Take out what differs from run to run or from machine to machine, and note what has drawn the pictures.

    For a notebook that has just been run; changes and returns it.
    """
    notebook["metadata"].pop("widgets", None)
    notebook["metadata"]["kernelspec"] = dict(KERNELSPEC)
    notebook["metadata"]["language_info"] = dict(LANGUAGE)
    notebook["metadata"].setdefault("kdkit", {})["drawn_by"] = _drawn_by(notebook)
    for cell in notebook["cells"]:
        for key in ("execution", "trusted", "collapsed", "scrolled"):
            cell["metadata"].pop(key, None)
        if cell["cell_type"] == "code":
            cell["outputs"] = [output for output in map(_clean_output, cell["outputs"]) if output]
    return notebook


def _clean_output(output):
    """Without the widget view (its id is random, its state is not kept): the text or picture beside it stays.

    None where nothing is left, or only how far a progress bar had come when it was made.
    """
    hide_folders(output)
    data = output.get("data", {})
    if data.pop(WIDGET_VIEW, None) and (not data or PROGRESS_BAR.search(text(data.get("text/plain", "")))):
        return None
    return output


def hide_folders(output):
    """Shorten the paths in a traceback; other outputs have none."""
    if "traceback" in output:
        output["traceback"] = [_without_folders(line) for line in output["traceback"]]


def _without_folders(line):
    """``/somewhere/site-packages/torch/x.py`` -> ``torch/x.py``, colour codes before it left alone.

    IPython 7, which Colab has, calls a cell ``/tmp/ipykernel_4711/12.py``, by the number of its process: ``12.py``.
    """
    line = line.replace(f"{ROOT}{os.sep}", "").replace(f"~/{_below_home(ROOT)}", "")
    return re.sub(r"((?:\x1b\[[\d;]*m)?)[\w.~/+-]*/(?:site-packages|ipykernel_\d+)/", r"\1", line)


def _below_home(path):
    """IPython writes ``~`` for the home folder. What no traceback holds, where ``path`` lies elsewhere."""
    return f"{path.relative_to(Path.home())}/" if path.is_relative_to(Path.home()) else "\0"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="do not run, only check")
    parser.add_argument("files", nargs="*", type=Path, help="default: all of notebooks/")
    options = parser.parse_args(arguments)
    broken = []
    for path in options.files or sorted((ROOT / "notebooks").glob("*.ipynb")):
        broken += (not options.check and failure(path.resolve())) or check(path)
    print("\n".join(broken) or "every rule holds")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
