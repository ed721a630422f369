"""A language in which everything can be counted: "write a sum that makes n".

The prompt is ``087=``, and each of ``45+42.``, ``1+86.``, ``86+1.`` … is right: 86 answers, all as good as each other.
Both numbers lie between 1 and 99, so there are 9,801 right sentences in all, and a network's probability for each of
them can be computed: nothing about it has to be sampled. Tokens are characters. The last one, ``.``, ends a sentence,
as in GPT-2's vocabulary, and pads it.
"""

import functools
from collections.abc import Iterable

import torch
from torch import Tensor

from kdkit.data.answers import Answers, until_end
from kdkit.losses.arguments import whole

CHARACTERS = "0123456789+=."
END = CHARACTERS.index(".")
LARGEST = 99  # number in a sum; the smallest is 1
PROMPT_LENGTH = len("087=")
LENGTH = PROMPT_LENGTH + len("99+99.")  # tokens of the longest sentence


def encode(texts: Iterable[str]) -> Tensor:
    """``texts`` as tokens: int64 ``[N, 10]``, padded with the end token.

    Raises ``ValueError`` that names a text which is too long, or holds another character than the language has.

    >>> encode(["087=1+86."]).tolist()
    [[0, 8, 7, 11, 1, 10, 8, 6, 12, 12]]
    """
    rows = []
    for text in texts:
        if len(text) > LENGTH or not set(text) <= set(CHARACTERS):
            raise ValueError(f"a text has at most {LENGTH} of the characters {CHARACTERS}; got {text!r}.")
        rows.append([CHARACTERS.index(character) for character in text.ljust(LENGTH, CHARACTERS[END])])
    return torch.tensor(rows, dtype=torch.int64).view(len(rows), LENGTH)


def decode(input_ids: Tensor) -> list[str]:
    """The texts of ``input_ids`` ``[N, L]``, each up to its first end token, which is kept.

    >>> decode(encode(["087=1+86.", "087=86"]))
    ['087=1+86.', '087=86.']
    """
    texts = ("".join(CHARACTERS[token] for token in row) for row in input_ids.tolist())
    return [text[: text.index(CHARACTERS[END]) + 1] if CHARACTERS[END] in text else text for text in texts]


def prompts(totals: Iterable[int]) -> Tensor:
    """The prompts that ask for ``totals``, each from 2 to 198: int64 ``[N, 4]``. ``ValueError`` for other numbers."""
    asked = [f"{whole(total, 'a total', 2, 2 * LARGEST):03d}=" for total in totals]
    return encode(asked)[:, :PROMPT_LENGTH]


@functools.cache
def sentences() -> Answers:
    """All 9,801 right sentences, in the order of ``totals``: prompts are as frequent as they have right answers."""
    pairs = [(first, second) for first in range(1, LARGEST + 1) for second in range(1, LARGEST + 1)]
    texts = [f"{first + second:03d}={first}+{second}." for first, second in pairs]
    return until_end(encode(texts), PROMPT_LENGTH, END)


def totals(input_ids: Tensor) -> Tensor:
    """What the prompts of ``input_ids`` ``[N, L]`` ask for: int64 ``[N]``. ``ValueError`` for what is no prompt."""
    texts = ["".join(CHARACTERS[token] for token in row) for row in input_ids[:, :PROMPT_LENGTH].tolist()]
    wrong = next((text for text in texts if not (text[:-1].isdigit() and text[-1] == "=")), None)
    if wrong is not None:
        raise ValueError(f"a prompt is three digits and '=', such as 087=; got {wrong!r}.")
    return torch.tensor([int(text[:-1]) for text in texts], dtype=torch.int64)


def right(input_ids: Tensor) -> Tensor:
    """Which of the texts ``input_ids`` ``[N, 10]`` are right sentences: bool ``[N]``.

    >>> right(encode(["087=45+42.", "087=45+41.", "087=45+42"])).tolist()  # the last is ended by padding
    [True, False, True]
    """
    known = _known()
    return torch.tensor([text in known for text in decode(input_ids)], dtype=torch.bool)


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(decode(sentences().input_ids))
