"""How a training computes: in which precision, each batch in how many parts, compiled or not."""

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from kdkit import models
from kdkit.losses.arguments import check_flag, whole

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}  # of layers' products; weights stay in float32


def check_how(student: nn.Module, accumulate: object, precision: object, compile: object) -> dict[str, Any]:
    """All three in a dict, for a run's settings; ``ValueError`` for what cannot be, or not on this machine."""
    accumulate = whole(accumulate, "accumulate", 1)
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}.")
    device = models.device_of(student)
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ValueError(f"precision='bf16': {torch.cuda.get_device_name(device)} has no bfloat16. Take 'float32'.")
    if check_flag("compile", compile):
        try:
            torch.compile(torch.sin)(torch.zeros(2, device=device))
        except Exception as error:  # whatever a compiler that is missing, or misses something, makes torch say
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(
                f"compile=True: torch.compile finds no compiler that works here ({why}). Install one (g++ for CPUs, "
                "Triton for GPUs), or leave compile out: the result is the same but for rounding."
            ) from error
    return {"accumulate": accumulate, "precision": precision, "compile": compile}


def computing_in(precision: str, network: nn.Module) -> contextlib.AbstractContextManager:
    """Within, networks on the device of ``network`` compute in this ``precision``: "float32" leaves all as it is."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(models.device_of(network).type, dtype=PRECISIONS[precision])


def in_float32(outputs: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    """What a network answered ``[B, ...]`` in bfloat16, by name, in float32; the rest, and None, as it is."""
    half = torch.bfloat16
    return outputs and {name: out.float() if out.dtype == half else out for name, out in outputs.items()}
