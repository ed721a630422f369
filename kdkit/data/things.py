"""Things: pictures of ten everyday objects, drawn in milliseconds, whose true likeness is known.

A thing is a composition of parts (seat, back, arms, legs, cap, stem, ...), and a class is a range for every
measure of every part: an armchair is a chair whose arms are higher than nothing. One renderer draws all parts from
one list of measures, and a part whose size is 0 cannot be seen. So any two classes can be morphed by going from the
measures of one to those of the other, and how much two classes have in common can be computed. Pose, light, colours
and background are drawn in the same way for all classes: they say nothing about the class.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor

from kdkit.data.drawing import COLUMN, SIZE, Canvas, View, background, draw_scene, egg, lathe, one_thread, sin_cos
from kdkit.data.images import ImageSet, Splits
from kdkit.data.recipes import CLASSES, MEASURES, PARTS, changing, measures_of, part_overlap, parts
from kdkit.data.seeds import generator
from kdkit.data.views import Views
from kdkit.losses.arguments import whole

__all__ = ["CLASSES", "PARTS", "make", "morph", "part_overlap", "parts", "splits"]

_MOST = 100_000  # of a class, 3 GB in all: a number with a slip of the finger is refused before it fills the memory
_CHUNK = 250  # images drawn at once: their planes fit into a processor's cache
_ZERO = torch.zeros(())


@one_thread()
def make(per_class: int, seed: int = 0) -> ImageSet:
    """Draw ``per_class`` things of each class: an ``ImageSet`` of 10 x ``per_class`` images.

    The classes take turns (labels 0, 1, ..., 9, 0, 1, ...), so that any first part of the set is nearly balanced.
    The same ``seed`` gives the same bytes; a larger ``per_class`` gives other images, not more of the same.
    Raises ``ValueError`` if ``per_class`` is not a whole number from 1 to 100,000, or ``seed`` none at all.
    """
    per_class = _checked_count(per_class)
    random = generator(seed)
    by_class = torch.stack([_draw(name, per_class, random) for name in CLASSES], 1)  # [per_class, 10, 3, S, S]
    images = by_class.flatten(0, 1)  # [per_class * 10, 3, S, S], the classes in turn
    return ImageSet(images, torch.arange(len(CLASSES)).repeat(per_class), CLASSES, "things")


def splits(per_class: int, seed: int = 0) -> Splits:
    """Things to learn from, choose by and report on: ``per_class`` training images a class, a fifth (at least 20)
    for validation and as many for testing. Each split has random numbers of its own, derived from ``seed``.

    Views: mirrored, and shifted by up to two pixels. Raises ``ValueError`` as ``make`` does.
    """
    per_class = _checked_count(per_class)
    seeds = torch.randint(2**62, (3,), generator=generator(seed)).tolist()
    held_out = max(20, per_class // 5)
    train, val, test = (make(n, s) for n, s in zip((per_class, held_out, held_out), seeds, strict=True))
    return Splits(train, val, test, Views(flip=True, shift=2), f"drawn by kdkit.data.things, seed {seed}")


@one_thread()
def morph(
    start: str, end: str, amounts: Sequence[float] | Tensor, seed: int = 0, measures: Sequence[str] | None = None
) -> Tensor:
    """One thing on its way from class ``start`` to class ``end``: uint8 ``[len(amounts), 3, 32, 32]``.

    Pose, colours, background and noise stay; the measures of the parts go from those of a ``start`` (amount 0) to
    those of the ``end`` thing (amount 1) at the same place of their ranges. So a stool grows a back. ``amounts``: a
    list or 1-D tensor of numbers from 0 to 1. ``measures``: the names of those that change, all if None; with
    ``["leg_length"]`` a chair gets a sofa's legs. Raises ``ValueError`` for other amounts and for unknown names.
    """
    amounts = _checked_amounts(amounts)[:, None]
    random = generator(seed)
    quantiles = torch.rand(1, len(MEASURES), generator=random)
    drawn = vars(draw_scene(1, random))
    scene = SimpleNamespace(**{name: value.expand(len(amounts), *value.shape[1:]) for name, value in drawn.items()})
    amounts = amounts * changing(measures)
    return _render((1 - amounts) * measures_of(start, quantiles) + amounts * measures_of(end, quantiles), scene)


def _checked_count(per_class):
    return whole(per_class, "per_class", 1, _MOST, advice="So many images of each class are drawn. Try per_class=100.")


def _checked_amounts(amounts: Sequence[float] | Tensor) -> Tensor:
    try:
        amounts = torch.as_tensor(amounts, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"amounts must be a list or a 1-D tensor of numbers; got {amounts!r}.") from None
    if amounts.ndim != 1:
        shape = tuple(amounts.shape)
        raise ValueError(f"amounts must be a list or a 1-D tensor; got shape {shape}. For one image write [0.5].")
    if not ((amounts >= 0) & (amounts <= 1)).all():
        raise ValueError(
            f"amounts must lie in [0, 1] (0 is all start, 1 all end); got {amounts.tolist()}. "
            "Try torch.linspace(0, 1, 9)."
        )
    return amounts


def _draw(name, count, generator):
    """``count`` things of class ``name``: uint8 ``[count, 3, SIZE, SIZE]``."""
    sizes = [min(_CHUNK, count - start) for start in range(0, count, _CHUNK)]
    quantiles = [torch.rand(size, len(MEASURES), generator=generator) for size in sizes]
    return torch.cat([_render(measures_of(name, q), draw_scene(len(q), generator)) for q in quantiles])


def _render(measures, scene):
    """Draw things with ``measures`` [B, M] into ``scene``: uint8 ``[B, 3, SIZE, SIZE]``."""
    thing = SimpleNamespace(**dict(zip(MEASURES, measures.T[:, :, None, None], strict=True)))
    canvas = _prepare(thing, scene)
    for draw in (_shadow, _legs, _seat, _arms, _stem, _cap, _bottle):  # from back to front
        draw(canvas, thing, scene)
    return ((canvas.rgb + scene.noise).clamp(0, 1) * 255).round().to(torch.uint8)


def _prepare(thing, scene):
    """A canvas with the background, whose coordinates put the thing into the middle, as large as fits."""
    view = View.turned(scene.turn, scene.pitch, scene.side, scene.light)
    low, high, wide = _extent(thing, view)
    scale = scene.scale * (0.88 / torch.maximum(wide, (high - low) / 2).clamp(min=0.1)).clamp(max=1.4)
    right, up = COLUMN - scene.shift_x, -COLUMN[:, None] - scene.shift_y
    sin, cos = sin_cos(scene.roll)
    x, y = (right * cos + up * sin) / scale, (up * cos - right * sin) / scale
    return Canvas(background(scene), x, y + (high + low) / 2, 2 / SIZE / scale, view)


def _extent(thing, view):
    """Lowest and highest point of the thing in the picture, from the ground, and half its width."""
    _, low = view.project(thing.seat_width, _ZERO, thing.seat_depth)
    above_seat = torch.maximum(thing.back_height, thing.arm_height)
    _, seated = view.project(_ZERO, _seat_level(thing) + above_seat, -thing.seat_depth)
    stemmed = _cap_level(thing) + thing.cap_height + thing.tip_height
    bottle = thing.body_height + thing.shoulder_height + thing.neck_height + thing.stopper_height
    high = torch.maximum(seated, torch.maximum(stemmed, bottle))
    half = thing.seat_width + 2 * _arm_width(thing)
    wide = half * view.right[0].abs() + thing.seat_depth * view.near[0].abs()
    return low, high, torch.maximum(wide, torch.maximum(thing.cap_width, thing.base_width))


def _seat_level(thing):
    return thing.leg_length + thing.seat_height


def _stem_level(thing):
    return thing.base_height + thing.hook_size


def _cap_level(thing):
    return _stem_level(thing) + thing.stem_length


def _arm_width(thing):
    return thing.arm_width * (10 * thing.arm_height).clamp(max=1)


def _shadow(canvas, thing, scene):
    foot = torch.maximum(thing.seat_width + _arm_width(thing), torch.maximum(thing.body_width, thing.base_width))
    foot = torch.maximum(foot, 0.5 * thing.cap_width)
    deep = torch.maximum(foot * canvas.view.tilt, thing.seat_depth * -canvas.view.near[1])
    a, b = (canvas.x + 0.12 * scene.light) / (1.25 * foot + 0.1), canvas.y / (1.3 * deep + 0.05)
    canvas.rgb *= (1 - 0.5 * (1.1 - a * a - b * b).clamp(0, 1))[:, None]


def _legs(canvas, thing, scene):
    def point(side, near, up):
        out = thing.leg_splay * (1 - up) - 1.1 * thing.leg_width
        return canvas.view.project(
            side * (thing.seat_width + out), up * thing.leg_length, near * (thing.seat_depth + out)
        )

    if not thing.leg_length.any():
        return
    for side, near in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        canvas.rod(point(side, near, 0), point(side, near, 1), thing.leg_width, scene.accent, 0.8 + 0.1 * near)
    if thing.rung_width.any():
        for start, end, shade in (((1, -1), (1, 1), 0.7), ((-1, 1), (1, 1), 0.85)):
            canvas.rod(point(*start, 0.35), point(*end, 0.35), thing.rung_width, scene.accent, shade)


def _seat(canvas, thing, scene):
    width, depth, level = thing.seat_width, thing.seat_depth, _seat_level(thing)
    if not width.any():
        return
    half = thing.seat_height / 2
    canvas.box((_ZERO, thing.leg_length + half, _ZERO), (width, half, depth), scene.main)
    if thing.back_height.any():
        half = thing.back_height / 2
        centre = (_ZERO, level + half, thing.back_depth - depth)
        canvas.box(centre, (width, half, thing.back_depth), scene.main, thing.back_slots)


def _arms(canvas, thing, scene):
    """The arms, and between the far and the near one the cushion."""
    if thing.arm_height.any():
        _arm(canvas, thing, scene, -1)
    if thing.cushion_height.any():
        _cushion(canvas, thing, scene)
    if thing.arm_height.any():
        _arm(canvas, thing, scene, 1)


def _arm(canvas, thing, scene, side):
    """A rest on a post, or where ``arm_solid`` is 1 a rest that reaches down to the lower edge of the seat."""
    width, high = _arm_width(thing), _seat_level(thing) + thing.arm_height
    thick = torch.minimum(thing.arm_height, 1.2 * width)
    thick = thick + thing.arm_solid.clamp(max=1) * (high - thing.leg_length - thick)
    x, z = side * (thing.seat_width + width), thing.seat_depth - thing.arm_width
    foot, top = canvas.view.project(x, thing.leg_length, z), canvas.view.project(x, high, z)
    canvas.rod(foot, top, 0.6 * width, scene.accent)
    canvas.box((x, high - thick / 2, _ZERO), (width, thick / 2, thing.seat_depth), scene.main)


def _cushion(canvas, thing, scene):
    half, level = thing.cushion_height / 2, _seat_level(thing)
    depth, colour = thing.seat_depth - thing.back_depth, 0.7 * scene.main + 0.3 * scene.pale
    canvas.box((_ZERO, level + half, thing.back_depth), (thing.seat_width, half, depth), colour)
    if thing.cushion_seam.any():
        high, width = level + 2 * half, 0.03 * thing.cushion_seam.clamp(max=1)
        back, front = (canvas.view.project(_ZERO, high, z) for z in (-depth, thing.seat_depth))
        canvas.rod(back, front, width, scene.main, 0.6)
        canvas.rod(front, canvas.view.project(_ZERO, level, thing.seat_depth), width, scene.main, 0.6)


def _stem(canvas, thing, scene):
    foot, width = _stem_level(thing), thing.stem_width
    if thing.base_width.any():
        canvas.turned(_ZERO, thing.base_width, thing.base_height, scene.accent, top=0.9)
        canvas.lid(thing.base_height, 0.9 * thing.base_width, scene.accent)
    if thing.hook_size.any():
        dx, dy = canvas.x - scene.side * thing.hook_size, canvas.y - foot
        ring = ((dx * dx + dy * dy).sqrt() - thing.hook_size).abs() - width
        canvas.paint(torch.maximum(ring, dy), torch.minimum(2 * width, thing.hook_size), scene.accent, 0.9)
    if thing.stem_length.any():
        height = thing.stem_length + 0.2 * thing.cap_height  # into the cap, which hides the end
        canvas.turned(foot, width, height, scene.accent, top=thing.stem_taper)


def _cap(canvas, thing, scene):
    width, height, level = thing.cap_width, thing.cap_height, _cap_level(thing)
    if not width.any():
        return
    if thing.tip_height.any():
        tip = torch.minimum(_ZERO + 0.035, thing.tip_height)
        canvas.turned(level + 0.9 * height, tip, thing.tip_height + 0.1 * height, scene.accent)
    finish, straight = _finish(canvas, thing, scene), 1 - thing.cap_dome.clamp(max=1)
    if thing.cap_lobes.any():
        _lobes(canvas, thing, scene, finish)
    canvas.turned(
        level, width, height, scene.main, low=thing.cap_low, top=thing.cap_top, dome=thing.cap_dome,
        finish=finish, cut=_scallops(canvas, thing),
    )  # fmt: skip
    canvas.lid(level + height, width * thing.cap_top * straight, scene.main, 0.75 + 0.5 * thing.cap_glow)
    if thing.cap_spots.any():
        _spots(canvas, thing, scene)


def _lobes(canvas, thing, scene, finish):
    """Boughs to the left and right of a round crown; a pointed one would leave them in the air."""
    size = thing.cap_lobes * thing.cap_width * (2 * thing.cap_dome - 1).clamp(0, 1)
    for side in (-1, 1):
        x, bottom = side * (thing.cap_width - 0.4 * size), _cap_level(thing) + 0.3 * thing.cap_height
        canvas.turned(bottom, size, size, scene.main, x=x, low=0.6 * size, dome=1.0, finish=finish)


def _spots(canvas, thing, scene):
    level = _cap_level(thing)
    for x, y, size in ((-0.5, 0.3, 0.13), (0.05, 0.62, 0.15), (0.5, 0.25, 0.14), (-0.05, 0.12, 0.12)):
        size = size * thing.cap_width * thing.cap_spots.clamp(max=1)
        dx, dy = canvas.x - x * thing.cap_width, canvas.y - level - y * thing.cap_height
        canvas.paint(egg(dx, dy, size, size, size), size, scene.pale, 1.0)


def _finish(canvas, thing, scene):
    """The surface of a cap, a factor (plane): leaves, the panels of an umbrella, light from within."""
    across = canvas.x / thing.cap_width.clamp(min=1e-3)
    finish = 1 + 0.35 * thing.cap_leaves * scene.grain
    finish = finish + 0.4 * thing.cap_glow * (1 - across * across).clamp(min=0)
    if not thing.cap_ribs.any():
        return finish
    rise = ((canvas.y - _cap_level(thing)) / thing.cap_height.clamp(min=1e-3)).clamp(0, 0.98)
    longitude = across.abs() / (1 - rise * rise).sqrt()
    return finish * (1 + 0.25 * thing.cap_ribs.clamp(max=1) * (10 * longitude - 5).clamp(-1, 1))


def _scallops(canvas, thing):
    """Four arcs along the lower edge of a cap: above 0 where they cut it off; None where no cap has any."""
    if not thing.cap_scallops.any():
        return None
    place = 2 * canvas.x / thing.cap_width.clamp(min=1e-3)
    place = 2 * (place - place.floor()) - 1
    hanging = 2 * (thing.cap_low + thing.cap_width * canvas.view.tilt) * (1 - thing.cap_scallops / 0.03).clamp(min=0)
    return thing.cap_scallops * (1 - place * place) - hanging - (canvas.y - _cap_level(thing))


def _bottle(canvas, thing, scene):
    width, neck_width, body = thing.body_width, thing.neck_width, thing.body_height
    if not width.any():
        return
    neck, low = body + 0.7 * thing.shoulder_height, width * canvas.view.tilt
    neck_height = thing.neck_height + 0.3 * thing.shoulder_height
    canvas.turned(neck + neck_height - 0.02, 1.15 * neck_width, thing.stopper_height, scene.accent)
    distance = torch.minimum(
        lathe(canvas.x, canvas.y, width, body, low),
        egg(canvas.x, canvas.y - body, width, thing.shoulder_height, body),
    )
    distance = torch.minimum(distance, lathe(canvas.x, canvas.y - neck, neck_width, neck_height, neck_width))
    canvas.paint(distance, torch.minimum(width, body), scene.main, canvas.roundness(canvas.x, width))
    label = thing.label_height.clamp(max=0.4) * body
    canvas.turned(0.25 * body, width, label, scene.pale)
