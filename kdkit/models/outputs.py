"""What networks are given and what they answer: images as they want them, and logits out of any kind of output."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdkit.data.streaming import StreamedImages, pixels
from kdkit.models.networks import every_module

EVALUATION_BATCH = 1000  # images at once where nothing is learnt
USUAL_PIXELS = 32 * 32  # of an image: of larger ones so many fewer are taken at once
NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # dtypes that layers compute in
ONE_VALUE = "more than 1 value per channel"  # BatchNorm's complaint about a batch of one
Inputs = Tensor | tuple | list | Mapping


def as_input(images: Tensor | StreamedImages, device: torch.device | str = "cpu") -> Tensor:
    """uint8 images ``[N, C, H, W]`` as a network wants them: float32 in [0, 1], channels last, on ``device``.

    ``StreamedImages`` are read. Raises ``ValueError`` for what is no dense uint8 tensor of that shape.
    """
    images = pixels(images)
    dense = isinstance(images, Tensor) and images.layout == torch.strided and not images.is_meta
    if not dense or images.dtype != torch.uint8:
        got = images.dtype if dense else type(images).__name__
        raise ValueError(f"images must be uint8 (0 is black, 255 white), as in an ImageSet; got {got}.")
    if images.ndim != 4:
        raise ValueError(f"images must be [N, C, H, W]; got shape {list(images.shape)}.")
    return images.to(device).contiguous(memory_format=torch.channels_last).float().div_(255)


def evaluation_batch(images: Tensor | StreamedImages) -> int:
    """How many of ``images`` ``[N, C, H, W]`` are taken at once where nothing is learnt: 1000 of 32x32, 20 of 224x224.

    >>> evaluation_batch(torch.zeros(1, 3, 28, 28)), evaluation_batch(torch.zeros(1, 3, 224, 224))
    (1000, 20)
    """
    return max(1, EVALUATION_BATCH * USUAL_PIXELS // max(USUAL_PIXELS, images.shape[-2] * images.shape[-1]))


def logits(model: nn.Module | Callable, inputs: Inputs, name: str = "network") -> Tensor:
    """What ``model`` answers on ``inputs``, its logits ``[B, C]`` or ``[B, L, V]``: ``outputs(...)["logits"]``."""
    return outputs(model, inputs, name)["logits"]


def outputs(model: nn.Module | Callable, inputs: Inputs, name: str = "network") -> dict[str, Tensor]:
    """What ``model`` answers on ``inputs``, by name: "logits" ``[B, C]`` or ``[B, L, V]``, and what else it names.

    Parameters:
        model: a module, or a function.
        inputs: a tensor; a tuple or list, whose elements are handed over in order; or a mapping (a tokenizer's batch),
            whose values are handed over by their names. Floating-point tensors get the dtype of the model's first
            weight, so that a teacher in half precision can be given what a student in float32 is given.
        name: what messages call the model.

    The answer may be a tensor, a tuple or list (its first element counts), a mapping with "logits", or an object with
    ``.logits`` (Hugging Face). Of a mapping all tensors are given; of ``hidden_states``, a tuple of tensors, the last,
    as "hidden". Raises ``ValueError``, with the cause, where the model does not take the inputs or answers with
    something else.

    >>> list(outputs(lambda inputs: {"logits": inputs, "hidden_states": (inputs, inputs)}, torch.zeros(2, 10)))
    ['logits', 'hidden']
    """
    inputs = _in_dtype_of(model, inputs)
    try:
        if isinstance(inputs, Mapping):
            output = model(**inputs)
        else:
            output = model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    except torch.cuda.OutOfMemoryError:
        raise
    except (TypeError, AttributeError, LookupError, RuntimeError, AssertionError, ValueError) as error:
        if isinstance(error, ValueError) and ONE_VALUE not in str(error):
            raise
        raise ValueError(_stopped(model, name, inputs, error)) from error
    return named_tensors(output, name)


def named_tensors(output: object, name: str = "network") -> dict[str, Tensor]:
    """The tensors of an answer by their names, as ``outputs``: "logits" ``[..., C]``; ``ValueError`` where none are."""
    if isinstance(output, Mapping):
        found = dict(output)
    elif not isinstance(output, Tensor) and hasattr(output, "logits"):
        found = {"logits": output.logits, "hidden_states": getattr(output, "hidden_states", None)}
    else:
        found = {"logits": output[0] if isinstance(output, tuple | list) and output else output}
    states = found.get("hidden_states")
    if isinstance(states, tuple) and states:
        found.setdefault("hidden", states[-1])
    if not isinstance(found.get("logits"), Tensor):
        keys = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
        raise ValueError(
            f"the {name} must answer with logits: a tensor, a tuple that begins with one, a mapping with 'logits', or "
            f"an object with .logits; got {type(output).__name__}{keys}."
        )
    return {key: value for key, value in found.items() if isinstance(value, Tensor)}


def _stopped(model: nn.Module | Callable, name: str, inputs: Inputs, error: Exception) -> str:
    """Why ``model`` did not answer, in a sentence."""
    if ONE_VALUE in str(error):
        return (
            f"the {name} has BatchNorm in train mode, which cannot learn from a batch of one. Leave such a batch out "
            "(DataLoader(..., drop_last=True)), or freeze its BatchNorm with .eval()."
        )
    said = f"the {name} ({type(model).__name__}) does not take {_described(inputs)}: {type(error).__name__}: {error}"
    if isinstance(inputs, Mapping | tuple | list):
        return f"{said} (A mapping is handed over by name, a tuple or list in order; (inputs,) is handed over whole.)"
    return said


def _described(inputs: Inputs) -> str:
    if isinstance(inputs, Tensor):
        return f"inputs {list(inputs.shape)} of {inputs.dtype} on {inputs.device}"
    if isinstance(inputs, Mapping):
        return f"inputs named {', '.join(map(str, inputs))}"
    return f"inputs of kind {type(inputs).__name__}"


def _in_dtype_of(model: nn.Module | Callable, inputs: Inputs) -> Inputs:
    """``inputs``, their floating-point tensors in the dtype of the first weight of ``model``."""
    modules = every_module(model) if isinstance(model, nn.Module) else ()
    weights = (weight for module in modules for weight in module.parameters(recurse=False))
    dtype = next((weight.dtype for weight in weights if weight.dtype in NUMBERS), None)

    def fit(value: Any) -> Any:
        other = isinstance(value, Tensor) and value.dtype in NUMBERS and dtype not in (None, value.dtype)
        return value.to(dtype) if other else value

    if isinstance(inputs, Mapping):
        return {key: fit(value) for key, value in inputs.items()}
    return [fit(value) for value in inputs] if isinstance(inputs, tuple | list) else fit(inputs)


class Argmax(nn.Module):
    """A teacher that says which class, and nothing else: its softmax is one-hot at any temperature up to 50.

    Distilled at T = 1 from it alone, a student learns from the teacher's own hard labels, by plain cross-entropy.
    """

    SURE = 10_000.0  # the logit of the answer; the others are 0

    def __init__(self, teacher: nn.Module):
        super().__init__()
        self.teacher = teacher

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """One-hot logits ``[..., C]`` of what the teacher is given."""
        return self.of(logits(self.teacher, named or inputs))

    def of(self, teacher_logits: Tensor) -> Tensor:
        """``[..., C]`` logits to logits of the same answer that are sure of it."""
        return self.SURE * F.one_hot(teacher_logits.argmax(-1), teacher_logits.shape[-1]).to(teacher_logits.dtype)
