"""The course's networks for images: one family of small convolutional networks, sized by width and depth.

Every network takes float32 images ``[N, C, H, W]`` in [0, 1], normalises inside, and returns logits ``[N, classes]``.
The build follows Keller Jordan's airbench (arXiv:2404.00498) where its ideas help on a CPU too: a frozen first layer
that whitens 2x2 patches, pooling before the normalisation (a quarter of the memory traffic), few parameters.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdkit.data.seeds import generator
from kdkit.losses.arguments import whole
from kdkit.models.networks import check_total

PATCH = 2  # side of the patches that the first layer whitens
SMALLEST = 9  # images any smaller would vanish in the third pooling


class Whiten(nn.Module):
    """Frozen first layer: turns 2x2 patches into uncorrelated features of equal variance, each with both signs.

    It starts out as "subtract 0.5, divide by 0.25"; ``fit`` computes mean and covariance of real patches. The
    weights are buffers, not parameters: no optimiser touches them, and no gradient is computed for them.
    """

    weight: Tensor
    bias: Tensor
    fitted: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.features = channels * PATCH**2
        self.register_buffer("weight", torch.empty(2 * self.features, channels, PATCH, PATCH))
        self.register_buffer("bias", torch.empty(2 * self.features))
        self.register_buffer("fitted", torch.tensor(False))
        self._set(torch.eye(self.features) * 4.0, torch.full((self.features,), 0.5))

    def forward(self, images: Tensor) -> Tensor:
        """Features ``[N, 8 C, H - 1, W - 1]`` of images ``[N, C, H, W]``."""
        return F.conv2d(images, self.weight, self.bias)

    @torch.no_grad()
    def fit(self, images: Tensor, epsilon: float = 1e-3) -> None:
        """Compute the statistics on ``images``, float32 ``[N, C, H, W]`` in [0, 1]; a few thousand are plenty."""
        images = images.cpu()  # where float64 is at hand: Apple's GPUs have none
        patches = F.unfold(images, PATCH, stride=PATCH)  # [N, 4 C, patches of an image]
        patches = patches.transpose(1, 2).reshape(-1, self.features).double()  # [all patches, 4 C]
        mean = patches.mean(0)
        variance, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        # epsilon keeps directions in which images hardly vary (the corners of digits) from becoming pure noise
        self._set((directions / (variance + epsilon).sqrt()).T, mean)
        self.fitted.fill_(True)

    @torch.no_grad()
    def _set(self, rows: Tensor, mean: Tensor) -> None:
        rows = torch.cat([rows, -rows])
        self.weight.copy_(rows.reshape(self.weight.shape))  # [8 C, 4 C] to [8 C, C, 2, 2]
        self.bias.copy_(-rows @ mean)


class ConvNet(nn.Module):
    """``depth`` 3x3 convolutions dealt over three stages of widths w, 4w, 4w, then global pooling and a linear layer.

    The first convolution of a stage changes the shape; each further one is added to what it was given (a residual),
    so that deep thin networks train as well as shallow wide ones. ``architecture`` holds what it takes to build the
    same network again.
    """

    def __init__(self, width: int, depth: int, classes: int, channels: int):
        super().__init__()
        self.architecture = {"width": width, "depth": depth, "classes": classes, "channels": channels}
        self.whiten = Whiten(channels)
        self.stages = nn.ModuleList()
        size = 2 * self.whiten.features
        for after, convs in zip([width, 4 * width, 4 * width], _share(depth, 3), strict=True):
            self.stages.append(Stage(size, after, convs))
            size = after if convs else size
        self.classify = nn.Linear(size, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of float32 images ``[N, C, H, W]``; ``ValueError`` for images of another kind."""
        _check_images(images, self.architecture["channels"])
        x = F.relu(self.whiten(images))  # not in place, here as in a stage: a hook may have kept what the layer gave
        for stage in self.stages:
            x = stage(x)
        return self.classify(x.amax(dim=(2, 3)))  # [N, channels, h, w] to [N, channels] to [N, classes]

    def fit_input(self, images: Tensor) -> None:
        """Let the first layer compute its statistics on float32 images in [0, 1], unless it has done so before.

        Raises ``ValueError`` for images of another kind.
        """
        _check_images(images, self.architecture["channels"])
        if not self.whiten.fitted:
            self.whiten.fit(images)


class Stage(nn.Module):
    """Convolution, pooling, normalisation, ReLU; then ``convs - 1`` residual convolutions at the smaller size.

    With ``convs=0`` it only pools.
    """

    def __init__(self, before: int, after: int, convs: int):
        super().__init__()
        ins = ([before] + [after] * (convs - 1))[:convs]
        self.convs = nn.ModuleList(_conv(channels, after) for channels in ins)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in ins)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, before, H, W]`` to ``[N, after, H / 2, W / 2]``, rounded down."""
        if not self.convs:
            return F.max_pool2d(x, 2)
        x = F.max_pool2d(self.convs[0](x), 2)
        x = F.relu(self.norms[0](x))
        for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
            x = x + F.relu(norm(conv(x)))
        return x


def student(width: int, depth: int, classes: int = 10, channels: int = 3, seed: int = 0) -> ConvNet:
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


def teacher(width: int = 64, classes: int = 10, channels: int = 3, seed: int = 0) -> ConvNet:
    """The teacher: the same family at depth 6. ``width=64`` has 2 million parameters, ``width=32`` half a million."""
    return student(width, 6, classes, channels, seed)


def _share(total: int, parts: int) -> list[int]:
    """Deal ``total`` into ``parts`` as evenly as can be; what is left over goes to the last, the cheapest stages."""
    return [(total + index) // parts for index in range(parts)]


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False)


def _initialise(net: nn.Module, generator: torch.Generator) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _check_images(images: Tensor, channels: int) -> None:
    """``ValueError`` unless ``images`` are floating-point ``[N, channels, H, W]``, and large enough."""
    if not isinstance(images, Tensor):
        raise ValueError(f"images must be a tensor [N, {channels}, H, W]; got {type(images).__name__}.")
    if images.ndim != 4 or images.shape[1] != channels or min(images.shape[2:]) < SMALLEST:
        raise ValueError(
            f"images must be [N, {channels}, H, W] with H and W of at least {SMALLEST}; got {list(images.shape)}."
        )
    if not images.is_floating_point():
        raise ValueError(f"images must be floating-point in [0, 1]; got {images.dtype}. (uint8: divide by 255.)")
