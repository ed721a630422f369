"""Named features of any module, by hooks: what a method needs that looks inside a network, not only at its logits."""

import contextlib
import difflib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from kdkit.models.networks import check_network
from kdkit.models.outputs import named_tensors


class Features(nn.Module):
    """``network``, whose answer is a dict: "logits", and under the names of ``layers`` what those modules gave.

    Parameters:
        network: any module that answers with logits, as ``models.logits`` takes them.
        layers: the path of a module for each name, as ``network.named_modules()`` gives it. Of a module that gives a
            tuple or a mapping, the first tensor in it counts; of one that is called twice, the last call.

    The features have their gradients. Hooks stand on the network only while it answers. Under ``torch.compile``, of the
    network or of ``Features``, all this holds as well; but each tap breaks the graph, so less is fused.

    Raises ``ValueError`` for a path that the network does not have, for a layer that the network did not call, or that
    gave no tensor, and where a later operation wrote over what the layer gave, as an in-place ReLU does.

    >>> import torch
    >>> from kdkit import models
    >>> features = Features(models.student(8, 3), early="stages.0")
    >>> {name: tuple(tensor.shape) for name, tensor in features(torch.zeros(2, 3, 32, 32)).items()}
    {'logits': (2, 10), 'early': (2, 8, 15, 15)}
    """

    def __init__(self, network: nn.Module, **layers: str):
        super().__init__()
        check_network("network", network)
        if "logits" in layers:
            raise ValueError("a layer cannot be named 'logits': the network's own answer has that name. Rename it.")
        for name, path in layers.items():
            _check_path(network, name, path)
        self.network, self.layers = network, layers

    def forward(self, *inputs: Any, **named: Any) -> dict[str, Tensor]:
        """``{"logits": [B, C], name: [B, ...]}`` of ``network(*inputs, **named)``."""
        taps = {name: _Tap(name, path) for name, path in self.layers.items()}
        with contextlib.ExitStack() as hooks:
            for tap in taps.values():
                hooks.enter_context(self.network.get_submodule(tap.path).register_forward_hook(tap))
            output = self.network(*inputs, **named)
        logits = named_tensors(output, "network")["logits"]
        return {"logits": logits} | {name: tap.feature() for name, tap in taps.items()}

    def extra_repr(self) -> str:
        """Which layers, as they were given: ``models.fingerprint`` reads it, too."""
        return ", ".join(f"{name}={path!r}" for name, path in self.layers.items())


class _Tap:
    """The hook of one layer: it keeps what the layer gave last."""

    def __init__(self, name: str, path: str):
        self.name, self.path = name, path
        self.output: Tensor | None = None
        self.version: int | None = None  # how often the tensor had been written over; torch counts

    def __call__(self, module: nn.Module, inputs: tuple, output: Any) -> None:
        values = output.values() if isinstance(output, Mapping) else output
        if isinstance(values, Tensor):
            values = [values]
        tensor = next((value for value in values or () if isinstance(value, Tensor)), None)
        if tensor is None:
            raise ValueError(f"layer {self.path!r} ({self.name}) gave no tensor, but {type(output).__name__}.")
        # under inference_mode torch does not count: there a copy is kept, which costs time, but is right
        self.output = tensor.clone() if tensor.is_inference() else tensor
        self.version = None if tensor.is_inference() else tensor._version

    def feature(self) -> Tensor:
        """What the layer gave. ``ValueError`` where it was not called, or where that was written over since."""
        if self.output is None:
            raise ValueError(
                f"layer {self.path!r} ({self.name}) was not called in this forward: there is no feature. Take a layer "
                "that the network calls each time."
            )
        if self.version is not None and self.output._version != self.version:
            raise ValueError(
                f"a later operation wrote over what layer {self.path!r} ({self.name}) gave, as an in-place ReLU does. "
                "Take the layer after it, which gives what came of it, or build the network with inplace=False."
            )
        return self.output


def _check_path(network: nn.Module, name: str, path: str) -> None:
    """``ValueError`` unless ``network`` has a module at ``path``: it lists those whose paths are most like it."""
    known = [known for known, _ in network.named_modules(remove_duplicate=False)]
    if path not in known:
        nearest = difflib.get_close_matches(str(path), known[1:], n=5, cutoff=0.0)  # the first is the network itself
        raise ValueError(
            f"{type(network).__name__} has no layer {path!r} (for {name}). The nearest: "
            f"{', '.join(map(repr, nearest))}. (network.named_modules() gives them all.)"
        )
