"""From key press to changed page, in JupyterLab in Chromium: the course's sliders beside the usual way.

    python benchmarks/latency.py --json kdkit/course/measured/latency.json

Three sliders in one notebook: the temperature bars (computed in the browser), the morph (through the network, in the
kernel), and interactive_output with a new matplotlib figure for each move. They take turns of five arrow keys. The time
is taken inside the page: from the time stamp of the key to the change of the picture, and to the end of the next frame.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "browser"))
from kdkit.data import files
from kdkit.measure import machine, profiling

import lab

PREPARE = """
from kdkit import metrics, profiling, zoo
from kdkit.data import things
from kdkit.course.widgets import MorphPanel, TemperaturePanel
import ipywidgets, matplotlib.pyplot as plt, torch
teacher = zoo.load("things-teacher")
pictures = things.make(1)
logits = metrics.predict(teacher, pictures.images)
noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
"""
TEMPERATURE = """
TemperaturePanel(logits, things.CLASSES, pictures.labels, images=pictures.images, student_logits=logits + noise)
"""
MORPH = """
panel = MorphPanel(teacher)
panel.keep(None)
panel
"""
USUAL = """
def draw(T):
    plt.figure(figsize=(6, 3))
    plt.bar(things.CLASSES, (logits[0] / T).softmax(0))
    plt.show()
slider = ipywidgets.FloatSlider(value=1, min=0.2, max=20, step=0.1, description="T")
ipywidgets.VBox([slider, ipywidgets.interactive_output(draw, {"T": slider})])
"""
WAYS = {"temperature bars": TEMPERATURE, "morph slider": MORPH, "interactive_output + matplotlib": USUAL}
KEYS = 5  # a turn
WATCH = """(number) => {
    const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[number + 1];
    const picture = cell.querySelector('.kdkit-bars') ?? cell.querySelector('.jp-OutputArea .jp-OutputArea');
    window.seen ??= [];
    window.seen[number] = { changed: [], painted: [] };
    let began = null;
    cell.addEventListener('keydown', (event) => { began = event.timeStamp; }, true);  // when the key was pressed
    new MutationObserver(() => {
        if (began === null) return;
        const from = began;
        began = null;
        window.seen[number].changed.push(performance.now() - from);
        requestAnimationFrame(() => setTimeout(() => window.seen[number].painted.push(performance.now() - from)));
    }).observe(picture, { subtree: true, childList: true, attributes: true, characterData: true });
}"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    load = profiling.load()
    with tempfile.TemporaryDirectory() as folder, lab.running_lab(Path(folder)) as running:
        seen = race(running, options.moves)
    result = {"moves": options.moves, "milliseconds": seen, "load": load, "versions": machine.versions()}
    for name, times in seen.items():
        spread = ", ".join(f"{kind} median {median(ms):.1f}, p95 {p95(ms):.1f} ms" for kind, ms in times.items())
        print(f"{name:32} {spread}")
    print(f"load before the start: {load}")
    if options.json:
        with files.replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n")


def race(running, moves):
    """Milliseconds of each move, by way and kind."""
    notebook = running.write("latency.ipynb", PREPARE, *WAYS.values())
    notebook.run_all()
    sliders = [notebook.slider(number) for number in range(len(WAYS))]
    for number in range(len(WAYS)):
        notebook.page.evaluate(WATCH, number)
    for turn in range(moves // KEYS + 1):  # the first turn warms up and does not count
        for number, slider in enumerate(sliders):
            slider.handle.focus()
            time.sleep(0.5)  # until the notebook has made this cell the active one
            for key in range(KEYS):
                notebook.page.keyboard.press("ArrowLeft" if turn % 2 else "ArrowRight")
                done = "([n, count]) => window.seen[n].painted.length >= count"
                notebook.page.wait_for_function(done, arg=[number, turn * KEYS + key + 1], timeout=10_000)
                time.sleep(0.15)
    notebook.check()
    return {
        name: {kind: values[KEYS:] for kind, values in notebook.page.evaluate("n => window.seen[n]", number).items()}
        for number, name in enumerate(WAYS)
    }


def median(values):
    return statistics.median(values)


def p95(values):
    return sorted(values)[int(0.95 * (len(values) - 1) + 0.5)]


if __name__ == "__main__":
    main()
