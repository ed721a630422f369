"""The report says what was found, also to people who do not see it, in one file; the card is in the hub's format."""

import html
import html.parser
import json
import re

import found
import pytest
from huggingface_hub import ModelCard

from kdkit import data
from kdkit.cli import main as cli
from kdkit.export import facts, report
from kdkit.measure import profiling

NOTHING_INSIDE = {"img", "meta", "br"}


class Reader(html.parser.HTMLParser):
    """What a browser makes of a page: elements that are closed in order, their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in NOTHING_INSIDE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_says_everything_that_was_found():
    text = Reader(report.page(found.card(), found.exports())).text
    for said in (
        *("a gain of 3.50 points", "pets: 2 classes: cat, dog", "Too few images to test", "94.00%", "+4.00"),
        *("cat taken for dog", "-2.5", "0.071", "14,000", "0.50 times as long", "student-int8.onnx", "45 kB", "98.00%"),
        *("python -m kdkit distill --data pets", "--to onnx-int8", "2.14", "dddd", "Measured on the test images"),
        *("of seed 1", "chooses one"),
    ):
        assert said in text, said
    headings = re.findall(r"<h2>(.*?)</h2>", report.page(found.result()))
    assert headings == [
        *("Data", "Students, pair by pair", "Class by class", "Mistakes that changed", "Calibration", "Diagnosis"),
        *("Cost and latency", "How this was made", "Limits"),
    ]


def test_the_page_needs_no_other_file_and_its_pictures_have_texts():
    page = report.page(found.card(), found.exports())
    reader = Reader(page)
    pictures = reader.all("img")
    assert len(pictures) == 3 and all(picture["src"].startswith("data:image/png;base64,") for picture in pictures)
    texts = " ".join(picture["alt"] for picture in pictures)
    assert "86.0 to 90.0, 88.0 to 91.0" in texts and "+3.50" in texts and "student alone: 50 at 40" in texts
    assert not reader.all("link") and not reader.all("script") and "http" not in re.sub(r"base64,[^\"]+", "", page)
    assert reader.all("html")[0]["lang"] == "en" and len(reader.all("h1")) == 1


def test_names_are_text_and_no_markup_on_the_page_and_in_the_card():
    row = {"class": "<b>cat|x", "answer": "_dog_\n", "alone": 4.0, "distilled": 1.0}
    result = found.card(mistakes=[row], data="<script>", classes=["<b>cat|x", "_dog_\n"])
    page = report.page(result)
    assert "<script>" not in page and "<b>" not in page and "&lt;b&gt;cat|x taken for _dog_" in page
    assert "| \\<b\\>cat\\|x taken for \\_dog\\_ | 4.0 | 1.0 | -3.0 |" in report.model_card(result)


def test_the_card_is_one_as_the_hub_reads_it():
    card = ModelCard(report.model_card(found.card(), found.exports()))
    head = card.data.to_dict()
    assert head["library_name"] == "kdkit" and head["pipeline_tag"] == "image-classification"
    (measured,) = card.data.eval_results
    assert (measured.metric_type, measured.metric_value, measured.dataset_name) == ("accuracy", 0.91, "pets")
    headings = re.findall(r"^## (.*)$", card.text, re.MULTILINE)
    assert headings == [
        *("Uses", "Bias, Risks, and Limitations", "How to Get Started with the Model", "Training Details"),
        *("Evaluation", "Technical Specifications", "How this was made"),
    ]
    assert "a gain of 3.50 points" in card.text and "| student-int8.onnx | 45 kB | 91.00% | 98.00% |" in card.text
    tables = re.findall(r"(?:^\|.*\n?)+", card.text, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().splitlines()}) == 1
    assert len(tables) == 8 and 'InferenceSession("student-int8.onnx")' in card.text


def test_one_pair_has_no_interval_and_is_told_so():
    page = report.page(found.result(runs=found.RESULT["runs"][:1], verdict="no difference shown: +4.00 points"))
    assert "One pair has no interval" in page and "Give distill more --seeds" in page and page.count("<img") == 2


def test_students_that_did_not_learn_are_reported_as_such():
    runs = [{"seed": 0, "student_alone": 0.5, "student_distilled": None, "diverged_distilled": "the loss is 842"}]
    networks = {name: found.RESULT["networks"][name] for name in ("teacher", "alone")}
    broken = ["seed 0, distilled: the loss is 842"]
    changes = {"runs": runs, "networks": networks, "broken": broken, "verdict": None, "mistakes": [], "cost": {}}
    changes["diagnosis"] = None
    text = Reader(report.page(found.result(**changes))).text
    assert "Not made: no distilled student was trained to its end" in text
    assert "Nothing can be said" in text and "the loss is 842" in text and "diverged" in text
    assert "Not measured: no distilled student" in text and report.model_card(found.result(**changes))


def test_the_classes_that_are_recognised_least_come_first_and_of_many_not_all_are_shown():
    card = report.model_card(found.result())
    assert "| cat | 93.0% | 77.0% | 86.1% |\n| dog | 95.0% | 97.0% | 94.9% |" in card
    names, shares = [f"kind {number}" for number in range(40)], [number / 40 for number in range(40)]
    networks = {who: {**about, "by_class": [*shares[:39], None]} for who, about in found.RESULT["networks"].items()}
    text = Reader(report.page(found.result(classes=names, networks=networks))).text
    assert "The 20 of 39 classes that are recognised least" in text and "kind 195" not in text
    assert text.index("kind 00.0%") < text.index("kind 1947.5%") and "kind 2050.0%" not in text


def test_a_diagnosis_without_a_finding_says_how_many_checks_there_were_and_what_they_do_not_look_at():
    for text in Reader(report.page(found.result())).text, report.model_card(found.result()):
        assert "None of its 2 checks raised a hand" in text and "does not look at whether each label is right" in text
        assert "Not checked: dropout (no network here draws)." in text and "How to tell" not in text
        assert "something is wrong" not in text


def test_a_finding_is_told_first_and_with_how_to_tell_and_what_to_do():
    said = found.result()["diagnosis"]
    order = {"figure": "5 | 95", "sentence": "It says <dog> for cat.", "advice": "Map by name.", "see": "notebook 08"}
    said["checks"]["class order"] = order
    said["checks"]["agreement"]["advice"] = "Look at the loss."
    result = found.result(diagnosis=said | {"findings": ["class order"]})
    page, card = report.page(result), report.model_card(result)
    text = Reader(page).text
    assert "How to tell: 5 | 95. It says <dog> for cat." in text and "What to do: Map by name." in text
    assert "- How to tell: 5 | 95. It says \\<dog\\> for cat." in card and "- What to do: Map by name." in card
    for whole in text, card:
        assert (
            "1 of its 2 checks raised a hand" in whole and "to be looked at again when it is fixed: agreement" in whole
        )
        assert whole.index("But something is wrong: class order.") < whole.index("pairs of students")


def test_of_texts_it_is_said_that_no_diagnosis_was_made():
    result = found.result(texts={"train": 200})
    del result["diagnosis"]
    assert facts.diagnosis(result) == [facts.OF_TEXTS] and "wrong" not in facts.summary(result)[0]


def test_a_result_from_before_the_diagnosis_is_to_be_made_again():
    result = found.result()
    del result["diagnosis"]
    with pytest.raises(ValueError, match=r"KeyError: 'diagnosis'.: give the same distill command again"):
        report.page(result)


# ---------------------------------------------------------------------------------------- the command


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(found.result()))
    (tmp_path / "export.json").write_text(json.dumps(found.exports()))
    return tmp_path


def test_the_command_writes_both_beside_the_result_and_again_over_its_own(place, capsys):
    for _ in range(2):
        assert cli.main(["report", "run.json", "--exports", "export.json"]) == 0
    assert "<!DOCTYPE html>" in (place / "run.html").read_text() and (place / "run.md").read_text().startswith("---\n")
    assert re.search(r"written: run.html \(\d+ kB\)", capsys.readouterr().out)
    assert (
        cli.main(["report", "run.json", "--out", "below/mine.v2"]) == 0 and (place / "below" / "mine.v2.html").exists()
    )


@pytest.mark.parametrize("name", ["run.html", "run.md"])
def test_another_s_file_is_not_overwritten(name, place, capsys):
    (place / name).write_text("a letter")
    assert cli.main(["report", "run.json"]) == 1
    assert f"{name} is there already, and no report: it is not overwritten" in capsys.readouterr().err
    assert (place / name).read_text() == "a letter"


WRONG = {
    "no file": (None, "no.json is no file: give what distill --json wrote"),
    "no JSON": ("{", "no.json is no JSON"),
    "a list": ("[]", "no.json holds no result of a command"),
    "another command's": (
        json.dumps({"network": "x", "results": {}}),
        "the result holds no data, classes, teacher, runs",
    ),
    "damaged": (json.dumps(found.result(runs=[{"seed": 0}])), "the result is damaged .KeyError: 'student_alone'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_result_gets_a_sentence(what, place, capsys):
    content, message = WRONG[what]
    if content is not None:
        (place / "no.json").write_text(content)
    assert cli.main(["report", "no.json"]) == 1
    said = capsys.readouterr().err
    assert re.search(f"^kdkit report: .*{message}", said), said


@pytest.mark.parametrize(
    "exports, message",
    [
        (found.result(), "this file tells of no exported network"),
        (found.exports(sha256="eeee"), "tells of another network"),
    ],
)
def test_exports_of_another_network_are_refused(exports, message):
    with pytest.raises(ValueError, match=message):
        report.page(found.card(), exports)


# --------------------------------------------------------------------------- a distillation, from end to end

TEACHERS = """
import torch
from torch import nn
import kdkit
from kdkit.models import ForImages

def sound():
    return kdkit.zoo.load("things-teacher")

class OtherOrder(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = sound()
    def forward(self, images):
        return self.inside(images)[:, [3, 0, 1, 2, *range(4, 10)]]

def other_order():
    return OtherOrder()

def normalised():
    return ForImages(sound(), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""
FOUND = {
    "sound": [],
    "other_order": ["class order", "The teacher's classes stand in another order than the labels'", "Map by name"],
    "normalised": [
        "other inputs",
        "on images as they were before ImageNet's normalisation it is right far",
        "Normalise for",
    ],
}


@pytest.mark.parametrize("teacher", FOUND)
def test_what_is_wrong_with_a_teacher_stands_on_the_page_and_in_the_card(teacher, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(data, "THINGS_PER_CLASS", 40)
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)  # times are no matter here
    monkeypatch.chdir(tmp_path)
    module = f"faulted_{teacher}"
    (tmp_path / f"{module}.py").write_text(TEACHERS)
    few = ["--seeds", "1", "--width", "6", "--depth", "3", "--batch-size", "25", "--epochs"]
    few += ["2" if FOUND[teacher] else "8"]  # a student of a sound teacher has to learn something
    assert cli.main(["distill", "--teacher", f"{module}:{teacher}", *few, "--json", "run.json"]) in (0, 1)
    assert cli.main(["report", "run.json"]) == 0
    printed = capsys.readouterr().out
    name, *words = FOUND[teacher] or [None]
    for text in (tmp_path / "run.html").read_text(), (tmp_path / "run.md").read_text():
        told = html.unescape(text)
        assert (f"But something is wrong: {name}." in told) == bool(name)
        assert ("How to tell" in told) == bool(name) and all(said in told for said in words)
        assert bool(name) or re.search(r"None of its \d\d checks raised a hand", told)
    assert f"  {name}: " in printed if name else "diagnosis: nothing found in " in printed
