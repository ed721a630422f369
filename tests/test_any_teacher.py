"""``--teacher``: whatever network somebody has, by file, name, function or folder, on images of their own."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from kdkit import models, zoo
from kdkit.cli import main as cli
from kdkit.measure import profiling

QUICK = ["--epochs", "1", "--seeds", "1", "--width", "2", "--depth", "3", "--json", "run.json"]
TEACHERS = """
import torch
from torch import nn
from kdkit.models import ForImages

class Colour(nn.Module):
    '''Knows green, red and blue from the means of an image, which has to be of 48 pixels and normalised.'''
    def forward(self, images):
        assert images.shape[-1] == 48 and images.min() < 0
        return 9 * images.mean((2, 3))[:, [1, 0, 2]]

def described():
    return ForImages(Colour(), size=48, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), classes=["Green", "Red", "Blue"])

def plain():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

def many():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())

def nothing():
    return 3

def broken():
    raise KeyError("no weights")

number = 4
"""


@pytest.fixture(autouse=True)
def colours(monkeypatch, tmp_path):
    """A folder of 64x64 images of three colours, and a module with teachers."""
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)  # times are no matter here
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.delenv("KDKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    for channel, name in enumerate(["red", "green", "blue"]):
        for number in range(20):
            pixels = torch.randint(0, 150, (64, 64, 3), generator=generator).to(torch.uint8)
            pixels[..., channel] += 80
            place = tmp_path / "colours" / name
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.numpy()).save(place / f"{number}.png")
    # each test imports it anew, under a name of its own
    module = f"teachers_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{module}.py").write_text(TEACHERS)
    return module


def distil(*more):
    return cli.main(["distill", "--data", "colours", "--size", "32", *QUICK, *more])


def result():
    return json.loads(Path("run.json").read_text())


def test_a_function_of_ones_own_gives_a_teacher_that_sees_larger_images_than_the_student(colours, capsys):
    assert distil("--teacher", f"{colours}:described", "--out", "s.safetensors") in (0, 1)
    said, found = capsys.readouterr().out, result()
    assert "the teacher sees the images at 48x48 pixels (" in said and "students at 32x32" in said
    assert found["teacher"] == f"{colours}:described" and found["teacher_accuracy"] == 1.0  # in the data's order
    assert found["images"]["size"] == [3, 32, 32] and found["images"]["teacher_size"] == [3, 48, 48]


def test_a_teachers_larger_images_are_streamed_too_and_the_students_are_the_same(colours, capsys):
    assert distil("--teacher", f"{colours}:described") in (0, 1)
    held = result()
    assert distil("--teacher", f"{colours}:described", "--stream") in (0, 1)
    streamed, said = result(), capsys.readouterr().out
    assert "the teacher sees the images at 48x48 pixels (read from disk as they are wanted), students at 32x32" in said
    assert len(list(Path("runs").glob("*.cache"))) == 2  # neither was taught by what the other had kept
    without_seconds = [
        [{name: value for name, value in row.items() if "seconds" not in name} for row in each["runs"]]
        for each in (held, streamed)
    ]
    assert without_seconds[0] == without_seconds[1] and held["diagnosis"] == streamed["diagnosis"]
    assert held["diagnosis"]["checks"]["kept answers"]["advice"] == ""


def test_a_network_that_says_nothing_of_itself_sees_what_the_student_sees(colours, capsys):
    assert distil("--teacher", f"{colours}:plain") in (0, 1)
    assert "the teacher sees" not in capsys.readouterr().out
    assert result()["images"]["teacher_size"] == [3, 32, 32]
    assert result()["teacher_accuracy"] == 0.0 or result()["teacher_accuracy"] < 0.5  # red, green, blue: another order


def test_several_teachers_are_one_whose_answers_are_kept_too(colours, monkeypatch):
    both = ["--teacher", f"{colours}:described", "--teacher", f"{colours}:plain"]
    assert distil(*both) in (0, 1)
    assert result()["teacher"] == f"{colours}:described and {colours}:plain"
    assert len(list(Path("runs").glob("*.cache"))) == 1
    assert result()["settings"]["teacher"] == both[1::2]
    assert cli.main(["report", "run.json"]) == 0
    page = Path("run.html").read_text()
    assert page.count(f"{colours}:described and {colours}:plain") >= 2 and "[&#x27;" not in page


def test_a_hugging_face_classifier_in_a_folder_and_a_class_map(capsys):
    import transformers

    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, patch_size=8)
    config = transformers.ViTConfig(
        **sizes, image_size=16, id2label=dict(enumerate(["scarlet", "ruby", "lime", "navy"]))
    )
    transformers.ViTForImageClassification(config).save_pretrained("vit")
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained("vit")
    assert distil("--teacher", "vit") == 1
    assert (
        "--teacher vit: the teacher has no class 'blue'. It has 4: scarlet, ruby, lime, navy."
        in capsys.readouterr().err
    )
    Path("map.json").write_text(json.dumps({"red": ["scarlet", "ruby"], "green": "lime", "blue": "navy"}))
    assert distil("--teacher", "vit", "--class-map", "map.json") in (0, 1)
    assert result()["images"]["teacher_size"] == [3, 16, 16]


def test_a_teacher_of_the_kit_sees_the_size_that_it_learnt_from_and_its_card_says_it(capsys):
    small = ["--data", "colours", "--epochs", "4", "--width", "2"]
    assert cli.main(["train-teacher", *small, "--size", "48"]) == 0
    card = zoo.read_card("runs/colours-teacher.safetensors")
    assert card["size"] == [3, 48, 48] and card["settings"]["size"] == 48
    assert distil() in (0, 1)
    assert "the teacher sees the images at 48x48 pixels" in capsys.readouterr().out
    assert result()["teacher_accuracy"] == card["results"]["accuracy"]


def test_evaluate_export_and_report_take_the_size_from_the_card(capsys):
    teacher = ["train-teacher", "--data", "colours", "--epochs", "4", "--width", "2"]
    assert cli.main([*teacher, "--size", "48", "--out", "t.safetensors"]) == 0
    expected = zoo.read_card("t.safetensors")["results"]["accuracy"]
    assert cli.main(["evaluate", "t.safetensors", "--data", "colours", "--json", "e.json"]) == 0
    found = json.loads(Path("e.json").read_text())
    assert found["results"]["accuracy"] == expected and found["size"] == [3, 48, 48]
    assert cli.main(["evaluate", "t.safetensors", "--data", "colours", "--size", "20", "--json", "e.json"]) == 0
    assert json.loads(Path("e.json").read_text())["size"] == [3, 20, 20]
    assert cli.main(["export", "t.safetensors", "--data", "colours", "--to", "pt2", "--json", "x.json"]) == 0
    assert json.loads(Path("x.json").read_text())["size"] == [3, 48, 48]
    assert distil("--teacher", "t.safetensors") in (0, 1) and cli.main(["report", "run.json"]) == 0
    assert "All are seen at 32x32 pixels, in colour; the teacher sees them at 48x48." in Path("run.html").read_text()


@pytest.mark.parametrize("side", [64, 128])
def test_students_and_teachers_of_the_kit_learn_from_larger_images(side):
    teacher = ["train-teacher", "--data", "colours", "--epochs", "8", "--width", "4", "--json", "t.json"]
    assert cli.main([*teacher, "--size", str(side)]) == 0
    assert json.loads(Path("t.json").read_text())["results"]["accuracy"] > 0.6


def test_a_teacher_of_more_classes_in_another_order_is_matched_by_name():
    assert cli.main(["train-teacher", "--data", "colours", "--epochs", "4", "--width", "4", "--size", "32"]) == 0
    card = zoo.read_card("runs/colours-teacher.safetensors")
    assert card["classes"] == ["blue", "green", "red"]
    Path("two").mkdir()
    for name in "green", "red":
        Path("colours", name).rename(Path("two", name))
    Path("two", "red").rename(Path("two", "a red"))
    Path("map.json").write_text('{"a red": "red"}')
    more = ["--teacher", "runs/colours-teacher.safetensors", "--class-map", "map.json"]
    assert cli.main(["distill", "--data", "two", "--size", "32", *QUICK, *more]) in (0, 1)
    assert result()["classes"] == ["a red", "green"] and result()["teacher_accuracy"] > 0.7


WRONG = {
    "no such thing": (
        ["one"],
        r"--teacher 'one' is no teacher: give a \.safetensors file, a name .*\(cifar10-teacher, .*",
    ),
    "no module": (["nowhere:network"], r"there is no module nowhere, neither nowhere\.py in the current folder nor"),
    "no function": (["{module}:gone"], r"has no function gone\."),
    "a number": (["{module}:number"], r"has no function number\."),
    "no network": (["{module}:nothing"], r"what \w+:nothing returns must be a torch\.nn\.Module; got int"),
    "a function that fails": (["{module}:broken"], r"broken\(\) failed\. KeyError: 'no weights'"),
    "other classes": (
        ["{module}:many"],
        r"answers with 12 numbers an image; colours has 3 classes\. Have its function",
    ),
    "a folder without a network": (["colours"], r"colours cannot be read as an image classifier of Hugging Face's: "),
    "a map for a teacher of the same classes": (
        ["t.safetensors", "--class-map", "odd.json"],
        r"t\.safetensors: class_map names 'x', which the data does not",
    ),
    "a map for one without names": (["{module}:plain", "--class-map", "good.json"], "class_map needs classes"),
    "a folder of images": (["colours/red"], "colours/red cannot be read as an image classifier"),
    "a folder that is not there": (["colours/none"], "--teacher 'colours/none' is no teacher"),
    "one of two": (["{module}:plain", "--teacher", ""], "--teacher '' names no network"),
    "no map": (["{module}:described", "--class-map", "gone.json"], r"gone\.json"),
    "a map that is none": (["{module}:described", "--class-map", "list.json"], r"must hold a JSON object such as"),
    "a map of nothing": (
        ["{module}:described", "--class-map", "odd.json"],
        "class_map names 'x', which the data does not",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_teacher_gets_a_sentence_before_anything_is_trained(what, colours, capsys, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "backward", None)
    Path("list.json").write_text("[1]")
    Path("odd.json").write_text('{"x": "red"}')
    Path("good.json").write_text('{"red": "blue"}')
    zoo.save(models.student(2, 3, classes=3), "t.safetensors", {"classes": ["blue", "green", "red"]})
    given, said = WRONG[what]
    assert distil("--teacher", *(word.format(module=colours) for word in given)) == 1
    error = capsys.readouterr().err
    assert re.search(said, error) and "Traceback" not in error, error


def test_a_module_that_needs_what_is_not_installed_is_told_apart_from_one_that_is_not_there(tmp_path, capsys):
    (tmp_path / "needy_teacher.py").write_text("import not_installed_anywhere")
    assert distil("--teacher", "needy_teacher:network") == 1
    assert "needy_teacher needs not_installed_anywhere, which is not installed" in capsys.readouterr().err


def test_a_look_at_a_folder_says_what_the_trainings_would(capsys):
    assert cli.main(["look", "colours"]) == 0
    said = capsys.readouterr().out
    assert "colours: 3 classes: blue, green, red" in said and "Scaled to 64x64 pixels, a proposal" in said
    assert re.search(r"^blue +14 +2 +4$", said, re.MULTILINE)


def test_own_layers_decide_the_fingerprint_of_a_function_that_is_called_again(colours):
    assert distil("--teacher", f"{colours}:described") in (0, 1)
    first = result()
    assert distil("--teacher", f"{colours}:described") in (0, 1)
    assert result()["teacher_fingerprint"] == first["teacher_fingerprint"] and result()["runs"] == first["runs"]
    assert isinstance(models.as_described(torch.nn.Identity()), models.ForImages)
