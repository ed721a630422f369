"""What notebook 10 needs: a folder with faults that the kit names, a teacher that is wrong in silence, honest memos."""

import warnings

import pytest
import torch
from answers import own
from PIL import Image

import kdkit
from kdkit.cli.here import command
from kdkit.course import check, folder, stranger


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return folder.make(tmp_path_factory.mktemp("work")).parent


def test_the_folders_faults_are_there_and_the_look_names_them(place, capsys):
    assert command("look furniture --size 32", place) == 1
    assert f"train/chair/{folder.BROKEN} cannot be used" in capsys.readouterr().err
    copies = list((place / "furniture").glob("train/*/copy-of-*"))
    (place / "furniture" / "train" / "chair" / folder.BROKEN).unlink()
    assert command("look furniture --size 32", place) == 0
    said = capsys.readouterr().out
    assert f"{len(copies)} images stand in two parts of the split" in said and "Imbalanced: " in said
    assert f"{folder.GREY} images are grey" in said and str(place) not in said, "nothing of this machine is said"
    files, sizes = list((place / "furniture").glob("test/*/*")), set()
    for file in files:
        with Image.open(file) as image:
            sizes.add(image.size)
    assert len(sizes) > 10 and {file.suffix for file in files} == {".png", ".jpg"}


def test_only_a_folder_that_was_drawn_here_is_repaired(place, tmp_path, capsys):
    assert folder.repair(place / "furniture") == place / "furniture"
    assert "12 copies of test images" in capsys.readouterr().out
    assert not list((place / "furniture").glob("train/*/copy-of-*"))
    mine = tmp_path / "mine" / "train" / "cat"
    mine.mkdir(parents=True)
    (mine / "copy-of-a-cat.png").write_bytes(b"mine")
    folder.repair(tmp_path / "mine")
    assert "mine is your own" in capsys.readouterr().out and (mine / "copy-of-a-cat.png").exists()


def test_the_teacher_is_right_only_if_it_is_asked_as_it_wants(place, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder.repair(place / "furniture")
    with warnings.catch_warnings(action="ignore"):
        data = kdkit.data.load(place / "furniture", size=32)
    assert folder.grey(data.train).endswith(" chair") and folder.grey(data.test) == "none"
    naive, resized, normalised, named, twice = (
        float(row["accuracy"].rstrip("%")) for row in stranger.ways(data, folder.CLASS_MAP).values()
    )
    assert max(naive, resized, normalised) < 40 < twice < 80 and named > 90


def test_the_makers_statement_is_the_networks_card():
    assert stranger.stated() == "98.7% of their own test images, of all 10 classes"


def test_shares_by_class_show_what_grey_costs_whom():
    images = torch.zeros(6, 3, 4, 4, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    images[torch.arange(6), labels] = 200  # red, green, blue
    test = kdkit.data.ImageSet(images, labels, ("red", "green", "blue"))
    result = {"networks": {"alone": {"by_class": [0.5, 0.25, 1.0]}, "distilled": {"by_class": [0.75, 0.5, 1.0]}}}
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    rows = folder.shares(result, {"kept": network}, test)
    assert rows["red"] == {"alone": "50%", "distilled": "75%", "kept": "100%", "kept, grey": "100%"}
    assert rows["blue"] == {"alone": "100%", "distilled": "100%", "kept": "100%", "kept, grey": "0%"}
    result["networks"]["alone"]["by_class"][2] = None  # no test image of it
    rows = folder.shares(result, {"kept": network}, test.subset(labels != 2))
    assert rows["blue"] == {
        "alone": "\N{EN DASH}",
        "distilled": "100%",
        "kept": "\N{EN DASH}",
        "kept, grey": "\N{EN DASH}",
    }


def memo_of(result, **changes):
    return check.memo(own.memo(**changes), result)


def test_a_gain_that_is_not_shown_is_named_wherever_it_is_claimed():
    ends = "+1.3 points (-3.8 to +6.5)"
    verdict = memo_of(own.UNSURE, evidence=f"{ends} in 3 pairs.")
    assert "you claim 'gain'; the interval shows 'no difference shown'" in verdict.message
    unsure = {"claim": "no difference shown", "cost": "0.35 ms for an image."}
    verdict = memo_of(own.UNSURE, evidence=f"Distillation helps: {ends}.", **unsure)
    assert verdict.passed is False and "'helps' claims a gain that is not shown: no difference shown" in verdict.message
    assert memo_of(own.UNSURE, evidence=f"It is not shown that it helps: {ends}.", **unsure).passed


def test_the_sign_of_an_end_counts():
    verdict = memo_of(own.UNSURE, claim="no difference shown", evidence="+1.3 points (3.8 to 6.5)", cost="0.35 ms")
    assert "evidence has one end of the interval, and the low end is missing, with its sign" in verdict.message


def test_a_memo_about_one_pair_has_no_evidence():
    alone = {**own.RESULT, "runs": own.RESULT["runs"][:1]}
    assert "one pair has no interval" in memo_of(alone, claim="no difference shown", evidence="+3 points").message


def test_an_untouched_memo_is_not_attempted():
    assert memo_of(own.RESULT, **dict.fromkeys(own.MEMO, ...)).passed is None
