"""The command line: what a user types, what comes out, and what they read when they mistype."""

import importlib
import importlib.metadata
import json
import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import reading
import torch
from PIL import Image
from tiny import net, splits

import kdkit
from kdkit import data, models, studies, training, zoo
from kdkit.cli import doctor, evaluate, evidence
from kdkit.cli import main as cli
from kdkit.measure import metrics, profiling
from kdkit.studies import Setting
from kdkit.training import loop
from kdkit.training.cache import ViewCache

FEW = ["--train-images", "200", "--epochs", "8", "--batch-size", "20"]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "THINGS_PER_CLASS", 40)
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)  # times are no matter here
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    monkeypatch.delenv("KDKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def nothing_can_be_trained(monkeypatch):
    monkeypatch.setattr(loop, "step", None)


def test_teacher_then_students_then_evaluation_then_report(tmp_path, capsys):
    assert cli.main(["train-teacher", "--width", "4", "--json", "teacher.json", *FEW]) == 0
    teacher = json.loads((tmp_path / "teacher.json").read_text())
    command = ["distill", "--seeds", "2", "--width", "4", "--depth", "3", *FEW, "--json", "d.json"]
    assert cli.main([*command, "--out", "student.safetensors"]) == 0
    result = json.loads((tmp_path / "d.json").read_text())
    assert cli.main(["evaluate", "runs/things-teacher.safetensors", "--json", "e.json"]) == 0
    measured = json.loads((tmp_path / "e.json").read_text())["results"]
    assert result["teacher_accuracy"] == teacher["results"]["accuracy"] == measured["accuracy"]
    assert {"data", "train_images", "teacher_accuracy", "runs", "settings", "versions", "seconds"} <= set(result)
    assert result["data"] == "things" and result["train_images"] == 200 and result["peak_memory_mb"] > 100
    assert [run["seed"] for run in result["runs"]] == [0, 1]
    assert all(0 <= run[arm] <= 1 for run in result["runs"] for arm in ("student_alone", "student_distilled"))
    assert result["settings"]["temperature"] == 4.0 and result["versions"]["torch"] == torch.__version__
    assert result["verdict"] in capsys.readouterr().out
    assert cli.main(["report", "d.json"]) == 0 and cli.main(["report", "student.safetensors"]) == 0
    assert result["verdict"] in Path("d.html").read_text() and "student.safetensors" in Path("student.md").read_text()


STUDENTS = ["distill", "--seeds", "1", "--width", "4", "--depth", "3", "--teacher", "things-teacher", *FEW]


def test_the_student_that_is_kept_is_the_one_that_was_measured_and_every_command_takes_it(monkeypatch, capsys):
    assert cli.main([*STUDENTS, "--out", "s.safetensors"]) == 0
    assert "kept in s.safetensors: the distilled student of seed" in capsys.readouterr().out
    card = zoo.read_card("s.safetensors")
    (run,) = (run for run in card["runs"] if run["seed"] == card["results"]["seed"])
    assert run["student_distilled"] == card["results"]["accuracy"] and card["teacher"] == "things-teacher"
    assert cli.main(["evaluate", "s.safetensors", "--json", "e.json"]) == 0
    measured = json.loads(Path("e.json").read_text())["results"]
    assert (measured["accuracy"], measured["ece"]) == (card["results"]["accuracy"], card["results"]["ece"])
    assert cli.main(["export", "s.safetensors", "--to", "pt2", "--json", "x.json"]) == 0
    assert cli.main(["report", "s.safetensors", "--exports", "x.json"]) == 0
    assert "s.pt2" in Path("s.html").read_text() and "s.pt2: " not in capsys.readouterr().err
    exported = json.loads(Path("x.json").read_text())["exports"]["pt2"]
    assert exported["agreement"] == 1.0 and exported["accuracy"] == measured["accuracy"]
    nothing_can_be_trained(monkeypatch)
    assert cli.main([*STUDENTS, "--out", "s.safetensors"]) == 0
    zoo.save(net(), "other.safetensors", {"command": "another"})
    assert cli.main([*STUDENTS, "--out", "other.safetensors"]) == 1
    assert "other.safetensors holds another network already (another)" in capsys.readouterr().err


def test_the_best_on_the_validation_images_is_kept_and_none_where_one_has_not_learnt(monkeypatch, capsys):
    def trained(network, *arguments, seed, **keywords):
        with torch.no_grad():
            network.classify.bias.fill_(seed)
        return training.Run(network, {}, [{"val_accuracy": [0.8, 0.9, 0.85][seed]}])

    monkeypatch.setattr(kdkit, "train", trained)
    monkeypatch.setattr(metrics, "guessing", lambda labels: -1.0)
    three = [*STUDENTS, "--seeds", "3", "--out", "s.safetensors"]
    assert cli.main(three) == 0
    assert zoo.read_card("s.safetensors")["results"]["seed"] == 1
    assert zoo.read("s.safetensors").classify.bias.tolist() == [1.0] * 10
    monkeypatch.setattr(metrics, "guessing", lambda labels: 0.9)
    assert cli.main([*three[:-1], "none.safetensors"]) == 1
    assert "no student is kept in none.safetensors" in capsys.readouterr().err
    assert not Path("none.safetensors").exists()


def test_mirror_images_are_averaged_where_mirroring_is_a_view(monkeypatch, capsys):
    assert cli.main(["evaluate", "things-teacher", "--json", "e.json"]) == 0
    results = json.loads(Path("e.json").read_text())["results"]
    test, teacher = data.load("things").test, zoo.load("things-teacher")
    logits = [metrics.predict(teacher, images) for images in (test.images, test.images.flip(3))]
    assert results["accuracy_with_flips"] == metrics.accuracy(sum(logits) / 2, test.labels)
    assert f"({results['accuracy_with_flips']:.2%} with mirror images)" in capsys.readouterr().out


def test_with_corrupted_copies_the_images_are_three_times_as_many():
    assert cli.main(["train-teacher", "--width", "4", "--corrupted", "--json", "t.json", *FEW]) == 0
    card = json.loads(Path("t.json").read_text())
    assert card["train_images"] == 600 and card["settings"]["corrupted"] is True and "--corrupted" in card["command"]


def test_experiments_are_kept_and_told(monkeypatch, capsys):
    setting = Setting(images=100, epochs=1, students=((2, 3),), shift=0, batch_size=50)
    monkeypatch.setitem(studies.SETTINGS, "things", {"small": setting})
    command = ["experiments", "things", "--seeds", "2", "--json", "x.json"]
    assert cli.main(command) == 0
    said, kept = capsys.readouterr().out, json.loads(Path("x.json").read_text())
    assert "what softness adds to them (soft - argmax): " in said and "small 2x3 soft, seed 1, lr" in said
    assert kept["command"].endswith(" ".join(command)) and kept["versions"]["torch"] == torch.__version__
    assert len([row for row in kept["rows"] if row["seed"] < 2]) == 6 and kept["teacher"] == models.fingerprint(
        zoo.load("things-teacher")
    )
    nothing_can_be_trained(monkeypatch)
    assert cli.main(command) == 0


def test_the_same_command_again_reads_what_was_trained(monkeypatch):
    command = ["train-teacher", "--width", "4", *FEW]
    assert cli.main(command) == 0
    nothing_can_be_trained(monkeypatch)
    assert cli.main(command) == 0


def test_other_settings_do_not_meet_the_old_checkpoint():
    assert cli.main(["train-teacher", "--width", "4", *FEW]) == 0
    assert cli.main(["train-teacher", "--width", "4", "--seed", "1", "--out", "b.safetensors", *FEW]) == 0


def test_a_network_is_not_overwritten_by_another_but_by_the_same_command_again(capsys, monkeypatch):
    train = ["train-teacher", "--width", "4", *FEW]
    assert cli.main(train) == 0
    kept = Path("runs/things-teacher.safetensors").read_bytes()
    nothing_can_be_trained(monkeypatch)
    for other in ["--width", "8"], ["--seed", "1"], ["--train-images", "199"]:
        assert cli.main([*train, *other]) == 1
        said = capsys.readouterr().err
        assert re.search(
            r"holds another network already, which names \d\d.\d\d% .*--width 4 .*give --out another", said
        )
    assert cli.main(train) == 0 and Path("runs/things-teacher.safetensors").read_bytes() == kept


def test_the_same_name_for_other_images_is_no_reason_to_overwrite_or_to_take_their_teacher(tmp_path, capsys):
    folder_of(tmp_path / "A", "cat", "dog")
    folder_of(tmp_path / "other" / "A", "dog", "cat")
    assert cli.main(["train-teacher", "--data", "A", "--width", "2"]) == 0
    assert cli.main(["train-teacher", "--data", "other/A", "--width", "2"]) == 1
    assert cli.main(["distill", "--data", "other/A", "--width", "2", "--depth", "3"]) == 1
    said = capsys.readouterr().err
    assert "holds another network already" in said and "was trained on other images of the same name" in said


def test_a_network_that_came_there_during_the_training_is_not_overwritten(capsys, monkeypatch):
    train = kdkit.train

    def meanwhile(*arguments, **keywords):
        run = train(*arguments, **keywords)
        zoo.save(net(), Path("runs/things-teacher.safetensors"), {"command": "another"})
        return run

    monkeypatch.setattr(kdkit, "train", meanwhile)
    assert cli.main(["train-teacher", "--width", "4", *FEW]) == 1
    assert "holds another network already (another)" in capsys.readouterr().err
    assert zoo.read_card("runs/things-teacher.safetensors")["command"] == "another"


def test_more_pictures_in_a_folder_make_another_network_and_another_place_for_it_will_do(tmp_path, capsys):
    folder_of(tmp_path / "A", "cat", "dog")
    train = ["train-teacher", "--width", "2", "--data"]
    assert cli.main([*train, "A"]) == 0 and cli.main([*train, "./A"]) == 0
    Image.new("RGB", (32, 32), (200, 99, 99)).save(tmp_path / "A" / "train" / "dog" / "more.png")
    assert cli.main([*train, "A"]) == 1 and "give --out another name" in capsys.readouterr().err
    assert cli.main([*train, "A", "--out", "b.safetensors"]) == 0


def test_a_student_far_below_its_like_is_broken_too():
    runs = [{"seed": seed, "student_alone": 0.98, "student_distilled": value} for seed, value in enumerate((0.99, 0.4))]
    (said,) = evidence.failed(runs, data.load("things").test.labels)
    assert said == "seed 1, distilled: 40.00%, where another seed has 99.00%: lower --lr?"


@pytest.mark.parametrize("problem", ["nan", "chance"])
def test_a_teacher_that_has_learnt_nothing_is_measured_first_and_then_not_kept(problem, capsys, monkeypatch):
    def spoilt(network, *arguments, **keywords):
        with torch.no_grad():
            network.classify.weight.mul_(math.nan if problem == "nan" else 0)
        return training.Run(network, {}, [{"val_accuracy": 0.1}])

    monkeypatch.setattr(kdkit, "train", spoilt)
    assert cli.main(["train-teacher", "--width", "4", "--json", "t.json", *FEW]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said and ("NaN" if problem == "nan" else "with luck: it is not kept") in said
    assert not Path("t.json").exists() and not list(Path("runs").glob("*teacher.safetensors"))


@pytest.mark.parametrize("problem", ["diverged", "chance"])
def test_no_verdict_and_no_good_status_over_a_broken_student(problem, capsys, monkeypatch):
    def spoilt(network, *arguments, seed, teacher=None, **keywords):
        if problem == "diverged" and teacher is not None and seed == 1:
            raise training.Diverged("the loss of epoch 3 is 842")
        with torch.no_grad():
            network.classify.weight.mul_(0)
        return training.Run(network, {}, [{"val_accuracy": 0.1}])

    monkeypatch.setattr(kdkit, "train", spoilt)
    assert cli.main(["distill", "--seeds", "2", "--width", "4", "--depth", "3", "--json", "d.json", *FEW]) == 1
    said, result = capsys.readouterr().out, json.loads(Path("d.json").read_text())
    assert result["verdict"] is None and "no difference shown" not in said and "nothing can be said" in said
    if problem == "diverged":
        assert (
            "seed 1, distilled: the loss of epoch 3 is 842" in said and result["runs"][1]["student_distilled"] is None
        )
    assert "seed 0, alone: 10.00%, no better than guessing" in said and len(result["broken"]) == 4


def test_a_small_folder_gets_small_batches_and_is_told_what_will_be_trained(tmp_path, capsys):
    folder_of(tmp_path / "A", "cat", "dog")
    assert cli.main(["train-teacher", "--data", "A", "--width", "2"]) == 0
    said = capsys.readouterr().out
    assert "A: 2 classes: cat, dog\n" in said and "to train: 36 (18 a class)" in said
    assert "to train: 67 epochs of 3 steps, of up to 16 images each" in said
    cli.main(["train-teacher", "--data", "A", "--width", "2", "--epochs", "2", "--out", "b.safetensors"])
    assert "ATTENTION: that is 6 in all. Fewer than 200 steps teach little" in capsys.readouterr().out


def test_ctrl_c_gives_a_sentence_and_status_130(monkeypatch, capsys):
    def stop(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.Tensor, "backward", stop)
    assert cli.main(["train-teacher", "--width", "4", *FEW]) == 130
    error = capsys.readouterr().err
    assert "Stopped in epoch 1 of 8." in error and "Traceback" not in error


def test_a_folder_of_ones_own_images_will_do(tmp_path):
    for name, shade in ("bright", 220), ("dark", 30):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (40, 36), (shade, shade + number, shade)).save(tmp_path / "mine" / name / f"{number}.png")
    command = ["train-teacher", "--data", "mine", "--width", "4", "--epochs", "2", "--json", "t.json"]
    assert cli.main(command) == 0
    assert json.loads((tmp_path / "t.json").read_text())["classes"] == ["bright", "dark"]


def folder_of(path, *classes):
    for part in "train", "test":
        for shade, name in enumerate(classes):
            (path / part / name).mkdir(parents=True)
            for number in range(20):
                Image.new("RGB", (32, 32), (200 * shade, 3 * number, 0)).save(path / part / name / f"{number}.png")


def test_two_folders_with_train_and_test_have_teachers_of_their_own(tmp_path, capsys):
    folder_of(tmp_path / "A", "cat", "dog")
    folder_of(tmp_path / "B", "bus", "car")
    train = ["train-teacher", "--data", "A", "--width", "2", "--json", "a.json"]
    assert cli.main(train) == 0 and (tmp_path / "runs" / "A-teacher.safetensors").exists()
    assert json.loads((tmp_path / "a.json").read_text())["data"] == "A"
    assert cli.main(["distill", "--data", "B"]) == 1
    assert "no teacher for B" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command, said",
    [
        (["evaluate", "things-teacher"], "things-teacher was trained on chair, armchair"),
        (
            ["distill", "--teacher", "things-teacher"],
            "things-teacher: the teacher has no class 'cat'. It has 10: chair",
        ),
    ],
)
def test_a_network_of_other_classes_is_refused_before_anything_is_trained(command, said, tmp_path, capsys, monkeypatch):
    folder_of(tmp_path / "A", "cat", "dog")
    nothing_can_be_trained(monkeypatch)
    assert cli.main([*command, "--data", "A"]) == 1
    assert said in capsys.readouterr().err


def _damaged(tmp_path):
    zoo.save(net(), tmp_path / "t.safetensors", {})
    content = bytearray((tmp_path / "t.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "t.safetensors").write_bytes(content)


MISTAKES = {
    "unknown data": (["distill", "--data", "cfar10"], "'cfar10' is no folder, nor one of: things, cifar10, mnist"),
    "data that is not there": (["distill", "--data", "cifar10"], "--download|download=True"),
    "no teacher yet": (["distill", "--data", "mine"], "Train one first: python -m kdkit train-teacher --data mine"),
    "unknown network": (["evaluate", "chair-teacher"], "no network named 'chair-teacher' ships with the kit"),
    "missing file": (["evaluate", "gone.safetensors"], "gone.safetensors does not exist"),
    "damaged file": (["evaluate", "t.safetensors"], "t.safetensors is damaged"),
    "too many images": (["train-teacher", "--train-images", "999999"], "--train-images must lie in 1..400; got 999999"),
    "no epochs": (["train-teacher", "--epochs", "0"], "epochs must be a whole number of at least 1; got 0"),
    "temperature 0": (
        ["distill", "--temperature", "0", "--epochs", "1"],
        "temperature must be a finite number above 0",
    ),
    "negative weight": (["distill", "--soft-weight", "-1", "--epochs", "1"], "soft_weight must be a finite number"),
    "a handful of images": (["train-teacher", "--data", "few"], "few holds 7 images to train and 1 to test"),
    "a report in the card's place": (
        ["distill", "--out", "a.safetensors", "--json", "a.json"],
        "--json a.json is where the card of --out a.safetensors will lie",
    ),
    "no seeds": (["distill", "--seeds", "0"], "--seeds must be at least 1; got 0"),
    "a folder for a report": (["evaluate", "things-teacher", "--json", "mine"], "--json mine is a folder"),
    "no students": (["experiments", "things", "--seeds", "0"], "--seeds must be at least 1; got 0"),
    "no width": (["train-teacher", "--width", "0"], "width must be a whole number of at least 1; got 0"),
    "a name without ending": (
        ["train-teacher", "--width", "4", *FEW, "--out", "x"],
        "name that ends in .safetensors; got x",
    ),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_gets_a_sentence_and_status_1(what, tmp_path, capsys):
    command, message = MISTAKES[what]
    _damaged(tmp_path)
    for shade in range(2):
        (tmp_path / "mine" / str(shade)).mkdir(parents=True)
    if what == "a handful of images":
        for number in range(8):
            (tmp_path / "few" / str(number % 2)).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / "few" / str(number % 2) / f"{number}.png")
    if what == "no teacher yet":
        for number in range(30):
            Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / "mine" / str(number % 2) / f"{number}.png")
    assert cli.main(command) == 1
    error = capsys.readouterr().err
    assert re.search(rf"^kdkit {command[0]}: ", error, re.MULTILINE) and re.search(message, error), error
    assert "Traceback" not in error


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_gets_a_sentence(device, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert cli.main(["evaluate", "things-teacher", "--device", device]) == 1
    assert f"--device {device}: torch sees no such device here" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["distil"], ["distill", "--epochs", "many"], ["evaluate"]])
def test_argparse_refuses_what_is_no_command(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        cli.main(arguments)
    assert refused.value.code == 2 and "usage: python -m kdkit" in capsys.readouterr().err


COMMANDS = [
    "doctor",
    "look",
    "train-teacher",
    "distill",
    "evaluate",
    "export",
    "report",
    "experiments",
    "train-bert",
    "train-gpt",
]
COMMANDS += ["class", "caches"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_says_what_it_does(command, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0 and len(text) > 150


LIGHT = """
import sys
from kdkit.cli.main import main
try:
    main({arguments})
except SystemExit as left:
    print(left.code, *{{"torch", "transformers", "numpy"}} & set(sys.modules))
"""


@pytest.mark.parametrize("arguments, status", [(["--help"], "0"), (["distil"], "2"), (["export", "--help"], "0")])
def test_help_and_slips_of_the_finger_are_answered_without_torch(arguments, status):
    command = [sys.executable, "-c", LIGHT.format(arguments=arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == status


def test_a_package_that_is_missing_sends_one_to_the_doctor(monkeypatch, capsys):
    def run(options):
        import missing_package  # noqa: F401

    monkeypatch.setattr(evaluate, "run", run)
    assert cli.main(["evaluate", "things-teacher"]) == 1
    said = capsys.readouterr().err
    assert said == "kdkit evaluate: No module named 'missing_package': run python -m kdkit doctor\n"


def test_kdkit_is_a_command_of_its_own_and_says_its_version(capsys):
    project = tomllib.loads((Path(kdkit.__file__).parents[1] / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["kdkit"].split(":")
    assert getattr(importlib.import_module(module), function) is cli.main
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])
    assert left.value.code == 0 and capsys.readouterr().out == f"kdkit {project['version']}\n"


# --- caches


def test_caches_are_listed_with_their_size_and_of_what_and_removed_on_demand(tmp_path, capsys):
    folder_of(tmp_path / "A", "cat", "dog")
    ViewCache(net(), splits(), tmp_path / "runs" / "deep" / "a.cache").close()
    (tmp_path / "runs" / "notes.txt").write_text("no cache")
    data.load("A")
    assert cli.main(["caches"]) == 0
    answers, *pictures = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"runs/deep/a\.cache: \d+ kB, answers on tiny, teacher \w+, flip=True, shift=1", answers)
    assert len(pictures) == 2
    assert all(re.fullmatch(r".*/user-cache/kdkit/decoded/t.*: \d+ kB, decoded images", line) for line in pictures)
    assert cli.main(["caches", "--remove"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"removed {line}" for line in (answers, *pictures)]
    assert sorted(file.name for file in Path("runs").rglob("*.*")) == [".a.cache.lock", "notes.txt"]
    assert cli.main(["caches"]) == 0
    assert capsys.readouterr().out == (
        f"no answers of teachers are kept in runs, no decoded images in {tmp_path / 'user-cache' / 'kdkit'}\n"
    )


# --- doctor


def report():
    return {text: good for good, text in doctor.report()}


def line_about(word):
    return next((good, text) for good, text in doctor.report() if word in text)


def test_doctor_without_data_says_how_to_get_it(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "CIFAR-10: not found" in out and "--data cifar10 --download" in out and "KDKIT_DATA" in out
    assert out.rstrip().endswith("All is well.")


def test_doctor_notes_a_package_that_only_an_extra_needs(monkeypatch):
    wanted = ["numpy>=1", 'no-such-package>=1.18; extra == "export"', 'torch>=1; extra == "export"']
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: wanted)
    good, text = line_about("no-such-package")
    assert good is None and text.endswith('pip install "no-such-package>=1.18" (only export needs it)')
    assert line_about("torch ") == (True, f"torch {importlib.metadata.version('torch')}")


def test_doctor_with_a_cache_folder_that_cannot_be_written(monkeypatch, tmp_path, capsys):
    (tmp_path / "a-file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a-file"))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "cannot be written" in out and "All works without it" in out and "1 of these need" in out


BROKEN_PAIR = """
import importlib, sys
real = importlib.import_module
def broken(name, *rest):
    if name == "torchvision":
        raise RuntimeError("operator torchvision::nms does not exist")
    return real(name, *rest)
importlib.import_module = broken
from kdkit.cli.main import main
sys.exit(main(["doctor"]))
"""


def test_doctor_with_a_torch_and_torchvision_that_do_not_fit():
    done = subprocess.run([sys.executable, "-c", BROKEN_PAIR], capture_output=True, text=True)
    assert done.returncode == 1
    assert "operator torchvision::nms does not exist" in done.stdout
    assert f"torch and torchvision must fit each other: {sys.executable} -m pip install" in done.stdout


def test_doctor_with_a_data_folder_that_may_not_be_read(monkeypatch):
    def forbidden(name):
        raise PermissionError("[Errno 13] Permission denied: 'data_batch_1'")

    monkeypatch.setattr(data.sources, "find", forbidden)
    good, text = line_about("CIFAR-10")
    assert good is False and "could not be looked for" in text and "Permission denied" in text


def test_doctor_without_torch_still_speaks(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    good, text = line_about("does not load")
    assert good is False and "pip install" in text


# --------------------------------------------------------------------------------------- text


@pytest.fixture
def texts(tmp_path):
    for name, text in reading.documents().items():
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{name}.txt").write_text(text)
    return ["train-bert", "--data", "texts", *reading.FEW]


def test_a_bert_learns_from_a_folder_and_is_kept_with_its_vocabulary_and_card(texts, capsys):
    assert cli.main([*texts, "--json", "b.json"]) == 0
    card = json.loads(Path("b.json").read_text())
    network = zoo.read("runs/texts-bert.safetensors")
    assert network.architecture == {"width": 8, "depth": 1, "vocab_size": 97, "max_length": 128}
    assert len(zoo.read_tokenizer("runs/texts-bert.safetensors")) == 97
    assert card["results"]["perplexity"] > 1 and {"by_frequency", "untrained"} <= set(card["results"])
    assert card["device"] == "cpu" and card["settings"]["vocab_size"] == 97 and "text files" in card["source"]
    assert f"test perplexity {card['results']['perplexity']:.2f}" in capsys.readouterr().out


def test_a_vocabulary_is_kept_for_these_texts_and_for_no_others(texts):
    assert cli.main(texts) == 0
    vocabulary = Path("runs/texts-bert.txt").read_text()
    assert cli.main([*texts, "--seed", "1", "--out", "b.safetensors"]) == 0
    assert Path("runs/texts-bert.txt").read_text() == vocabulary
    assert len(list(Path("runs").glob("vocabulary-*.txt"))) == 1
    for path in Path("texts").iterdir():
        path.write_text(path.read_text().replace("teacher", "lecturer"))
    assert cli.main([*texts, "--seed", "2", "--out", "c.safetensors"]) == 0
    assert Path("c.txt").read_text() != vocabulary


def test_a_gpt_that_writes_sums_is_kept_with_its_card(capsys):
    assert cli.main(["train-gpt", "--epochs", "2", "--width", "4", "--depth", "1", "--json", "g.json"]) == 0
    card, network = json.loads(Path("g.json").read_text()), zoo.read("runs/sums-gpt.safetensors")
    sizes = {"family": "gpt", "width": 4, "depth": 1, "vocab_size": 13, "max_length": 10}
    assert network.architecture == card.get("architecture", sizes) == sizes
    assert 0 < card["results"]["validity"] < 0.5 and card["sentences"] == 9801
    assert f"coverage {card['results']['coverage']:.4g}" in capsys.readouterr().out


def test_a_gpt_that_has_learnt_nothing_is_not_kept(capsys):
    arguments = ["train-gpt", "--epochs", "1", "--batch-size", "9801", "--width", "4", "--depth", "1", "--lr", "0.5"]
    assert cli.main(arguments) == 1
    assert "no better at sums than whoever draws each character evenly" in capsys.readouterr().err
    assert not Path("runs/sums-gpt.safetensors").exists()


def test_a_network_that_reads_is_no_network_for_pictures(capsys):
    assert cli.main(["evaluate", "python-teacher", "--data", "things"]) == 1
    assert "python-teacher reads text, and images are to be seen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--width", "9"], "multiple of 4, the number of heads; got 9"),
        (["--data", "nothing-there"], "holds no .txt file"),
        (["--out", "b.pt"], "ends in .safetensors; got b.pt"),
        (["--vocab-size", "9999"], r"word pieces, fewer than --vocab-size 9999. Give a smaller number."),
        (["--lr", "0"], "lr must be a finite number above 0"),
    ],
)
def test_what_a_bert_cannot_be_trained_with_is_said_in_a_line(texts, more, said, capsys):
    assert cli.main([*texts, *more]) == 1
    assert said in capsys.readouterr().err
