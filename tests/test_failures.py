"""The study of failures: read right, trained once, each cause the one that it says; its page says what it measured."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks import failures as script
from kdkit import models, studies, training
from kdkit.course import failures as cause
from kdkit.course import lessons, measured
from kdkit.data import things
from kdkit.measure import metrics
from kdkit.studies import failures

RIGHT, WRONG = [0.90, 0.92, 0.91], [0.80, 0.83, 0.80]


def row(arm, seed, lr=0.25, **measured):
    return {"setting": "a", "arm": arm, "steps": 1, "lr": lr, "seed": seed, **measured}


def made_up():
    """Two arms: of "right" the rate 0.25 was better, of "wrong" 0.08; another rate's student must not count."""
    tries = {"right": {0.08: 0.7, 0.25: 0.9}, "wrong": {0.08: 0.8, 0.25: 0.5}}
    rows = [
        row(arm, studies.TUNING_SEED, lr, val_accuracy=value)
        for arm, found in tries.items()
        for lr, value in found.items()
    ]
    rows += [row("right", seed, 0.08, accuracy=0.1, ece=0.5) for seed in range(3)]
    for seed in (2, 0, 1):
        rows.append(row("right", seed, accuracy=RIGHT[seed], ece=0.01, ece_fitted=0.005))
        rows.append(row("wrong", seed, 0.08, accuracy=WRONG[seed], ece=0.2, agreement=0.5, teacher_accuracy=0.99))
    rows += [
        {"setting": "a", "teacher": "plain", "seed": seed, "accuracy": 0.9 + seed / 10, "own_accuracy": 1.0}
        for seed in (0, 1)
    ]
    return {"rows": rows}


def test_arms_are_read_with_their_chosen_rates_in_the_order_of_seeds():
    result = made_up()
    assert failures.settings(result) == ["a"] and failures.arms(result, "a") == ["right", "wrong"]
    assert failures.chosen(result, "a", "right") == 0.25 and failures.chosen(result, "a", "wrong") == 0.08
    assert failures.by_seed(result, "a", "right") == dict(enumerate(RIGHT))
    assert list(failures.by_seed(result, "a", "right")) == [0, 1, 2]
    assert failures.by_seed(result, "a", "right", "agreement") == {}
    assert failures.teachers(result, "a") == {"plain": {"accuracy": 0.95, "own_accuracy": 1.0}}


def test_pairs_are_of_the_same_seed_and_their_interval_is_the_usual_one():
    result = made_up()
    pair = failures.compare(result, "a", "wrong", baseline="right")
    assert pair == metrics.paired_interval(WRONG, baseline=RIGHT) and failures.shown(pair) == "less"
    result["rows"] = [line for line in result["rows"] if line.get("arm") != "right" or line["seed"] != 1]
    assert failures.compare(result, "a", "wrong", baseline="right").differences == pytest.approx((-0.1, -0.11))
    mixed = failures.compare(result, "a", "wrong", baseline="right", measure="ece", baseline_measure="ece_fitted")
    assert mixed.mean == pytest.approx(0.195) and failures.shown(mixed) == "more"


def test_a_claim_that_was_not_measured_is_none_and_others_are_compared():
    result = made_up()
    claim = failures.Claim("a failure", "a", "wrong", "right", "a paper")
    assert failures.found(result, claim).mean == pytest.approx(-0.1)
    assert failures.found(result, claim._replace(arm="third")) is None
    assert failures.found(result, claim._replace(setting="b")) is None
    assert failures.shown(metrics.paired_interval([0.1, -0.1], baseline=[0, 0])) == "not shown"


def test_a_seed_that_was_trained_twice_is_refused():
    result = made_up()
    result["rows"].append(row("right", 1, accuracy=0.99))
    with pytest.raises(ValueError, match="'right' in the setting 'a' was trained twice"):
        failures.compare(result, "a", "wrong", baseline="right")


def test_students_that_diverged_are_left_out_and_an_arm_without_tries_is_refused():
    result = made_up()
    result["rows"].append(row("right", 3, accuracy=0.0, diverged=True))
    assert len(failures.by_seed(result, "a", "right")) == 3
    with pytest.raises(ValueError, match="'luck' was not tried in the setting 'a'"):
        failures.chosen(result, "a", "luck")


@pytest.fixture(scope="module")
def few():
    return replace(lessons.images(), train=things.make(3, seed=5))


def test_a_cache_of_other_views_answers_about_them(few):
    teacher, views = lessons.shipped(), few.views
    image, view = torch.arange(30), views.schedule(30, 0)
    plain = cause.OtherViews(teacher, few, plain=True).outputs(image, view)["logits"]
    torch.testing.assert_close(plain, metrics.predict(teacher, few.train.images), atol=1e-4, rtol=1e-4)
    seen = views.take(views.pad(few.train.images), image, view)
    exact = training.ViewCache(teacher, few).outputs(image, view, seen)["logits"]
    other = cause.OtherViews(teacher, few, plain=False)
    away = (other.outputs(image, view)["logits"] - exact).abs().amax(1)
    assert (away > 1e-3).all()  # never the view that the student sees
    again = other.outputs(image, (view + 1) % views.count)["logits"]
    assert (again - other.outputs(image, view)["logits"]).abs().max() > 1e-3


class Says(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.register_buffer("said", logits)

    def forward(self, images):
        return self.said[: len(images)]


def test_an_ensemble_is_the_mean_of_soft_targets_or_of_logits():
    members, images = [Says(3 * torch.randn(4, 5)) for _ in range(3)], torch.rand(4, 3, 8, 8)
    logits = torch.stack([member.said for member in members])
    torch.testing.assert_close(cause.Ensemble(members)(images), logits.mean(0))
    mean = (logits / 4).softmax(-1).mean(0)
    torch.testing.assert_close((cause.Ensemble(members, 4.0)(images) / 4).softmax(-1), mean)


def test_mistaken_teachers_answer_otherwise():
    teacher, part = lessons.shipped(), lessons.judges()[0]
    right = metrics.accuracy(metrics.predict(teacher, part.images), part.labels)
    for name in lessons.MISTAKES:
        said = metrics.predict(lessons.mistaken(name), part.images)
        assert metrics.accuracy(said, part.labels) < right - 0.02, name
    rolled = metrics.predict(lessons.mistaken("classes in another order"), part.images)
    assert torch.equal(rolled.argmax(1), (metrics.predict(teacher, part.images).argmax(1) + 1) % 10)


def test_wrong_images_are_what_they_are_called():
    right = things.make(2, seed=1).images
    patches = cause.shuffled_patches(right)
    assert patches.shape == right.shape and torch.equal(patches.flatten().sort().values, right.flatten().sort().values)
    assert any(torch.equal(patches[0, :, :8, :8], right[i, :, a : a + 8, b : b + 8]) for i in range(20)
               for a in range(0, 32, 8) for b in range(0, 32, 8))  # fmt: skip
    smooth, noise = cause.smooth_noise(3).float(), cause.pixel_noise(3).float()
    assert smooth.shape == noise.shape == (3, 3, 32, 32)
    assert smooth.diff(dim=3).abs().mean() < noise.diff(dim=3).abs().mean() / 3
    mixed = lessons.wrong("5 % Things, 95 % pixel noise").train
    assert torch.equal(mixed.images[:50], lessons.wrong("5 % Things alone").train.images)
    assert len(mixed) == 1000 and torch.equal(mixed.images[50:], lessons.wrong("pixel noise").train.images[50:])


def test_noisy_labels_are_wrong_for_the_share_that_was_asked_for(few):
    clean = lessons.images(50)
    noisy = cause.with_noisy_labels(clean, 0.4, seed=1)
    assert (noisy.train.labels != clean.train.labels).double().mean().item() == pytest.approx(0.4, abs=0.06)
    assert (cause.with_noisy_labels(clean, 1.0).train.labels != clean.train.labels).all()
    assert noisy.val is clean.val and torch.equal(noisy.train.images, clean.train.images)
    assert torch.equal(cause.with_noisy_labels(few, 0.0).train.labels, few.train.labels)


def test_the_fitted_temperature_undoes_a_division():
    labels = torch.arange(4).repeat(200)
    logits = 2 * nn.functional.one_hot(labels, 4) + torch.randn(800, 4, generator=torch.Generator().manual_seed(0))
    first, second = (cause.fitted_temperature(scale * logits, labels) for scale in (1, 4))
    assert second == pytest.approx(4 * first, abs=0.2)


def test_the_causes_learn_as_train_does(few):
    """One recipe: 25 images a step, the same steps to the bit as ``kdkit.train`` makes."""
    teacher = lessons.shipped()
    ours = cause.student_of(teacher, few, epochs=2, temperature=4.0, seed=3)
    student = models.student(*cause.STUDENT, seed=3)
    usual = {"batch_size": cause.BATCH, "lr": cause.RATE, "epochs": 2, "seed": 3, "progress": False}
    training.train(student, few, teacher=teacher, **cause.SOFT_ONLY, **usual)
    assert models.fingerprint(ours) == models.fingerprint(student)


def rates_of(tries):
    """The rates that an arm should have tried: three, and one beyond them where the best of the three is at an end."""
    lowest, *three, highest = script.RATES
    best = max(three, key=lambda rate: tries[rate])
    return (*three, *{three[0]: [lowest], three[-1]: [highest]}.get(best, []))


@pytest.mark.parametrize(
    ("best", "tried"), [(0.08, [0.025]), (0.25, []), (0.75, [2.25])], ids=["smallest", "middle", "largest"]
)
def test_a_rate_beyond_the_range_is_tried_where_the_best_stands_at_its_end(best, tried):
    study = script.Study("views", studies.Ledger(script.about(), say=str))
    study.train = lambda arm, rate, seed: {"val_accuracy": 1.0 if rate in tried else 0.9 if rate == best else 0.5}
    for _ in range(2):  # the second time all stands there
        study.tune("exact")
        assert list(failures.tries({"rows": study.ledger.rows}, "views", "exact")) == [0.08, 0.25, 0.75, *tried]
    assert study.chosen("exact") == (tried or [best])[0]


def test_the_study_trains_what_is_missing_and_nothing_twice(tmp_path, monkeypatch):
    arms = {"labels": lessons.VIEWS["labels"], "another view": lessons.VIEWS["another view"]}
    whose = {"teachers": {"shipped": lambda seed: lessons.shipped()}, "taught": lambda seed: lessons.images()}
    tiny = lessons.Setting(arms, steps=24, seeds=2, checks=(12,), **whose)
    monkeypatch.setattr(lessons, "SETTINGS", {"views": tiny})
    path = tmp_path / "a.json"
    ledger = studies.Ledger(script.about(), path, say=str)
    script.Study("views", ledger).run()
    result = json.loads(path.read_text())
    assert failures.arms(result, "views") == list(arms)
    tried = [failures.tries(result, "views", arm) for arm in arms]
    assert len(ledger.rows) == sum(map(len, tried)) + 2 * 2 + 2
    for arm, tries in zip(arms, tried, strict=True):
        assert tuple(tries) == rates_of(tries) and tries[failures.chosen(result, "views", arm)] == max(tries.values())
        assert list(failures.by_seed(result, "views", arm, "after 12")) == [0, 1]
    assert failures.by_seed(result, "views", "labels", "agreement") == {}
    again = studies.Ledger(script.about(), path, say=str)
    script.Study("views", again).run()
    assert again.rows == result["rows"]
    assert any(line.startswith("| another view | ") for line in script.table(result))


def test_an_arm_of_two_settings_is_trained_once(monkeypatch):
    settings = {name: lessons.Setting({"labels": lessons.VIEWS["labels"]}, 12, seeds=1) for name in ("a", "b")}
    monkeypatch.setattr(lessons, "SETTINGS", settings)
    ledger, trained = studies.Ledger(script.about(), say=str), []
    monkeypatch.setattr(
        lessons, "train", lambda *how, train=lessons.train, **more: trained.append(1) or train(*how, **more)
    )
    script.Study("a", ledger).run()
    monkeypatch.setattr(lessons, "SAME", {("b", "labels"): ("a", "labels")})
    script.Study("b", ledger).run()
    first, second = (failures.by_seed({"rows": ledger.rows}, name, "labels") for name in settings)
    assert len(trained) == 4 and first == second
    monkeypatch.setattr(lessons, "SAME", {})
    script.Study("b", ledger).row("labels", 0.123, 5)
    assert len(trained) == 5


def test_arms_that_are_said_to_be_the_same_are():
    for (setting, arm), (other, its_arm) in lessons.SAME.items():
        ours, theirs = lessons.SETTINGS[setting], lessons.SETTINGS[other]
        assert (ours.steps, ours.student) == (theirs.steps, theirs.student)
        if "teacher" in arm:
            continue  # of an own one for each seed, which is trained
        one, two = ours.arms[arm](0), theirs.arms[its_arm](0)
        assert models.fingerprint(one.teacher or nn.Identity()) == models.fingerprint(two.teacher or nn.Identity())
        assert one.data.train.fingerprint == two.data.train.fingerprint and one.data.views == two.data.views
        assert vars(one.loss) == vars(two.loss)


def test_the_page_says_what_was_measured():
    page = " ".join((measured.FOLDER / "README.md").read_text(encoding="utf-8").split())
    result = measured.load("failures")
    lines = list(script.table(result))
    assert len(lines) > 80 and [line for line in lines if " ".join(line.split()) not in page] == []
    now = json.loads(json.dumps(script.about()))
    assert all(now[name] == result[name] for name in ("experiment", "settings", "rates", "teacher"))
    for row in result["rows"]:
        if row.get("seed") == studies.TUNING_SEED:
            assert "accuracy" not in row and "ece" not in row  # nothing was seen of the test images


def test_each_arm_that_is_reported_was_tuned_alike_and_has_its_seeds():
    result = measured.load("failures")
    for setting in failures.settings(result):
        for arm in failures.arms(result, setting):
            tries = failures.tries(result, setting, arm)
            assert tuple(tries) == rates_of(tries), (setting, arm)
            expected = lessons.SETTINGS[setting].seeds
            assert list(failures.by_seed(result, setting, arm)) == list(range(expected)), (setting, arm)


def test_claims_name_arms_that_there_are():
    for claim in failures.CLAIMS:
        assert {claim.arm, claim.baseline} <= lessons.SETTINGS[claim.setting].arms.keys(), claim
        assert "arXiv:" in claim.published or claim.published == failures.REPORTED
