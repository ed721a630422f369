"""Is this the same network? A hash of all that decides what a network answers, as far as it can be seen."""

import enum
import functools
import hashlib
import io
import logging
import os
import re
import types
import zipfile
from collections import deque
from collections.abc import Iterable, Mapping, Sized

import numpy as np
import torch
from torch import nn

_OWN = frozenset(vars(nn.Module()))  # what every module has: children, parameters, hooks, training
_PLAIN = bool | int | float | str | None
_NORMS = {  # in the words of torch 2.14: its releases differ in what these print of themselves, not in what they are
    nn.modules.batchnorm._NormBase: "{num_features}, eps={eps}, momentum={momentum}, affine={affine}, bias={bias}, "
    "track_running_stats={track_running_stats}",
    nn.GroupNorm: "{num_groups}, {num_channels}, eps={eps}, affine={affine}, bias={bias}",
    nn.LayerNorm: "{normalized_shape}, eps={eps}, elementwise_affine={elementwise_affine}, bias={bias}",
}
_TELL_ALL = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.Linear)
_JIT_NUMBER = re.compile(rb"\.___torch_mangle_\d+")  # counts what a process has traced before


def fingerprint(model: nn.Module) -> str:
    """A short hash of a network: its layers, their settings, its weights. The same in each process and on each device.

    Of layers of torch and of the kit it is the same in each release of torch, too.

    Of a layer of torch or of the kit, settings are what it prints of itself, and its plain numbers and texts where that
    is not all; of any other, all its plain attributes: numbers, texts, tensors, lists, objects, functions, networks in
    a list. So an attribute that changes while a network answers, such as a counter, makes it another network each time.
    A TorchScript is hashed as it would be saved. Hooks and the text of ``forward`` are not seen.
    """
    digest = hashlib.sha256()
    _add(digest, model, [id(model)])
    return digest.hexdigest()[:16]


def _add(digest, model, seen):
    for name, module in model.named_modules():
        digest.update(f"{name}:{type(module).__qualname__}({_printed(module)});".encode())
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor) and not value.is_quantized:
            digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
            digest.update(_bytes(value))
        else:  # extra state, packed weights of a quantised layer
            digest.update(f"{name}=".encode() + _told(value, seen))
    for name, module in model.named_modules():
        for attribute, value in _settings(module):
            digest.update(f"{name}.{attribute}=".encode() + _told(value, seen))


def _printed(module):
    """What ``module`` prints of itself, the same in each release of torch."""
    for kind, text in _NORMS.items():
        if type(module).extra_repr is kind.extra_repr:
            return text.format(**vars(module), bias=module.bias is not None)
    return module.extra_repr()


def _settings(module):
    """What the layers, what they print of themselves and their weights do not tell: pairs of name and value."""
    if isinstance(module, torch.jit.ScriptModule):
        yield "code", _script(module)
        return
    for name in sorted(module._non_persistent_buffers_set):
        yield name, module._buffers[name]
    home, own = type(module).__module__, {name: value for name, value in vars(module).items() if name not in _OWN}
    if isinstance(module, torch.fx.GraphModule):
        yield "code", module.code
    elif home.startswith("torch.nn.modules.") and not isinstance(module, _TELL_ALL):
        yield from _simple(own)  # attention, say, prints nothing of itself, and AvgPool2d not all
    elif home.startswith("transformers."):
        yield from _simple(own)  # beside these, much that changes with the version or the path
    elif not home.startswith(("torch.", "kdkit.")):
        yield from own.items()


def _simple(attributes):
    return [
        (name, value)
        for name, value in attributes.items()
        if isinstance(value, _PLAIN) and name[0] != "_" and name != "name_or_path"
    ]


def _told(value, seen):
    """``value`` in bytes that are the same in each process: without addresses, in an order of its own."""
    if isinstance(value, _PLAIN | complex | bytes | torch.dtype | torch.layout | range | slice):
        return f"{type(value).__name__} {value!r};".encode()
    if isinstance(value, os.PathLike | types.ModuleType | logging.Logger):
        return f"{type(value).__name__};".encode()  # they decide no answer, or hold half the program
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name};".encode()
    if id(value) in seen:  # it holds itself, as a module in a list of one of its children does
        return f"again {seen.index(id(value))};".encode()
    digest = hashlib.sha256(f"{type(value).__qualname__};".encode())
    if isinstance(value, nn.Module):
        _add(digest, value, [*seen, id(value)])
    elif isinstance(value, set | frozenset):
        digest.update(b"".join(sorted(_told(part, [*seen, id(value)]) for part in value)))
    else:
        for part in _parts(value):
            digest.update(_told(part, [*seen, id(value)]))
    return digest.digest()


def _parts(value):
    """What ``value`` is made of: other objects, down to plain ones."""
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if isinstance(value, np.ndarray | np.generic):
        return str(value.dtype), value.shape, _hash(value.tobytes())
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, Iterable) and isinstance(value, Sized) and not hasattr(value, "__dict__"):
        return value
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, types.MethodType):
        return value.__func__, value.__self__
    if isinstance(value, types.CodeType):
        return value.co_code, value.co_names, value.co_consts
    if isinstance(value, types.FunctionType) and "<" in value.__qualname__:  # of one of these the name says nothing
        return value.__code__, value.__defaults__, value.__kwdefaults__, value.__closure__
    if isinstance(value, types.CellType):
        return (value.cell_contents,)
    if hasattr(value, "__qualname__") or isinstance(value, types.BuiltinFunctionType):
        return str(getattr(value, "__module__", None)), value.__qualname__
    return _attributes(value)


def _attributes(value):
    own = getattr(value, "__dict__", {})
    if type(value).__module__.startswith("transformers."):
        own = dict(_simple(own))
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    own = own | {name: getattr(value, name) for name in slots if hasattr(value, name)}
    listed = list(value) if isinstance(value, list | tuple | deque) else ()
    return [part for pair in own.items() for part in pair if pair[0] != "__weakref__"] + list(listed)


def _tensor(value):
    """Its kind, shape and numbers."""
    if value.is_quantized:
        scheme = str(value.qscheme())
        if "channel" in scheme:
            scale = value.q_per_channel_scales(), value.q_per_channel_zero_points(), value.q_per_channel_axis()
        else:
            scale = value.q_scale(), value.q_zero_point()
        return str(value.dtype), scheme, scale, _hash(_bytes(value.int_repr()))
    return str(value.dtype), tuple(value.shape), str(value.layout), _hash(_bytes(value))


def _hash(content):
    return hashlib.sha256(content).digest()


def _bytes(tensor):
    tensor = tensor.detach().cpu()
    tensor = tensor if tensor.layout == torch.strided else tensor.to_dense()
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data


def _script(model):
    """A TorchScript as it would be saved: code and constants, since a frozen one has its weights in there."""
    with zipfile.ZipFile(io.BytesIO(model.save_to_buffer())) as archive:
        names = [name for name in archive.namelist() if not name.endswith((".debug_pkl", "serialization_id"))]
        return _hash(b"".join(_JIT_NUMBER.sub(b"", archive.read(name)) for name in names))
