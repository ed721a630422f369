"""Any network that sees, made to answer about the kit's images: scaled and normalised for it, its classes by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdkit.losses.arguments import whole
from kdkit.models.class_names import ClassMap, gathered, groups
from kdkit.models.networks import check_network
from kdkit.models.outputs import logits

LARGEST = 1024  # pixels a side


class ForImages(nn.Module):
    """A network with what it wants to be given, and the classes that it knows.

    Parameters:
        network: takes images ``[N, C, H, W]`` and answers as ``models.logits`` says.
        size: of its images, in pixels a side; None where any will do. Others are scaled to it, smoothly.
        mean, std: what its images are normalised with, a number a channel (images lie in [0, 1]); None for none.
        classes: the names of its classes, in the order of its logits; None where that is the order of the data.
        wanted: the names of the data's classes, whose logits it is to give, in this order; None for all its own.
        class_map: the network's class for a class of the data, where its name is another: ``{"couch": "sofa"}``. The
            probabilities of several are summed: ``{"cat": ["tabby", "Persian cat"]}``. A number stands for the class
            in that place, where two have one name.

    Names are alike where they differ only in capitals, spaces, underscores and hyphens. Raises ``ValueError`` for a
    class that the network lacks, and says which of its own are called most like it; for a class of the network that
    would stand for two of the data.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 3))
    >>> teacher = ForImages(network, size=1, classes=["cat", "dog", "cow"], wanted=["cow", "cat"])
    >>> teacher(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 2])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        classes: Sequence[str] | None = None,
        wanted: Sequence[str] | None = None,
        class_map: ClassMap | None = None,
    ) -> None:
        super().__init__()
        check_network("network", network)
        self.network, self.class_map = network, class_map
        self.size = None if size is None else whole(size, "size", 1, LARGEST, advice="It is counted in pixels.")
        self.classes = None if classes is None else tuple(map(str, classes))
        self.register_buffer("mean", _by_channel("mean", mean, 0.0))
        self.register_buffer("std", _by_channel("std", std, 1.0))
        if not (self.std > 0).all():
            raise ValueError(f"std must be above 0 in each channel; got {self.std.flatten().tolist()}.")
        if class_map and classes is None:
            raise ValueError("class_map needs classes: the names of the network's classes, in the order of its logits.")
        self.groups = None if wanted is None or self.classes is None else groups(self.classes, wanted, class_map or {})

    def extra_repr(self) -> str:
        """What it prints of itself: all that decides its answers beside the network, ``mean`` and ``std``."""
        return f"size={self.size}, groups={self.groups}"

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of float images ``[N, C, H, W]`` in [0, 1], of any size.

        Of several classes that are one class of the data, ``log(sum(exp(logits)))``: their probabilities add up. Raises
        ``ValueError`` where the network answers with more or fewer classes than it has names for.
        """
        if self.size is not None and images.shape[-2:] != (self.size, self.size):
            size = (self.size, self.size)
            images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        answer = logits(self.network, (images - self.mean) / self.std)
        return gathered(answer, self.classes, self.groups)

    def for_classes(self, wanted: Sequence[str], class_map: ClassMap | None = None) -> "ForImages":
        """The same network for data of the classes ``wanted``, with its own class map or another.

        Raises ``ValueError`` as the class does.
        """
        given: dict[str, Any] = {
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "class_map": self.class_map if class_map is None else class_map,
        }
        return ForImages(self.network, size=self.size, classes=self.classes, wanted=wanted, **given)


def as_described(network: nn.Module) -> ForImages:
    """A network with what it says of itself: as ``ForImages`` it stays; timm's have a ``pretrained_cfg``."""
    if isinstance(network, ForImages):
        return network
    about = getattr(network, "pretrained_cfg", None)
    about = about if isinstance(about, Mapping) else getattr(about, "to_dict", dict)()
    size = about.get("input_size")
    names = about.get("label_names")
    return ForImages(
        network, size=size[-1] if size else None, mean=about.get("mean"), std=about.get("std"), classes=names
    )


def from_hugging_face(name: str) -> ForImages:
    """An image classifier of Hugging Face's, by its name there or the folder that it lies in.

    Size, mean and standard deviation are those of its image processor, classes those of its configuration. What it is
    shown is the whole square: no rim is cut off. Raises ``ValueError`` where there is none, or no image classifier.
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    try:
        network = transformers.AutoModelForImageClassification.from_pretrained(name)
        about = transformers.AutoImageProcessor.from_pretrained(name).to_dict()
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ValueError(
            f"{name} cannot be read as an image classifier of Hugging Face's: {str(error).strip().splitlines()[0]}"
        ) from error
    sizes = about.get("crop_size") or about.get("size") or {}
    size = sizes.get("height") or sizes.get("shortest_edge") if isinstance(sizes, Mapping) else sizes
    normalised = about.get("do_normalize", True)
    mean, std = (about.get(f"image_{part}") if normalised else None for part in ("mean", "std"))
    names = network.config.id2label
    classes = [names[number] for number in sorted(names)]
    return ForImages(network.eval(), size=size, mean=mean, std=std, classes=classes)


def _by_channel(name, values, otherwise):
    values = [otherwise] if values is None else values
    try:
        return torch.tensor([float(value) for value in values]).view(1, -1, 1, 1)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, one a channel, such as (0.5, 0.5, 0.5); got {values!r}.") from None
