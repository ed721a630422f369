"""``python -m kdkit``: train teachers and students without a notebook."""

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path

from kdkit.losses import arguments
from kdkit.measure import machine

ABOUT = """\
Knowledge distillation from the command line.

  python -m kdkit doctor                          is everything there?
  python -m kdkit train-teacher --data things     a teacher in a minute, no download
  python -m kdkit distill --data things           students, alone and distilled, side by side
  python -m kdkit evaluate things-teacher --data things
  python -m kdkit experiments things              the fair fight of notebook 04: three ways to teach, several seeds
  python -m kdkit train-bert                      a small BERT on Python's documentation, the teacher of notebook 06
  python -m kdkit caches                          what is kept to save time, and how much room it takes

With --data cifar10, or `experiments cifar`, the same is done on CIFAR-10. Whatever is stopped (Ctrl-C, a crash) goes
on where it was when the same command is given again. `python -m kdkit COMMAND --help` tells more.
"""

LIMITS = "Measured on the test images of this data alone: on any other images expect less, however sure it sounds."

LIMITS_OF_TEXT = (
    "It has read the documentation of one programming language and nothing else: of anything else it knows next to "
    "nothing. What it says of Python may be wrong."
)

COPIES = (
    " Its images were JPEG copies, to learn from and to be tested on: do not set its accuracy beside that of networks "
    "on original pixels, and expect it to lose some there (kdkit/course/measured/README.md)."
)

SAME_NETWORK = ("settings", "train_fingerprint", "test_fingerprint")  # on the cards of one network

DATA_HELP = "things (drawn by the kit), cifar10, mnist, or the path of a folder of images, one subfolder a class"


def main(arguments=None):
    """Run one command; its exit status."""
    for stream in sys.stdout, sys.stderr:  # a name may hold what a terminal cannot show: that is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    options.typed = sys.argv[1:] if arguments is None else arguments
    from kdkit.cli import doctor

    if options.run is _doctor:
        return _doctor(options, doctor)
    try:
        _check(options)
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *where, **more: print(message, file=sys.stderr)  # a sentence alone
            return options.run(options, doctor)
    except (ValueError, OSError) as error:  # mistakes in what was asked for; anything else is ours, with traceback
        from kdkit.data import files

        print(f"kdkit {options.command}: {files.told(error)}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"kdkit {options.command}: {error}: run python -m kdkit doctor", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\n{str(stop) or 'Stopped.'}", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m kdkit", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "doctor", help="what is on this machine, and what to do about what is missing", description=_doctor.__doc__
    ).set_defaults(run=_doctor)
    _train_teacher_options(_command(commands, "train-teacher", _train_teacher, "train a teacher and keep it in a file"))
    _distill_options(_command(commands, "distill", _distill, "train students, alone and distilled, and compare"))
    _evaluate_options(_command(commands, "evaluate", _evaluate, "measure a trained network on the test images"))
    _experiments_options(
        _command(commands, "experiments", _experiments, "three ways to teach a student, fairly compared", data=False)
    )
    _train_bert_options(_command(commands, "train-bert", _train_bert, "train a BERT that guesses words", data=False))
    _caches_options(
        commands.add_parser("caches", help="what is kept to save time, and its removal", formatter_class=_Help)
    )
    return parser


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Says the default behind each option, unless it is None: then the help says what that means."""

    def _get_help_string(self, action):
        return action.help if action.default is None else super()._get_help_string(action)


def _command(commands, name, run, summary, data=True):
    parser = commands.add_parser(name, help=summary, description=run.__doc__, formatter_class=_Help)
    parser.set_defaults(run=run)
    if data:
        parser.add_argument("--data", default="things", help=DATA_HELP)
    parser.add_argument("--download", action="store_true", help="fetch cifar10 or mnist if it is not found")
    where = "where to compute; its authors have run training commands on cuda, nothing on mps"
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"], help=where)
    parser.add_argument("--json", metavar="FILE", help="write the result to FILE as JSON")
    return parser


def _training_options(parser, epochs):
    more = f"how often all images are seen (default: {epochs}, or more where these would be fewer than 200 steps)"
    parser.add_argument("--epochs", type=int, help=more)
    smaller = "images a step (default: 512, or fewer where an epoch would have fewer than 20 steps)"
    parser.add_argument("--batch-size", type=int, help=smaller)
    parser.set_defaults(usual_epochs=epochs)
    parser.add_argument("--lr", type=float, help="peak learning rate (default: by the batch size)")
    parser.add_argument("--train-images", type=int, metavar="N", help="use only N of the training images")
    parser.add_argument("--runs", default=Path("runs"), help="folder for teachers, checkpoints and caches")


def _train_teacher_options(parser):
    _training_options(parser, epochs=10)
    parser.add_argument("--width", type=int, default=32, help="channels of the first stage; 64 is better and slower")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and order")
    parser.add_argument("--worn", action="store_true", help="also learn from each image recompressed, and out of focus")
    parser.add_argument("--out", help="where to keep the teacher (default: RUNS/DATA-teacher.safetensors)")


def _distill_options(parser):
    _training_options(parser, epochs=8)
    parser.add_argument(
        "--teacher", help="a .safetensors file or a name that ships with the kit (default: yours in RUNS)"
    )
    parser.add_argument("--width", type=int, default=8, help="the students' first stage, in channels")
    parser.add_argument("--depth", type=int, default=6, help="the students' convolutions")
    parser.add_argument("--seeds", type=int, default=3, help="how many pairs of students")
    parser.add_argument("--temperature", type=float, default=4.0, help="softens both networks' answers")
    parser.add_argument("--soft-weight", type=float, default=0.9, help="weight of the teacher's soft targets")
    parser.add_argument("--hard-weight", type=float, default=0.1, help="weight of the labels")


def _evaluate_options(parser):
    parser.add_argument("network", help="a .safetensors file or a name that ships with the kit")


def _experiments_options(parser):
    parser.add_argument("name", choices=["cifar", "things"], help="which experiment")
    parser.add_argument("--teacher", help="a .safetensors file or a name that ships with the kit")
    parser.add_argument("--seeds", type=int, default=5, help="how many students of each kind")
    parser.add_argument("--runs", default=Path("runs"), help="folder for caches and checkpoints")


def _train_bert_options(parser):
    parser.add_argument("--data", default="python", help="python (its documentation), or a folder with .txt files")
    parser.add_argument("--epochs", type=int, default=80, help="how often all texts are read")
    parser.add_argument("--batch-size", type=int, default=64, help="pieces of 128 tokens a step")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--width", type=int, default=176, help="of a layer")
    parser.add_argument("--depth", type=int, default=6, help="layers")
    parser.add_argument("--words", type=int, default=3000, help="word pieces to know")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order and hidden words")
    parser.add_argument("--runs", default=Path("runs"), help="folder for teachers and checkpoints")
    parser.add_argument("--out", help="where to keep the teacher (default: RUNS/DATA-bert.safetensors)")


def _caches_options(parser):
    parser.description = _caches.__doc__
    parser.set_defaults(run=_caches, json=None)
    parser.add_argument("--runs", default=Path("runs"), help="folder in which teachers' answers are kept")
    parser.add_argument("--remove", action="store_true", help="delete all that is listed")


def _doctor(options, doctor):
    """Say what is on this machine, and what to do about what is missing."""
    marks = {True: "ok      ", False: "ATTENTION", None: "note    "}
    lines = list(doctor.report())
    for good, text in lines:
        print(f"{marks[good]:10}{text}")
    troubles = sum(good is False for good, _ in lines)
    print("\nAll is well." if not troubles else f"\n{troubles} of these need attention.")
    return 1 if troubles else 0


def _check(options):
    """What would otherwise be noticed only after the training."""
    from kdkit.data import files

    for name in "json", "runs", "out":
        if getattr(options, name, None) is not None:
            setattr(options, name, files.expanded(getattr(options, name)))
    if options.json is not None:
        _check_report(options.json)
    if getattr(options, "teacher", None) == "":
        raise ValueError("--teacher '' names no network: give a .safetensors file or a name, or leave it out.")
    if getattr(options, "seeds", 1) < 1:
        raise ValueError(f"--seeds must be at least 1; got {options.seeds}.")
    if getattr(options, "seeds", 1) > 1000:  # years of training, or a slip of the finger
        raise ValueError(f"--seeds must be at most 1000; got {options.seeds}.")


def _check_report(path):
    """Refuse a place for a report that cannot be written, or where something else stands."""
    from kdkit.data import files

    if path.is_dir():
        raise ValueError(f"--json {path} is a folder: name a file.")
    with files.explained(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b"{}"
    try:
        json.loads(content)
    except ValueError:
        raise ValueError(f"--json {path} is there already, and no JSON: it is not overwritten. Name another.") from None


def _train_teacher(options, doctor):
    """Train a teacher with plain cross-entropy (no label smoothing: it would flatten what a student is to learn)."""
    import kdkit
    from kdkit import models
    from kdkit.data.corruptions import worn

    began = time.perf_counter()
    data = worn(_data(options)) if options.worn else _data(options)
    out = options.out or options.runs / f"{data.name}-teacher.safetensors"
    _plan(options, data)
    origin = _origin(data, options, doctor)
    _check_place(out, origin)  # before the training, not after it
    network = models.teacher(options.width, len(data.train.classes), data.train.images.shape[1], options.seed).to(
        _device(options.device)
    )
    print(f"teacher: {models.count_parameters(network):,} parameters", flush=True)
    checkpoint = options.runs / f"{data.name}-teacher-{data.train.fingerprint[:8]}-{_digest(options)}.checkpoint"
    run = kdkit.train(network, data, seed=options.seed, checkpoint=checkpoint, **_schedule(options))
    card = {"name": _without_home(out.stem), **origin, "train_images": len(data.train)}
    card["limits"] = LIMITS + (COPIES if "not the original pixels" in data.source else "")
    card |= {"seconds": round(run.seconds, 1), "device": _hardware(network)}
    card["results"] = _measure(_as_written(network, card).to(_device(options.device)), data.test, data.views.flip)
    _check_learnt(card["results"]["accuracy"], data.test)
    _keep(network, out, card)
    print(f"test accuracy {card['results']['accuracy']:.2%}, {run.seconds:.0f} s of training; kept in {out}")
    _write(options, {**card, "peak_memory_mb": machine.peak_memory_mb()}, began)
    return 0


def _train_bert(options, doctor):
    """Train a BERT to guess hidden words, on English text that is on every machine with Python, or on your own.

    Word pieces are learnt first. They are kept for these texts, so that a run that was stopped goes on with the same.
    """
    from kdkit import models
    from kdkit.data import folders, text, tokens
    from kdkit.models import bert
    from kdkit.training import masked_lm

    began = time.perf_counter()
    documents = text.python() if options.data == "python" else text.folder(options.data)
    name = "python" if options.data == "python" else folders.data_name(Path(options.data))
    out = options.out or options.runs / f"{name}-bert.safetensors"
    made = {"data": name, "source": _text_source(options), **_made(options, doctor)}
    made["train_fingerprint"] = hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()[:16]
    _check_place(out, made)
    network = bert.teacher(options.width, options.depth, options.words, seed=options.seed).to(_device(options.device))
    tokenizer = _word_pieces(documents, options)
    corpus = tokens.corpus(documents, tokenizer)
    parts = ", ".join(f"{len(getattr(corpus, part).ids):,} for {part}" for part in text.Texts._fields)
    print(f"{len(documents)} documents; pieces of text: {parts}", flush=True)
    print(f"teacher: {models.count_parameters(network):,} parameters", flush=True)
    checkpoint = options.runs / f"{name}-bert-{made['train_fingerprint'][:8]}-{_digest(options)}.checkpoint"
    schedule = {"epochs": options.epochs, "batch_size": options.batch_size, "lr": options.lr}
    run = masked_lm.train(network, corpus, seed=options.seed, checkpoint=checkpoint, **schedule)
    card = {"name": _without_home(out.stem), **made}
    card |= {"pieces": len(corpus.train.ids), "seconds": round(run.seconds, 1), "limits": LIMITS_OF_TEXT}
    card["device"] = _hardware(network)
    found = card["results"] = masked_lm.report(_as_written(network, card).to(models.device_of(network)), corpus)
    if not found["perplexity"] < found["untrained"]["perplexity"]:
        raise ValueError(
            f"the network is no better at guessing than an untrained one (perplexity {found['perplexity']:.0f}): it is "
            "not kept. Give it more --epochs, or more text."
        )
    _keep(network, out, card, tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    print(f"test perplexity {found['perplexity']:.2f}, {found['accuracy']:.2%} of hidden words; kept in {out}")
    _write(options, {**card, "peak_memory_mb": machine.peak_memory_mb()}, began)
    return 0


def _word_pieces(documents, options):
    """The tokenizer of the word pieces of these texts, learnt unless that has been done."""
    from kdkit import zoo
    from kdkit.data import text, tokens

    texts = [*text.split(documents).train.values()]
    digest = hashlib.sha256(json.dumps([options.words, texts]).encode()).hexdigest()[:8]
    kept = options.runs / f"words-{digest}.safetensors"  # beside no network: the .txt alone
    if not kept.with_suffix(".txt").exists():
        words = tokens.learn_words(texts, options.words)
        if len(words) < options.words:
            said = f"these texts hold {len(words)} word pieces, fewer than --words {options.words}"
            raise ValueError(f"{said}. Ask for fewer.")
        zoo.save_words(words, kept)
    return zoo.read_words(kept, options.words)


def _distill(options, doctor):
    """Train pairs of equal students, one alone and one distilled, and compare them on the test images.

    Both students of a pair begin with the same weights and see the same images in the same order. The teacher's
    answers are kept in a cache, so that only the first distilled student waits for them.
    """
    from kdkit import losses
    from kdkit.measure import metrics
    from kdkit.training.cache import ViewCache

    began = time.perf_counter()
    arguments.check_temperature(options.temperature)  # now, not after the first student alone
    losses.resolve_weights(options.soft_weight, options.hard_weight, have_labels=True)
    data = _data(options)
    teacher = _teacher(options, data).to(_device(options.device))
    _plan(options, data)
    teacher_accuracy = _measure(teacher, data.test)["accuracy"]
    print(f"teacher: test accuracy {teacher_accuracy:.2%}", flush=True)
    pair_of = _fingerprint(teacher, data)  # a teacher trained anew, or more images, get files of their own
    folder = options.runs / f"{data.name}-{pair_of}-students-{_digest(options)}"
    cache = ViewCache(teacher, data, options.runs / f"{data.name}-{pair_of}.cache")
    runs = [_pair(seed, options, data, teacher, cache, folder) for seed in range(options.seeds)]
    broken, verdict = _broken(runs, data), None
    if not broken:
        arms = ([run[f"student_{arm}"] for run in runs] for arm in ("alone", "distilled"))
        verdict = metrics.paired_interval(*arms).verdict
    print(f"distillation: {verdict or 'nothing can be said, for these students have not learnt:'}", *broken, sep="\n  ")
    result = {"data": data.name, "train_images": len(data.train), "teacher_accuracy": teacher_accuracy, "runs": runs}
    result |= {"verdict": verdict, "broken": broken, **_origin(data, options, doctor)}
    _write(options, {**result, "peak_memory_mb": machine.peak_memory_mb()}, began)
    return 1 if broken else 0


def _broken(runs, data):
    """A sentence for each student that diverged, may as well have guessed, or lies far below its like: a list."""
    from kdkit.measure import metrics

    sentences, guess = [], metrics.guessing(data.test.labels)
    for arm in "alone", "distilled":
        best = max((run[f"student_{arm}"] or 0.0 for run in runs), default=0.0)
        for run in runs:
            accuracy, who = run[f"student_{arm}"], f"seed {run['seed']}, {arm}"
            if accuracy is None:
                sentences.append(f"{who}: {run[f'diverged_{arm}']}")
            elif accuracy < guess:
                sentences.append(f"{who}: {accuracy:.2%}, no better than guessing: more --epochs, or more images?")
            elif accuracy < (guess + best) / 2:
                sentences.append(f"{who}: {accuracy:.2%}, where another seed reached {best:.2%}: lower --lr?")
    return sentences


def _pair(seed, options, data, teacher, cache, folder):
    """Train the two students of one seed; their test accuracies and seconds."""
    import kdkit
    from kdkit import models

    result = {"seed": seed}
    kd = {"temperature": options.temperature, "soft_weight": options.soft_weight, "hard_weight": options.hard_weight}
    for arm, extra in ("alone", {}), ("distilled", {"teacher": teacher, "cache": cache, **kd}):
        net = models.student(
            options.width, options.depth, len(data.train.classes), data.train.images.shape[1], seed
        ).to(_device(options.device))
        checkpoint = folder / f"seed{seed}-{arm}.checkpoint"
        try:
            run = kdkit.train(net, data, seed=seed, checkpoint=checkpoint, **_schedule(options), **extra)
        except kdkit.training.Diverged as problem:  # the other students are worth having all the same
            result |= {f"student_{arm}": None, f"diverged_{arm}": str(problem)}
            continue
        result[f"student_{arm}"] = _measure(net, data.test)["accuracy"]
        result[f"seconds_{arm}"] = round(run.seconds, 1)
    reached = {arm: result[f"student_{arm}"] for arm in ("alone", "distilled")}
    said = ", ".join(f"{arm} {'diverged' if value is None else f'{value:.2%}'}" for arm, value in reached.items())
    print(f"seed {seed}: {said}", flush=True)
    return result


def _evaluate(options, doctor):
    """Measure a trained network on the test images: accuracy, and how well its confidence can be trusted."""
    from kdkit import models

    began = time.perf_counter()
    data = _data(options)
    network = _network(options.network, data).to(_device(options.device))
    results = {**_measure(network, data.test, data.views.flip), "parameters": models.count_parameters(network)}
    print(f"{options.network} on {len(data.test):,} test images of {data.name} ({data.source})")
    with_flips = f" ({results['accuracy_with_flips']:.2%} with mirror images)" if data.views.flip else ""
    print(f"accuracy {results['accuracy']:.2%}{with_flips}, expected calibration error {results['ece']:.3f}")
    _write(
        options,
        {"network": _without_home(options.network), **_origin(data, options, doctor), "results": results},
        began,
    )
    return 0


def _experiments(options, doctor):
    """Labels, the teacher's argmax, its soft targets: train students of each kind, tuned alike, and compare them.

    The result (--json) is written after each student; what stands in it already is not trained again.
    """
    from kdkit import studies
    from kdkit.data import describe

    options.data = {"cifar": "cifar10"}.get(options.name, options.name)
    data = _data(options)
    teacher = _teacher(options, data).to(_device(options.device))
    folder = options.runs / f"experiments-{_fingerprint(teacher, data)}"
    print(*describe(data), sep="\n", flush=True)
    about = _origin(data, options, doctor)
    path = options.json or folder / f"{options.name}.json"
    studies.run(options.name, data, teacher, seeds=options.seeds, folder=folder, about=about, path=path, say=_say)
    result = json.loads(path.read_text(encoding="utf-8"))
    for sentence in studies.verdicts(result):
        print(sentence)
    print(f"{studies.CAVEAT}\nkept in {path}")
    return 0


def _caches(options, doctor):
    """List the caches: teachers' answers in RUNS, and decoded images in the user's cache folder.

    What is removed is computed again when it is needed.
    """
    from kdkit.data import files, folders
    from kdkit.training import cache

    found = [(kept.path, f"answers on {kept.of}", cache.remove) for kept in cache.kept(options.runs)]
    found += [(path, "decoded images", folders.remove_decoded) for path in folders.decoded()]
    for path, what, remove in found:
        size = files.in_words(path.stat().st_size)
        if options.remove:
            remove(path)
        print(f"{'removed ' * options.remove}{path}: {size}, {what}")
    if not found:
        print(f"no answers of teachers are kept in {options.runs}, no decoded images in {folders.cache_folder()}")
    return 0


def _say(row):
    """One line for each student that has been trained."""
    reached = row.get("accuracy")
    measured = f"tuning, validation {row['val_accuracy']:.2%}" if reached is None else f"test {reached:.2%}"
    measured = "diverged" if row.get("diverged") else measured
    budget = "" if row["budget"] is None else f" of {row['budget']:.0%}"
    name = f"{row['setting']} {row['student']} {row['arm']}{budget}, seed {row['seed']}, lr {row['lr']:g}"
    print(f"{name}: {measured}, {row['seconds']:.0f} s", flush=True)


def _data(options):
    from kdkit import data

    splits = data.load(options.data, download=options.download)
    if getattr(options, "train_images", None) is None:
        return splits
    if not 1 <= options.train_images <= len(splits.train):
        raise ValueError(f"--train-images must lie in 1..{len(splits.train)}; got {options.train_images}.")
    return splits.first(options.train_images)


def _text_source(options):
    if options.data != "python":
        return _without_home(f"text files in {options.data}")
    return f"the documentation that Python {platform.python_version()} brings: help topics and docstrings"


def _device(name):
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name != "auto":
        if not there[name]:
            raise ValueError(f"--device {name}: torch sees no such device here. Use --device auto; doctor says more.")
        return name
    return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"


def _hardware(network):
    import torch

    from kdkit import models

    kind = models.device_of(network).type
    return torch.cuda.get_device_name() if kind == "cuda" else kind


def _teacher(options, data):
    """The teacher that was asked for; without one yours in RUNS, then one that ships with the kit."""
    from kdkit import zoo

    mine, shipped = options.runs / f"{data.name}-teacher.safetensors", f"{data.name}-teacher"
    if not options.teacher and mine.exists():
        learnt = zoo.read_card(mine).get("test_fingerprint", data.test.fingerprint)
        if learnt != data.test.fingerprint:
            raise ValueError(
                f"{mine} was trained on other images of the same name. Name a teacher with --teacher, or train one on "
                "these: python -m kdkit train-teacher with --out and another name."
            )
    if options.teacher or mine.exists() or shipped in zoo.names():
        return _network(options.teacher or (str(mine) if mine.exists() else shipped), data)
    raise FileNotFoundError(
        f"no teacher for {data.name}: neither {mine} nor one that ships with the kit. "
        f"Train one first: python -m kdkit train-teacher --data {options.data}"
    )


def _network(name, data):
    """A network by file or name; ``ValueError`` if it knows other classes than ``data``."""
    from kdkit import zoo

    in_file = name.endswith(".safetensors")
    card = (zoo.read_card if in_file else zoo.card)(name)
    if "words" in card["architecture"]:
        raise ValueError(f"{name} reads text, and {data.name} is pictures: take a network that sees.")
    known = card.get("classes", data.train.classes)
    if tuple(known) != data.train.classes:
        raise ValueError(
            f"{name} was trained on {', '.join(known)}; {data.name} has {', '.join(data.train.classes)}. "
            "Take a network that was trained on the same classes."
        )
    return (zoo.read if in_file else zoo.load)(name)


def _check_place(out, made):
    """``ValueError`` unless a network may be written to ``out``: nothing is there, or what the same command made."""
    from kdkit import zoo

    if not zoo.check_path(out).exists():
        return
    card = zoo.read_card(out)
    if all(_kept(card, name) == json.loads(json.dumps(_kept(made, name))) for name in SAME_NETWORK):
        return
    reached = card.get("results", {}).get("accuracy")
    good = "" if reached is None else f", which names {reached:.2%} of its test images right"
    raise ValueError(
        f"{out} holds another network already{good} ({card.get('command', 'made by no command')}). It is not "
        "overwritten: give --out another name, or move it away."
    )


def _kept(card, name):
    """What a card says under ``name``; of settings all but where the data lies, which its fingerprints tell better."""
    value = card.get(name)
    return {key: kept for key, kept in value.items() if key != "data"} if isinstance(value, dict) else value


def _as_written(network, card):
    """The network that a file would give back, in half precision: what is measured is what will be written."""
    from kdkit import zoo

    with tempfile.TemporaryDirectory() as folder:
        zoo.save(network, Path(folder) / "network.safetensors", card)
        return zoo.read(Path(folder) / "network.safetensors")


def _check_learnt(accuracy, test):
    from kdkit.measure import metrics

    guess = metrics.guessing(test.labels)
    if accuracy < guess:
        raise ValueError(
            f"the teacher names {accuracy:.2%} of {len(test):,} test images right. Whoever names the commonest class "
            f"always may reach {guess:.2%} with luck: it is not kept. Give it more --epochs, or more images."
        )


def _keep(network, out, card, words=None):
    """Write a network to ``out``, with its ``words`` if it reads text, unless another has come there meanwhile."""
    from kdkit import zoo
    from kdkit.data import files

    with files.alone(out, waiting=f"another program is writing {out}: waiting for it."):
        _check_place(out, card)
        if words is not None:
            zoo.save_words(words, out)
        zoo.save(network, out, card)


def _plan(options, data):
    """Fill in what depends on the data, and say what is about to be trained, before it is."""
    from kdkit import training
    from kdkit.data import describe
    from kdkit.losses.arguments import whole

    options.batch_size, epochs = training.proposed(len(data.train), options.usual_epochs, options.batch_size)
    options.epochs = epochs if options.epochs is None else whole(options.epochs, "epochs", 1)
    steps = -(-len(data.train) // options.batch_size)
    print(*describe(data), sep="\n")
    times = f"{options.epochs} epoch{'s' * (options.epochs != 1)} of {steps} step{'s' * (steps != 1)}"
    print(f"to train: {times}, of up to {options.batch_size} images each", flush=True)
    if options.epochs * steps < training.ENOUGH_STEPS:
        print(
            f"ATTENTION: that is {options.epochs * steps} in all. Fewer than {training.ENOUGH_STEPS} steps teach "
            "little: give more --epochs, or a smaller --batch-size."
        )


def _measure(network, images, flip=False):
    from kdkit.measure import metrics

    logits = metrics.predict(network, images.images)
    results = {
        "accuracy": metrics.accuracy(logits, images.labels),
        "ece": metrics.expected_calibration_error(logits, images.labels),
    }
    if flip:  # the mean of the logits of a picture and of its mirror image
        both = (logits + metrics.predict(network, images.images.flip(3))) / 2
        results["accuracy_with_flips"] = metrics.accuracy(both, images.labels)
    return results


def _schedule(options):
    return {"epochs": options.epochs, "batch_size": options.batch_size, "lr": options.lr}


def _digest(options):
    """Other settings, other files."""
    left_out = ("run", "json", "seeds", "download", "out", "runs", "typed", "usual_epochs")
    kept = {name: str(value) for name, value in vars(options).items() if name not in left_out}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def _fingerprint(teacher, data):
    from kdkit import models

    return f"{models.fingerprint(teacher)[:8]}-{data.train.fingerprint[:8]}"


def _origin(data, options, doctor):
    """What made a result of images: for cards and reports."""
    about = {"data": data.name, "source": _without_home(data.source), "classes": list(data.train.classes)}
    about |= {"train_fingerprint": data.train.fingerprint, "test_fingerprint": data.test.fingerprint}
    return {**about, **_made(options, doctor)}


def _made(options, doctor):
    left_out = ("run", "json", "command", "runs", "out", "download", "typed", "usual_epochs")
    return {
        "command": _without_home(" ".join(["python -m kdkit", *options.typed])),
        "settings": {name: _without_home(value) for name, value in vars(options).items() if name not in left_out},
        "versions": machine.versions(),
    }


def _write(options, result, began):
    from kdkit.data import files

    if options.json is None:
        return
    result["seconds"] = result.get("seconds", round(time.perf_counter() - began, 1))
    with files.replacing(options.json) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _without_home(text):
    """Results are made to be passed on: whose machine they come from is nobody's business.

    And all can be written: bytes in a name that are no UTF-8 are told as ``\\xff``.
    """
    if not isinstance(text, str):
        return text
    text, home = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), Path.home()
    return text if home == Path(home.anchor) else text.replace(f"{home}{os.sep}", f"~{os.sep}")


if __name__ == "__main__":
    sys.exit(main())
