"""What a result of ``distill`` says, in sections: sentences, tables and pictures, whatever they are written as."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from kdkit.course import figures
from kdkit.data.files import in_words
from kdkit.measure import metrics
from kdkit.studies.results import CAVEAT

Rows = dict[str, dict[str, str]]  # a table: name of a row to (name of a column to text)


class Code(NamedTuple):
    """Lines to be typed as they stand: in a terminal ("sh"), or in "python"."""

    text: str
    language: str = "sh"


class Finding(NamedTuple):
    """What a check found wrong: its ``name``, how to tell, and what to do about it."""

    name: str
    told: str
    advice: str


Block = str | Rows | Figure | Code | Finding
Result = Mapping[str, Any]
NAMES = {"teacher": "teacher", "alone": "student alone", "distilled": "student distilled"}
MOST_CLASSES = 20  # in a table
NEEDED = (
    *("data", "classes", "teacher", "runs", "networks", "described", "cost"),
    *("command", "settings", "versions"),
)
OF_TEXTS = (
    "Not made: distill asks kdkit.diagnose about images alone. It takes networks that read, too, with loaders of their "
    "tokens."
)
NOT_LOOKED_AT = (
    "The diagnosis does not look at whether each label is right, whether the images are like those that the student "
    "will meet, what the images of a class share that should not matter (a background, a missing colour), or the other "
    "students."
)


def kind(result: Result) -> str:
    """What the networks of ``result`` see, one of them: "text" or "image"."""
    return "text" if "texts" in result else "image"


def check(result: Result, exports: Result | None) -> None:
    """``ValueError`` unless ``result`` is one of ``distill``, and ``exports``, if any, one of ``export``."""
    missing = [name for name in (*NEEDED, f"{kind(result)}s") if name not in result]
    if missing:
        raise ValueError(
            f"the result holds no {', '.join(missing)}: a report is made of what distill --json wrote, or of a student "
            "that distill --out kept. If an earlier kdkit made it, give the same distill command again: what was "
            "trained is not trained again."
        )
    if exports is None:
        return
    if "exports" not in exports:
        raise ValueError("--exports must be what export --json wrote; this file tells of no exported network.")
    if len({exports.get("sha256"), result.get("sha256")} - {None}) > 1:
        raise ValueError(f"--exports tells of another network ({exports.get('network')}), not of the student reported.")


def summary(result: Result) -> list[Block]:
    """The verdict, and what stands beside it."""
    verdict, settings = result["verdict"], result["settings"]
    said = f"Distillation: {verdict}." if verdict else "Nothing can be said: some of the students did not learn."
    if (result.get("diagnosis") or {}).get("findings"):
        found = ", ".join(result["diagnosis"]["findings"])
        said += f" But something is wrong: {found}. See Diagnosis before you use a figure."
    blocks: list[Block] = [said, *result["broken"]]
    pairs = f"{len(result['runs'])} pair{'s' * (len(result['runs']) != 1)} of students"
    blocks.append(
        f"{pairs} were trained on {result['data']}. Both of a pair begin with the same weights and see the same "
        f"{kind(result)}s in the same order; one learns from the labels alone, the other also from the answers of "
        f"{result['teacher']} (temperature {settings['temperature']:g}, weight "
        f"{settings['soft_weight']:g} for them and {settings['hard_weight']:g} for the labels)."
    )
    return [*blocks, overview(result), *kept(result)]


def overview(result: Result) -> Rows:
    """A row for teacher and students: what they know and cost."""
    rows, cost = {}, result["cost"]
    for name, about in result["networks"].items():
        costs = cost.get("teacher" if name == "teacher" else "student")
        rows[NAMES[name]] = {
            "test accuracy": f"{about['accuracy']:.2%}",
            "answers as the teacher": f"{about['agreement']:.2%}",
            "parameters": f"{costs['parameters']:,}" if costs else "not measured",
            f"one {kind(result)}": f"{costs['milliseconds']['1']:.2f} ms" if costs else "not measured",
        }
    return rows


def kept(result: Result) -> list[Block]:
    """Which student the file holds, if it is one's card."""
    if "sha256" not in result:
        return []
    best = result["results"]
    texts, what = kind(result) == "text", f"{kind(result)}s"
    place = f"folder {result['name']}" if texts else f"file {result['name']}.safetensors"
    return [
        f"The {place} holds the distilled student of seed {best['seed']}, which was best on the validation {what}. On "
        f"the test {what}: {best['accuracy']:.2%}, measured as it was written{'' if texts else ', in half precision'}."
    ]


def data(result: Result) -> list[Block]:
    """The images or texts, and what is too little in them."""
    if kind(result) == "text":
        most = result["texts"]["max_length"]
        return [
            *result["described"],
            f"Teacher and students read the first {most} tokens of a text, in the same tokens.",
        ]
    channels, height, width = result["images"]["size"]
    colours = "in colour" if channels == 3 else "in shades of grey"
    seen = f"All are seen at {height}x{width} pixels, {colours}"
    teacher = result["images"].get("teacher_size", [channels, height, width])
    larger = "" if teacher == [channels, height, width] else f"; the teacher sees them at {teacher[1]}x{teacher[2]}"
    return [*result["described"], f"{seen}{larger}."]


def comparison(result: Result) -> list[Block]:
    """Pair by pair, and the interval."""
    rows, ended = {}, [row for row in result["runs"] if None not in (row["student_alone"], row["student_distilled"])]
    for row in result["runs"]:
        alone, distilled = row["student_alone"], row["student_distilled"]
        shown = {"alone": _percent(alone), "distilled": _percent(distilled), "gain in points": "diverged"}
        if row in ended:
            shown["gain in points"] = f"{100 * (distilled - alone):+.2f}"
        rows[f"seed {row['seed']}"] = shown
    blocks: list[Block] = [rows]
    if ended:
        values = {arm: [row[f"student_{arm}"] for row in ended] for arm in ("alone", "distilled")}
        blocks.append(figures.pairs(values))
        pair = metrics.paired_interval(values["distilled"], baseline=values["alone"])
        if len(ended) > 1:
            blocks.append(figures.intervals({"distilled - alone": pair}, title=_capital(pair.verdict.split(" (")[0])))
        blocks.append(
            CAVEAT.replace("images", f"{kind(result)}s")
            if len(ended) > 1
            else "One pair has no interval: nothing is known of how much of this is luck. Give distill more --seeds."
        )
    return blocks


def classes(result: Result) -> list[Block]:
    """How often each class is recognised; of many classes those that the students know least."""
    networks = result["networks"]
    shares = {
        name: {NAMES[who]: about["by_class"][label] for who, about in networks.items()}
        for label, name in enumerate(result["classes"])
    }
    known = {name: row for name, row in shares.items() if None not in row.values()}
    order = sorted(known, key=lambda name: [*known[name].values()][-1])[:MOST_CLASSES]
    rows = {name: {who: f"{share:.1%}" for who, share in known[name].items()} for name in order}
    few = f"The {MOST_CLASSES} of {len(known)} classes that are" if len(known) > MOST_CLASSES else "Classes"
    said = f"{few} recognised least come first: how often test {kind(result)}s of each get the right answer."
    return [f"{said} Of students, the mean.", rows] if rows else []


def mistakes(result: Result) -> list[Block]:
    """The confusions that changed most."""
    if not result["mistakes"]:
        return ["No confusion of two classes changed."]
    rows = {
        f"{row['class']} taken for {row['answer']}": {
            "alone": f"{row['alone']:.1f}",
            "distilled": f"{row['distilled']:.1f}",
            "change": f"{row['distilled'] - row['alone']:+.1f}",
        }
        for row in result["mistakes"]
    }
    what = f"{kind(result)}s"
    return [f"Of {result[what]['test']:,} test {what}, in {what} a student; the largest changes first.", rows]


def calibration(result: Result) -> list[Block]:
    """How far the networks' confidence can be trusted."""
    networks = {NAMES[name]: about for name, about in result["networks"].items()}
    rows = {name: {"expected calibration error": f"{about['ece']:.3f}"} for name, about in networks.items()}
    surest = statistics.mean(sure - right for sure, right in map(_sure_and_right, networks.values()))
    title = "On the whole they are too sure" if surest > 0 else "On the whole they are right more often than sure"
    picture = figures.reliability({name: about["reliability"] for name, about in networks.items()}, title=title)
    return ["0 would be best: right as often as sure. Of students, the mean.", rows, picture]


def diagnosis(result: Result) -> list[Block]:
    """What ``kdkit.diagnose`` found wrong, or that it found nothing; and what it does not look at."""
    if "texts" in result:
        return [OF_TEXTS]
    said = result["diagnosis"]
    if said is None:
        return ["Not made: no distilled student was trained to its end."]
    checks, found = said["checks"], said["findings"]
    raised = f"{len(found) or 'None'} of its {len(checks)} checks raised a hand."
    about = f"They looked at the student that was best on the validation images, its teacher and {said['looked_at']}."
    blocks: list[Block] = [f"{raised} {about} {NOT_LOOKED_AT}"]
    for name in found:
        figure, sentence, advice, see = (checks[name][part] for part in ("figure", "sentence", "advice", "see"))
        blocks.append(Finding(name, f"{figure}. {sentence}", f"{advice} (In the course: {see}.)"))
    later = [name for name, one in checks.items() if one["advice"] and name not in found]
    if later:
        blocks.append(f"What may follow from that, to be looked at again when it is fixed: {', '.join(later)}.")
    good = [name for name, one in checks.items() if not one["advice"]]
    if good:
        blocks.append(f"Found in order: {', '.join(good)}.")
    unchecked = "; ".join(f"{name} ({why})" for name, why in said["unchecked"].items())
    return [*blocks, f"Not checked: {unchecked}."] if unchecked else blocks


def costs(result: Result) -> list[Block]:
    """Parameters, operations and time of a student beside the teacher."""
    cost = result["cost"]
    if not cost:
        return ["Not measured: no distilled student was trained to its end."]
    rows, one = {}, kind(result)
    for name in ("teacher", "student"):
        times = {_many(batch, one): f"{value:.2f} ms" for batch, value in cost[name]["milliseconds"].items()}
        article = "a" if one == "text" else "an"
        operations = {f"operations {article} {one}": f"{cost[name]['flops'] / 1e6:,.1f} million"}
        rows[name] = {"parameters": f"{cost[name]['parameters']:,}", **operations, **times}
    ratios = (
        f"{_many(batch, one)}: the student takes {said}." for batch, said in cost["student"]["times_as_long"].items()
    )
    where = f"Measured in turns on {cost['device']}, {result['versions']['threads']} threads, load {cost['load']}."
    noise = f"{where} The noise is the teacher's time against itself, in the same turns."
    return [rows, *map(_capital, ratios), noise, *_measured_texts(result)]


def _measured_texts(result):
    """Which texts the times are of; of images the size is said already."""
    if kind(result) == "text":
        tokens = result["texts"]["tokens"]
        yield (
            f"The one text has the median length, {tokens['1']} tokens; of the many the longest has {tokens['64']}, to "
            "which the others are padded. What makes tokens of texts, the same for both, is not in these times."
        )


def exported(exports: Result) -> list[Block]:
    """Each exported file beside the original."""
    rows = {}
    for name, row in exports["exports"].items():
        times = {_many(batch, "image"): f"{value:.2f} ms" for batch, value in row["milliseconds"].items()}
        rows[row.get("file", f"the network itself ({name})")] = {
            "size": in_words(row["bytes"]) if "bytes" in row else "",
            "test accuracy": f"{row['accuracy']:.2%}",
            "answers as the original": f"{row['agreement']:.2%}",
            "largest logit difference": f"{row['largest_difference']:.2g}",
            **times,
        }
    threads = exports["versions"]["threads"]
    return [f"Measured in turns on the CPU, {threads} threads, on the same test images.", rows]


def origin(result: Result, exports: Result | None) -> list[Block]:
    """Commands, settings, versions: what it takes to make all this again."""
    commands = [result["command"], *([exports["command"]] if exports else [])]
    settings = {name: {"value": _told(value)} for name, value in result["settings"].items() if value is not None}
    versions = {name: {"value": str(value)} for name, value in result["versions"].items()}
    marks = {
        "train_fingerprint": f"training {kind(result)}s",
        "teacher_fingerprint": "teacher",
        "sha256": "weights",
    }
    prints = {f"fingerprint: {said}": {"value": result[name]} for name, said in marks.items() if name in result}
    return ["Made by:", *map(Code, commands), settings | versions | prints]


def limits(result: Result) -> list[Block]:
    """What is not known."""
    said = [result["limits"]] if result.get("limits") else []
    seeds = "One teacher was used: with another the gain may be another."
    return [*said, seeds, "No licence is stated here: whoever passes the network on chooses one."]


SECTIONS: dict[str, Callable[[Result], list[Block]]] = {
    "Data": data,
    "Students, pair by pair": comparison,
    "Class by class": classes,
    "Mistakes that changed": mistakes,
    "Calibration": calibration,
    "Diagnosis": diagnosis,
    "Cost and latency": costs,
}


def _sure_and_right(about):
    count = sum(row[2] for row in about["reliability"])
    return tuple(sum(row[part] * row[2] for row in about["reliability"]) / count for part in (0, 1))


def _many(batch, one):
    return f"one {one}" if batch == "1" else f"{batch} {one}s"


def _percent(share):
    return "none" if share is None else f"{share:.2%}"


def _told(value):
    """A setting as text; of several, all."""
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


def _capital(text):
    return text[:1].upper() + text[1:]
