"""Text as a network reads it: tokens, cut to sequences of one length; for a BERT, some of them masked, to be predicted.

A tokenizer here is one of Hugging Face's: ours (``tokenizer``), or whatever ``AutoTokenizer`` gives for a BERT.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from kdkit.data import text
from kdkit.data.answers import Answers
from kdkit.losses.arguments import IGNORE_INDEX, whole

if TYPE_CHECKING:  # they take seconds to import
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

PAD, UNK, CLS, SEP, MASK = SPECIAL = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
VOCAB_SIZE, MAX_LENGTH = 3000, 128
MASK_RATE = 0.15  # share of the tokens that are to be predicted
SHOWN_AS_MASK, SHOWN_AT_RANDOM = 0.8, 0.1  # of these; the rest stand there as they are


class Sequences(NamedTuple):
    """N sequences of L tokens: ``input_ids``, int64 ``[N, L]``; ``attention_mask``, bool ``[N, L]``, False in padding.

    Both names are Hugging Face's.
    """

    input_ids: Tensor
    attention_mask: Tensor

    def at(self, index: Tensor | slice) -> "Sequences":
        """The sequences at ``index`` (a tensor ``[n]`` of int64 or bool, or a slice)."""
        return Sequences(self.input_ids[index], self.attention_mask[index])


class MaskedBatch(NamedTuple):
    """Sequences with masked tokens: ``input_ids`` as a network sees them, ``labels``, ``attention_mask``: ``[N, L]``.

    ``labels``, int64, are -100 where nothing is to be predicted; ``attention_mask``, bool, is False in padding.
    """

    input_ids: Tensor
    labels: Tensor
    attention_mask: Tensor

    def to(self, device: torch.device | str) -> "MaskedBatch":
        """The same on ``device``."""
        return MaskedBatch(*(part.to(device) for part in self))


class Corpus(NamedTuple):
    """A tokenizer, and what it made of documents to learn from, to choose by and to report: ``Sequences`` each."""

    tokenizer: "PreTrainedTokenizerBase"
    train: Sequences
    val: Sequences
    test: Sequences


def learn_vocabulary(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> list[str]:
    """The ``vocab_size`` word pieces that serve best to write ``texts``; fewer where the texts hold fewer.

    Lower case, as in bert-base-uncased; a piece that stands within a word begins with ``##``. The trainer is that of
    Hugging Face's ``tokenizers``. Where pieces serve equally well it chooses as it happens: keep what it gave.
    """
    from tokenizers.trainers import WordPieceTrainer

    learner = _word_piece_model()
    learner.train_from_iterator(
        texts, WordPieceTrainer(vocab_size=vocab_size, special_tokens=[*SPECIAL], show_progress=False)
    )
    numbers = learner.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def tokenizer(vocabulary: list[str]) -> "PreTrainedTokenizerBase":
    """A tokenizer of these word pieces, as ``learn_vocabulary`` gives them.

    Raises ``ValueError`` where BERT's special tokens are missing.
    """
    from transformers import PreTrainedTokenizerFast

    missing = [token for token in SPECIAL if token not in vocabulary]
    if missing:
        raise ValueError(f"vocabulary must hold {', '.join(SPECIAL)}; got none of {', '.join(missing)}: add them.")
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    ids = {token: number for number, token in enumerate(vocabulary)}
    return PreTrainedTokenizerFast(tokenizer_object=_word_piece_model(ids), **names)


def _word_piece_model(ids: dict[str, int] | None = None) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece(ids or {UNK: 0}, unk_token=UNK))
    if ids:  # a sentence that is given by itself begins and ends as the sequences do that were learnt from
        ends = [(token, ids[token]) for token in (CLS, SEP)]
        made.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", special_tokens=ends)
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return made


def encode(
    texts: Iterable[str],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int = MAX_LENGTH,
    truncation: bool = False,
) -> Sequences:
    """Cut each of ``texts`` into sequences of ``max_length`` tokens: ``Sequences``, ``[N, max_length]``.

    A sequence begins with [CLS] and ends with [SEP]; what is left over at the end of a text is padded. A sequence holds
    tokens of one text only. ``truncation``: take the first sequence of each text and leave the rest. Raises
    ``ValueError`` where there is nothing to cut, and for a tokenizer without BERT's special tokens.
    """
    texts = _as_texts(texts)
    check(tokenizer)
    max_length = whole(max_length, "max_length", 3, 2**20, "It must have place for [CLS], a token and [SEP].")
    inside = max_length - 2  # without [CLS] and [SEP]
    found = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
    if truncation:
        found = [ids[:inside] for ids in found]
    cut = [ids[start : start + inside] for ids in found for start in range(0, len(ids), inside)]
    if not cut:
        raise ValueError("the texts hold no token: give at least one that is not empty.")
    input_ids = torch.full((len(cut), max_length), tokenizer.pad_token_id)
    attention_mask = torch.zeros(input_ids.shape, dtype=torch.bool)
    for row, ids in enumerate(cut):
        ids = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
        input_ids[row, : len(ids)] = torch.tensor(ids)
        attention_mask[row, : len(ids)] = True
    return Sequences(input_ids, attention_mask)


def _as_texts(texts: Any) -> list[str]:
    """``texts`` as a list. ``ValueError`` unless they are several strings."""
    if isinstance(texts, str):
        raise ValueError("texts must be several strings, such as a list; got one string.")
    texts = [*texts] if isinstance(texts, Iterable) and getattr(texts, "ndim", 1) != 0 else [texts]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("texts must be several strings, such as a list; got something else.")
    return texts


def corpus(documents: Mapping[str, str], tokenizer: "PreTrainedTokenizerBase", max_length: int = MAX_LENGTH) -> Corpus:
    """``documents``, a dict of name to text, split (``text.split``) and encoded: a ``Corpus``.

    Sequences in which the tokenizer knows no token are left out: nothing could be masked there. Raises ``ValueError``
    where none is left, and as ``text.split`` and ``encode`` do.
    """
    return Corpus(tokenizer, *(_known(part, tokenizer, max_length) for part in text.split(documents)))


def _known(documents: Mapping[str, str], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> Sequences:
    """The sequences of ``documents`` in which the tokenizer knows a token. ``ValueError`` where there is none."""
    sequences = encode(documents.values(), tokenizer, max_length)
    kept = maskable(sequences, tokenizer).any(1)
    if not kept.any():
        raise ValueError("the tokenizer knows no token of these texts: they are of another language, or it is.")
    return sequences.at(kept)


def to_write(sequences: Sequences) -> Answers:
    """The same sequences for a network that writes: [CLS] is the prompt, all that follows, to [SEP], the answer."""
    answer = sequences.attention_mask.clone()
    answer[:, 0] = False
    return Answers(*sequences, answer, prompt_length=1)


def maskable(sequences: Sequences, tokenizer: "PreTrainedTokenizerBase") -> Tensor:
    """Which tokens may be masked, bool ``[N, L]``: all but padding and special ones, such as [CLS]."""
    special = torch.isin(sequences.input_ids, torch.tensor(tokenizer.all_special_ids))
    return sequences.attention_mask & ~special


def check(tokenizer: "PreTrainedTokenizerBase") -> None:
    """``ValueError`` unless ``tokenizer`` has BERT's special tokens: for padding, beginning, end and what is masked."""
    if not hasattr(tokenizer, "mask_token_id"):
        raise ValueError(
            f"a tokenizer of Hugging Face's is wanted, or tokens.tokenizer; got {type(tokenizer).__name__}."
        )
    for name, number in (
        (PAD, tokenizer.pad_token_id),
        (CLS, tokenizer.cls_token_id),
        (SEP, tokenizer.sep_token_id),
        (MASK, tokenizer.mask_token_id),
    ):
        if number is None:
            raise ValueError(f"this tokenizer has no {name} token: take one that was made for BERT.")


def mask_tokens(sequences: Sequences, tokenizer: "PreTrainedTokenizerBase", generator: torch.Generator) -> MaskedBatch:
    """Mask some tokens of each sequence, anew with each call, as ``generator`` draws them: a ``MaskedBatch``.

    Of the tokens, 15 % are to be predicted, at least one in each sequence that has one, and never a special one such
    as [CLS]. Of these, 80 % are shown as [MASK], 10 % as any token of all, and 10 % as they are: so that a network
    cannot trust what it reads, either. Source: Devlin et al. 2019 (arXiv:1810.04805), section 3.1.

    (transformers' ``DataCollatorForLanguageModeling`` takes no generator, and may leave a short sequence unmasked.)
    """
    input_ids, attention_mask = sequences
    allowed = maskable(sequences, tokenizer)
    count = (MASK_RATE * allowed.sum(1)).round().clamp(min=1)  # [N]
    rank = torch.rand(input_ids.shape, generator=generator).masked_fill(~allowed, 2.0).argsort(1).argsort(1)
    masked = allowed & (rank < count[:, None])  # [N, L]: the tokens of the lowest ranks
    how = torch.rand(input_ids.shape, generator=generator)
    another = torch.randint(len(tokenizer), input_ids.shape, generator=generator)
    shown = input_ids.where(~masked | (how >= SHOWN_AS_MASK), tokenizer.mask_token_id)
    shown = shown.where(~masked | (how < 1 - SHOWN_AT_RANDOM), another)
    return MaskedBatch(shown, input_ids.where(masked, IGNORE_INDEX), attention_mask)


def log_frequencies(sequences: Sequences, tokenizer: "PreTrainedTokenizerBase") -> Tensor:
    """How common each token is among those of ``sequences`` that may be masked: log probabilities ``[V]``.

    Whoever knows nothing else predicts by these. Each token counts once more than it was seen, so that none is
    impossible.
    """
    seen = sequences.input_ids[maskable(sequences, tokenizer)]
    counts = seen.bincount(minlength=len(tokenizer)).double() + 1
    return (counts / counts.sum()).log()


def fingerprint(sequences: Sequences) -> str:
    """A short hash of the tokens: a training belongs to these sequences, in this order."""
    digest = hashlib.sha256(repr(tuple(sequences.input_ids.shape)).encode())
    digest.update(sequences.input_ids.contiguous().numpy().data)
    return digest.hexdigest()[:16]
