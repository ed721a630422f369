"""The tables of kdkit/course/measured/README.md say what the JSON files say."""

import json
import statistics
from dataclasses import asdict, replace
from itertools import product

import pytest
import reading

from benchmarks import (
    ablation,
    beyond_logits,
    defaults,
    original_pixels,
    processes,
    shapes,
    shapes_learnt,
    sofa,
    streaming,
    top_k,
    two_teachers,
    usual_loop,
)
from kdkit import models, studies, training, zoo
from kdkit.cli import main as cli
from kdkit.course import measured
from kdkit.data import text, tokens
from kdkit.measure import profiling
from kdkit.measure.metrics import paired_interval, rank_correlation
from kdkit.training import fine_tuning, masked_lm

TEXT = (measured.FOLDER / "README.md").read_text(encoding="utf-8")
PAGE = " ".join(TEXT.split())
README = (measured.FOLDER.parents[2] / "README.md").read_text(encoding="utf-8")


def gain(first, second):
    """Of the second over the first, seed by seed."""
    return paired_interval(second, baseline=first)


def as_now(command):
    """The command on a card, which is kept as it was typed then, as one has to type it now."""
    return command.replace("--worn", "--corrupted").replace("kdkit/weights/", "kdkit/zoo/weights/")


def test_the_commands_on_the_page_are_commands():
    lines = [line.split()[3:] for line in TEXT.splitlines() if line.startswith("    python -m kdkit ")]
    assert len(lines) == 7
    for arguments in lines:
        cli.parser().parse_args(arguments)


def test_what_was_not_measured_is_refused_with_the_names_of_what_was():
    with pytest.raises(ValueError, match="'luck'; there are: ablation, ablation-rates, bert-teachers"):
        measured.load("luck")


def test_values_come_in_the_order_of_seeds_and_nothing_found_is_refused():
    rows = [{"arm": arm, "seed": seed, "gain": 10 * seed + len(arm)} for seed in (2, 0, 1) for arm in ("a", "bb")]
    assert measured.values({"rows": rows}, "gain", arm="bb") == [2, 12, 22]
    with pytest.raises(ValueError, match="no row of this result has"):
        measured.values({"rows": rows}, "gain", arm="c")


def test_teacher():
    teacher = measured.load("cifar10-teacher")
    assert f"**{teacher['results']['accuracy']:.2%}**".replace("%", " %") in PAGE
    assert f"in {teacher['seconds']:.0f} s" in PAGE and f"is {teacher['results']['ece']:.3f}" in PAGE
    assert f"{teacher['settings']['epochs']} epochs" in PAGE and "JPEG" in teacher["source"]


def test_pairs_of_students():
    result = measured.load("cifar10-distill")
    assert result["data"] == "cifar10" and result["train_images"] == 45_000 and "JPEG" in result["source"]
    for run in result["runs"]:
        row = f"| {run['seed']} | {100 * run['student_alone']:.2f} % | {100 * run['student_distilled']:.2f} % |"
        assert f"{row} {run['seconds_alone']:.0f} | {run['seconds_distilled']:.0f}" in PAGE
    arms = [[run[arm] for run in result["runs"]] for arm in ("student_alone", "student_distilled")]
    assert gain(*arms).verdict == result["verdict"] and result["verdict"] in PAGE


def test_views():
    result = measured.load("cifar10-views")
    for run in result["runs"]:
        assert f"| {run['seed']} | {100 * run['fixed']:.2f} % | {100 * run['random']:.2f} % |" in PAGE
    arms = [[run[arm] for run in result["runs"]] for arm in ("random", "fixed")]
    assert gain(*arms).verdict == result["verdict"] and result["verdict"] in PAGE


def test_the_fixed_arm_is_as_the_student_alone_of_the_other_table():
    """The same training, but on a card that does not give the same digits twice."""
    alone = [run["student_alone"] for run in measured.load("cifar10-distill")["runs"]]
    assert [run["fixed"] for run in measured.load("cifar10-views")["runs"]] == pytest.approx(alone, abs=0.01)
    assert "up to a point away from it" in PAGE


def test_cache():
    result = measured.load("cache")
    for name, seconds in result["seconds"].items():
        ratios = sorted(taken / plain for taken, plain in zip(seconds, result["seconds"]["plain"], strict=True))
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        images = f"{result['teacher_images'][name]:,}"
        assert f"| {name} | {statistics.median(ratios):.3f} | {spread} | {images} |" in PAGE
    share = statistics.median(result["shares_outside"])
    assert f"{share:.1%}".replace("%", " %") in PAGE and f"load {result['load']}" in PAGE


UNSEEN = {"unseen-things": "mushrooms", "unseen-mnist": "3s"}


@pytest.mark.parametrize("name", UNSEEN)
def test_the_class_that_was_never_seen(name):
    result = measured.load(name)
    assert len(result["runs"]) == 5
    for arm in "alone", "distilled":
        row = f"| {UNSEEN[name]} | {arm} |"
        for what in "unseen", "all":
            for when in "before", "after":
                scores = [100 * run[arm][when][what] for run in result["runs"]]
                row += f" {sum(scores) / 5:.1f} ({min(scores):.1f} to {max(scores):.1f}) |"
        assert row in PAGE, row


def test_two_teachers():
    result = measured.load("two-teachers")
    for row in two_teachers.table(result):
        assert row in PAGE, row
    for kind, bits in two_teachers.bits(result).items():
        assert f"{kind} {bits['1.0']:.3f} at T = 1 and {bits['4.0']:.3f} at T = 4" in PAGE
    assert json.loads(json.dumps(two_teachers.SETTINGS)) == result["settings"]["students"]


def test_the_sofa():
    result = measured.load("sofa")
    for row in sofa.table(result):
        assert row in PAGE, row
    assert [row["seed"] for row in result["rows"]] == ["shipped", *sofa.SEEDS]


def test_notebook_01_says_no_more_than_these_results():
    """Its words on the stored results, which it does not compute anew."""
    two = measured.load("two-teachers")
    teachers = [two_teachers.accuracies(two, kind) for kind in two_teachers.SMOOTHING]
    assert abs(statistics.mean(teachers[0]) - statistics.mean(teachers[1])) < 0.003
    plain, smoothed = (two_teachers.accuracies(two, kind, "300 images") for kind in two_teachers.SMOOTHING)
    assert len(plain) == 6 and paired_interval(smoothed, baseline=plain).high < 0
    for setting in list(two_teachers.SETTINGS)[1:]:
        arms = {kind: two_teachers.accuracies(two, kind, setting) for kind in ("labels", "plain", "smoothed")}
        gap = paired_interval(arms["smoothed"], baseline=arms["plain"])
        assert gap.low < 0 < gap.high
    assert statistics.mean(arms["labels"]) > statistics.mean(arms["plain"])  # of the last setting
    bits = two_teachers.bits(two)
    assert [f"{bits[kind][T]:.2f}" for T in ("4.0", "1.0") for kind in bits] == ["0.11", "0.03", "0.05", "0.11"]
    for row in measured.load("sofa")["rows"]:
        assert row["nothing"]["last"] > 4 * 20 and row["legs and width"]["last"] <= 2
        assert row["legs and width"]["median"] > 1e3 * max(row["legs"]["median"], row["width"]["median"]) / 10
        assert min(row["legs"]["median"], row["width"]["median"]) > 1e3 * row["nothing"]["median"]


def test_temperature_grid():
    result = measured.load("temperature-grid")
    arms = {(r["per_class"], r["temperature"], r["soft_weight"], r["lr_factor"], r["seed"]) for r in result["rows"]}
    assert len(arms) == len(result["rows"]) == 3 * 5 * (1 + 6 * 3 + 3)
    assert f"{len(arms)} trainings" in PAGE


def test_latency():
    result = measured.load("latency")
    for name, times in result["milliseconds"].items():
        row = f"| {name} |"
        for kind in "changed", "painted":
            values = sorted(times[kind])
            assert len(values) == result["moves"] == 30
            row += f" {statistics.median(values):.1f} | {values[28]:.1f} |"
        assert row in PAGE, row
    assert f"load {result['load']}" in PAGE


@pytest.mark.parametrize("name", ["experiments-cifar", "experiments-things"])
def test_three_ways_to_teach(name):
    result = measured.load(name)
    settings = {setting: asdict(values) for setting, values in studies.SETTINGS[result["experiment"]].items()}
    assert result["settings"] == json.loads(json.dumps(settings))  # those of the notebook's live cell
    assert {row["setting"] for row in studies.summary(result)} == set(settings)
    if result["teacher"] != models.fingerprint(zoo.load(f"{result['data']}-teacher")):
        assert f"SHA-256 1691b63d…, {100 * result['teacher_accuracy']:.2f} %" in PAGE and "1691b63d" in result["note"]
    for row in studies.summary(result):
        assert row["seeds"] >= 5
        assert " ".join(experiment_row(row).split()) in PAGE
    for verdict in studies.verdicts(result):
        assert f"- {verdict}." in PAGE


def experiment_row(row):
    labels = "none" if row["budget"] is None else f"{row['budget']:.0%}".replace("%", " %")
    return (
        f"| {row['setting']} | {row['student']} | {row['arm']} | {labels} | {row['lr']:g} | "
        f"{100 * row['accuracy']:.2f} % | {100 * row['agreement']:.1f} % | {row['kl']:.3f} | {row['ece']:.3f} |"
    )


def test_no_learning_rate_was_best_at_the_end_of_the_range():
    for name in "experiments-cifar", "experiments-things":
        rates = {row["lr"] for row in studies.summary(measured.load(name))}
        assert rates <= set(studies.RATES[1:-1]), rates


def test_speed():
    result = measured.load("speed")
    assert f"{result['matmul_gflops']:.0f} GFLOP/s" in PAGE and f"load {result['load']}" in PAGE
    for name, row in result["networks"].items():
        line = f"| {name} | {row['images_per_second']:,.0f} | {row['forward_mflop']:.1f} | "
        assert line + f"{row['share']:.2f} | {row['share_counted']:.2f} |" in PAGE
    for kind, share in result["breakdown"].items():
        assert f"{kind} {share:.0%}".replace("%", " %") in PAGE
    full, half = (result["networks"][name]["images_per_second"] for name in ("student 8x3", "student 8x3, bf16"))
    assert f"a step of the smallest student takes {full / half:.2f} times as long" in PAGE


def test_the_usual_loop():
    result = measured.load("usual-loop")
    for row in usual_loop.table(result):
        assert row in README or row in PAGE, row
    assert f"load {result['load']} at the start" in README and result["pixels"] == "JPEG copies"
    assert f"{result['train_images']:,} images" in README and f"{result['train_images']:,} images" in PAGE
    assert {len(seconds) for seconds in result["seconds"].values()} == {5}
    assert {(len(runs), *map(len, runs)) for runs in result["histories"].values()} == {(3, 10, 10, 10)}
    for rate, accuracy in result["tuning"].items():
        assert f"{rate} ({accuracy:.1%})".replace("%", " %") in PAGE
    assert f"its peak, {max(result['tuning'], key=result['tuning'].get)}, was the best" in PAGE


def test_original_pixels():
    result = measured.load("original-pixels")
    for row in original_pixels.table(result):
        assert row in PAGE, row
    assert {(row["kind"], row["seed"]) for row in result["rows"]} == {
        (k, n) for k in ("plain", "worn") for n in range(3)
    }
    assert f"without {result['sample']:,} of the training images" in PAGE and result["pixels"] == "JPEG copies"


@pytest.mark.parametrize(("name", "others"), [("shapes", 0), ("shapes-one-thread", 0), ("shapes-busy", 2)])
def test_shapes(name, others):
    result = measured.load(name)
    for row in shapes.table(result):
        assert row in PAGE, row
    assert result["settings"]["busy"] == others and f"load {result['load']}" in PAGE
    assert result["versions"]["threads"] == (1 if "one" in name else 2)
    assert {len(row["ratio"]) for row in result["pairs"]} == {result["settings"]["rounds"]} == {11}


def test_shapes_learnt():
    result = measured.load("shapes-learnt")
    for row in shapes_learnt.table(result):
        assert row in PAGE, row
    assert result["settings"] == {"images": shapes_learnt.SETTING.images, "epochs": shapes_learnt.SETTING.epochs}
    for width, depth in shapes_learnt.SHAPES:
        assert len(studies.by_seed(result, "shapes", f"{width}x{depth}", "soft")) == 5


def test_notebook_05_says_no_more_than_these_results():
    def of(kept, *work):
        [row] = [row for row in kept["pairs"] if row["work"] == list(work) and row["kind"] == "encoder"]
        return profiling.Ratio(profiling.Spread(tuple(row["ratio"])), profiling.Spread(tuple(row["noise"])))

    quiet, busy, learnt = (measured.load(name) for name in ("shapes", "shapes-busy", "shapes-learnt"))
    single = measured.load("shapes-one-thread")
    assert of(single, 1, 1).shown and of(single, 1, 1).spread.median < of(quiet, 1, 1).spread.median
    told = {}
    for name, result in {"quiet": quiet, "one thread": single, "busy": busy}.items():
        rows = [row for row in result["grid"] if row["kind"] == "convnet" and row["work"] == [1]]
        taken = [statistics.median(row["seconds"]) for row in rows]
        told[name] = [rank_correlation([row[key] for row in rows], taken).value for key in ("depth", "flops")]
    assert told["quiet"][0] > told["quiet"][1]
    assert all(layers < operations for layers, operations in (told["one thread"], told["busy"]))
    assert of(quiet, 1, 1).shown and not of(busy, 1, 1).shown and max(of(busy, 1, 1).noise.values) > 2
    for length in (1, 16, 128):
        found = {row["name"]: statistics.median(row["ratio"]) for row in quiet["berts"] if row["work"][1] == length}
        assert found["DistilBERT's 6 x 768"] < found["thin, 12 x 544"] < 0.7
    one = {(row["width"], row["depth"]): row["seconds"] for row in learnt["times"] if row["batch"] == 1}
    shallow = [statistics.median(one[width, 3]) for width in (4, 8, 16, 24)]
    assert max(shallow) < 1.1 * min(shallow)

    def mean(name):
        return statistics.mean(studies.by_seed(learnt, "shapes", name, "soft"))

    assert mean("24x3") == max(mean(f"{width}x3") for width in (4, 8, 16, 24)) > mean("4x3") + 0.03
    assert min(studies.by_seed(learnt, "shapes", "16x9", "soft")) < 0.9


def test_the_default_training_breaks_no_student():
    result = measured.load("defaults")
    wanted = {"lr": training.PEAK_LR, "max_grad_norm": training.MAX_GRAD_NORM}
    assert wanted.items() <= result["settings"].items()
    cells = defaults.cells(result)
    assert {name for name, _, _ in cells} == set(defaults.DATA) and {images for _, images, _ in cells} >= {300, None}
    for rows in cells.values():
        assert not defaults.broken(rows)
    for row in defaults.table(result):
        assert row in PAGE, row


def test_the_teacher_that_ships():
    card = zoo.card("cifar10-teacher")
    results = {name: f"{value:.2%}".replace("%", " %") for name, value in card["results"].items()}
    said = f"**{results['accuracy']}**, {results['accuracy_with_flips']} with mirror images"
    assert f"{said}, calibration error {card['results']['ece']:.3f}; {card['seconds']:.0f} s of training" in PAGE
    assert as_now(card["command"]) in PAGE


def test_notebook_04_says_no_more_than_these_results():
    """Its words on the stored results, which it does not compute anew."""
    found = studies.comparisons(measured.load("experiments-cifar"))
    answers, softness, both = studies.QUESTIONS
    quick = {question: pair for (setting, _, _, question), pair in found.items() if setting == "quick"}
    assert quick[softness].low > 0 and quick[both].low < 0 < quick[both].high and quick[answers].low < 0
    for student in "8x3", "8x6":
        assert found["full", student, None, softness].low > 0
        all_labels, few = (found["full", student, budget, answers] for budget in (1.0, 0.02))
        assert all_labels.low < 0 < all_labels.high
        assert few.low > found["full", student, None, softness].high
        assert found["full", student, 1.0, both].low > 0
    rows = [row for row in studies.summary(measured.load("experiments-cifar")) if row["setting"] == "quick"]
    [soft], others = ([row for row in rows if (row["arm"] == "soft") is taught] for taught in (True, False))
    for other in others:  # soft targets make overconfident, and farther from the teacher
        assert soft["ece"] > 4 * other["ece"] and soft["kl"] > 1.4 * other["kl"]
    seconds = measured.load("cache")["seconds"]
    plain, again, cached = (statistics.median(seconds[way]) for way in ("plain", "plain again", "second student"))
    assert abs(cached - plain) <= abs(again - plain)  # the teacher's cost is lost in the noise


def test_the_reader_that_ships_and_those_that_do_not():
    card, tried = zoo.card("python-teacher"), measured.load("bert-teachers")["rows"]
    results = card["results"]
    words = f"**{results['accuracy']:.1%}** of {results['masked_tokens']:,} masked tokens"
    assert f"{100 * results['accuracy']:.1f} % of masked tokens" in README
    assert f"perplexity **{results['perplexity']:.1f}**, {words}" in PAGE and as_now(card["command"]) in PAGE
    by_frequency = results["by_frequency"]
    assert f"against {by_frequency['perplexity']:.0f} and {by_frequency['accuracy']:.1%}" in PAGE
    for row in tried:
        last = row["history"][-1]
        assert f"| {row['batch_size']} | {row['lr']:g} | {row['epochs']} | {last['val_perplexity']:.1f} | " in PAGE
    shipped = min(tried, key=lambda row: row["history"][-1]["val_perplexity"])
    assert {name: card["settings"][name] for name in ("batch_size", "lr", "epochs")}.items() <= shipped.items()
    assert shipped["lr"] == max(row["lr"] for row in tried)


def test_ablation():
    result = measured.load("ablation")
    for row in ablation.table(result):
        assert row in PAGE, row
    assert result["settings"] == json.loads(json.dumps(ablation.settings()))
    assert result["teacher"] == zoo.card(ablation.TEACHER)["sha256"]
    assert "test documents, means over three seeds" in PAGE
    for setting in ablation.EPOCHS:
        for arm in ablation.ARMS:
            assert len(ablation.values(result, setting, arm, "accuracy")) == 3
            assert result["rates"][setting][arm] == ablation.best_rate(setting, arm)
            assert set(ablation.values(result, setting, arm, "lr")) == {ablation.best_rate(setting, arm)}


def test_rates_were_chosen_of_all_that_are_said_to_have_been_tried():
    rates, result = measured.load("ablation-rates"), measured.load("ablation")
    assert rates["teacher"] == result["teacher"] and rates["settings"]["epochs"] == {"quick": 1, "full": 5}
    tried = [(row["setting"], row["arm"], row["lr"]) for row in rates["rows"]]
    assert sorted(tried) == sorted(product(ablation.EPOCHS, ablation.ARMS, ablation.RATES))
    assert not any("accuracy" in row for row in rates["rows"])  # nothing was seen of the test texts
    assert ablation.best_rate("quick", "no teacher at all") < ablation.best_rate("full", "no teacher at all")
    assert rates["data_fingerprint"].split("/")[0] == result["data_fingerprint"].split("/")[0]  # the same to learn from


def test_notebook_06_says_no_more_than_these_results():
    """Its words on the stored results, which it does not compute anew."""
    result = measured.load("ablation")

    def missed(setting, arm, measure="accuracy"):
        arms = [ablation.values(result, setting, name, measure) for name in ("triple loss", arm)]
        return gain(*arms)

    for setting in ablation.EPOCHS:
        assert missed(setting, "no distillation loss").high < 0
        assert missed(setting, "random weights").high < -0.1
        for arm in "no masked LM", "no cosine":
            assert missed(setting, arm).low < 0 < missed(setting, arm).high
    masked, directions = (missed("full", arm, "perplexity") for arm in ("no masked LM", "no cosine"))
    assert masked.low > 0 and masked.high < 1 and directions.low > 0 and directions.high < 0.1
    assert missed("full", "no masked LM", "agreement").low > 0
    means = {arm: statistics.mean(ablation.values(result, "full", arm, "accuracy")) for arm in ablation.ARMS}
    assert means["random weights"] > means["no teacher at all"] + 0.01
    rates = {
        (setting, arm): ablation.values(result, setting, arm, "lr")[0]
        for setting in ablation.EPOCHS
        for arm in ablation.ARMS
    }
    assert {arm for (_, arm), rate in rates.items() if rate < max(ablation.RATES)} == {"no teacher at all"}
    # on the task a teacher helps random weights, and is not shown to help copied layers
    for setting in ablation.EPOCHS:
        arms = [ablation.values(result, setting, arm, "transfer") for arm in ("no teacher at all", "random weights")]
        assert gain(*arms).low > 0
        for arm in "layers, no teacher", "no distillation loss":
            gap = missed(setting, arm, "transfer")
            assert gap.low < 0 < gap.high
    ends = [ablation.values(result, "none", name, "transfer") for name in ("untrained teacher", "teacher")]
    assert gain(*ends).low > 0.09

    def beside_untrained(setting, arm):
        return gain(*(ablation.values(result, *at, "transfer") for at in (("none", "untrained"), (setting, arm))))

    for setting in ablation.EPOCHS:
        assert (
            beside_untrained(setting, "no teacher at all").high
            < 0
            < beside_untrained(setting, "layers, no teacher").low
        )
        assert beside_untrained(setting, "triple loss").low < 0 < beside_untrained(setting, "triple loss").high
    tasks = {arm: statistics.mean(ablation.values(result, "full", arm, "transfer")) for arm in ablation.ARMS}
    assert max(tasks, key=tasks.get) == "no distillation loss"
    history = {line["epoch"]: line["val_accuracy"] for line in measured.load("bert-teachers")["rows"][1]["history"]}
    assert history[5] < means["random weights"] and abs(history[5] - means["no teacher at all"]) < 0.01
    teacher = result["teacher_results"]["accuracy"]
    assert 0.8 < means["triple loss"] / teacher < 0.9


def test_the_likeliest_classes_alone():
    result = measured.load("top-k")
    assert "\n".join(top_k.page(result)) in TEXT
    about = json.loads(json.dumps(top_k.about()))
    assert {name: result[name] for name in about.keys() - {"versions"}}.items() <= about.items()
    students = {(row["arm"], row["seed"]): row for row in result["rows"] if "arm" in row}
    assert students.keys() == set(product(top_k.ARMS, range(5)))
    assert all(students["dense", seed]["weights"] == students[10, seed]["weights"] for seed in range(5))
    dense = [students["dense", seed]["accuracy"] for seed in range(5)]
    assert dense == studies.methods.accuracies(measured.load("beyond-logits"), "cifar10", "kd"), "the same students"
    kept = {row["about"]: row for row in result["rows"] if "about" in row}
    assert kept[10]["off"]["gradient"] == 0 < kept[9]["off"]["gradient"] < 1e-3 < kept[5]["off"]["gradient"]
    assert kept[1]["in_all"] < kept[10]["in_all"] / 5


def test_several_processes():
    result = measured.load("processes")
    assert "\n".join(processes.page(result)) in TEXT
    settings = json.loads(json.dumps(processes.about()["settings"]))
    assert {**result["settings"], "cores": 0} == {**settings, "cores": 0}
    losses = {
        name: {tuple(row["losses"]) for row in result["rows"] if row["contender"] == name}
        for name in processes.CONTENDERS
    }
    assert {len(seen) for seen in losses.values()} == {1}, "each way of starting gives the same digits every time"


def test_images_that_stay_on_disk():
    result = measured.load("streaming")
    assert "\n".join(streaming.page(result)) in TEXT
    about = json.loads(json.dumps(streaming.about()))
    ours = ("streamed", "sizes", "batch_size", "workers", "views")
    assert {name: result["settings"][name] for name in ours} == {name: about["settings"][name] for name in ours}
    (memory,) = (row for row in result["rows"] if row["part"] == "memory")
    first, *later = memory["every"]
    assert later[-1]["images"] == memory["filled"] == 100_000
    assert max(row["peak"] for row in later) <= 1.02 * first["peak"], "flat from the first 10,000 on"
    assert max(row["readers_peak"] for row in later) <= 1.1 * first["readers_peak"]
    rounds = [row["seconds"] for row in result["rows"] if row.get("side") == 224]
    assert len(rounds) >= 3 and statistics.median(one["plain"] / one["streamed"] for one in rounds) > 1


def test_features_and_other_losses():
    result = measured.load("beyond-logits")
    lines = list(beyond_logits.table(result))
    assert len(lines) > 40 and [line for line in lines if line not in PAGE] == []
    about = json.loads(json.dumps(beyond_logits.about()))
    assert {name: result[name] for name in about.keys() - {"versions"}}.items() <= about.items()
    for setting, arm in measured_arms(result):
        assert len(studies.methods.accuracies(result, setting, arm)) == 5, arm
        tries = studies.methods.tries(result, setting, arm)
        rates = result["rates"][arm in studies.methods.PLAIN]
        six = [row for row in tries if row["lr"] in rates[1:-1]]
        at_an_end = studies.methods.best_of(six)["lr"] in (rates[1], rates[-2])
        assert len(six) == 6 and len(tries) == 6 + at_an_end, (setting, arm)
    tuning = [row for row in result["rows"] if row.get("seed") == studies.TUNING_SEED]
    assert not any("accuracy" in row for row in tuning)  # nothing was seen of the test images
    beyond = [row for row in tuning if row["lr"] in (0.03, 2.7, 4.5)]
    own = [arm for arm in measured_arms(result) if result["settings"][arm[0]]["tuned_in"] is None]
    chosen = [studies.methods.chosen(result, *arm) for arm in own]
    [better] = [row for row in beyond if row in chosen]
    assert (len(beyond), better["setting"], better["method"]) == (21, "two classes", "standardised")


def measured_arms(result):
    found = [(setting, arm) for setting in result["settings"] for arm in studies.methods.arms(result, setting)]
    assert len(found) > 10
    return found


def test_notebook_07_says_no_more_than_these_results():
    """Its words on the stored results, which it does not compute anew."""
    result, methods = measured.load("beyond-logits"), studies.methods

    def shown(setting, baseline):
        gains = methods.gains(result, setting, baseline)
        return {name for name, pair in gains.items() if pair.low > 0}, gains

    better, gains = shown("things", "kd")
    assert (
        not better
        and len(gains) == 9
        and {name for name, pair in gains.items() if pair.high < 0}
        == {
            "dist",
            "standardised",
        }
    )
    assert methods.chosen(result, "things", "kd, tuned")["weight"] == 0.9
    assert len(methods.gains(result, "things", "labels")) == 10  # among them kd, tuned
    five = methods.accuracies(result, "things", "kd")
    spread = max(five) - min(five)
    assert spread > max(abs(gains[name].mean) for name in beyond_logits.FEATURES)
    assert [name for name, pair in gains.items() if pair.high < 0 and pair.mean > -spread]  # shown, though smaller
    better, more = shown("things, more images", "kd")
    assert not better and len(more) == 9 and {name for name, pair in more.items() if pair.high < 0} == {"dist"}
    better, longer = shown("things, twice as long", "kd")
    assert not better and {name for name, pair in longer.items() if pair.high < 0} == {"dist"} and len(longer) == 3
    for setting in "cifar10", "cifar10, all images":
        better, photographs = shown(setting, "kd")
        assert not better and {name for name, pair in photographs.items() if pair.high < 0} == {"hint"}
    better, gains = shown("two classes", "kd")
    assert better == set(beyond_logits.FEATURES) and min(gains[name].mean for name in better) > 0.03
    assert gains["standardised"].low < 0 < gains["standardised"].high
    alone = methods.gains(result, "two classes", "labels")["kd, tuned"]
    assert alone.low < 0 < alone.high  # nothing that shows
    better, ten = shown("ten classes", "kd")
    assert better == {"hint", "log-sum"} and methods.gains(result, "ten classes", "labels")["kd, tuned"].low > 0.1
    names = beyond_logits.FEATURES
    means, widths = ([f(found) for found in (gains, ten)] for f in (_mean_of(names), _width_of(names)))
    assert means[1] > 0.8 * means[0] and widths[1] > widths[0]
    better, gains = shown("other classes", "labels")
    assert better == {"hint", "log-sum"} and len(gains) == 6


def _mean_of(names):
    return lambda gains: statistics.mean(gains[name].mean for name in names)


def _width_of(names):
    return lambda gains: statistics.mean(gains[name].high - gains[name].low for name in names)


def test_the_study_of_features_trains_what_is_missing_and_nothing_twice(tmp_path, monkeypatch):
    tiny = beyond_logits.Setting(5, 1, ("kd", "pkt"))
    monkeypatch.setattr(beyond_logits, "SETTINGS", {"things": tiny, "longer": replace(tiny, tuned_in="things")})
    costs = {m: {"ms": 1.0, "more_weights": 0, "kept": 0} for m in ("labels", "kd", "pkt")}
    monkeypatch.setattr(beyond_logits.Study, "costs", lambda study: costs)
    ledger = studies.Ledger(beyond_logits.about(), tmp_path / "a.json", say=str)
    study = beyond_logits.Study("things", ledger)
    study.run(2)
    study.run_papers(2)
    result, trained = json.loads((tmp_path / "a.json").read_text()), len(ledger.rows)
    assert studies.methods.arms(result, "things") == ["labels", "kd", "kd, tuned", "pkt"]
    for arm in studies.methods.arms(result, "things"):
        tries = studies.methods.tries(result, "things", arm)
        assert len(tries) in (6, 7) and all(row["seed"] == studies.TUNING_SEED for row in tries)
        best = studies.methods.chosen(result, "things", arm)
        assert best["val_accuracy"] == max(row["val_accuracy"] for row in tries)
        seeds = [row for row in ledger.rows if row.get("seed") in (0, 1) and row["method"] == best["method"]]
        same = [row["accuracy"] for row in seeds if (row["weight"], row["lr"]) == (best["weight"], best["lr"])]
        assert studies.methods.accuracies(result, "things", arm) == same
    published = studies.methods.chosen(result, "things", "pkt", papers=True)
    assert published["weight"] == 30_000 and list(studies.methods.gains(result, "things", "kd", papers=True))
    study.run(2)
    study.run_papers(2)
    assert len(ledger.rows) == trained
    assert [line for line in beyond_logits.table(result) if line.startswith("| pkt")]
    longer = beyond_logits.Study("longer", ledger)
    longer.run(2)
    longer.run_papers(2)
    result, rows = json.loads((tmp_path / "a.json").read_text()), ledger.rows[trained:]
    assert studies.TUNING_SEED not in {row.get("seed") for row in rows}
    for arm in studies.methods.arms(result, "longer"):
        best = studies.methods.chosen(result, "things", arm)
        assert studies.methods.chosen(result, "longer", arm) == best
        assert len(studies.methods.accuracies(result, "longer", arm)) == 2


@pytest.mark.parametrize(
    ("best", "beyond"), [(0.1, [("pkt", 2.0, 0.03)]), (0.3, []), (0.9, [("pkt", 2.0, 2.7)]), (1.5, [])]
)
def test_one_rate_more_is_tried_where_the_best_is_at_an_end(best, beyond, monkeypatch):
    tried, study = [], object.__new__(beyond_logits.Study)
    monkeypatch.setattr(study, "tried", lambda *what: tried.append(what), raising=False)
    rows = [{"method": "pkt", "weight": 1.0, "lr": lr, "val_accuracy": 0.5} for lr in (0.1, 0.3, 0.9)]
    study.further([*rows, {"method": "pkt", "weight": 2.0, "lr": best, "val_accuracy": 0.6}], beyond_logits.RATES)
    assert tried == beyond


def test_memory_beyond_the_baseline_counts_a_projector_three_times():
    costs = {"kd": {"kept": 100, "more_weights": 0}, "hint": {"kept": 160, "more_weights": 5}}
    assert studies.methods.more_bytes(costs, "hint", "kd") == 60 + 3 * 4 * 5
    assert studies.methods.more_bytes(costs, "kd", "kd") == 0


def test_the_ablation_trains_what_is_missing_and_nothing_twice(tmp_path, monkeypatch):
    corpus = reading.corpus()
    monkeypatch.setattr(zoo, "load", lambda name: reading.teacher().eval())
    monkeypatch.setattr(zoo, "tokenizer", lambda name: corpus.tokenizer)
    monkeypatch.setattr(tokens, "corpus", lambda documents, tokenizer: corpus)
    monkeypatch.setattr(fine_tuning, "which_module", lambda *arguments: "a task")
    monkeypatch.setattr(fine_tuning, "fine_tune", lambda network, task, seed: 0.5)
    monkeypatch.setattr(ablation, "EPOCHS", {"quick": 1})
    monkeypatch.setattr(ablation, "RATES", (1e-3, 1e-2))
    monkeypatch.setattr(text, "python", dict)
    monkeypatch.setattr(fine_tuning, "unseen_docstrings", list)
    arms = ["triple loss", "no masked LM", "no teacher at all"]
    tuning = ablation.prepare("ablation-rates", ablation.RATES, path=tmp_path / "rates.json")
    tuning.tune(arms)
    tried = [(row["arm"], row["lr"]) for row in tuning.ledger.rows]
    assert tried == [*product(arms, ablation.RATES)] and not any("accuracy" in row for row in tuning.ledger.rows)
    monkeypatch.setattr(measured, "load", lambda name: {"ablation-rates": {"rows": tuning.ledger.rows}}[name])
    with pytest.raises(ValueError, match="no rate was tuned for 'no cosine' in the quick setting"):
        ablation.best_rate("quick", "no cosine")
    best = {arm: ablation.best_rate("quick", arm) for arm in arms}
    for arm in arms:
        found = {row["lr"]: row["val_perplexity"] for row in tuning.ledger.rows if row["arm"] == arm}
        assert best[arm] == min(found, key=found.get)
    result = ablation.run(arms, 2, path=tmp_path / "a.json")
    assert len(result["rows"]) == 3 * 2 + 3 * 2
    trained, train = [], masked_lm.train
    monkeypatch.setattr(masked_lm, "train", lambda *a, **k: trained.append(k) or train(*a, **k))
    again = ablation.run(arms, 3, path=tmp_path / "a.json")
    assert len(trained) == 3 and again["rows"][: len(result["rows"])] == result["rows"]
    assert [row["seed"] for row in again["rows"] if row["arm"] == "no masked LM"] == [0, 1, 2]
    assert all(row["lr"] == best[row["arm"]] for row in again["rows"] if row["setting"] == "quick")
    for module, name in (masked_lm, "BETAS"), (masked_lm, "WARM_UP"), (fine_tuning, "PEAK_LR"):
        with monkeypatch.context() as changed:
            changed.setattr(module, name, 0.7)
            with pytest.raises(ValueError, match="results of another settings: give another file"):
                ablation.run(arms, 3, path=tmp_path / "a.json")
