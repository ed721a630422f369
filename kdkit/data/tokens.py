"""Text as a BERT reads it: word pieces, cut to one length, and some of them hidden, to be guessed.

A tokenizer here is one of Hugging Face's: ours (``tokenizer``), or whatever ``AutoTokenizer`` gives for a BERT.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import torch

from kdkit.data import text
from kdkit.losses.arguments import whole

PAD, UNKNOWN, START, END, MASK = SPECIAL = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
WORDS, LENGTH = 3000, 128
HIDDEN = 0.15  # share of the tokens that are to be guessed
SHOWN_AS_MASK, SHOWN_AS_ANOTHER = 0.8, 0.1  # of these; the rest stand there as they are
NOT_ASKED = torch.nn.CrossEntropyLoss().ignore_index  # -100, the label of a token that is not to be guessed


class Pieces(NamedTuple):
    """N pieces of text: token numbers ``ids``, int64 ``[N, L]``; ``mask``, bool ``[N, L]``, False where padding is."""

    ids: torch.Tensor
    mask: torch.Tensor

    def at(self, index):
        """The pieces at ``index`` (int64 or bool tensor, or a slice)."""
        return Pieces(self.ids[index], self.mask[index])


class Hidden(NamedTuple):
    """Pieces with hidden tokens: ``inputs`` and ``labels``, int64 ``[N, L]``, and ``mask``, bool ``[N, L]``.

    ``labels`` are -100 where nothing is to be guessed.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    mask: torch.Tensor

    def to(self, device):
        """The same on ``device``."""
        return Hidden(*(part.to(device) for part in self))


class Corpus(NamedTuple):
    """A tokenizer, and what it made of documents to learn from, to choose by and to report: ``Pieces`` each."""

    tokenizer: object
    train: Pieces
    val: Pieces
    test: Pieces


def learn_words(texts, count=WORDS):
    """The ``count`` word pieces that serve best to write ``texts``, an iterable of strings: a list of strings.

    Lower case, as in bert-base-uncased; a piece that stands within a word begins with ``##``. The trainer is that of
    Hugging Face's ``tokenizers``. Where pieces serve equally well it chooses as it happens: keep what it gave.
    """
    from tokenizers.trainers import WordPieceTrainer

    learner = _word_pieces()
    learner.train_from_iterator(
        texts, WordPieceTrainer(vocab_size=count, special_tokens=[*SPECIAL], show_progress=False)
    )
    return sorted(learner.get_vocab(), key=learner.get_vocab().get)


def tokenizer(words):
    """A tokenizer of these word pieces, as ``learn_words`` gives them. ``ValueError`` where BERT's own are missing."""
    from transformers import PreTrainedTokenizerFast

    missing = [word for word in SPECIAL if word not in words]
    if missing:
        raise ValueError(f"words must hold {', '.join(SPECIAL)}; got none of {', '.join(missing)}: add them.")
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=_word_pieces({word: n for n, word in enumerate(words)}), **names)


def _word_pieces(numbers=None):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece(numbers or {UNKNOWN: 0}, unk_token=UNKNOWN))
    if numbers:  # a sentence that is asked about begins and ends as the pieces do that were learnt from
        ends = [(name, numbers[name]) for name in (START, END)]
        made.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return made


def encode(texts, tokenizer, length=LENGTH, beginnings=False):
    """Cut each of ``texts``, an iterable of strings, into pieces of ``length`` tokens: ``Pieces``.

    A piece begins with [CLS] and ends with [SEP]; what is left over at the end of a text is padded. A piece holds
    tokens of one text only. ``beginnings``: take the first piece of each text and leave the rest. Raises ``ValueError``
    where there is nothing to cut, and for a tokenizer without BERT's own tokens.
    """
    if isinstance(texts, str):
        raise ValueError("texts must be several strings, such as a list; got one string.")
    texts = [*texts] if isinstance(texts, Iterable) and getattr(texts, "ndim", 1) else [texts]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("texts must be several strings, such as a list; got something else.")
    check(tokenizer)
    length = whole(length, "length", 3, 2**20, "It must leave room for [CLS], a token and [SEP].")
    if not texts:
        raise ValueError("the texts hold no token: give at least one that is not empty.")
    found, room = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"], length - 2
    if beginnings:
        found = [part[:room] for part in found]
    pieces = [part[at : at + room] for part in found for at in range(0, len(part), room)]
    if not pieces:
        raise ValueError("the texts hold no token: give at least one that is not empty.")
    ids = torch.full((len(pieces), length), tokenizer.pad_token_id)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for row, piece in enumerate(pieces):
        found = [tokenizer.cls_token_id, *piece, tokenizer.sep_token_id]
        ids[row, : len(found)] = torch.tensor(found)
        mask[row, : len(found)] = True
    return Pieces(ids, mask)


def corpus(documents, tokenizer, length=LENGTH):
    """``documents``, a dict of name to text, split (``text.split``) and encoded: a ``Corpus``.

    Pieces in which the tokenizer knows no token are left out: nothing could be hidden there.
    """
    return Corpus(tokenizer, *(_readable(part, tokenizer, length) for part in text.split(documents)))


def _readable(documents, tokenizer, length):
    pieces = encode(documents.values(), tokenizer, length)
    kept = words(pieces, tokenizer).any(1)
    if not kept.any():
        raise ValueError("the tokenizer knows no token of these texts: they are of another language, or it is.")
    return pieces.at(kept)


def words(pieces, tokenizer):
    """Which tokens may be hidden, bool ``[N, L]``: all but padding and BERT's own, such as [CLS]."""
    return pieces.mask & ~torch.isin(pieces.ids, torch.tensor(tokenizer.all_special_ids))


def check(tokenizer):
    """``ValueError`` unless ``tokenizer`` has BERT's own tokens: for padding, beginning, end and what is hidden."""
    if not hasattr(tokenizer, "mask_token_id"):
        raise ValueError(
            f"a tokenizer of Hugging Face's is wanted, or tokens.tokenizer; got {type(tokenizer).__name__}."
        )
    for name, number in (
        (PAD, tokenizer.pad_token_id),
        (START, tokenizer.cls_token_id),
        (END, tokenizer.sep_token_id),
        (MASK, tokenizer.mask_token_id),
    ):
        if number is None:
            raise ValueError(f"this tokenizer has no {name} token: take one that was made for BERT.")


def hide(pieces, tokenizer, generator):
    """Hide some tokens of each piece, anew with each call: ``Hidden``.

    Of the tokens, 15 % are to be guessed, at least one in each piece that has a word, and never one of BERT's own such
    as [CLS]. Of these, 80 % are shown as [MASK], 10 % as any token of all, and 10 % as they are: so that a network
    cannot trust what it reads, either. Source: Devlin et al. 2019 (arXiv:1810.04805), section 3.1.
    """
    ids, mask = pieces
    may_be = words(pieces, tokenizer)
    count = (HIDDEN * may_be.sum(1)).round().clamp(min=1)
    rank = torch.rand(ids.shape, generator=generator).masked_fill(~may_be, 2.0).argsort(1).argsort(1)
    chosen = may_be & (rank < count[:, None])
    how = torch.rand(ids.shape, generator=generator)
    another = torch.randint(len(tokenizer), ids.shape, generator=generator)
    inputs = ids.where(~chosen | (how >= SHOWN_AS_MASK), tokenizer.mask_token_id)
    inputs = inputs.where(~chosen | (how < 1 - SHOWN_AS_ANOTHER), another)
    return Hidden(inputs, ids.where(chosen, NOT_ASKED), mask)


def log_frequencies(pieces, tokenizer):
    """How common each token is among those of ``pieces`` that may be hidden: log probabilities ``[tokens]``.

    Whoever knows nothing else guesses by these. Each token counts once more than it was seen, so that none is
    impossible.
    """
    seen = pieces.ids[words(pieces, tokenizer)].bincount(minlength=len(tokenizer)).double() + 1
    return (seen / seen.sum()).log()


def fingerprint(pieces):
    """A short hash of the tokens: a training belongs to these pieces, in this order."""
    digest = hashlib.sha256(repr(tuple(pieces.ids.shape)).encode())
    digest.update(pieces.ids.contiguous().numpy().data)
    return digest.hexdigest()[:16]
