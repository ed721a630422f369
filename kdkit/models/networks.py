"""What holds for any network: its parts, its modes, its device, its size."""

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import nn

from kdkit.data.seeds import as_seed

MOST_WEIGHTS = 2**30  # 4 GiB: a size with a slip of the finger is refused before it fills the memory
# What puts something round a network: under which name, and where its class is at home.
WRAPPERS = {"_orig_mod": "torch.", "module": "torch.", "network": "kdkit.models.taps"}


def check_network(name: str, network: nn.Module) -> None:
    """``ValueError`` unless ``network`` is a ``torch.nn.Module``; ``name`` is what the message calls it."""
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} must be a torch.nn.Module; got {type(network).__name__}.")


def check_total(weights: int) -> None:
    """``ValueError`` for so many ``weights`` that no computer here holds them."""
    if weights > MOST_WEIGHTS:
        raise ValueError(
            f"a network of these sizes would have about {weights:.0e} weights, more than 10^9. Make width, depth, "
            "classes or channels smaller."
        )


def count_parameters(model: nn.Module) -> int:
    """How many numbers ``model`` learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def device_of(model: nn.Module) -> torch.device:
    """Where ``model`` computes: the device of its first parameter, else of its first buffer, else the CPU.

    Networks in a plain list count; a frozen TorchScript has neither.
    """
    for module in every_module(model):
        for tensor in itertools.chain(module.parameters(recurse=False), module.buffers(recurse=False)):
            return tensor.device
    return torch.device("cpu")


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, without what torch (``compile``, DataParallel ...) or ``Features`` have put round it."""
    for name, home in WRAPPERS.items():
        inner = model._modules.get(name)
        if inner is not None and type(model).__module__.startswith(home):
            return unwrapped(inner)
    return model


def every_module(model: nn.Module) -> list[nn.Module]:
    """``model`` and all modules in it, also those in a plain list, tuple or dict, where torch does not look."""
    found: dict[nn.Module, None] = {}
    waiting = [model]
    while waiting:
        for module in waiting.pop().modules():
            if module not in found:
                found[module] = None
                for value in vars(module).values():
                    held = value.values() if isinstance(value, dict) else value
                    if isinstance(value, dict | list | tuple):
                        waiting.extend(item for item in held if isinstance(item, nn.Module))
    return list(found)


def eval_mode(model: nn.Module) -> None:
    """Put ``model`` into eval mode, with networks that it keeps in a plain list, which ``.eval()`` does not reach."""
    model.eval()
    for module in every_module(model):
        if _training(module):
            module.eval()


def train_mode(student: nn.Module) -> None:
    """Put ``student`` into train mode, and leave frozen what its user froze.

    Frozen is a layer with running statistics (BatchNorm) that is in eval mode while the student is in train mode, or
    that is in eval mode and has weights of its own of which none wants a gradient: the one survives until somebody
    calls ``student.eval()``, the other for good.
    """
    learning = unwrapped(student).training  # a wrapper's own mode tells nothing
    frozen = [
        layer
        for layer in student.modules()
        if getattr(layer, "running_mean", None) is not None and not layer.training and (learning or _held_fast(layer))
    ]
    student.train()
    for layer in frozen:
        layer.eval()


def _held_fast(layer: nn.Module) -> bool:
    """Whether a layer has weights of its own, and none of them wants a gradient."""
    weights = list(layer.parameters(recurse=False))
    return bool(weights) and not any(weight.requires_grad for weight in weights)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within, ``model`` is in eval mode; afterwards each module in it is in its own mode again."""
    modes = [(module, _training(module)) for module in every_module(model)]
    try:
        eval_mode(model)
        yield
    finally:
        for module, training in modes:  # parents first: train() reaches what is in them
            if _training(module) != training:
                module.train(training)


def _training(module: nn.Module) -> bool:
    return getattr(module, "training", False)  # a frozen TorchScript has no mode


@contextlib.contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Within, whatever draws from torch's global generators (new layers, dropout) draws as ``seed`` says.

    Afterwards those of the CPU and of a CUDA ``device`` are as they were. No other GPU is seeded, as it would be by
    ``torch.manual_seed``. Raises ``ValueError`` for a seed that is no whole number.
    """
    device, seed = torch.device(device), as_seed(seed)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield
