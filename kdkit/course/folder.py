"""A folder of images as people have them, for a reader who has none: files of mixed sizes, and a few faults.

``make`` writes it, ``repair`` takes faults out, ``shares`` says what is left of them in a network.
"""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from kdkit.data import things
from kdkit.data.images import ImageSet
from kdkit.data.seeds import generator
from kdkit.measure import metrics

NAME = "furniture"
CLASSES = {"armchair": "armchair", "chair": "chair", "couch": "sofa"}  # a folder's name to that of the thing in it
CLASS_MAP = {name: thing for name, thing in CLASSES.items() if name != thing}
TRAIN = {"armchair": 120, "chair": 100, "couch": 23}  # one class is rare
TEST = 100  # of each class
BROKEN = "031-broken.png"
MARK = "README.txt"  # says that the folder is drawn, and may be changed
SIDES = 48, 64, 72, 96, 120  # pixels of the shorter side
STRETCHED = 1.0, 1.0, 1.25, 1.5  # longer side by shorter side
QUALITY = 88  # of the JPEG files, which every second one is
LUMA = 0.299, 0.587, 0.114  # how much red, green and blue count where an image is made grey
GREY, TWICE = 30, 12  # grey images, all of one class; test images that stand among the training images too


def make(place: str | Path, seed: int = 0) -> Path:
    """Write the folder ``furniture`` into ``place``, anew where one lies there; returns its path.

    ``train/`` and ``test/`` hold a folder for each of three classes. What is wrong with it: test images that are
    training images too, grey ones of one class, a file that is no image, and a class with few images.
    """
    root = Path(place) / NAME
    shutil.rmtree(root, ignore_errors=True)
    random, drawn = generator(seed), things.make(max(TRAIN.values()) + TEST, seed)
    for name, thing in CLASSES.items():
        pictures = drawn.images[drawn.labels == drawn.number(thing)]
        (root / "train" / name).mkdir(parents=True)
        (root / "test" / name).mkdir(parents=True)
        for number, pixels in enumerate(pictures[: TRAIN[name]]):
            _write(pixels, root / "train" / name / f"{number:03}", random, grey=name == "chair" and number < GREY)
        for number, pixels in enumerate(pictures[-TEST:]):
            _write(pixels, root / "test" / name / f"{number:03}", random)
    for file in sorted((root / "test" / "armchair").iterdir())[:TWICE]:
        shutil.copy(file, root / "train" / "armchair" / f"copy-of-{file.name}")
    (root / "train" / "chair" / BROKEN).write_text("this was a picture once\n", encoding="utf-8")
    (root / MARK).write_text(
        "Drawn by kdkit for the notebook 10 Your own. Delete it when you like.\n", encoding="utf-8"
    )
    return root


def _write(pixels, stem, random, grey=False):
    """Write uint8 ``[3, 32, 32]`` as an image of a size drawn by ``random``: PNG or, every second one, JPEG."""
    kind, side, stretched = torch.randint(1000, (3,), generator=random).tolist()
    side, wide = SIDES[side % len(SIDES)], STRETCHED[stretched % len(STRETCHED)]
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.BICUBIC)
    rim = round(side * (wide - 1) / 2)
    image = Image.fromarray(np.pad(np.asarray(image), ((0, 0), (rim, rim), (0, 0)), mode="edge"))
    image = image.convert("L") if grey else image
    content = io.BytesIO()
    image.save(content, "JPEG" if kind % 2 else "PNG", quality=QUALITY)
    stem.with_suffix(".jpg" if kind % 2 else ".png").write_bytes(content.getvalue())


def repair(root: str | Path) -> Path:
    """Take the broken file and the copies out of a folder that ``make`` wrote, and print what was done: the folder.

    Other folders are left alone.
    """
    root = Path(root)
    if not (root / MARK).exists():
        print(f"{root.name} is your own: nothing was taken out of it.\n")
        return root
    copies = list(root.glob("train/*/copy-of-*"))
    for file in [*copies, root / "train" / "chair" / BROKEN]:
        file.unlink(missing_ok=True)
    print(f"taken out: {BROKEN} and {len(copies)} copies of test images\n")
    return root


def shares(result: Mapping[str, Any], networks: Mapping[str, nn.Module], test: ImageSet) -> dict[str, dict[str, str]]:
    """How often each class of ``test`` is recognised: by students on the mean, as ``result`` of ``distill`` has it; and
    by each of ``networks`` (a dict of name to network), in colour and once all images are made grey. A dash: there are
    no test images of that class.
    """
    luma = (test.images * torch.tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True).round().byte()
    looks = {"": test.images, ", grey": luma.expand_as(test.images).contiguous()}
    found = {arm: result["networks"][arm]["by_class"] for arm in ("alone", "distilled")}
    for name, network in networks.items():
        for look, images in looks.items():
            table = metrics.confusion(metrics.predict(network, images), test.labels)  # [C, C]
            right = zip(table.diagonal().tolist(), table.sum(1).tolist(), strict=True)
            found[name + look] = [hits / count if count else None for hits, count in right]
    return {
        name: {
            who: "\N{EN DASH}" if by_class[label] is None else f"{by_class[label]:.0%}"
            for who, by_class in found.items()
        }
        for label, name in enumerate(test.classes)
    }


def grey(images: ImageSet) -> str:
    """How many grey images each class has that has some: "30 of 90 chair"."""
    plain = (images.images == images.images[:, :1]).flatten(1).all(1)
    counts = {name: images.labels == label for label, name in enumerate(images.classes)}
    some = [f"{int(plain[of].sum())} of {int(of.sum())} {name}" for name, of in counts.items() if plain[of].any()]
    return ", ".join(some) or "none"
