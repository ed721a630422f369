"""BERT, the teacher, and DistilBERT, the student that is made of its layers: Hugging Face's classes, at any size.

What holds for the small ones here holds for the real ones: ``student`` and ``copy_layers`` take ``bert-base-uncased``
as well.
"""

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    PreTrainedModel,
)

from kdkit import models
from kdkit.data.tokens import LENGTH, WORDS
from kdkit.losses.arguments import whole

HEADS = 4
SORTING = {BertForMaskedLM: BertForSequenceClassification, DistilBertForMaskedLM: DistilBertForSequenceClassification}


def teacher(width=176, depth=6, words=WORDS, length=LENGTH, seed=0):
    """A BERT that guesses hidden words, with random weights: ``depth`` layers of ``width``, four heads in each.

    ``words``: how many tokens it knows; ``length``: of the longest text. The same ``seed`` gives the same weights; the
    global random state is neither read nor changed. ``ValueError`` for a width that four heads cannot share, and for
    fewer than one layer.

    >>> teacher(8, 1, words=20, length=16)(torch.zeros(1, 5, dtype=torch.long)).logits.shape
    torch.Size([1, 5, 20])
    """
    width, depth = whole(width, "width"), whole(depth, "depth", 1)
    words, length = whole(words, "words", 1), whole(length, "length", 3)
    if width < 1 or width % HEADS:
        raise ValueError(f"width must be a multiple of {HEADS}, the number of heads; got {width}.")
    models.check_total(12 * depth * width**2 + (words + length) * width)
    config = BertConfig(
        vocab_size=words,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=HEADS,
        intermediate_size=4 * width,
        max_position_embeddings=length,
        type_vocab_size=1,
    )
    network = _seeded(BertForMaskedLM, config, seed)
    network.architecture = {"width": width, "depth": depth, "words": words, "length": length}
    return network


def student(teacher, depth=None, seed=0):
    """A DistilBERT with random weights, as wide as ``teacher``, with ``depth`` layers: half as many, if it is left out.

    Its layers are like the teacher's, only fewer; what BERT has for pairs of sentences (token types, pooler) is left
    out. ``ValueError`` for fewer than one. Source: Sanh et al. 2019 (arXiv:1910.01108), section 3.
    """
    _check_bert(teacher)
    known = teacher.config
    depth = max(1, known.num_hidden_layers // 2) if depth is None else depth
    depth = whole(depth, "depth", 1, advice="It is half the teacher's if it is left out.")
    models.check_total(12 * depth * known.hidden_size**2)
    config = DistilBertConfig(
        vocab_size=known.vocab_size,
        dim=known.hidden_size,
        n_layers=depth,
        n_heads=known.num_attention_heads,
        hidden_dim=known.intermediate_size,
        max_position_embeddings=known.max_position_embeddings,
        activation=known.hidden_act,
        dropout=known.hidden_dropout_prob,
        attention_dropout=known.attention_probs_dropout_prob,
        pad_token_id=known.pad_token_id,
    )
    return _seeded(DistilBertForMaskedLM, config, seed)


def _seeded(kind, config, seed):
    with models.seeded(seed):
        return kind(config)


def _check_bert(teacher):
    """``ValueError`` unless ``teacher`` is a BERT that guesses words, with the same table for reading and guessing."""
    if not isinstance(teacher, BertForMaskedLM):
        raise ValueError(f"a student is made of a BertForMaskedLM; got {type(teacher).__name__}.")
    if teacher.cls.predictions.decoder.weight is not teacher.bert.embeddings.word_embeddings.weight:
        raise ValueError("this BERT has one table of words to read and another to guess; DistilBERT has one for both.")


def layers_to_copy(teacher_depth, student_depth):
    """Which of the teacher's layers a student begins with: spread evenly from the first to the last (one: the first).

    >>> layers_to_copy(12, 6)  # as in DistilBERT's own code
    (0, 2, 4, 7, 9, 11)
    >>> layers_to_copy(6, 3)
    (0, 2, 5)
    """
    if not 1 <= student_depth <= teacher_depth:
        raise ValueError(
            f"a student of 1 to {teacher_depth} layers can be made of {teacher_depth}; got {student_depth}."
        )
    gap = (teacher_depth - 1) / max(1, student_depth - 1)
    return tuple(round(gap * number) for number in range(student_depth))


@torch.no_grad()
def copy_layers(teacher, student):
    """Give ``student`` the teacher's embeddings, some of its layers (``layers_to_copy``) and its head, to the bit.

    What BERT adds for token types is left out, as in DistilBERT's code. Returns the numbers of the layers. Raises
    ``ValueError`` where the two do not fit.
    """
    _check_bert(teacher)
    _check_layers(teacher, student)
    layers = layers_to_copy(teacher.config.num_hidden_layers, student.config.n_layers)
    ours, theirs = student.distilbert, teacher.bert
    for name in "word_embeddings", "position_embeddings", "LayerNorm":
        getattr(ours.embeddings, name).load_state_dict(getattr(theirs.embeddings, name).state_dict())
    for block, number in zip(ours.transformer.layer, layers, strict=True):
        for own, other in _same_parts(block, theirs.encoder.layer[number]):
            own.load_state_dict(other.state_dict())
    head = teacher.cls.predictions
    student.vocab_transform.load_state_dict(head.transform.dense.state_dict())
    student.vocab_layer_norm.load_state_dict(head.transform.LayerNorm.state_dict())
    student.vocab_projector.weight.copy_(head.decoder.weight)
    student.vocab_projector.bias.copy_(head.bias)
    return layers


def _check_layers(teacher, student):
    """``ValueError`` unless the student's layers are such as the teacher has."""
    if not isinstance(student, DistilBertForMaskedLM):
        raise ValueError(
            f"layers are copied to a DistilBertForMaskedLM; got {type(student).__name__}. Take berts.student(teacher)."
        )
    check_fit(teacher, student)
    theirs, ours = teacher.config, student.config
    settings = {
        "heads": (ours.n_heads, theirs.num_attention_heads),
        "width inside a layer": (ours.hidden_dim, theirs.intermediate_size),
        "positions": (ours.max_position_embeddings, theirs.max_position_embeddings),
        "activation": (ours.activation, theirs.hidden_act),
    }
    other = [f"{name} {own!r} (the teacher {its!r})" for name, (own, its) in settings.items() if own != its]
    if other:
        raise ValueError(f"the student's layers are of another kind: {', '.join(other)}. Take berts.student(teacher).")


def _same_parts(ours, theirs):
    """The parts of a DistilBERT layer, each beside BERT's, which has other names."""
    attention = theirs.attention
    return (
        (ours.attention.q_lin, attention.self.query),
        (ours.attention.k_lin, attention.self.key),
        (ours.attention.v_lin, attention.self.value),
        (ours.attention.out_lin, attention.output.dense),
        (ours.sa_layer_norm, attention.output.LayerNorm),
        (ours.ffn.lin1, theirs.intermediate.dense),
        (ours.ffn.lin2, theirs.output.dense),
        (ours.output_layer_norm, theirs.output.LayerNorm),
    )


def check_reader(name, network):
    """``ValueError`` unless ``network`` is one of Hugging Face's that reads text; messages call it ``name``."""
    if not isinstance(network, PreTrainedModel):
        raise ValueError(f"{name} must be a network that reads text, such as a BERT; got {type(network).__name__}.")


def check_fit(teacher, student, hidden=True):
    """``ValueError`` unless both guess the same words, and, with ``hidden``, think in vectors of the same size."""
    theirs, ours = teacher.config, student.config
    if theirs.vocab_size != ours.vocab_size:
        raise ValueError(
            f"teacher and student must know the same words; the teacher has {theirs.vocab_size}, the student "
            f"{ours.vocab_size}. Give both the same tokenizer."
        )
    if hidden and theirs.hidden_size != ours.hidden_size:
        raise ValueError(
            f"the student's hidden states have {ours.hidden_size} numbers, the teacher's {theirs.hidden_size}: there "
            "is no angle between them, and no layer to copy. Take one width, or random weights and cosine_weight=0."
        )


def answer(network, inputs, mask):
    """What ``network`` says of each token: logits ``[N, L, V]``, and its last hidden states ``[N, L, width]``.

    ``inputs``: token numbers ``[N, L]``; ``mask``: bool ``[N, L]``, False where padding is.
    """
    output = network(input_ids=inputs, attention_mask=mask.long(), output_hidden_states=True)
    return output.logits, output.hidden_states[-1]


def classifier(network, classes, seed=0):
    """A network that sorts texts into ``classes``: the body of ``network``, a copy, with a new random head on it.

    ``ValueError`` for what is neither a BERT nor a DistilBERT that guesses hidden words.
    """
    kind = next((sorting for guessing, sorting in SORTING.items() if isinstance(network, guessing)), None)
    if kind is None:
        known = " or a ".join(known.__name__ for known in SORTING)
        raise ValueError(f"the body of a {known} is wanted; got {type(network).__name__}.")
    known = {name: value for name, value in network.config.to_dict().items() if name not in ("id2label", "label2id")}
    config = type(network.config)(**known, num_labels=classes)
    made = _seeded(kind, config, seed)
    kept = made.base_model.load_state_dict(network.base_model.state_dict(), strict=False)
    if kept.unexpected_keys or any(not name.startswith("pooler.") for name in kept.missing_keys):
        raise ValueError(f"{type(network).__name__} has another body than its config says: {kept}.")
    return made
