"""A network of the course as ``convnet.js`` reads it: what each layer does, and all weights in one row of bytes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdkit.models import ConvNet


def in_browser(network: ConvNet) -> dict[str, Any]:
    """``layers``, a list of dicts; ``weights``, bytes; and ``half``, whether the kernels are in half precision.

    They are wherever that changes no weight, as in the networks that ship with the kit. BatchNorm becomes a scale and
    a shift for each channel. They are not multiplied into the kernels: pooling stands between, and for a negative
    scale the largest of four would become the smallest.

    Raises ``ValueError`` for a network of another make.
    """
    if not isinstance(network, ConvNet):
        raise ValueError(f"only networks that kdkit.models has built run in a browser; got {type(network).__name__}.")
    found = list(_layers(network))
    half = all(torch.equal(kernel, kernel.half().float()) for _, kernel, _, _ in found)
    parts = [part for _, kernel, *norm in found for part in (_bytes(kernel, half), *(_bytes(each) for each in norm))]
    return {"layers": [layer for layer, *_ in found], "weights": b"".join(parts), "half": half}


def _layers(network):
    """(what it does, kernel, scale, shift) of each layer, the last one linear."""
    whiten, linear = network.whiten, network.classify
    yield _layer(whiten.weight, kernel=whiten.weight.shape[-1]), whiten.weight, *_plain(whiten.bias)
    before = len(whiten.bias)
    for stage in network.stages:
        if not stage.convs:
            nothing = torch.zeros(0)
            yield _layer(torch.zeros(0, before), pool=True), nothing, nothing, nothing
        for number, (conv, norm) in enumerate(zip(stage.convs, stage.norms, strict=True)):
            layer = _layer(conv.weight, kernel=3, padding=1, pool=number == 0, added=number > 0)
            yield layer, conv.weight, *_scale_and_shift(norm)
            before = len(conv.weight)
    yield _layer(linear.weight, kernel=1), linear.weight, *_plain(linear.bias)


def _layer(weight, kernel=0, padding=0, pool=False, added=False):
    after, before = weight.shape[:2]
    return {"before": before, "after": after, "kernel": kernel, "padding": padding, "pool": pool, "added": added}


def _plain(bias):
    return torch.ones_like(bias), bias


def _scale_and_shift(norm):
    """BatchNorm in eval mode as ``scale * x + shift``, computed in double precision."""
    mean, variance, weight, bias = (
        value.detach().double() for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    scale = weight / (variance + norm.eps).sqrt()
    return scale, bias - mean * scale


def _bytes(values: Tensor, half: bool = False) -> bytes:
    """Little-endian numbers in C order."""
    return values.detach().cpu().contiguous().numpy().astype(np.dtype("<f2" if half else "<f4")).tobytes()
