"""A result of ``distill`` as a page to show around (one HTML file) and as a model card (Hugging Face's Markdown)."""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Iterable, Iterator
from pathlib import PurePath

from matplotlib.figure import Figure

from kdkit import __version__
from kdkit.course.figures import Table, image_tag
from kdkit.export import facts
from kdkit.export.facts import Block, Code, Finding, Result

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="kdkit {version}">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #bbb; --code: #f2f2f2; --wrong: #b33; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e6e6; --paper: #161616; --line: #555; --code: #262626; --wrong: #f77; }}
}}
body {{ max-width: 58rem; margin: 2rem auto; padding: 0 1rem; font: 1.05rem/1.55 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }}
h1 {{ line-height: 1.2; }}
.finding {{ border-left: 0.3rem solid var(--wrong); padding: 0 1rem; }}
h2 {{ margin-top: 2.5rem; border-bottom: 1px solid var(--line); }}
h1 + p {{ font-size: 1.25rem; font-weight: 600; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ padding: 0.3rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; }}
td {{ white-space: nowrap; }}
th {{ min-width: 4.5rem; overflow-wrap: normal; vertical-align: bottom; }}
th[scope="row"] {{ min-width: 8rem; max-width: 24rem; text-align: left; font-weight: 500; overflow-wrap: anywhere; }}
th[scope="row"] + td:last-child {{ white-space: normal; }}
@media (max-width: 32rem) {{
  table {{ font-size: 0.9rem; }}
  th, td {{ padding: 0.3rem; }}
  th {{ min-width: 0; }}
  th[scope="row"] {{ min-width: 5rem; }}
}}
img {{ background: #fff; }}
pre {{ background: var(--code); padding: 0.5rem 0.8rem; white-space: pre-wrap; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
ONNX_SNIPPET = """\
import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
about = session.get_modelmeta().custom_metadata_map
classes = json.loads(about["classes"])
images = np.load("images.npy")  # uint8 [N, {channels}, {height}, {width}], made as about["preprocessing"] says
logits = session.run(None, {{"images": images.astype(np.float32) / 255}})[0]
print([classes[answer] for answer in logits.argmax(1)])
"""
KIT_SNIPPET = """\
import kdkit

student = kdkit.zoo.read("{name}.safetensors")  # takes float32 images [N, {channels}, H, W] in [0, 1], gives logits
"""
NOT_KEPT = "No student was kept: give distill --out, and name that to report."
TRANSFORMERS_SNIPPET = """\
import transformers

classify = transformers.pipeline("text-classification", "{name}", truncation=True)
print(classify("A text."))
"""
TEXT_SNIPPET = """\
from kdkit.zoo import for_texts

student = for_texts.read("{name}")  # a ForTexts: student.classes, student.max_length
logits = student(**student.encode(["A text.", "Another one."]))
"""


def page(result: Result, exports: Result | None = None) -> str:
    """One HTML page that needs no other file.

    Parameters: ``result``, what ``distill --json`` wrote, or the card of a student that it kept; ``exports``, what
    ``export --json`` wrote about this student. Raises ``ValueError`` for anything else.
    """
    sections = {"": facts.summary, **facts.SECTIONS}
    facts.check(result, exports)
    with _whole():
        parts = {heading: section(result) for heading, section in sections.items()}
        if exports is not None:
            parts["Exported files"] = facts.exported(exports)
        parts["How this was made"] = facts.origin(result, exports)
        parts["Limits"] = facts.limits(result)
        title = html.escape(_title(result))
        body = [f"<h1>{title}</h1>"]
        for heading, blocks in parts.items():
            body += [f"<h2>{heading}</h2>"] if heading else []
            body += map(_html, blocks)
    return PAGE.format(version=__version__, title=title, body="\n".join(body))


def model_card(result: Result, exports: Result | None = None) -> str:
    """A model card as Hugging Face's hub reads it: Markdown below a head of YAML. Parameters and errors as ``page``.

    Pictures are left out: there they would have to be files beside it.
    """
    facts.check(result, exports)
    with _whole():
        parts: dict[str, Iterable[Block]] = {
            f"# {_line(_title(result))}": facts.summary(result),
            "## Uses": [f"To tell {len(result['classes'])} classes apart: {', '.join(result['classes'])}."],
            "## Bias, Risks, and Limitations": facts.limits(result),
            "## How to Get Started with the Model": snippets(result, exports),
            "## Training Details": facts.data(result),
            "## Evaluation": facts.comparison(result),
            "### Class by class": facts.classes(result),
            "### Mistakes that changed": facts.mistakes(result),
            "### Calibration": facts.calibration(result),
            "### Diagnosis": facts.diagnosis(result),
            "## Technical Specifications": facts.costs(result),
        }
        if exports is not None:
            parts["### Exported files"] = facts.exported(exports)
        parts["## How this was made"] = facts.origin(result, exports)
        text = [_head(result)]
        for heading, blocks in parts.items():
            text += [heading, *(_markdown(block) for block in blocks if not isinstance(block, Figure))]
    return "\n\n".join(text) + "\n"


@contextlib.contextmanager
def _whole():
    """Within, a result in which something is missing or of another kind is refused in a sentence."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
        said = f"the result is damaged ({type(error).__name__}: {error})"
        raise ValueError(f"{said}: give the same distill command again.") from error


def _title(result):
    name = f"{result['name']}: a" if "sha256" in result else "A"
    teachers = [PurePath(each).name.removesuffix(".safetensors") for each in result["teacher"].split(" and ")]
    return f"{name} network for {result['data']}, distilled from {' and '.join(teachers)}"


def snippets(result: Result, exports: Result | None) -> Iterator[str | Code]:
    """Code that runs the network, with words: with ONNX Runtime alone where it was exported, or with transformers, and
    in the kit.
    """
    if facts.kind(result) == "text":
        yield from _text_snippets(result)
        return
    channels, height, width = result["images"]["size"]
    files = [row["file"] for row in exports["exports"].values() if "file" in row] if exports else []
    onnx = [file for file in files if file.endswith(".onnx")]
    if onnx:
        yield "With onnxruntime and numpy alone:"
        yield Code(ONNX_SNIPPET.format(file=onnx[0], channels=channels, height=height, width=width), "python")
    if "sha256" in result:
        yield "With kdkit:"
        yield Code(KIT_SNIPPET.format(name=result["name"], channels=channels), "python")
    if not onnx and "sha256" not in result:
        yield NOT_KEPT


def _text_snippets(result):
    if "sha256" not in result:
        yield NOT_KEPT
        return
    yield "With transformers alone:"
    yield Code(TRANSFORMERS_SNIPPET.format(name=result["name"]), "python")
    yield "With kdkit:"
    yield Code(TEXT_SNIPPET.format(name=result["name"]), "python")


def _html(block):
    if isinstance(block, Figure):
        return f"<p>{image_tag(block)}</p>"
    if isinstance(block, dict):
        return f'<div class="wide" tabindex="0">{Table(block)._repr_html_()}</div>'
    if isinstance(block, Code):
        return f"<pre><code>{html.escape(block.text)}</code></pre>"
    if isinstance(block, Finding):
        name, told, advice = map(html.escape, block)
        said = f"<p><b>How to tell:</b> {told}</p><p><b>What to do:</b> {advice}</p>"
        return f'<div class="finding"><h3>{name}</h3>{said}</div>'
    return f"<p>{html.escape(block)}</p>"


def _markdown(block):
    if isinstance(block, Code):
        return f"```{block.language}\n{block.text.rstrip()}\n```"
    if isinstance(block, Finding):
        name, told, advice = map(_line, block)
        return f"**{name}**\n\n- How to tell: {told}\n- What to do: {advice}"
    if isinstance(block, str):
        return _line(block)
    columns = list(next(iter(block.values())))
    lines = [["", *columns], ["---", *["---:"] * len(columns)], *([name, *row.values()] for name, row in block.items())]
    return "\n".join("| " + " | ".join(_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _line(text):
    """In one line, and without what Markdown takes for markup: names are whatever folders are called."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#" else letter for letter in " ".join(str(text).split()))


def _head(result):
    """The YAML that the hub reads. JSON is YAML, so that any name is written safely."""
    accuracy = result.get("results", result["networks"].get("distilled", {})).get("accuracy")
    task = f"{facts.kind(result)}-classification"
    head = {
        "library_name": "kdkit",
        "pipeline_tag": task,
        "tags": ["knowledge-distillation"],
        "metrics": ["accuracy"],
    }
    lines = [f"{key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in head.items()]
    if accuracy is not None:
        found = {
            "name": result.get("name", "student"),
            "results": [
                {
                    "task": {"type": task},
                    "dataset": {"name": result["data"], "type": result["data"]},
                    "metrics": [{"type": "accuracy", "value": accuracy, "name": "test accuracy"}],
                }
            ],
        }
        lines.append(f"model-index: {json.dumps([found])}")
    return "\n".join(["---", *lines, "---"])
