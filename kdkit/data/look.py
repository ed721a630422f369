"""What is odd about somebody's files, images or texts: sentences, each with what to do."""

import hashlib
import os
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from kdkit.data.decoding import Found
from kdkit.data.folders import Listed
from kdkit.data.layout import Kind
from kdkit.data.walk import show

HUGE = 2048  # pixels on the shorter side
LOST = re.compile("[\x00-\x08\x0e-\x1f\ufffd]")  # what no text holds that was read and written as it should be
LONGER = 3  # times as many words in a class's median text as in another's


def odd(found: list[Found], count: int, side: int) -> list[str]:
    """About single files, from what was ``found`` in each part of ``count`` images, scaled to ``side`` pixels."""
    sentences = []
    grey, example = _sum(found, "grey")
    if 0 < grey < count:
        sentences.append(
            f"{_files(grey, 'is', 'are')} grey, the others in colour ({example}): if one class has more of them, that "
            "is what a network will learn. Make all grey, or see that each class has its share."
        )
    transparent, example = _sum(found, "transparent")
    if transparent:
        sentences.append(
            f"{_files(transparent, 'may', 'may')} be transparent in part ({example}): white is put behind. If they "
            "will be seen on something else, save them with the right background."
        )
    small, example = _sum(found, "small")
    if small:
        sentences.append(
            f"{_files(small, 'has', 'have')} fewer than {side} pixels on a side ({example}), and become blurred when "
            "enlarged. A smaller size, or larger copies of them, would be better."
        )
    largest = max((each.largest for each in found), key=min)
    if min(largest) > HUGE:
        sentences.append(
            f"Some images are huge (up to {largest[0]}x{largest[1]}): to read them takes long the first time; what was "
            "scaled is kept. Smaller copies in another folder would do as well."
        )
    return sentences


def repeated(root: Path, folders: list[Listed], contents: list[Iterable], kind: Kind) -> list[str]:
    """About files of a ``kind`` with the same content as another's, in one part of a split or in two.

    ``folders``: the files of each part, below ``root``; ``contents``: of each of them, such as its pixels once scaled,
    as bytes or an array.
    """
    places = defaultdict(list)
    for number, (folder, content) in enumerate(zip(folders, contents, strict=True)):
        for (file, label), one in zip(folder.listing, content, strict=True):
            places[hashlib.blake2b(one, digest_size=16).digest()].append((number, label, file))
    twins = [group for group in places.values() if len(group) > 1]
    across = [group for group in twins if len({number for number, _, _ in group}) > 1]
    torn = [group for group in twins if len({label for _, label, _ in group}) > 1]
    within = [group for group in twins if len({(number, label) for number, label, _ in group}) == 1]
    sentences = []
    if across:
        sentences.append(
            f"{_stand(across, kind)} in two parts of the split ({_example(root, across)}): a network that has learnt "
            f"{_a(kind)} by heart is not tested by it. Take them out of one part, or results will look too good."
        )
    if torn:
        sentences.append(
            f"{_stand(torn, kind)} under two classes ({_example(root, torn)}): one of the labels is wrong. Take it out."
        )
    if within:
        held = "" if len(folders) == 3 else " What is held out may then be known already."
        where = _example(root, within)
        sentences.append(f"{_stand(within, kind)} in a class more than once ({where}).{held} Keep one of each.")
    return sentences


def lengths(texts: Iterable[str]) -> str:
    """How many words there are in ``texts``: in the shortest, the median and the longest."""
    words = sorted(len(text.split()) for text in texts)
    return f"texts of {words[0]:,} to {words[-1]:,} words, half of them with {statistics.median_low(words):,} or more"


def odd_texts(root: Path, folders: list[Listed], contents: list[tuple[str, ...]]) -> list[str]:
    """About single texts, ``contents`` of the files in each part, and about classes whose texts are of other lengths.

    ``folders``: as for ``repeated``.
    """
    sentences, words = [], defaultdict(list)
    lost = []
    for folder, texts in zip(folders, contents, strict=True):
        for (file, label), text in zip(folder.listing, texts, strict=True):
            words[folder.classes[label]].append(len(text.split()))
            if LOST.search(text):
                lost.append(file)
    if lost:
        example = show(os.path.relpath(lost[0], root))
        sentences.append(
            f"{'1 text holds' if len(lost) == 1 else f'{len(lost):,} texts hold'} control characters, or signs that "
            f"were lost in a conversion (such as {example}): save as UTF-8 anew what is text, take out what is none."
        )
    typical = {name: statistics.median(counts) for name, counts in words.items()}
    short, long = min(typical, key=typical.__getitem__), max(typical, key=typical.__getitem__)
    if typical[long] >= LONGER * typical[short]:
        sentences.append(
            f"Texts of {long} are longer (half have at least {typical[long]:,.0f} words) than those of {short} "
            f"({typical[short]:,.0f}): if length tells the class, that is what a network will learn. Give each class "
            "texts of all lengths."
        )
    return sentences


def _sum(found, kind):
    """How many files of a kind there are in all parts, and "such as" the first."""
    rows = [getattr(each, kind) for each in found]
    first = next((path for count, path in rows if count), "")
    return sum(count for count, _ in rows), f"such as {first}"


def _files(count, one, many):
    return f"1 image {one}" if count == 1 else f"{count:,} images {many}"


def _stand(groups, kind):
    return f"1 {kind.one} stands" if len(groups) == 1 else f"{len(groups):,} {kind.name} stand"


def _a(kind):
    return f"{'an' if kind.one[0] in 'aeiou' else 'a'} {kind.one}"


def _example(root, groups):
    """The first two files of a group, as they lie below ``root``."""
    one = next(iter(groups))
    other = next((each for each in one[1:] if each[:2] != one[0][:2]), one[1])
    return f"such as {show(os.path.relpath(one[0][2], root))} and {show(os.path.relpath(other[2], root))}"
