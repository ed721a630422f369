"""Text classifiers for the commands: read, measured, and kept in a folder with a card."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kdkit
from kdkit.cli import networks, reports
from kdkit.cli.evidence import BATCHES, Evidence
from kdkit.cli.options import are_texts

if TYPE_CHECKING:
    from torch import Tensor

    from kdkit.data import TextSplits
    from kdkit.models.for_texts import ForTexts

INSTEAD_OF_EXPORT = (
    "kdkit exports networks of images alone. This folder is in Hugging Face's own format: transformers' "
    "AutoModelForSequenceClassification.from_pretrained opens it without kdkit, and Hugging Face's Optimum makes an "
    "ONNX file of such a folder (optimum-cli export onnx --model FOLDER --task text-classification OUT)."
)
LIMITS = "Measured on the test texts of this data alone: on any other texts expect less, however sure it sounds."


def is_one(name: str) -> bool:
    """Whether ``name`` is the folder of a text classifier: Hugging Face's, or a student that distill --out kept."""
    made = _architectures(name)
    return (kdkit.data.files.expanded(name) / "kdkit.json").is_file() or "ForSequenceClassification" in made


def _architectures(name):
    """What the configuration in the folder ``name`` says that it is of, such as "ViTForImageClassification"; "nothing"
    where it says so of nothing, and "" where there is none.
    """
    path = kdkit.data.files.expanded(name) / "config.json"
    if not path.is_file():
        return ""
    try:
        return ", ".join(json.loads(path.read_text(encoding="utf-8"))["architectures"]) or "nothing"
    except (OSError, ValueError, RecursionError, TypeError, LookupError):
        return "nothing"


def are_meant(options: argparse.Namespace) -> bool:
    """Whether a command with a network and ``--data`` is for texts. ``ValueError`` where only one of the two is."""
    texts = are_texts(options)
    if is_one(options.network) and not texts:
        raise ValueError(f"{options.network} reads texts: give --data a folder of texts (.txt), one subfolder a class.")
    if not texts:
        refuse_theirs(options.network)
    elif not is_one(options.network) and not _architectures(options.network):
        raise ValueError(
            f"{options.data} holds texts: give the folder of a text classifier, such as distill --out keeps; got "
            f"{options.network}."
        )
    return texts


def refuse_export(name: str) -> None:
    """``ValueError`` that says what to do instead, where ``name`` is a network that reads texts."""
    if is_one(name):
        raise ValueError(f"{name} reads texts: {INSTEAD_OF_EXPORT}")
    refuse_theirs(name)


def refuse_theirs(name: str) -> None:
    """``ValueError`` where ``name`` is a folder of Hugging Face's, of which kdkit reads text classifiers alone."""
    if made := _architectures(name):
        raise ValueError(
            f"{name} is a folder of Hugging Face's, of {made}: for images kdkit takes a .safetensors file that distill "
            "or train-teacher wrote, or a name that ships with it; for texts a text classifier, such as distill --out "
            "keeps. A teacher it may be: distill --teacher FOLDER."
        )


def origin(data: TextSplits, options: argparse.Namespace) -> dict:
    """What made a result of texts: the texts, and what ``reports.made`` says."""
    about = {"data": data.name, "source": reports.without_home(data.source), "classes": list(data.classes)}
    about |= {"train_fingerprint": data.train.fingerprint, "test_fingerprint": data.test.fingerprint}
    return {**about, **reports.made(options)}


class TextEvidence(Evidence):
    """The same of texts: students are measured as a folder would give them back."""

    what = "texts"
    student: Any  # a ForTexts

    def answer(self, network: Any, data: Any) -> Tensor:
        """What ``network`` says of the test texts: logits ``[N, classes]``."""
        from kdkit.training.texts import predict

        return predict(network, network.encode(data.test.texts))

    def as_written(self, student: Any) -> ForTexts:
        """The student that a folder would give back."""
        from kdkit.zoo import for_texts

        with tempfile.TemporaryDirectory() as folder:
            for_texts.save(student, Path(folder) / "student", {})
            return for_texts.read(Path(folder) / "student")

    def inputs(self, network: Any, data: Any, count: int) -> Any:
        """What ``network`` is given to measure its time: tokens of ``count`` test texts, int64 ``[N, L]``."""
        return measured_texts(network, data, count)

    def write(self, out: Path, card: dict) -> str:
        """Write the student and its card to a folder. Returns what to call it."""
        keep(self.student, out, card)
        return f"{out}/, which AutoModelForSequenceClassification.from_pretrained opens, too"

    def sizes(self) -> dict:
        """How many tokens of a text students and teacher read at most, and how many the texts measured have."""
        lengths = {str(count): self.inputs(self.teacher, self.data, count)["input_ids"].shape[1] for count in BATCHES}
        return {"max_length": self.teacher.max_length, "tokens": lengths}


def measured_texts(network: Any, data: Any, count: int) -> dict[str, Tensor]:
    """``count`` of the test texts as ``network`` is given them, int64 ``[N, L]``: the one of median length, or texts of
    all lengths, which are padded to the longest.
    """
    texts = sorted(data.test.texts, key=len)
    places = [(2 * number + 1) * len(texts) // (2 * count) for number in range(count)]
    encoded, device = network.encode([texts[place] for place in places]), kdkit.models.device_of(network)
    return {name: tensor.to(device) for name, tensor in encoded.items()}


def read(name: str, data: TextSplits) -> ForTexts:
    """The text classifier in the folder ``name``, answering about the classes of ``data``.

    Raises as ``for_texts.read`` and ``text_classifier`` do, and ``ValueError`` where it knows other classes.
    """
    from kdkit.models.for_texts import text_classifier
    from kdkit.zoo import for_texts

    network = for_texts.read(name) if for_texts.is_one(name) else text_classifier(name)
    try:
        return network.for_classes(data.classes)
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None


def evaluate(options: argparse.Namespace, began: float) -> int:
    """Measure a text classifier on the test texts, say so, and write it; the exit status.

    Raises ``ValueError`` for options that are for images alone, and as ``read``.
    """
    from kdkit.training.texts import predict

    if options.size is not None or options.stream:
        raise ValueError(f"{options.data} holds texts, for which there is no --size and no --stream: leave that out.")
    data = kdkit.data.labelled_texts(options.data)
    network = read(options.network, data).to(networks.device(options.device))
    logits, labels = predict(network, network.encode(data.test.texts)), data.test.labels
    results: dict[str, Any] = {"accuracy": kdkit.metrics.accuracy(logits, labels)}
    results["ece"] = kdkit.metrics.expected_calibration_error(logits, labels)
    results["parameters"] = kdkit.models.count_parameters(network)
    calls = {count: kdkit.profiling.predicting(network, measured_texts(network, data, count)) for count in BATCHES}
    times = kdkit.profiling.latency(calls)
    results["milliseconds"] = {str(count): round(1000 * taken.median, 4) for count, taken in times.items()}
    results |= {"device": networks.hardware(network), "load": kdkit.profiling.load()}
    print(f"{options.network} on {len(data.test):,} test texts of {data.name} ({data.source})")
    print(f"accuracy {results['accuracy']:.2%}, expected calibration error {results['ece']:.3f}")
    one, many = results["milliseconds"].values()
    times = f"{one:.2f} ms for one text, {many:.2f} ms for {BATCHES[1]}, once they are tokens"
    print(f"{results['parameters']:,} parameters; on {results['device']} {times}")
    report = {"network": reports.without_home(options.network), **origin(data, options), "results": results}
    reports.write(options, report, began)
    return 0


def check_place(out: Path, origin: dict) -> None:
    """``ValueError`` unless a text classifier of this ``origin`` may be written to the folder ``out``: nothing is
    there, or what the same command made.
    """
    from kdkit.zoo import for_texts

    if out.suffix == ".safetensors" or (out.exists() and not out.is_dir()):
        raise ValueError(
            f"--out {out}: a student that reads texts is kept in a folder, with its tokenizer and configuration, as "
            f"Hugging Face's are. Give the name of a folder, such as {out.with_name(out.stem or 'student')}."
        )
    if Path.cwd().is_relative_to(out.resolve()):
        raise ValueError(
            f"--out {out} is the folder in which this runs, or one above it, and is to be replaced as a whole. Give "
            "the name of another folder, such as student."
        )
    if for_texts.is_one(out):
        networks.refuse_another(out, for_texts.read_card(out), origin)
    elif out.exists() and any(out.iterdir()):
        raise ValueError(f"--out {out} is a folder with other things in it: give one that is empty or not there yet.")


def keep(network: ForTexts, out: Path, card: dict) -> None:
    """Write a text classifier to the folder ``out``. Raises as ``networks.keep`` does."""
    from kdkit.zoo import for_texts

    with kdkit.data.files.alone(out, waiting=f"another program is writing {out}: waiting for it."):
        check_place(out, card)
        for_texts.save(network, out, card)
