"""Short codes that people type or paste, such as ``KW-01B2-T8S1-1KM``: a kind, a few numbers, and a check.

    text = encode("workshop", {"failed": 0, "python": 11})   # what one machine prints
    kind, fields = decode(text)                              # what another reads

A code holds no name: only the whole numbers that ``LAYOUTS`` lists for its kind. Its symbols are Crockford's base 32,
without I, L, O and U: whoever types small letters, O for 0, or I and L for 1, or leaves the hyphens out, is understood.
The last two symbols are a remainder by a prime: one wrong symbol, or two that changed places, are always found.

To add a number to a kind, write its name at the end of the kind's line: older codes are then read with a 0 there.
"""

import re
from collections.abc import Iterable, Mapping

LAYOUTS = {
    "workshop": ("failed", "system", "python", "cores", "milliseconds", "gigabytes", "cifar10"),
    "progress": ("exercises", "mistakes"),
}
SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PRIME = 1021  # the largest below 32²
SAME = str.maketrans("OIL", "011")


def encode(kind: str, fields: Mapping[str, int]) -> str:
    """Write a code of numbers of at least 0, as large as they may be; what ``fields`` lacks of the kind's is 0.

    >>> encode("workshop", {"failed": 2, "python": 12, "milliseconds": 140})
    'KW-20C0-W8YF'

    Raises ``ValueError`` for another kind, another name and a number that is no whole one of at least 0.
    """
    if kind not in LAYOUTS:
        raise ValueError(f"kind must be one of {', '.join(LAYOUTS)}; got {kind!r}.")
    if other := sorted(fields.keys() - set(LAYOUTS[kind])):
        raise ValueError(f"a {kind} code holds {', '.join(LAYOUTS[kind])}; got {', '.join(other)} as well.")
    numbers = [fields.get(name, 0) for name in LAYOUTS[kind]]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError(f"a code holds whole numbers of at least 0; got {dict(fields)}.")
    while numbers and not numbers[-1]:
        numbers.pop()
    body = kind[0].upper() + "".join(map(_symbols, numbers))
    whole = body[1:] + _check(body)
    return "-".join(["K" + body[0], *re.findall(".{1,4}", whole)])


def decode(text: str) -> tuple[str, dict[str, int]]:
    """Read a code: its kind, and each of the kind's numbers by name.

    >>> decode("kp m1g1 qk")
    ('progress', {'exercises': 20, 'mistakes': 16})

    Raises ``ValueError``, which says what is wrong, for what is no code or was mistyped.
    """
    plain = re.sub(r"[\W_]+", "", text).upper().translate(SAME)
    kinds = {name[0].upper(): name for name in LAYOUTS}
    if len(plain) < 4 or plain[0] != "K" or plain[1] not in kinds:
        starts = " or ".join(f"K{letter}-" for letter in kinds)
        raise ValueError(f"a code begins with {starts}; got {text.strip()!r}.")
    body, check = plain[1:-2], plain[-2:]
    if not set(plain) <= set(SYMBOLS) or _check(body) != check:
        raise ValueError(f"{text.strip()!r} was mistyped, or a part of it is missing: its last two symbols do not fit.")
    kind, numbers = kinds[body[0]], _numbers(body[1:])
    if len(numbers) > len(LAYOUTS[kind]):
        raise ValueError(f"{text.strip()!r} holds more than this version of kdkit knows: take the newest.")
    return kind, dict.fromkeys(LAYOUTS[kind], 0) | dict(zip(LAYOUTS[kind], numbers, strict=False))


def packed(marks: Iterable[bool]) -> int:
    """Many yes and no as one number, the first in its lowest bit: ``packed([True, False, True])`` is 5."""
    return sum(bool(mark) << place for place, mark in enumerate(marks))


def unpacked(number: int, count: int) -> list[bool]:
    """The first ``count`` yes and no of a number that ``packed`` made."""
    return [bool(number >> place & 1) for place in range(count)]


def _symbols(number):
    """Four bits a symbol, the lowest first; the fifth says that there are more."""
    said = ""
    while number > 15:
        said += SYMBOLS[16 + number % 16]
        number //= 16
    return said + SYMBOLS[number]


def _numbers(symbols):
    numbers, number, place = [], 0, 0
    for value in map(SYMBOLS.index, symbols):
        number, place = number + (value % 16 << place), place + 4
        if value < 16:
            numbers.append(number)
            number, place = 0, 0
    return numbers


def _check(body):
    """Two symbols: the body, whose first is never 0, read as a number by powers of 32, modulo the prime."""
    rest = 0
    for symbol in body + "00":
        rest = (rest * 32 + SYMBOLS.find(symbol)) % PRIME
    return SYMBOLS[rest // 32] + SYMBOLS[rest % 32]
