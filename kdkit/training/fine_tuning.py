"""What a network that has read is good for: fine-tuned on a small task that it was never told of.

The task: which module is this docstring from? The modules are those of documents that nobody learnt from
(``text.split`` gives them to ``val`` and ``test``), and what other documents repeat of them is cut out. That holds for
networks that learnt from this machine's texts; the teacher that ships has read those of another Python, perhaps.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdkit import models
from kdkit.data import text, tokens
from kdkit.data.seeds import generator
from kdkit.measure import metrics
from kdkit.models import bert
from kdkit.training.step import Distillation
from kdkit.training.texts import BATCH_SIZE, PEAK_LR, learn, predict

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MODULES = ("configparser", "difflib", "email", "encodings", "enum", "importlib", "smtplib", "zipfile")
LABELLED, PER_MODULE = 10, 60  # docstrings of a module: with a label to learn from; in all
MIN_WORDS, MAX_LENGTH = 5, 64  # words that a docstring has at least; tokens of it that are read
EPOCHS = 20


class Task(NamedTuple):
    """Sequences to classify, and which of ``classes`` each is, int64 ``[N]``: to learn from, and to test."""

    train: tokens.Sequences
    train_labels: torch.Tensor
    test: tokens.Sequences
    test_labels: torch.Tensor
    classes: tuple


def unseen_docstrings(documents: Mapping[str, str]) -> list[tuple[str, str]]:
    """The docstrings of ``MODULES``, without what stands in documents to learn from: a list of pairs (module, text).

    ``documents``: as ``text.python`` gives them.
    """
    return _unseen([pair for pair in text.docstrings() if pair[0] in MODULES], text.split(documents).train)


def _unseen(pairs, documents):
    """Pairs (anything, text) without what stands in ``documents``, and without texts that are too short then."""
    left = text.unseen(dict(enumerate(words for _, words in pairs)), others=documents)
    return [(pairs[number][0], words) for number, words in left.items() if len(words.split()) >= MIN_WORDS]


def which_module(tokenizer: "PreTrainedTokenizerBase", pairs: list[tuple[str, str]], seed: int = 0) -> Task:
    """The task above, with few labels: a ``Task``; ten docstrings of each module to learn from, the others to test.

    ``pairs``: (module, docstring), as ``unseen_docstrings`` gives them. ``seed``: which are learnt from. What the
    others repeat of these is cut out. Raises ``ValueError`` for a module of which nothing would be left to test.
    """
    drawn = generator(seed)
    learnt: list[tuple[int, str]] = []
    tested: list[tuple[int, str]] = []
    for label, module in enumerate(MODULES):
        texts = [words for name, words in pairs if name == module]
        chosen = [(label, texts[number]) for number in torch.randperm(len(texts), generator=drawn)[:PER_MODULE]]
        learnt, tested = learnt + chosen[:LABELLED], tested + chosen[LABELLED:]
    tested = _unseen(tested, dict(enumerate(words for _, words in learnt)))
    for label, module in enumerate(MODULES):
        if label not in {number for number, _ in tested}:
            count = sum(name == module for name, _ in pairs)
            raise ValueError(
                f"{module} has {count} docstrings: {LABELLED} are learnt from, and nothing else is left to test. "
                "Give more of them."
            )
    train, train_labels = _encoded(learnt, tokenizer)
    test, test_labels = _encoded(tested, tokenizer)
    return Task(train, train_labels, test, test_labels, MODULES)


def _encoded(pairs, tokenizer):
    labels, texts = zip(*pairs, strict=True)
    return tokens.encode(texts, tokenizer, MAX_LENGTH, truncation=True), torch.tensor(labels)


def naive_bayes(task: Task) -> float:
    """Share of the test that naive Bayes names right, from the same labelled texts: it only counts, and does not read.

    It knows which tokens stand in a text, in no order. A task that this solves as well needs no reading.
    """
    vocab_size = int(max(part.input_ids.max() for part in (task.train, task.test))) + 1
    train, test = (_present(part, vocab_size) for part in (task.train, task.test))
    member = F.one_hot(task.train_labels, len(task.classes)).double()
    counts = member.T @ train + 0.1  # [classes, V]
    prior = member.mean(0).log()
    return metrics.accuracy(prior + test @ (counts / counts.sum(1, keepdim=True)).log().T, task.test_labels)


def _present(sequences, vocab_size):
    """Which tokens stand in each sequence: ``[N, V]``, 0 or 1."""
    input_ids, attention_mask = sequences
    found = torch.zeros(len(input_ids), vocab_size, dtype=torch.double)
    return found.scatter_add_(1, input_ids, attention_mask.double()).clamp_(max=1)


def fine_tune(
    network: "PreTrainedModel", task: Task, *, epochs: int = EPOCHS, lr: float = PEAK_LR, seed: int = 0
) -> float:
    """Teach a copy of ``network``, with a new head, to classify the texts of ``task``; its accuracy on the test.

    All weights learn, with AdamW and a rate that falls to 0. ``seed``: of the head, the order and dropout. ``network``
    is left as it is. Raises ``ValueError`` where it cannot read texts of that length.
    """
    length, longest = task.train.input_ids.shape[1], network.config.max_position_embeddings
    if length > longest:
        raise ValueError(f"the task's texts have {length} tokens; this network reads {longest} at most.")
    model: nn.Module = bert.classifier(network, len(task.classes), seed=seed)
    model.to(models.device_of(network))
    train, test = (_inputs(part) for part in (task.train, task.test))
    schedule: dict[str, Any] = {"epochs": epochs, "batch_size": BATCH_SIZE, "lr": lr, "seed": seed}
    learn(model, train, task.train_labels, Distillation(), progress=False, **schedule)
    return metrics.accuracy(predict(model, test), task.test_labels)


def _inputs(sequences: tokens.Sequences) -> dict[str, Tensor]:
    return {"input_ids": sequences.input_ids, "attention_mask": sequences.attention_mask.long()}
