"""The course's networks: one family of small convolutional networks, sized by width and depth. (And an encoder.)

Every network takes float32 images ``[N, C, H, W]`` in [0, 1], normalises inside, and returns logits ``[N, classes]``.
The build follows Keller Jordan's airbench (arXiv:2404.00498) where its ideas help on a CPU too: a frozen first layer
that whitens 2x2 patches, pooling before the normalisation (a quarter of the memory traffic), few parameters.
"""

import contextlib
import itertools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from kdkit.fingerprints import fingerprint as fingerprint  # a name of this module, too
from kdkit.whole import as_seed, generator, whole

PATCH = 2  # side of the patches that the first layer whitens
EVALUATION_BATCH = 1000  # images at once where nothing is learnt
SMALLEST = 9  # images any smaller would vanish in the third pooling
MOST_WEIGHTS = 2**30  # 4 GiB: a size with a slip of the finger is refused before it fills the memory


class Whiten(nn.Module):
    """Frozen first layer: turns 2x2 patches into uncorrelated features of equal variance, each with both signs.

    It starts out as "subtract 0.5, divide by 0.25"; ``fit`` computes mean and covariance of real patches. The
    weights are buffers, not parameters: no optimiser touches them, and no gradient is computed for them.
    """

    def __init__(self, channels):
        super().__init__()
        self.features = channels * PATCH**2
        self.register_buffer("weight", torch.empty(2 * self.features, channels, PATCH, PATCH))
        self.register_buffer("bias", torch.empty(2 * self.features))
        self.register_buffer("fitted", torch.tensor(False))
        self._set(torch.eye(self.features) * 4.0, torch.full((self.features,), 0.5))

    def forward(self, images):
        return F.conv2d(images, self.weight, self.bias)

    @torch.no_grad()
    def fit(self, images, epsilon=1e-3):
        """Compute the statistics on ``images``, float32 ``[N, C, H, W]`` in [0, 1]; a few thousand are plenty."""
        images = images.cpu()  # where float64 is at hand: Apple's GPUs have none
        patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2).reshape(-1, self.features).double()
        mean = patches.mean(0)
        variance, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        # epsilon keeps directions in which images hardly vary (the corners of digits) from becoming pure noise
        self._set((directions / (variance + epsilon).sqrt()).T, mean)
        self.fitted.fill_(True)

    @torch.no_grad()
    def _set(self, rows, mean):
        rows = torch.cat([rows, -rows])
        self.weight.copy_(rows.reshape(self.weight.shape))
        self.bias.copy_(-rows @ mean)


class ConvNet(nn.Module):
    """``depth`` 3x3 convolutions dealt over three stages of widths w, 4w, 4w, then global pooling and a linear layer.

    The first convolution of a stage changes the shape; each further one is added to what it was given (a residual),
    so that deep thin networks train as well as shallow wide ones. ``architecture`` holds what it takes to build the
    same network again.
    """

    def __init__(self, width, depth, classes, channels):
        super().__init__()
        self.architecture = {"width": width, "depth": depth, "classes": classes, "channels": channels}
        self.whiten = Whiten(channels)
        self.stages = nn.ModuleList()
        size = 2 * self.whiten.features
        for after, convs in zip([width, 4 * width, 4 * width], _share(depth, 3), strict=True):
            self.stages.append(Stage(size, after, convs))
            size = after if convs else size
        self.classify = nn.Linear(size, classes)

    def forward(self, images):
        _check_images(images, self.architecture["channels"])
        x = F.relu(self.whiten(images))  # not in place, here as in a stage: a hook may have kept what the layer gave
        for stage in self.stages:
            x = stage(x)
        return self.classify(x.amax(dim=(2, 3)))

    def fit_input(self, images):
        """Let the first layer compute its statistics on float32 images in [0, 1], unless it has done so before."""
        _check_images(images, self.architecture["channels"])
        if not self.whiten.fitted:
            self.whiten.fit(images)


class Stage(nn.Module):
    """Convolution, pooling, normalisation, ReLU; then ``convs - 1`` residual convolutions at the smaller size.

    With ``convs=0`` it only pools.
    """

    def __init__(self, before, after, convs):
        super().__init__()
        ins = ([before] + [after] * (convs - 1))[:convs]
        self.convs = nn.ModuleList(_conv(channels, after) for channels in ins)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in ins)

    def forward(self, x):
        if not self.convs:
            return F.max_pool2d(x, 2)
        x = F.max_pool2d(self.convs[0](x), 2)
        x = F.relu(self.norms[0](x))
        for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
            x = x + F.relu(norm(conv(x)))
        return x


def student(width, depth, classes=10, channels=3, seed=0):
    """A network with ``depth`` convolutions in stages of ``width``, 4 ``width`` and 4 ``width`` channels.

    ``student(8, 3)`` has about 14,000 parameters, ``student(8, 6)`` about 33,000. The same ``seed`` gives the same
    initial weights; the global random state is neither read nor changed.

    Raises ``ValueError`` for sizes that are not whole numbers, too small, or together too large for any computer here.

    >>> student(8, 3)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    width, depth = whole(width, "width", 1), whole(depth, "depth", 1)
    classes, channels = whole(classes, "classes", 2), whole(channels, "channels", 1)
    check_total(depth * 9 * (4 * width + 8 * channels) * 4 * width + 4 * width * classes + 32 * channels**2)
    drawn = generator(seed)
    with torch.random.fork_rng(devices=[]):  # layers draw weights when they are built; they are drawn again below
        net = ConvNet(width, depth, classes, channels)
    _initialise(net, drawn)
    return net.to(memory_format=torch.channels_last)


def teacher(width=64, classes=10, channels=3, seed=0):
    """The teacher: the same family at depth 6. ``width=64`` has 2 million parameters, ``width=32`` half a million."""
    return student(width, 6, classes, channels, seed)


def encoder(width, depth, seed=0):
    """``depth`` Transformer layers as BERT has them (torch's own), for measuring: ``[N, length, width]`` in and out.

    A layer holds about 12 ``width``^2 parameters: attention, and a feed-forward of four times the width; a head for
    each 64 of ``width``. Embeddings and output are left out: no time of a layer hides there. Weights are torch's own
    initial ones, drawn from ``seed``; the global random state is neither read nor changed.

    Raises ``ValueError`` for sizes that are not whole numbers, or too small.

    >>> encoder(64, 2)(torch.zeros(1, 5, 64)).shape
    torch.Size([1, 5, 64])
    """
    width, depth = whole(width, "width", 1), whole(depth, "depth", 1)
    check_total(12 * depth * width**2)
    heads = max(1, width // 64)
    if width % heads:
        raise ValueError(f"width must be a multiple of its {heads} heads (one for each 64); got {width}.")
    with seeded(seed):
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.1, activation="gelu", batch_first=True)
        return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


@contextlib.contextmanager
def seeded(seed, device="cpu"):
    """Within, whatever draws from torch's global generators (new layers, dropout) draws as ``seed`` says.

    Afterwards those of the CPU and of a CUDA ``device`` are as they were. No other GPU is seeded, as it would be by
    ``torch.manual_seed``.
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


class Argmax(nn.Module):
    """A teacher that says which class, and nothing else: its softmax is one-hot at any temperature up to 50.

    Distilled at T = 1 from it alone, a student learns from the teacher's own hard labels, by plain cross-entropy.
    """

    SURE = 10_000.0  # the logit of the answer; the others are 0

    def __init__(self, teacher):
        super().__init__()
        self.teacher = teacher

    def forward(self, *inputs, **named):
        return self.of(logits(self.teacher, named or inputs))

    def of(self, teacher_logits):
        """``[..., C]`` logits to logits of the same answer that are sure of it."""
        return self.SURE * F.one_hot(teacher_logits.argmax(-1), teacher_logits.shape[-1]).to(teacher_logits.dtype)


def logits(model, inputs, name="network"):
    """What ``model`` answers on ``inputs``, as a tensor of logits.

    Parameters:
        model: a module, or a function.
        inputs: a tensor; a tuple or list, whose elements are handed over in order; or a mapping (a tokenizer's batch),
            whose values are handed over by their names. Floating-point tensors get the dtype of the model's first
            weight, so that a teacher in half precision can be asked what a student in float32 is asked.
        name: what messages call the model.

    The answer may be a tensor, a tuple or list (its first element counts), a mapping with "logits", or an object with
    ``.logits`` (Hugging Face). Raises ``ValueError``, with the cause, where the model does not take the inputs or
    answers with something else.
    """
    inputs = _in_dtype_of(model, inputs)
    try:
        if isinstance(inputs, Mapping):
            output = model(**inputs)
        else:
            output = model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    except torch.cuda.OutOfMemoryError:
        raise
    except (TypeError, AttributeError, LookupError, RuntimeError, ValueError) as error:
        if isinstance(error, ValueError) and ONE_VALUE not in str(error):
            raise
        raise ValueError(_stopped(model, name, inputs, error)) from error
    return _logits_of(output, name)


ONE_VALUE = "more than 1 value per channel"  # BatchNorm's complaint about a batch of one


def _stopped(model, name, inputs, error):
    if ONE_VALUE in str(error):
        return (
            f"the {name} has BatchNorm in train mode, which cannot learn from a batch of one. Leave such a batch out "
            "(DataLoader(..., drop_last=True)), or freeze its BatchNorm with .eval()."
        )
    said = f"the {name} ({type(model).__name__}) does not take {_described(inputs)}: {type(error).__name__}: {error}"
    if isinstance(inputs, Mapping | tuple | list):
        return f"{said} (A mapping is handed over by name, a tuple or list in order; (inputs,) is handed over whole.)"
    return said


def _described(inputs):
    if isinstance(inputs, torch.Tensor):
        return f"inputs {list(inputs.shape)} of {inputs.dtype} on {inputs.device}"
    if isinstance(inputs, Mapping):
        return f"inputs named {', '.join(map(str, inputs))}"
    return f"inputs of kind {type(inputs).__name__}"


def _in_dtype_of(model, inputs):
    modules = every_module(model) if isinstance(model, nn.Module) else ()
    weights = (weight for module in modules for weight in module.parameters(recurse=False))
    dtype = next((weight.dtype for weight in weights if weight.dtype in NUMBERS), None)

    def fit(value):
        other = isinstance(value, torch.Tensor) and value.dtype in NUMBERS and dtype not in (None, value.dtype)
        return value.to(dtype) if other else value

    if isinstance(inputs, Mapping):
        return {key: fit(value) for key, value in inputs.items()}
    return [fit(value) for value in inputs] if isinstance(inputs, tuple | list) else fit(inputs)


NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # dtypes that layers compute in


def _logits_of(output, name):
    found = output
    if isinstance(output, Mapping):
        found = output.get("logits")
    elif not isinstance(output, torch.Tensor) and hasattr(output, "logits"):
        found = output.logits
    elif isinstance(output, tuple | list) and output:
        found = output[0]
    if not isinstance(found, torch.Tensor):
        keys = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
        raise ValueError(
            f"the {name} must answer with logits: a tensor, a tuple that begins with one, a mapping with 'logits', or "
            f"an object with .logits; got {type(output).__name__}{keys}."
        )
    return found


# ------------------------------------------------------------------------------------------------ modes


def every_module(model):
    """``model`` and all modules in it, also those in a plain list, tuple or dict, where torch does not look: a list."""
    found, waiting = {}, [model]
    while waiting:
        for module in waiting.pop().modules():
            if module not in found:
                found[module] = None
                for value in vars(module).values():
                    held = value.values() if isinstance(value, dict) else value
                    if isinstance(value, dict | list | tuple):
                        waiting.extend(item for item in held if isinstance(item, nn.Module))
    return list(found)


def eval_mode(model):
    """Put ``model`` into eval mode, with networks that it keeps in a plain list, which ``.eval()`` does not reach."""
    model.eval()
    for module in every_module(model):
        if _training(module):
            module.eval()


def train_mode(student):
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


def _held_fast(layer):
    """Whether a layer has weights of its own, and none of them wants a gradient."""
    weights = list(layer.parameters(recurse=False))
    return bool(weights) and not any(weight.requires_grad for weight in weights)


@contextlib.contextmanager
def evaluating(model):
    """Within, ``model`` is in eval mode; afterwards each module in it is in its own mode again."""
    modes = [(module, _training(module)) for module in every_module(model)]
    try:
        eval_mode(model)
        yield
    finally:
        for module, training in modes:  # parents first: train() reaches what is in them
            if _training(module) != training:
                module.train(training)


def _training(module):
    return getattr(module, "training", False)  # a frozen TorchScript has no mode


# ------------------------------------------------------------------------------------------------ inputs, sizes


def as_input(images, device="cpu"):
    """uint8 images ``[N, C, H, W]`` as a network wants them: float32 in [0, 1], channels last."""
    dense = isinstance(images, torch.Tensor) and images.layout == torch.strided and not images.is_meta
    if not dense or images.dtype != torch.uint8:
        got = images.dtype if dense else type(images).__name__
        raise ValueError(f"images must be uint8 (0 is black, 255 white), as in an ImageSet; got {got}.")
    if images.ndim != 4:
        raise ValueError(f"images must be [N, C, H, W]; got shape {list(images.shape)}.")
    return images.to(device).contiguous(memory_format=torch.channels_last).float().div_(255)


def check_network(name, network):
    """``ValueError`` unless ``network`` is a ``torch.nn.Module``; ``name`` is what the message calls it."""
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} must be a torch.nn.Module; got {type(network).__name__}.")


def unwrapped(model):
    """The network itself, without what ``torch.compile``, DataParallel or DistributedDataParallel have put round it."""
    for name in "_orig_mod", "module":
        inner = model._modules.get(name)
        if inner is not None and type(model).__module__.startswith("torch."):
            return unwrapped(inner)
    return model


def device_of(model):
    """Where ``model`` computes: the device of its first parameter, else of its first buffer, else the CPU.

    Networks in a plain list count; a frozen TorchScript has neither.
    """
    for module in every_module(model):
        for tensor in itertools.chain(module.parameters(recurse=False), module.buffers(recurse=False)):
            return tensor.device
    return torch.device("cpu")


def parameters(model):
    """How many numbers ``model`` learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def _share(total, parts):
    """Deal ``total`` into ``parts`` as evenly as can be; what is left over goes to the last, the cheapest stages."""
    return [(total + index) // parts for index in range(parts)]


def _conv(before, after):
    return nn.Conv2d(before, after, 3, padding=1, bias=False)


def _initialise(net, generator):
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_total(weights):
    if weights > MOST_WEIGHTS:
        raise ValueError(
            f"a network of these sizes would have about {weights:.0e} weights, more than 10^9. Make width, depth, "
            "classes or channels smaller."
        )


def _check_images(images, channels):
    if not isinstance(images, torch.Tensor):
        raise ValueError(f"images must be a tensor [N, {channels}, H, W]; got {type(images).__name__}.")
    if images.ndim != 4 or images.shape[1] != channels or min(images.shape[2:]) < SMALLEST:
        raise ValueError(
            f"images must be [N, {channels}, H, W] with H and W of at least {SMALLEST}; got {list(images.shape)}."
        )
    if not images.is_floating_point():
        raise ValueError(f"images must be floating-point in [0, 1]; got {images.dtype}. (uint8: divide by 255.)")
