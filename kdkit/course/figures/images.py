"""Images in rows, and one beside a figure."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from kdkit.course.figures.axes import SMALL, WIDTH, describe, new_axes
from kdkit.course.figures.inputs import check_images, check_names
from kdkit.losses.arguments import whole


def pictures(images: Tensor, captions: Sequence[str] | None = None, columns: int = 5, *, title: str = "") -> Figure:
    """Images, uint8 ``[N, C, H, W]``, in rows of ``columns``, enlarged without blur.

    ``captions``: N texts. Raises ``ValueError`` for images of another shape or dtype, and for too few captions.
    """
    check_images("images", images, 4)
    columns = min(whole(columns, "columns", 1), len(images))
    if captions is not None:
        check_names("captions", captions, len(images))
    rows, lines = -(-len(images) // columns), max(caption.count("\n") + 1 for caption in captions or [""])
    side = min(1.5, WIDTH / columns)
    fig, axes = new_axes(rows, columns, (side * columns, (side + (0.22 * lines + 0.1 if captions else 0.05)) * rows))
    for axis in axes.flat:
        axis.axis("off")
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        draw_image(axis, image)
        if captions:
            axis.set_title(captions[number], fontsize=SMALL)
    said = "; ".join(caption.replace("\n", ", ") for caption in captions or ())
    return describe(fig, title, f"{len(images)} image{'s' * (len(images) > 1)}{': ' * bool(said)}{said}.")


def draw_image(axis: Axes, image: Tensor) -> None:
    """Draw an image, uint8 ``[C, H, W]`` of 1 or 3 channels, into ``axis``, without blur."""
    pixels = image.permute(1, 2, 0).numpy()  # [C, H, W] -> [H, W, C]
    axis.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", interpolation="nearest")
