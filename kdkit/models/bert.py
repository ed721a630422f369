"""BERT, the teacher, and DistilBERT, the student that is made of its layers: Hugging Face's classes, at any size.

What holds for the small ones here holds for the real ones: ``student`` and ``copy_layers`` take ``bert-base-uncased``
as well.
"""

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)

from kdkit import models
from kdkit.data.tokens import MAX_LENGTH, VOCAB_SIZE
from kdkit.losses.arguments import whole

HEADS = 4
CLASSIFIERS: dict[type[PreTrainedModel], type[PreTrainedModel]] = {
    BertForMaskedLM: BertForSequenceClassification,
    DistilBertForMaskedLM: DistilBertForSequenceClassification,
}

Model = TypeVar("Model", bound=PreTrainedModel)


def teacher(
    width: int = 176,
    depth: int = 6,
    vocab_size: int = VOCAB_SIZE,
    max_length: int = MAX_LENGTH,
    seed: int = 0,
) -> BertForMaskedLM:
    """A BERT that predicts masked tokens, with random weights: ``depth`` layers of ``width``, four heads in each.

    ``vocab_size``: how many tokens it knows; ``max_length``: tokens in its longest sequence. The same ``seed`` gives
    the same weights; the global random state is neither read nor changed. Raises ``ValueError`` for a width that four
    heads cannot share, for fewer than one layer, and for sizes that are not whole numbers, or too large together.

    >>> teacher(8, 1, vocab_size=20, max_length=16)(torch.zeros(1, 5, dtype=torch.long)).logits.shape
    torch.Size([1, 5, 20])
    """
    width, depth = whole(width, "width"), whole(depth, "depth", 1)
    vocab_size, max_length = whole(vocab_size, "vocab_size", 1), whole(max_length, "max_length", 3)
    if width < 1 or width % HEADS:
        raise ValueError(f"width must be a multiple of {HEADS}, the number of heads; got {width}.")
    models.check_total(12 * depth * width**2 + (vocab_size + max_length) * width)
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=HEADS,
        intermediate_size=4 * width,
        max_position_embeddings=max_length,
        type_vocab_size=1,
    )
    network = _seeded(BertForMaskedLM, config, seed)
    sizes = {"width": width, "depth": depth, "vocab_size": vocab_size, "max_length": max_length}
    network.architecture = sizes  # type: ignore[assignment]  # no tensor or module, as torch would have it
    return network


def student(teacher: BertForMaskedLM, depth: int | None = None, seed: int = 0) -> DistilBertForMaskedLM:
    """A DistilBERT with random weights, as wide as ``teacher``, with ``depth`` layers: half as many, if it is left out.

    Its layers are like the teacher's, only fewer; what BERT has for pairs of sentences (token types, pooler) is left
    out. Raises ``ValueError`` for fewer than one layer, and for a teacher that is no BERT with tied embeddings.
    Source: Sanh et al. 2019 (arXiv:1910.01108), section 3.
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


def _seeded(kind: type[Model], config: PretrainedConfig, seed: int) -> Model:
    with models.seeded(seed):
        return kind(config)


def _check_bert(teacher: BertForMaskedLM) -> None:
    """``ValueError`` unless ``teacher`` is a BERT that predicts tokens, its embeddings tied to its last layer."""
    if not isinstance(teacher, BertForMaskedLM):
        raise ValueError(f"a student is made of a BertForMaskedLM; got {type(teacher).__name__}.")
    if teacher.cls.predictions.decoder.weight is not teacher.bert.embeddings.word_embeddings.weight:
        raise ValueError(
            "this BERT has one table of embeddings and another to predict with; DistilBERT has one for both (tied)."
        )


def layers_to_copy(*, teacher_depth: int, student_depth: int) -> tuple[int, ...]:
    """Which of the teacher's layers a student begins with: spread evenly from the first to the last (one: the first).

    Raises ``ValueError`` for a student of no layer, or of more than its teacher has.

    >>> layers_to_copy(teacher_depth=12, student_depth=6)  # as in DistilBERT's own code
    (0, 2, 4, 7, 9, 11)
    >>> layers_to_copy(teacher_depth=6, student_depth=3)
    (0, 2, 5)
    """
    if not 1 <= student_depth <= teacher_depth:
        raise ValueError(
            f"a student of 1 to {teacher_depth} layers can be made of {teacher_depth}; got {student_depth}."
        )
    gap = (teacher_depth - 1) / max(1, student_depth - 1)
    return tuple(round(gap * number) for number in range(student_depth))


@torch.no_grad()
def copy_layers(teacher: BertForMaskedLM, student: DistilBertForMaskedLM) -> tuple[int, ...]:
    """Give ``student`` the teacher's embeddings, some of its layers (``layers_to_copy``) and its head, to the bit.

    What BERT adds for token types is left out, as in DistilBERT's code. Returns the numbers of the layers. Raises
    ``ValueError`` where the two do not fit.
    """
    _check_bert(teacher)
    _check_layers(teacher, student)
    depths = {"teacher_depth": teacher.config.num_hidden_layers, "student_depth": student.config.n_layers}
    layers = layers_to_copy(**depths)
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


def _check_layers(teacher: BertForMaskedLM, student: DistilBertForMaskedLM) -> None:
    """``ValueError`` unless the student's layers are such as the teacher has."""
    if not isinstance(student, DistilBertForMaskedLM):
        raise ValueError(
            f"layers are copied to a DistilBertForMaskedLM; got {type(student).__name__}. Take bert.student(teacher)."
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
        raise ValueError(f"the student's layers are of another kind: {', '.join(other)}. Take bert.student(teacher).")


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


def check_text_model(name: str, network: PreTrainedModel) -> None:
    """``ValueError`` unless ``network`` is one of Hugging Face's that reads text; messages call it ``name``."""
    if not isinstance(network, PreTrainedModel):
        raise ValueError(f"{name} must be a network that reads text, such as a BERT; got {type(network).__name__}.")


def check_fit(teacher: PreTrainedModel, student: PreTrainedModel, hidden: bool = True) -> None:
    """``ValueError`` unless both know the same tokens, and, with ``hidden``, have hidden states of the same size."""
    theirs, ours = teacher.config, student.config
    if theirs.vocab_size != ours.vocab_size:
        raise ValueError(
            f"teacher and student must know the same tokens; the teacher has {theirs.vocab_size}, the student "
            f"{ours.vocab_size}. Give both the same tokenizer."
        )
    if hidden and theirs.hidden_size != ours.hidden_size:
        raise ValueError(
            f"the student's hidden states have {ours.hidden_size} numbers, the teacher's {theirs.hidden_size}: there "
            "is no angle between them, and no layer to copy. Take one width, or random weights and cosine_weight=0."
        )


def answer(network: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """What ``network`` says of each token: logits ``[N, L, V]``, and its last hidden states ``[N, L, width]``.

    ``input_ids``: int64 ``[N, L]``; ``attention_mask``: bool ``[N, L]``, False where padding is.
    """
    output = network(input_ids=input_ids, attention_mask=attention_mask.long(), output_hidden_states=True)
    return output.logits, output.hidden_states[-1]


class LayerTrace(NamedTuple):
    """What one layer does to a text of L tokens: each token's vector ``before`` and ``after``, ``[L, width]``.

    ``looks_at`` ``[L, L]``: how much each token (a row, which sums to 1) looks at which, the mean over the heads.
    ``from_attention`` and ``from_network`` ``[L, width]``: what attention and the small network add to the vectors;
    ``inner`` ``[L, 4 width]``: what stands between the two linear layers of the small network.
    """

    before: Tensor
    looks_at: Tensor
    from_attention: Tensor
    inner: Tensor
    from_network: Tensor
    after: Tensor


@torch.no_grad()
def trace(network: BertForMaskedLM, input_ids: Tensor, layer: int) -> LayerTrace:
    """Look into one ``layer`` of ``network``, a number from 0, while it reads one text, int64 ``[1, L]``.

    Attention and the small network *add* to the vectors, and after each of them the vectors are brought to a common
    scale. So ``after`` is not the plain sum. The network's mode is put back. Raises ``ValueError`` for what is no BERT,
    for a layer that it does not have, and for anything but one text.

    >>> trace(teacher(8, 2, vocab_size=20, max_length=16), torch.zeros(1, 5, dtype=torch.long), layer=1).looks_at.shape
    torch.Size([5, 5])
    """
    _check_bert(network)
    heads, depth = network.config.num_attention_heads, network.config.num_hidden_layers
    layer = whole(layer, "layer", 0, depth - 1, "Layers are counted from 0.")
    if input_ids.ndim != 2 or len(input_ids) != 1:
        raise ValueError(f"input_ids must be one text, [1, L]; got shape {list(input_ids.shape)}.")
    own = f"bert.encoder.layer.{layer}"
    parts = {"query": f"{own}.attention.self.query", "key": f"{own}.attention.self.key"}
    parts |= {"from_attention": f"{own}.attention.output.dense", "from_network": f"{own}.output.dense", "after": own}
    parts["inner"] = f"{own}.intermediate"
    parts["before"] = f"bert.encoder.layer.{layer - 1}" if layer else "bert.embeddings"
    with models.evaluating(network):
        seen = models.Features(network, **parts)(input_ids=input_ids)
    query, key = (seen[name][0].unflatten(-1, (heads, -1)).transpose(0, 1) for name in ("query", "key"))  # [h, L, d]
    looks_at = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1).mean(0)  # [h, L, L] -> [L, L]
    vectors = {name: seen[name][0] for name in ("before", "from_attention", "inner", "from_network", "after")}
    return LayerTrace(looks_at=looks_at, **vectors)


def classifier(network: PreTrainedModel, classes: int, *, seed: int = 0) -> PreTrainedModel:
    """A network that classifies texts: the body of ``network``, a copy, with a new random head for ``classes``.

    Raises ``ValueError`` for what is neither a ``BertForMaskedLM`` nor a ``DistilBertForMaskedLM``, and for a body that
    is not as its config says.
    """
    kind = next((made for body, made in CLASSIFIERS.items() if isinstance(network, body)), None)
    if kind is None:
        known = " or a ".join(known.__name__ for known in CLASSIFIERS)
        raise ValueError(f"the body of a {known} is wanted; got {type(network).__name__}.")
    settings: dict[str, Any] = {**network.config.to_dict(), "num_labels": classes}
    for name in "id2label", "label2id":  # of the head that it had
        settings.pop(name, None)
    made = _seeded(kind, type(network.config)(**settings), seed)
    kept = made.base_model.load_state_dict(network.base_model.state_dict(), strict=False)
    if kept.unexpected_keys or any(not name.startswith("pooler.") for name in kept.missing_keys):
        raise ValueError(f"{type(network).__name__} has another body than its config says: {kept}.")
    return made
