"""A tiny language to write, and networks that write it in milliseconds.

Tokens 0 and 1 are letters, 2 asks and 3 ends. The prompt says a letter; right are its answers that begin with it.
"""

import functools
import itertools

import torch

from kdkit.data.answers import until_end
from kdkit.models import gpt

LETTERS, ASK, END, PROMPT_LENGTH, LONGEST = (0, 1), 2, 3, 2, 3  # tokens of an answer, its end included


def network(seed=0, width=8, depth=1):
    made = gpt.gpt(width, depth, vocab_size=4, max_length=PROMPT_LENGTH + LONGEST, seed=seed)
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(4)  # small random weights say all tokens alike
    return made


@functools.cache
def sentences():
    """All right ones: ``aa.``, ``ab.``, ``a.`` behind ``a=``, and so for the other letter."""
    texts = [[first, ASK, first, *more, END] for first in LETTERS for more in ([], *([letter] for letter in LETTERS))]
    rows = [text + [END] * (PROMPT_LENGTH + LONGEST - len(text)) for text in texts]
    return until_end(torch.tensor(rows), PROMPT_LENGTH, END)


def prompt():
    """Which sentences belong together."""
    return sentences().input_ids[:, 0]


@functools.cache
def every_answer():
    """Each string that may come behind a prompt: cut after three tokens, or ended before."""
    found = []
    for tokens in itertools.product(range(4), repeat=LONGEST):
        text = tokens[: tokens.index(END) + 1] if END in tokens else tokens
        if text not in found:
            found.append(text)
    return found


@torch.no_grad()
def probability(network, prompt, answer):
    """Of ``answer`` behind ``prompt``, one token after the other, without a mask or a batch."""
    given, product = list(prompt), 1.0
    for token in answer:
        product *= network(torch.tensor([given])).logits[0, -1].double().softmax(-1)[token].item()
        given.append(token)
    return product
