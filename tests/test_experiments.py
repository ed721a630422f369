"""The fair comparison: what it promises to hold fixed is held fixed, and its results are kept and compared rightly."""

import json
from dataclasses import asdict, replace

import pytest
import tiny
import torch

import kdkit
from kdkit import studies, training
from kdkit.data import files
from kdkit.measure import metrics
from kdkit.studies import Comparison, Ledger, Setting

SETTING = Setting(images=96, epochs=2, students=((2, 3),), budgets=(1.0, 0.25), shift=1, batch_size=32)


TEACHER = tiny.net(seed=7, width=4).eval()


def run(folder, teacher=TEACHER, data=None, **keywords):
    keywords = {"seeds": 2, "folder": folder, "say": lambda row: None, **keywords}
    return studies.run("things", data or tiny.splits(), teacher, **keywords)


@pytest.fixture
def small(monkeypatch):
    """An experiment of one arm pair, for tests that run it more than once."""
    monkeypatch.setitem(studies.SETTINGS, "things", {"small": replace(SETTING, epochs=1, budgets=(1.0,))})
    monkeypatch.setattr(studies, "RATES", (0.4,))
    monkeypatch.setattr(studies, "FIRST_RATE", 0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished experiment; and each call of ``kdkit.train``: (student's first weights, data, keywords)."""
    calls, original, folder = [], kdkit.train, tmp_path_factory.mktemp("whole")

    def train(student, data, **keywords):
        calls.append(({name: value.clone() for name, value in student.state_dict().items()}, data, keywords))
        return original(student, data, **keywords)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(studies.SETTINGS, "things", {"small": SETTING})
        patch.setattr(kdkit, "train", train)
        ledger = run(folder)
    assert not list(folder.glob("*.checkpoint"))
    return ledger, calls


def test_students_of_a_seed_differ_in_nothing_but_what_they_are_taught(whole):
    held_fixed = ("epochs", "batch_size", "seed")
    for seed in range(2):
        own = [call for call in whole[1] if call[2]["seed"] == seed]
        assert len(own) == 4  # soft, argmax, labels with two budgets
        for weights, data, keywords in own:  # the frozen first layer and its statistics among them
            assert weights["whiten.fitted"] and all(torch.equal(weights[name], own[0][0][name]) for name in weights)
            assert [keywords[name] for name in held_fixed] == [own[0][2][name] for name in held_fixed]
            assert len(data.train) == 96 and data.views == own[0][1].views and data.val is own[0][1].val
        images = [data.train.fingerprint for _, data, _ in own]
        assert len(set(images)) == 2 and images.count(images[0]) == 3  # all but the one with few labels
        taught = [keywords for _, _, keywords in own if "teacher" in keywords]
        assert [(k["soft_weight"], k["hard_weight"], k["temperature"]) for k in taught] == [
            (1.0, 0.0, 4.0),
            (1.0, 0.0, 1.0),
        ]


@pytest.mark.parametrize(
    "accuracies, best",
    [
        ((0.1, 0.2, 0.3, 0.4, 0.6, 0.5, 0.5, 0.9, 0.9), 0.8),  # uphill, not across the valley
        ((0.1, 0.44, 0.45, 0.4, 0.3, 0.3, 0.1, 0.1, 0.1), 0.2),
        ((0.1, 0.2, 0.3, 0.4, 0.399, 0.6, 0.5, 0.5, 0.5), 1.6),  # a dip no wider than one rate does not stop it
        ((0.4,) * 9, 0.4),
    ],
)
def test_each_arm_gets_the_rate_that_is_best_on_validation_images(tmp_path, monkeypatch, accuracies, best):
    accuracy = dict(zip(studies.RATES, accuracies, strict=True))
    monkeypatch.setattr(Comparison, "row", lambda self, *arm: {"val_accuracy": accuracy[arm[-1]]})
    comparison = Comparison("small", SETTING, tiny.splits(), TEACHER, None, tmp_path, Ledger({}))
    assert comparison.tune((2, 3), "soft", None) == best


def test_a_rate_at_which_training_diverges_counts_as_worst(tmp_path, small, monkeypatch):
    def train(student, data, **keywords):
        raise training.Diverged("no number")

    monkeypatch.setattr(kdkit, "train", train)
    comparison = Comparison("small", SETTING, tiny.splits(), TEACHER, None, tmp_path, Ledger({}, say=lambda row: None))
    assert comparison.row((2, 3), "labels", 1.0, studies.TUNING_SEED, 6.4)["val_accuracy"] == 0


def test_tuning_never_looks_at_the_test_images(whole):
    rows = whole[0].rows
    tuning = [row for row in rows if row["seed"] == studies.TUNING_SEED]
    assert len(tuning) >= 4 * 2
    assert all("accuracy" not in row for row in tuning)
    assert all(0 <= row["accuracy"] <= 1 for row in rows if row not in tuning)


def test_the_argmax_arm_asks_the_teacher_nothing_once_the_cache_is_full(whole):
    asked = [keywords["cache"].teacher_images for _, _, keywords in whole[1] if keywords.get("temperature") == 1.0]
    assert asked and set(asked) == {0}


def test_what_stands_in_the_file_is_not_trained_again(tmp_path, small, monkeypatch):
    path = tmp_path / "result.json"
    first = run(tmp_path, path=path, seeds=1)
    again = run(tmp_path, path=path)
    assert len(again.rows) - len(first.rows) == 3 and again.rows[: len(first.rows)] == first.rows
    monkeypatch.setattr(kdkit, "train", None)
    assert run(tmp_path, path=path).rows == again.rows
    kept = json.loads(path.read_text())
    assert kept["rows"] == again.rows and kept["settings"]["small"]["epochs"] == 1


def test_a_stopped_experiment_goes_on_to_the_same_rows(tmp_path, small, monkeypatch):
    def but_seconds(ledger):
        return [{name: value for name, value in row.items() if name != "seconds"} for row in ledger.rows]

    undisturbed = run(tmp_path / "whole")
    path, original = tmp_path / "stopped.json", Ledger.add

    def stop(self, row):
        original(self, row)
        if len(self.rows) == 4:  # its row is in the file, its checkpoint still there
            raise KeyboardInterrupt
        return row

    monkeypatch.setattr(Ledger, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", path=path)
    monkeypatch.setattr(Ledger, "add", original)
    assert but_seconds(run(tmp_path / "stopped", path=path)) == but_seconds(undisturbed)


def test_a_file_of_another_experiment_is_refused(tmp_path, small):
    path = tmp_path / "result.json"
    run(tmp_path, path=path, seeds=1)
    with pytest.raises(ValueError, match="results of another teacher: give another file"):
        run(tmp_path / "other", tiny.net(seed=8, width=4).eval(), path=path)
    studies.SETTINGS["things"]["small"] = replace(SETTING, epochs=3)
    with pytest.raises(ValueError, match="results of another settings"):
        run(tmp_path / "other", path=path)
    studies.SETTINGS["things"]["small"] = replace(SETTING, epochs=1, budgets=(1.0,))
    for other in tiny.relabelled(tiny.splits()), tiny.reordered(tiny.splits()):
        with pytest.raises(ValueError, match="results of another data_fingerprint"):
            run(tmp_path / "other", data=other, path=path)


def test_two_programs_do_not_work_in_one_folder(tmp_path, small):
    with files.alone(tmp_path / "experiments"), pytest.raises(ValueError, match="another program is working in"):
        run(tmp_path)


def test_few_labels_are_the_same_share_of_each_class_and_as_many_pictures():
    data = tiny.splits(train=120)
    few, other = (studies.with_labels(data, 0.25, seed) for seed in (0, 1))
    assert len(few.train) == 120 and len(few.train.images.flatten(1).unique(dim=0)) == 30
    share = data.train.labels.bincount() / 120
    assert torch.allclose(few.train.labels.bincount() / 120, share, atol=0.02)
    assert few.val is data.val and few.test is data.test and few.train.fingerprint != other.train.fingerprint
    known = {
        image.numpy().tobytes(): int(label) for image, label in zip(data.train.images, data.train.labels, strict=True)
    }
    assert all(known[i.numpy().tobytes()] == int(k) for i, k in zip(few.train.images, few.train.labels, strict=True))
    assert studies.with_labels(data, 1.0, 0) is data


def made_up(**accuracies):
    """A result with one student a seed and arm: ``labels=[...]`` and so on."""
    rows = [
        {"setting": "full", "student": "8x3", "arm": arm, "budget": 1.0 if arm == "labels" else None, "seed": seed}
        | {"lr": 0.4, "accuracy": value, "val_accuracy": value, "seconds": 1.0}
        for arm, values in accuracies.items()
        for seed, value in reversed(list(enumerate(values)))
    ]
    tuning = {**rows[0], "seed": studies.TUNING_SEED, "lr": 0.8, "accuracy": 0.0}
    return {"rows": [tuning, *rows], "settings": {"full": asdict(SETTING)}}


def test_differences_are_taken_within_a_seed_and_leave_out_tuning():
    result = made_up(labels=[0.5, 0.6, 0.7], argmax=[0.52, 0.61, 0.73], soft=[0.55, 0.65, 0.75])
    pair = studies.compare(result, "full", "8x3", ("soft", None), baseline=("labels", 1.0))
    assert pair == metrics.paired_interval([0.55, 0.65, 0.75], baseline=[0.5, 0.6, 0.7])
    found = studies.comparisons(result)
    assert len(found) == 3 and {budget for _, _, budget, _ in found} == {1.0, None}
    assert studies.tuned(result, "full", "8x3") == {"labels": 0.4, "argmax": 0.4, "soft": 0.4}
    for row in result["rows"]:
        row.update(dict.fromkeys(studies.MEASURES[1:], 1.0))
    said = list(studies.verdicts(result))
    assert "100% of the images labelled: both (soft - labels): a gain of 5.00 points" in said[-1]


def test_tuning_tells_what_each_rate_gave_on_validation_images(whole):
    result = {"rows": whole[0].rows}
    found, best = studies.tuning(result, "small", "2x3"), studies.tuned(result, "small", "2x3")
    assert set(found) == {"soft", "argmax", "labels"}
    for arm, tried in found.items():
        assert list(tried) == sorted(tried) and tried[best[arm]] == max(tried.values())
        assert set(tried) < set(studies.RATES) and len(tried) > 1


def test_unfinished_results_are_compared_as_far_as_they_go():
    result = made_up(labels=[0.5, 0.6, 0.7], argmax=[], soft=[0.55, 0.66])
    pair = studies.compare(result, "full", "8x3", ("soft", None), baseline=("labels", 1.0))
    assert pair == metrics.paired_interval([0.55, 0.66], baseline=[0.5, 0.6])
    assert len(studies.comparisons(result)) == 1


def test_a_diverged_seed_is_counted_said_and_left_out_of_what_is_compared():
    result = made_up(labels=[0.5, 0.6, 0.7], argmax=[0.5], soft=[0.55, 0.65, 0.75])
    for row in result["rows"]:
        if row["arm"] == "argmax" or (row["arm"], row["seed"]) == ("soft", 1):
            row.update(val_accuracy=0.0, diverged=True)
            row.pop("accuracy")
    pair = studies.compare(result, "full", "8x3", ("soft", None), baseline=("labels", 1.0))
    assert pair == metrics.paired_interval([0.55, 0.75], baseline=[0.5, 0.7]) and len(studies.comparisons(result)) == 1
    for row in result["rows"]:
        row.update(dict.fromkeys(studies.MEASURES[1:], 1.0))
    rows = {row["arm"]: row for row in studies.summary(result)}
    assert (rows["soft"]["seeds"], rows["soft"]["diverged"]) == (3, 1) and rows["soft"]["accuracy"] == 0.65
    assert rows["argmax"]["accuracy"] is None
    said = list(studies.verdicts(result))
    assert "full, student 8x3, soft: 1 of 3 trainings diverged at rate 0.4 and are left out above." in said
    assert studies.by_seed(result, "full", "8x3", "soft") == [0.55, 0.75]


def test_a_seed_with_two_rates_is_refused():
    result = made_up(labels=[0.5, 0.6], soft=[0.5])
    result["rows"].append({**result["rows"][-1], "lr": 0.8})
    with pytest.raises(ValueError, match="once only for each seed"):
        studies.by_seed(result, "full", "8x3", "soft")


def test_what_was_not_run_is_named():
    with pytest.raises(ValueError, match=r"no student 8x6 of 'full' was trained to its end with .*soft"):
        studies.by_seed(made_up(labels=[0.5]), "full", "8x6", "soft")


def test_expected_seconds_count_each_view_of_an_image_once():
    data, student = tiny.splits(), tiny.net()
    few, many = (
        studies.expected_seconds(replace(data, views=replace(data.views, shift=shift)), setting, TEACHER, student)
        for shift, setting in ((0, replace(SETTING, epochs=2)), (0, replace(SETTING, epochs=200)))
    )
    assert many["student"] > 20 * few["student"] > 0 and few["teacher"] < 10 * many["teacher"] < 100 * few["teacher"]


def test_judge_compares_with_teacher_and_labels():
    teacher_logits, labels = torch.eye(3).repeat(4, 1) * 5, torch.arange(12) % 3
    own = studies.judge(teacher_logits, teacher_logits, labels)
    assert own["accuracy"] == own["agreement"] == 1 and own["kl"] == pytest.approx(0, abs=1e-6)
    other = studies.judge(teacher_logits.roll(1, 1), teacher_logits, labels)
    assert other["accuracy"] == other["agreement"] == 0 and other["kl"] > 1 and other["ece"] > 0.5


def test_summary_is_the_mean_over_the_seeds_that_are_reported(whole):
    result = {"rows": whole[0].rows}
    rows = list(studies.summary(result))
    assert [(row["arm"], row["budget"], row["seeds"]) for row in rows] == [
        ("soft", None, 2),
        ("argmax", None, 2),
        ("labels", 1.0, 2),
        ("labels", 0.25, 2),
    ]
    own = studies.by_seed(result, "small", "2x3", "soft", measure="kl")
    assert rows[0]["kl"] == pytest.approx(sum(own) / 2)
