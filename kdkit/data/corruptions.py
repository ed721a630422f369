"""Corrupted images: compressed again, blurred or sharpened, with noise.

A network that was trained on one kind of file looks at what that kind of file has and lacks. One that has learnt from
corrupted copies too is meant to lose less on another kind, such as original pixels after JPEG copies. Whether it does
was not shown: half a point, with three seeds that cannot tell it from none (``benchmarks/original_pixels.py``).
"""

import io
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from kdkit.data.images import Splits

QUALITIES = 30, 75  # of JPEG, drawn evenly for each image
SHARPNESS = 1.0  # 1 blurs with a 3x3 binomial, -1 adds as much as that would take away
NOISE = 8.0  # the largest standard deviation, of 255
SEED = 20150309


def with_corrupted_copies(splits: Splits) -> Splits:
    """The same splits with three times the training images: each as it is, compressed again, and out of focus.

    ``val`` and ``test`` stay as they are. What becomes of an image is drawn from a fixed seed: it is part of the data.
    Raises ``ValueError`` as ``recompressed`` does.
    """
    generator = torch.Generator().manual_seed(SEED)
    images, labels = splits.train.images, splits.train.labels
    kinds = [images, recompressed(images, generator), out_of_focus(images, generator)]
    train = replace(splits.train, images=torch.cat(kinds), labels=labels.repeat(len(kinds)))
    return replace(splits, train=train)


def recompressed(images: Tensor, generator: Generator, qualities: tuple[int, int] = QUALITIES) -> Tensor:
    """uint8 ``[N, 3, H, W]`` through JPEG with a quality drawn for each (colours at half resolution).

    ``qualities``: the lowest and the highest. Raises ``ValueError`` for images of another number of channels.
    """
    if images.shape[1] != 3:
        raise ValueError(f"only colour images, [N, 3, H, W], are compressed again here; got {list(images.shape)}.")
    low, high = qualities
    drawn = torch.randint(low, high + 1, (len(images),), generator=generator).tolist()
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()  # [N, H, W, 3]
    again = np.stack([_through_jpeg(image, quality) for image, quality in zip(pixels, drawn, strict=True)])
    return torch.from_numpy(again).permute(0, 3, 1, 2).contiguous()  # [N, 3, H, W]


def out_of_focus(images: Tensor, generator: Generator) -> Tensor:
    """uint8 ``[N, C, H, W]``, each blurred or sharpened, then with noise, by amounts drawn for each."""
    blur = (2 * torch.rand(len(images), 1, 1, 1, generator=generator) - 1) * SHARPNESS
    noise = torch.rand(len(images), 1, 1, 1, generator=generator) * NOISE
    parts = zip(images.split(1000), blur.split(1000), noise.split(1000), strict=True)
    return torch.cat([_out_of_focus(*part, generator) for part in parts])


def _through_jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _out_of_focus(images, blur, noise, generator):
    sharp = images.float()
    binomial = torch.tensor([1.0, 2.0, 1.0]) / 4
    kernel = (binomial[:, None] * binomial).expand(images.shape[1], 1, 3, 3)  # [C, 1, 3, 3]: the same for each channel
    soft = F.conv2d(F.pad(sharp, [1] * 4, mode="reflect"), kernel, groups=images.shape[1])
    grain = noise * torch.randn(images.shape, generator=generator)
    return (sharp + blur * (soft - sharp) + grain).round().clamp(0, 255).to(torch.uint8)
