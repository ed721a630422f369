"""What moves on the web site: the panels of its own pages, the scripts, and the teacher's weights."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

from kdkit import figures, models, zoo
from kdkit.course.widgets import DrawingPanel
from kdkit.course.widgets.bars import Bars
from kdkit.course.widgets.convnet import in_browser
from kdkit.course.widgets.drawing import Canvas
from kdkit.course.widgets.flipbook import Pages
from kdkit.course.widgets.humps import Humps
from kdkit.course.widgets.morph import AMOUNTS, on_a_page
from kdkit.course.widgets.panel import Looks, for_page, script
from kdkit.course.widgets.shape import Shapes
from kdkit.course.widgets.temperature import PRESETS, STOPS
from kdkit.course.widgets.top_k import TopKBars
from kdkit.data import things
from kdkit.measure import metrics
from tools.links import ROOT

TEACHER = "things-teacher"
PAIRS = ("chair-armchair", "chair-stool", "armchair-sofa", "table-stool", "mushroom-umbrella", "lamp-tree")
START = 4.0  # the temperature at which a reader meets the bars
SEED = 10  # a chair for which the armchair comes second, as on average, and which tips about half-way
LONGEST = (
    "0.00 of the way from mushroom to umbrella. At T = 0.2: armchair 0.000, umbrella 0.000, mushroom 0.000; least "
    "armchair 1e-99. First to second: 999,999.9 to 1."
)
VIEWS = Bars, Canvas, Pages, Humps, Shapes, TopKBars, Looks


def landing():
    """The morph of the front page: its still picture, and the panel in which the teacher answers."""
    teacher = zoo.load(TEACHER)
    images = {pair: things.morph(*pair.split("-"), AMOUNTS, seed=SEED) for pair in PAIRS}
    page = on_a_page(images, STOPS, LONGEST, network=models.fingerprint(teacher), guessing=False)
    options, start = [f"{stop:g}" for stop in STOPS], STOPS.index(START)
    slider = {"kind": "slider", "description": "Temperature", "options": options, "index": start}
    [morph, bars] = page["parts"]
    bars["state"] |= {"presets": list(PRESETS), "stop": start}
    page["parts"] = [morph, slider, bars]
    page["links"] = [[0, name, 2, follower] for _, name, _, follower in page["links"]] + [[1, "index", 2, "stop"]]
    first = images[PAIRS[0]][0]
    soft = (metrics.predict(teacher, first[None])[0] / START).softmax(0)
    picture = figures.soft_target(soft.tolist(), things.CLASSES, image=first, title=f"temperature {START:g}")
    said = ", ".join(f"{things.CLASSES[k]} {soft[k]:.2f}" for k in soft.topk(3).indices)
    return _raw(figures.image_tag(picture, f"A drawn chair, and the teacher's answer at T = {START:g}: {said}."), page)


def drawing():
    """The sheet to draw on, with its still picture."""
    panel = DrawingPanel(zoo.load(TEACHER))
    return _raw(panel.still(), panel.alive())


def _raw(still, alive):
    """HTML as MyST takes it over: in one block, without an empty line."""
    return f"<div>{still}{for_page(alive)}</div>".replace("\n", " ")


def write_scripts(folder):
    """Write into ``folder`` what the pages run: kdkit.js, with the QR code's library if npm has it, and teacher.js."""
    library = _qr_library()
    page = (ROOT / "docs" / "site" / "page.js").read_text(encoding="utf-8")
    parts = [library, "const kdkit = { views: {}, networks: {} };", *views().values(), f"(() => {{\n{page}}})();\n"]
    (folder / "kdkit.js").write_text("\n".join(parts), encoding="utf-8")
    (folder / "teacher.js").write_text(_network(zoo.load(TEACHER)), encoding="utf-8")
    return bool(library)


def views():
    """The scripts of all views, by kind, as ``state_of`` names it; the morph has one on pages only."""
    sources = {view.__name__.lower(): str(view._esm) for view in VIEWS}
    sources["morph"] = script("numbers.js", "convnet.js", "morph.js")
    return {kind: _view(kind, source) for kind, source in sources.items()}


def _view(name, source):
    """A view's module as a part of a plain script, for a page in a folder may load no modules."""
    body, found = source.replace("export default { render };", f"kdkit.views.{name} = {{ render }};"), "export default"
    if found in body or f"kdkit.views.{name}" not in body:
        raise ValueError(
            f"the view {name!r} is to end with 'export default {{ render }};', and to export nothing else."
        )
    return f"(() => {{\n{body}}})();"


def _network(network):
    found = in_browser(network)
    found["weights"] = base64.b64encode(found["weights"]).decode()
    return f"kdkit.networks[{json.dumps(models.fingerprint(network))}] = {json.dumps(found)};\n"


def _qr_library():
    """qrcode-generator (MIT, Kazuhiko Arase): from $KDKIT_NPM, or by npm; empty where neither has it."""
    folder = Path(os.environ.get("KDKIT_NPM", ROOT / "build" / "npm"))
    path = folder / "node_modules" / "qrcode-generator" / "dist" / "qrcode.js"
    if not path.exists() and shutil.which("npm"):
        command = ["npm", "install", "--prefix", ROOT / "build" / "npm", "--no-save", "--ignore-scripts", "--no-audit"]
        subprocess.run([*command, "--no-fund", "qrcode-generator@2"], capture_output=True)
        path = ROOT / "build" / "npm" / path.relative_to(folder)
    return path.read_text(encoding="utf-8") if path.exists() else ""
