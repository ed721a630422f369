"""Options that several commands have, and what is made of them, and refused, before anything is trained."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kdkit

if TYPE_CHECKING:
    from kdkit.data import Splits

Commands = argparse._SubParsersAction  # what ``add_subparsers`` returns: argparse has no other name for it

DATA_HELP = "things (drawn by the kit), cifar10, mnist, or the path of a folder of images, one subfolder a class"
OR_TEXTS = f"{DATA_HELP}; or of texts (.txt, UTF-8)"
SIZE_HELP = "scale the images of a folder to NxN pixels (default: proposed by how large they are)"
CARD_SIZE = "scale the images of a folder to NxN pixels (default: as the network was trained)"
STREAM_HELP = "leave a folder's images on disk (done by itself where they would take a quarter of the memory)"
DEVICE_HELP = "where to compute; its authors have run training commands on cuda, nothing on mps"
KITS = ("things", "cifar10", "mnist")  # data whose images have a size of their own
MOST_SEEDS = 1000  # more is years of training, or a slip of the finger


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Says the default behind each option, unless it is None: then the help says what that means."""

    def _get_help_string(self, action):
        return action.help if action.default is None else super()._get_help_string(action)


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """Add the command ``name``, which ``run`` does: its docstring is the description. Returns the command's parser."""
    parser = commands.add_parser(name, help=summary, description=run.__doc__, formatter_class=Help)
    parser.set_defaults(run=run)
    return parser


def add_data(parser: argparse.ArgumentParser, size: str | None = SIZE_HELP, data: str = DATA_HELP) -> None:
    """``--data`` and ``--download``: which images, or texts, as ``data`` says. ``size``: what ``--size`` is for; None
    for no such option.
    """
    parser.add_argument("--data", default="things", help=data)
    if size is not None:
        parser.add_argument("--size", type=int, metavar="N", help=size)
    parser.add_argument("--stream", action="store_true", help=STREAM_HELP)
    add_download(parser)


def add_download(parser: argparse.ArgumentParser) -> None:
    """``--download`` alone, where the command says which images."""
    parser.add_argument("--download", action="store_true", help="fetch cifar10 or mnist if it is not found")


def add_computing(parser: argparse.ArgumentParser) -> None:
    """``--device`` and ``--json``: where to compute, and where the result goes."""
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"], help=DEVICE_HELP)
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json`` alone, where the command computes on the CPU."""
    parser.add_argument("--json", metavar="FILE", help="write the result to FILE as JSON")


def add_training(parser: argparse.ArgumentParser, epochs: int) -> None:
    """How long and with what to train on images; ``epochs`` is the usual number of them."""
    more = f"how often all images are seen (default: {epochs}, or more where these would be fewer than 200 steps)"
    parser.add_argument("--epochs", type=int, help=more)
    smaller = "images a step (default: 512, or fewer where an epoch would have fewer than 20 steps)"
    parser.add_argument("--batch-size", type=int, help=smaller)
    parser.add_argument("--lr", type=float, help="peak learning rate (default: by the batch size)")
    parser.add_argument(
        "--accumulate", type=int, default=1, metavar="N", help="compute each step in N parts: less memory"
    )
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"], help="of layers' products")
    parser.add_argument("--compile", action="store_true", help="let torch.compile compile what is trained")
    cut = "cut gradients that are longer than this; 0 cuts none"
    parser.add_argument("--max-grad-norm", type=float, default=2.0, metavar="LENGTH", help=cut)
    parser.add_argument("--train-images", type=int, metavar="N", help="use only N of the training images")
    add_runs(parser, "folder for teachers, checkpoints and caches")


def add_runs(parser: argparse.ArgumentParser, meaning: str) -> None:
    """``--runs``, the folder for whatever a command keeps."""
    parser.add_argument("--runs", default=Path("runs"), help=meaning)


def check(options: argparse.Namespace) -> None:
    """Find out now what would otherwise be noticed only after the training; texts become paths.

    Raises ``ValueError`` for a path that is none, a report that could not be written or would replace something else
    (the card of ``--out`` too), an empty ``--teacher``, and ``--seeds`` outside 1..1000; ``OSError`` where the disk is
    in the way.
    """
    for name in "json", "runs", "out", "class_map":
        if getattr(options, name, None) is not None:
            setattr(options, name, kdkit.data.files.expanded(getattr(options, name)))
    if getattr(options, "json", None) is not None:
        _check_report(options.json)
        out = getattr(options, "out", None)
        card = None if out is None else out.with_suffix(".json") if out.suffix == ".safetensors" else out / "kdkit.json"
        if options.json == card:
            raise ValueError(f"--json {options.json} is where the card of --out {options.out} will lie: name another.")
    teachers = getattr(options, "teacher", None)  # of some commands one, of others several
    if "" in ([teachers] if isinstance(teachers, str) else teachers or []):
        raise ValueError("--teacher '' names no network: give a .safetensors file or a name, or leave it out.")
    seeds = getattr(options, "seeds", 1)
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1; got {seeds}.")
    if seeds > MOST_SEEDS:
        raise ValueError(f"--seeds must be at most {MOST_SEEDS}; got {seeds}.")


def _check_report(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"--json {path} is a folder: name a file.")
    with kdkit.data.files.explained(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b"{}"
    try:
        json.loads(content)
    except ValueError:
        raise ValueError(f"--json {path} is there already, and no JSON: it is not overwritten. Name another.") from None


def are_texts(options: argparse.Namespace) -> bool:
    """Whether ``--data`` is a folder that holds texts (.txt) and no image."""
    from kdkit.data.labelled import holds_texts

    return options.data not in KITS and holds_texts(options.data)


def load_data(options: argparse.Namespace, size: int | None = None) -> Splits:
    """The images of ``--data``, the first ``--train-images`` of them, a folder's at ``--size`` or else at ``size``.

    Afterwards ``options.size`` is that of a folder's images. Raises as ``kdkit.data.load`` does, and ``ValueError``
    for more images than there are.
    """
    asked = getattr(options, "size", None)
    own = options.data not in KITS
    if asked is not None and not own:
        raise ValueError(
            f"--size is for a folder of your own images; those of {options.data} are as large as they are."
        )
    side = size if asked is None and own else asked
    data = kdkit.data.load(options.data, size=side, download=options.download, stream=_stream(options))
    if own:
        options.size = data.train.images.shape[-1]
    return _first(options, data)


def at_size(options: argparse.Namespace, data: Splits, size: int | None) -> Splits:
    """``data``, as ``load_data`` gave it, with images of ``size`` where it is a folder's; what was said of it once is
    not said again.
    """
    if size in (None, data.train.images.shape[-1]) or options.data in KITS:
        return data
    with warnings.catch_warnings(action="ignore"):
        return _first(
            options, kdkit.data.load(options.data, size=size, stream=getattr(options, "stream", False) or None)
        )


def _stream(options):
    """``--stream``; left out, the rule of ``kdkit.data.load`` decides."""
    return getattr(options, "stream", False) or None


def _first(options, data):
    """The first ``--train-images`` of ``data``, where a command has that option and it was given."""
    count = getattr(options, "train_images", None)
    if count is None:
        return data
    if not 1 <= count <= len(data.train):
        raise ValueError(f"--train-images must lie in 1..{len(data.train)}; got {count}.")
    return data.first(count)


def plan(options: argparse.Namespace, data: Splits, usual_epochs: int) -> None:
    """Fill in the options that depend on the data, and say what is about to be trained, before it is.

    Raises ``ValueError`` for numbers of epochs or images a step that are none.
    """
    training, count = kdkit.training, len(data.train)
    options.batch_size, epochs = training.proposed(count, usual_epochs, options.batch_size)
    options.epochs = epochs if options.epochs is None else kdkit.losses.arguments.whole(options.epochs, "epochs", 1)
    steps = -(-count // options.batch_size)
    print(*kdkit.data.describe(data), sep="\n")
    times = f"{options.epochs} epoch{'s' * (options.epochs != 1)} of {steps} step{'s' * (steps != 1)}"
    print(f"to train: {times}, of up to {options.batch_size} images each", flush=True)
    if options.epochs * steps < training.ENOUGH_STEPS:
        print(
            f"ATTENTION: that is {options.epochs * steps} in all. Fewer than {training.ENOUGH_STEPS} steps teach "
            "little: give more --epochs, or a smaller --batch-size."
        )


def schedule(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a training takes as they are."""
    return {"epochs": options.epochs, "batch_size": options.batch_size, "lr": options.lr}


def how(options: argparse.Namespace) -> dict[str, Any]:
    """What a training of images takes besides: how it computes, and where gradients are cut."""
    taken = {name: getattr(options, name) for name in ("accumulate", "precision", "compile")}
    return {**taken, "max_grad_norm": options.max_grad_norm or None}
