"""Images in rows, and one beside a figure."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import new_axes
from kdkit.course.figures.inputs import check_images, check_names
from kdkit.losses.arguments import whole


def pictures(images: Tensor, captions: Sequence[str] | None = None, columns: int = 10) -> Figure:
    """Images, uint8 ``[N, C, H, W]``, in rows of ``columns``, enlarged without blur.

    ``captions``: N texts. Raises ``ValueError`` for images of another shape or dtype, and for too few captions.
    """
    check_images("images", images, 4)
    columns = min(whole(columns, "columns", 1), len(images))
    if captions is not None:
        check_names("captions", captions, len(images))
    rows = -(-len(images) // columns)
    fig, axes = new_axes(rows, columns, (1.25 * columns, (1.55 if captions else 1.3) * rows))
    for axis in axes.flat:
        axis.axis("off")
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        draw_image(axis, image)
        if captions:
            axis.set_title(captions[number], fontsize=10)
    return fig


def draw_image(axis: Axes, image: Tensor) -> None:
    """Draw an image, uint8 ``[C, H, W]`` of 1 or 3 channels, into ``axis``, without blur."""
    pixels = image.permute(1, 2, 0).numpy()  # [C, H, W] -> [H, W, C]
    axis.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", interpolation="nearest")
