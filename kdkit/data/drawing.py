"""The scene of a picture and the shapes in it (boxes, rods, turned shapes), softly shaded, with smooth edges, drawn
for a whole batch of pictures at once.

Each shape is a formula for the distance from a pixel to its edge. Only arithmetic that IEEE 754 fixes to the bit is
used (square roots, but no sines, and angles are given by the tangent of their half), so the same numbers give the
same picture whatever the processor, the number of threads or the size of the batch.

Shapes of arguments: a number for each picture is ``[B, 1, 1]``, a plane ``[B, SIZE, SIZE]``, a colour
``[B, 3, 1, 1]``. Lengths are in units of half a picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Generator, Tensor

SIZE = 32  # pixels a side
COLUMN = (torch.arange(SIZE) + 0.5) * 2 / SIZE - 1  # where the pixels' centres are, from -1 to 1
Point = tuple[Tensor, Tensor]  # (x, y) in the picture, a number for each of its pictures
_THIN = 1e-3  # a shape without size is drawn this small, with weight 0: dividing by 0 would give NaN


@contextmanager
def one_thread() -> Iterator[None]:
    """For work of many small steps: to share each step between threads takes longer than to do it alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def sin_cos(half_tangent: Tensor) -> tuple[Tensor, Tensor]:
    """Sine and cosine of the angle whose half has this tangent: both as it is, ``[B, 1, 1]``."""
    square = half_tangent * half_tangent
    return 2 * half_tangent / (1 + square), (1 - square) / (1 + square)


def cloud(coarse: Tensor) -> Tensor:
    """Smooth noise: numbers ``[B, G, G]`` in [0, 1] stretched to a plane ``[B, SIZE, SIZE]`` in [-1, 1]."""
    place = torch.arange(SIZE) * (coarse.shape[1] - 1) / SIZE
    left, part = place.long(), place - place.floor()
    rows = coarse[:, left] * (1 - part)[:, None] + coarse[:, left + 1] * part[:, None]
    return (rows[:, :, left] * (1 - part) + rows[:, :, left + 1] * part) * 2 - 1


def _palette(*colours):
    return torch.tensor([[int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)] for colour in colours])


_PAINTS = _palette(
    "c8442e", "e07a3f", "e3b13c", "7f9b4a", "3f7d58", "2f8f8b", "3d6fa5", "27406e", "6d4f8f", "a8436f", "d98a92",
    "8a5a3c", "c9b28d", "efe6d2", "5d6670", "2e2f36",
)  # fmt: skip
_WOODS = _palette("3b2a20", "6e4a2e", "a87847", "d2ab78", "26282d", "b9bec4", "e9e2d4")
_PALES = _palette("fff8ea", "f4e3bd", "f6efe8", "e4edf2")
_WALLS = _palette(
    "f3eee3", "e6d9c6", "d9e3e6", "cfdccb", "ead3cb", "b9c6d3", "a3a9ad", "8d7f74", "54616e", "3a4a4a", "42364a",
    "2b3346",
)  # fmt: skip


def draw_scene(count: int, generator: Generator) -> SimpleNamespace:
    """Everything about ``count`` pictures but the things themselves: pose, light, colours, background, noise."""

    def rand(low, high, *shape):
        return low + (high - low) * torch.rand(count, *(shape or (1, 1)), generator=generator)

    def pick(palette):
        chosen = torch.randint(len(palette), (count,), generator=generator)
        return (palette[chosen][:, :, None, None] + rand(-0.06, 0.06, 3, 1, 1)).clamp(0.02, 0.98)

    main, pale = pick(_PAINTS), pick(_PALES)
    wall = _contrasting(main, [pick(_WALLS) for _ in range(3)])
    accent = _contrasting(wall, [pick(_PAINTS), pick(_WOODS), pick(_WOODS), pick(_WOODS)])
    floor = (wall * rand(0.72, 1.02, 1, 1, 1) + rand(-0.06, 0.06, 3, 1, 1)).clamp(0.02, 0.98)
    return SimpleNamespace(
        main=main, pale=pale, wall=wall, accent=accent, floor=floor, horizon=rand(-0.75, 0.1),
        turn=rand(0.03, 0.24), pitch=rand(0.1, 0.2), side=rand(-1, 1).sign(), light=rand(-1, 1),
        roll=rand(-0.045, 0.045), scale=rand(0.88, 1.04), shift_x=rand(-0.08, 0.08), shift_y=rand(-0.07, 0.07),
        fall=rand(-0.12, 0.12), rough=rand(0, 0.09), grain=cloud(rand(0, 1, 12, 12)),
        noise=rand(-0.025, 0.025, 3, SIZE, SIZE),
    )  # fmt: skip


def _luminance(colour):
    return 0.3 * colour[:, :1] + 0.59 * colour[:, 1:2] + 0.11 * colour[:, 2:]


def _contrasting(reference, candidates):
    """Of the ``candidates`` the colour whose brightness differs most from that of ``reference``."""
    best, contrast = candidates[0], torch.tensor(-1.0)
    for colour in candidates:
        difference = (_luminance(colour) - _luminance(reference)).abs()
        best = torch.where(difference > contrast, colour, best)
        contrast = torch.maximum(difference, contrast)
    return best


def background(scene: SimpleNamespace) -> Tensor:
    """A wall and a floor, a little rough and softly lit: ``[B, 3, SIZE, SIZE]``."""
    below = ((scene.horizon + COLUMN[:, None]) * SIZE / 2 + 0.5).clamp(0, 1)[:, None]
    surface = scene.wall + below * (scene.floor - scene.wall)
    light = 1 + scene.fall * COLUMN[:, None] + 0.1 * scene.light * COLUMN + scene.rough * scene.grain
    return surface * light[:, None]


@dataclass
class View:
    """How a thing stands before us: where its axes point in the picture, seen from the front and from above."""

    side: Tensor  # -1 or 1: which flank is turned towards us
    light: Tensor  # -1 (from the left) to 1 (from the right)
    right: Point  # (x, y) of the axis towards that flank
    up: Tensor  # y of the axis upwards; its x is 0
    near: Point  # (x, y) of the axis towards us
    tilt: Tensor  # sine of the angle at which we look down

    @classmethod
    def turned(cls, turn: Tensor, pitch: Tensor, side: Tensor, light: Tensor) -> "View":
        """From the tangents of half the angles by which the thing is turned and looked down on, ``[B, 1, 1]`` each."""
        (sin_turn, cos_turn), (sin_pitch, cos_pitch) = sin_cos(turn), sin_cos(pitch)
        right = (side * cos_turn, -sin_turn * sin_pitch)
        return cls(side, light, right, cos_pitch, (-side * sin_turn, -cos_turn * sin_pitch), sin_pitch)

    def project(self, side: Tensor, up: Tensor, near: Tensor) -> Point:
        """Where a point of the thing, ``[B, 1, 1]`` along each axis, is in the picture: ``(x, y)``, shaped alike."""
        return (
            side * self.right[0] + near * self.near[0],
            side * self.right[1] + up * self.up + near * self.near[1],
        )


@dataclass
class Canvas:
    """Pictures in the making, with the coordinates of their pixels in the frame of the thing that is drawn."""

    rgb: Tensor  # [B, 3, SIZE, SIZE], 0 to 1
    x: Tensor  # plane, 0 in the middle of the thing
    y: Tensor  # plane, upwards, 0 on the ground
    pixel: Tensor  # how wide a pixel is in that frame
    view: View

    def paint(self, distance: Tensor, size: Tensor, colour: Tensor, shade: float | Tensor) -> None:
        """Lay a shape over the pictures, its edge smooth and a little darker, brighter towards the light.

        ``distance`` to its edge ``[B, SIZE, SIZE]``, below 0 inside; ``size`` of its smallest side, so that what is
        thinner than a pixel fades and what has no size is not seen; ``colour``; ``shade``, a factor.
        """
        pixels = distance / self.pixel
        cover = (0.5 - pixels).clamp(0, 1) * (size / self.pixel).clamp(0, 1)
        lit = 1 + 0.1 * (self.view.light * COLUMN - COLUMN[:, None])
        shade = shade * lit * (1 - 0.28 * (1.5 + pixels).clamp(0, 1))
        self.rgb += cover[:, None] * (colour * shade[:, None] - self.rgb)

    def rod(self, start: Point, end: Point, width: Tensor, colour: Tensor, shade: float = 0.9) -> None:
        """A rod with round ends between two points ``(x, y)``, ``width`` to each side: ``[B, 1, 1]`` each."""
        along_x, along_y = end[0] - start[0], end[1] - start[1]
        square = along_x * along_x + along_y * along_y
        dx, dy = self.x - start[0], self.y - start[1]
        part = ((dx * along_x + dy * along_y) / square.clamp(min=_THIN**2)).clamp(0, 1)
        dx, dy = dx - part * along_x, dy - part * along_y
        distance = (dx * dx + dy * dy).sqrt() - width
        self.paint(distance, torch.minimum(2 * width, 40 * square), colour, shade)

    def box(
        self,
        centre: tuple[Tensor, Tensor, Tensor],
        half: tuple[Tensor, Tensor, Tensor],
        colour: Tensor,
        slots: Tensor | None = None,
    ) -> None:
        """A box at ``centre`` (side, up, near) with ``half`` sizes, ``[B, 1, 1]``: three faces, each in its own light.

        Its outline is a hexagon, the meet of three strips along the three axes. ``slots`` in 0..1 cuts openings
        into the front, as in the back of a chair.
        """
        view, (x, y) = self.view, self.view.project(*centre)
        dx, dy = self.x - x, self.y - y
        level, level_half, level_corner = _strip(dx, dy, view.right, half[1] * view.up, half[2], view.near)
        depth, depth_half, depth_corner = _strip(dx, dy, view.near, half[1] * view.up, half[0], view.right)
        wide = half[0] * view.right[0].abs() + half[2] * view.near[0].abs()
        distance = torch.maximum(level.abs() - level_half, depth.abs() - depth_half)
        distance = torch.maximum(distance, dx.abs() - wide)
        top = torch.minimum(level - level_corner, depth - depth_corner)
        front = view.side * (half[0] * view.right[0] + half[2] * view.near[0] - dx)
        if slots is not None and slots.any():
            distance = torch.maximum(distance, self._slots(dx, dy, half, slots.clamp(max=1)))
        size = 2 * torch.minimum(half[0], torch.minimum(half[1], half[2]))
        self.paint(distance, size, colour, self._face(front, top))

    def _face(self, front, top):
        """The light on a box: on its flank, its front (where ``front`` > 0) and its top (where ``top`` > 0)."""
        shade = 0.76 + 0.14 * self.view.side * self.view.light
        shade = shade + (front / self.pixel + 0.5).clamp(0, 1) * (0.92 - shade)
        return shade + (top / self.pixel + 0.5).clamp(0, 1) * (1.1 - shade)

    def _slots(self, dx, dy, half, open_):
        """Distance to the rest of a front that has three upright openings, above 0 inside them."""
        (sx, sy), (zx, zy) = self.view.right, self.view.near
        width = half[0] * sx.abs()
        x = dx - half[2] * zx
        rise = (dy - half[2] * zy - x * sy / sx).abs()
        across = torch.minimum(x.abs(), (x.abs() - 0.56 * width).abs())
        opening = torch.minimum(0.17 * open_ * width - across, 0.68 * half[1] * self.view.up - rise)
        return opening - 2 * (1 - open_) * self.pixel  # closed: too deep inside to show

    def turned(
        self,
        bottom: Tensor,
        width: Tensor,
        height: Tensor,
        colour: Tensor,
        *,
        x: float | Tensor = 0.0,
        low: float | Tensor = 0.0,
        finish: float | Tensor = 1.0,
        cut: Tensor | None = None,
        **profile: float | Tensor,
    ) -> None:
        """A shape from the lathe at ``bottom`` ``[B, 1, 1]``, shaded; ``profile`` as in ``lathe``, ``finish`` a factor.

        The lower edge hangs down by ``low`` and by what looking down on it adds. What is above 0 in ``cut`` (plane)
        is cut off.
        """
        dx, dy = self.x - x, self.y - bottom
        distance = lathe(dx, dy, width, height, low + width * self.view.tilt, **profile)
        distance = distance if cut is None else torch.maximum(distance, cut)
        self.paint(distance, torch.minimum(2 * width, height), colour, finish * self.roundness(dx, width))

    def roundness(self, dx: Tensor, width: Tensor) -> Tensor:
        """The light ``[B, SIZE, SIZE]`` on something round: fading towards both edges, more on the far side."""
        across = (dx / width.clamp(min=_THIN)).clamp(-1, 1)
        return 0.96 + 0.24 * self.view.light * across - 0.1 * across * across

    def lid(self, centre: Tensor, width: Tensor, colour: Tensor, shade: float | Tensor = 1.1) -> None:
        """The upper face of something round, of measures ``[B, 1, 1]``: an ellipse, since we look down on it."""
        flat = width * self.view.tilt
        self.paint(egg(self.x, self.y - centre, width, flat, flat), 2 * flat, colour, shade)


def _strip(dx, dy, along, up, other_half, other):
    """The strip that a box makes along one of its level axes: distance across it, half its width, and the place of
    the box's nearest upper corner in it. ``up``: half the box's height; ``other``: its other level axis.
    """
    length = (along[0] * along[0] + along[1] * along[1]).sqrt() * along[0].sign()
    normal_x, normal_y = -along[1] / length, along[0] / length  # pointing upwards
    rise, slant = normal_y * up, (normal_x * other[0] + normal_y * other[1]) * other_half
    return normal_x * dx + normal_y * dy, rise - slant, rise + slant


def egg(dx: Tensor, dy: Tensor, width: Tensor, height: Tensor, low: Tensor) -> Tensor:
    """Distance ``[B, SIZE, SIZE]`` to an oval: ``width`` to both sides, ``height`` upwards, ``low`` downwards."""
    width = width.clamp(min=_THIN)
    tall = torch.where(dy > 0, height, low).clamp(min=_THIN)
    a, b = dx / width, dy / tall
    length = (a * a + b * b).sqrt()
    slope = ((a / width).square() + (b / tall).square()).sqrt()
    return length * (length - 1) / slope.clamp(min=_THIN)


def lathe(
    dx: Tensor,
    dy: Tensor,
    width: Tensor,
    height: Tensor,
    low: Tensor,
    *,
    top: float | Tensor = 1.0,
    dome: float | Tensor = 0.0,
) -> Tensor:
    """Distance ``[B, SIZE, SIZE]`` to a turned shape: straight walls from ``width`` to ``top`` times that.

    With ``dome`` 1 it is an egg.
    """
    oval = egg(dx, dy, width, height, low)
    dome = torch.as_tensor(dome, dtype=dx.dtype).clamp(max=1)
    if (dome == 1).all():
        return oval
    lean = width * (1 - top) / height.clamp(min=_THIN)
    wall = (dx.abs() - width + lean * dy) / (1 + lean * lean).sqrt()
    straight = torch.where(dy > 0, torch.maximum(wall, dy - height), oval)
    return torch.where(dome < 1, straight + dome * (oval - straight), oval)
