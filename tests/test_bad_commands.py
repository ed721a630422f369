"""Whatever is typed behind an option, in every command: a sentence and status 1 or 2, or what was asked for.

Made from the parser itself, so a new option is tried as well. A wrong value counts as accepted in silence if the
command ends with status 0 and the value is not one that ``ALLOWED`` names, with the reason why it is right.
"""

import argparse
import functools
import json
from pathlib import Path

import found
import pytest
import reading

from kdkit import models, studies, zoo
from kdkit.cli import main as cli
from kdkit.course import numbered
from kdkit.data import things
from kdkit.measure import metrics, profiling

HUGE = str(10**30)
NUMBERS = ["-1", "0", "0.5", "nan", "inf", "-inf", HUGE, f"-{HUGE}", "1e400", "", " ", "four", "1\n2", "٣", "9" * 5000]
WORDS = ["", " ", "no-such", "a\nname", "\udcff", "a\0b", "x" * 5000, ".", "~nobody-knows/x", "-1", HUGE]
PLACES = ["a-folder", "a-file", "a-file/below", "a-folder/forbidden/x.safetensors", "/proc/none/x.safetensors"]
PATHS = [
    *WORDS,
    *PLACES,
    "\udcff.safetensors",
    "a\nname.safetensors",
    "x" * 250 + ".safetensors",
    "damaged.safetensors",
]

QUICK = {  # each command as it is known to work
    "doctor": [],
    "caches": [],
    "class": ["codes.txt"],
    "look": ["things"],
    "train-teacher": ["--train-images", "40", "--epochs", "1", "--width", "2", "--batch-size", "20"],
    "distill": [
        *("--train-images", "40", "--epochs", "1", "--width", "2", "--batch-size", "20", "--depth", "3"),
        *("--seeds", "1", "--teacher", "t.safetensors"),
    ],
    "evaluate": ["t.safetensors"],
    "export": ["t.safetensors", "--to", "pt2"],
    "report": ["run.json"],
    "experiments": ["things", "--teacher", "t.safetensors", "--seeds", "1"],
    "train-bert": ["--data", "texts", *reading.FEW],
    "train-gpt": ["--epochs", "1", "--width", "4", "--depth", "1", "--batch-size", "2000"],
}
NEW_PLACES = {" ", "no-such", "a\nname", "\udcff", "-1", HUGE, "a-folder", ".", "a-folder/forbidden/x.safetensors"}
NEW_FILES = {"\udcff.safetensors", "a\nname.safetensors"}
ALLOWED = {
    "--seed": {"-1", "0", HUGE, f"-{HUGE}", "٣"},  # any whole number is a seed; a digit is one in any script
    "--epochs": {"٣"},
    "--batch-size": {"٣", HUGE},  # at most so many a step
    "--width": {"٣"},
    "--depth": {"٣"},
    "--seeds": {"٣"},
    "--train-images": {"٣"},
    "--vocab-size": {"٣"},
    "--lr": {"0.5", "٣"},
    "--top-k": {"٣"},
    "--temperature": {"0.5", "٣"},
    "--soft-weight": {"0.5", "0", "٣", HUGE},  # beside the other weight, and gradients are cut
    "--hard-weight": {"0.5", "0", "٣", HUGE},
    "--accumulate": {"٣", HUGE},  # at most so many parts
    "--max-grad-norm": {"0.5", "0", "٣", HUGE},  # 0 cuts none
    "--runs": NEW_PLACES | NEW_FILES,
    "--json": (NEW_PLACES | NEW_FILES) - {"a-folder", "."},
    "caches --runs": {"a-file/below", "/proc/none/x.safetensors"},  # it says that there is nothing
    "train-bert --data": {"."},  # there are texts in it
    "--out": NEW_FILES | {"a-folder/forbidden/x.safetensors"},
    "export --out": NEW_PLACES,  # a folder
    "report --out": (NEW_PLACES | {"a-file", "damaged.safetensors"}) - {"."},  # with an ending behind it
}


def parsers():
    (commands,) = (action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction))
    return commands.choices


def tries(command):
    """Pairs of an option (or "" for what stands without one) and a value for it that may be wrong."""
    for action in parsers()[command]._actions:
        if not isinstance(action, argparse._StoreAction | argparse._AppendAction):
            continue
        option = action.option_strings[0] if action.option_strings else ""
        values = NUMBERS if action.type in (int, float) else PATHS
        yield from ((option, value) for value in values)


def spoilt(command, option, value):
    """The arguments of ``command`` with ``value`` behind ``option``, instead of what is there."""
    quick = QUICK[command]
    if option == "":
        return [command, "--", value] if len(quick) == 1 else [command, *quick[1:], "--", value]
    return [command, *quick, f"{option}={value}"]  # the last one counts


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.setattr(things, "splits", functools.cache(lambda per_class: SPLITS))
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)  # times are no matter here
    monkeypatch.setattr(metrics, "guessing", lambda labels: -1.0)  # that nothing is learnt is no matter here
    setting = studies.Setting(images=40, epochs=1, students=((2, 3),), shift=0, batch_size=20)
    monkeypatch.setitem(studies.SETTINGS, "things", {"small": setting})
    monkeypatch.setattr(studies, "RATES", (0.2,))
    monkeypatch.setattr(studies, "FIRST_RATE", 0)
    monkeypatch.chdir(tmp_path)
    zoo.save(models.teacher(2), "t.safetensors", {})
    Path("damaged.safetensors").write_bytes(b"{")
    Path("a-file").write_text("here")
    Path("codes.txt").write_text(numbered.written({"memo": {"attempts": 1, "solved": True, "mistakes": []}}))
    Path("run.json").write_text(json.dumps(found.result()))
    Path("a-folder").mkdir()
    Path("texts").mkdir()
    for name, text in reading.documents().items():
        Path("texts", f"{name}.txt").write_text(text)


SPLITS = things.splits(20)


@pytest.mark.parametrize("command", QUICK)
def test_the_arguments_that_are_to_be_spoilt_are_good_ones(command, small):
    assert cli.main([command, *QUICK[command]]) == 0


@pytest.mark.filterwarnings("ignore:Left out of")  # a folder of other files is named on purpose
@pytest.mark.parametrize("command", [name for name in QUICK if name != "doctor"])
def test_whatever_stands_behind_an_option_is_refused_in_a_sentence_or_done(command, small, capfd):
    wrong = {}
    for option, value in tries(command):
        allowed = ALLOWED.get(option, set()) | ALLOWED.get(f"{command} {option}", set())
        said = verdict(spoilt(command, option, value), value in allowed, capfd)
        if said:
            wrong[f"{option} {value[:40]!a}"] = said
    assert wrong == {}


def test_wrong_values_are_tried_by_the_hundred():
    assert sum(len(list(tries(command))) for command in QUICK) > 500


def verdict(arguments, allowed, capfd):
    """What is wrong with how the command ends; None if it refuses in a sentence, or does what is ``allowed``."""
    try:
        status = cli.main(arguments)
    except SystemExit as left:
        status = left.code
    except Exception as error:  # with a traceback
        return f"{type(error).__name__}: {error}"[:200]
    said = capfd.readouterr().err
    if status == 0:
        return None if allowed else "accepted in silence"
    if status not in (1, 2) or "Traceback" in said or len(said.split()) < 5:
        return f"status {status}: {said!r}"[:200]
    if "[Errno" in said:
        return f"the system's own words: {said!r}"[:200]
    return None
