"""The classes of a network and those of the data, matched by their names."""

import difflib
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

LISTED = 10  # classes in a message
TeacherClass = str | int  # the name of a class, or its number where two have one name
ClassMap = Mapping[str, TeacherClass | Sequence[TeacherClass]]
Groups = tuple[tuple[int, ...], ...]


def gathered(answer: Tensor, classes: Sequence[str] | None, groups: Groups | None) -> Tensor:
    """Logits ``[N, C]`` of a network's ``classes`` as those of the data's, by ``groups``; None: its own, as they are.

    Of several classes that are one of the data, ``log(sum(exp(logits)))``: their probabilities add up. Raises
    ``ValueError`` where there are more or fewer logits than names.
    """
    if classes is not None and answer.shape[-1] != len(classes):
        raise ValueError(f"{len(classes)} classes are named, and the network answers with {answer.shape[-1]}.")
    if groups is None:
        return answer
    if all(len(group) == 1 for group in groups):
        return answer[:, [group[0] for group in groups]]
    return torch.stack([answer[:, group].logsumexp(1) for group in groups], 1)


def groups(classes: Sequence[str], wanted: Sequence[str], class_map: ClassMap) -> Groups:
    """For each class of the data, ``wanted``, the places of the network's ``classes`` that stand for it.

    Raises ``ValueError`` as ``ForImages`` does.
    """
    strange = [name for name in class_map if name not in wanted]
    if strange:
        raise ValueError(
            f"class_map names {', '.join(map(repr, strange))}, which the data does not have. Its classes: "
            f"{_listed(wanted)}."
        )
    places: dict[str, list[int]] = {}
    for place, name in enumerate(classes):
        places.setdefault(_plain(name), []).append(place)
    found: list[tuple[int, ...]] = []
    taken: dict[int, str] = {}
    for name in wanted:
        meant = class_map.get(name, name)
        several = [meant] if isinstance(meant, str | int) else list(meant)
        group = tuple(_place(each, name, classes, places) for each in several)
        if not group:
            raise ValueError(f"class_map gives no class of the teacher for {name!r}: name at least one.")
        for place in group:
            if taken.setdefault(place, name) != name:
                raise ValueError(
                    f"the teacher's class {classes[place]!r} would stand for two of the data, {taken[place]!r} and "
                    f"{name!r}: it cannot tell them apart. Give one of them another in class_map, or leave it out."
                )
        found.append(group)
    return tuple(found)


def _plain(name):
    """A name without capitals, spaces, underscores and hyphens."""
    return re.sub(r"[\s_-]", "", name.casefold())


def _place(meant, name, classes, places):
    """The number of the teacher's class that ``meant`` names, for the class ``name`` of the data."""
    if isinstance(meant, int) and not isinstance(meant, bool):
        if not 0 <= meant < len(classes):
            raise ValueError(f"class_map: the teacher's classes are numbered 0 to {len(classes) - 1}; got {meant}.")
        return meant
    exact = [place for place, other in enumerate(classes) if other == meant]
    found = exact or places.get(_plain(meant), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"the teacher has {len(found)} classes called {meant!r}, numbers {', '.join(map(str, found))}: say which "
            f"by its number, class_map={{{name!r}: {found[0]}}}."
        )
    like = difflib.get_close_matches(_plain(meant), places, n=3, cutoff=0.5)
    # "sofa" is much like "studio couch, sofa" to people, not to difflib
    like += [key for key in places if _plain(meant) in key and key not in like][: 3 - len(like)]
    nearest = f" Nearest: {', '.join(repr(classes[places[key][0]]) for key in like)}." if like else ""
    raise ValueError(
        f"the teacher has no class {meant!r}. It has {len(classes):,}: {_listed(classes)}.{nearest} Say which one is "
        f"meant: class_map={{{name!r}: ...}}; or take a teacher that knows it."
    )


def _listed(names):
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(map(str, names[:LISTED])) + more
