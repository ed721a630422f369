"""A small GPT: Hugging Face's GPT-2 at any size, and what it writes.

What holds for the small ones here holds for the real ones: ``write`` and ``inputs`` take ``gpt2`` as well.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from kdkit import models
from kdkit.data.answers import Answers, until_end
from kdkit.losses.arguments import positive, whole
from kdkit.models.bert import layers_to_copy

HEADS = 4


def gpt(
    width: int, depth: int, vocab_size: int, max_length: int, seed: int = 0, *, end: int | None = None
) -> GPT2LMHeadModel:
    """A GPT-2 that predicts the next token, with random weights: ``depth`` layers of ``width``, four heads in each.

    ``vocab_size``: how many tokens it knows, of which ``end`` ends a text: the last if left out, as in GPT-2;
    ``max_length``: tokens of its longest text, the prompt included. It has no dropout: whoever writes with a network in
    train mode would otherwise hear another one each time. The same ``seed`` gives the same weights; the global random
    state is neither read nor changed. Raises ``ValueError`` for a width that four heads cannot share, for sizes that
    are no whole numbers, and for an ``end`` that is no token.

    >>> gpt(8, 1, vocab_size=13, max_length=10)(torch.zeros(1, 5, dtype=torch.long)).logits.shape
    torch.Size([1, 5, 13])
    """
    width, depth = whole(width, "width"), whole(depth, "depth", 1)
    vocab_size, max_length = whole(vocab_size, "vocab_size", 2), whole(max_length, "max_length", 2)
    if width < 1 or width % HEADS:
        raise ValueError(f"width must be a multiple of {HEADS}, the number of heads; got {width}.")
    models.check_total(12 * depth * width**2 + (vocab_size + max_length) * width)
    last = vocab_size - 1 if end is None else whole(end, "end", 0, vocab_size - 1)
    config = GPT2Config(  # type: ignore[call-arg]  # attn_implementation is not among its own
        vocab_size=vocab_size,
        n_positions=max_length,
        n_embd=width,
        n_layer=depth,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=last,
        eos_token_id=last,
        tie_word_embeddings=False,  # with so few tokens it saves nothing, and a network of one layer learns far better
        attn_implementation="eager",  # on such short texts the quicker one
    )
    with models.seeded(seed):
        network = GPT2LMHeadModel(config)
    sizes = {"family": "gpt", "width": width, "depth": depth, "vocab_size": vocab_size, "max_length": max_length}
    sizes |= {} if end is None else {"end": last}
    network.architecture = sizes  # type: ignore[assignment]  # no tensor or module, as torch would have it
    return network


@torch.no_grad()
def student(teacher: GPT2LMHeadModel) -> GPT2LMHeadModel:
    """A GPT with half as many layers as ``teacher``, one at least, made of the teacher's own weights.

    It gets its embeddings, its head, and layers spread evenly from the first to the last (``bert.layers_to_copy``), to
    the bit. Raises ``ValueError`` for a teacher that ``gpt`` has not built.

    >>> student(gpt(8, 4, vocab_size=13, max_length=10)).config.n_layer
    2
    """
    sizes = getattr(teacher, "architecture", None)
    if not isinstance(teacher, GPT2LMHeadModel) or not isinstance(sizes, dict):
        raise ValueError(f"a student is made of a network that kdkit.models.gpt built; got {type(teacher).__name__}.")
    depth = max(1, sizes["depth"] // 2)
    found = gpt(**{name: size for name, size in sizes.items() if name != "family"} | {"depth": depth})
    ours, theirs = found.transformer, teacher.transformer
    for number, layer in enumerate(layers_to_copy(teacher_depth=sizes["depth"], student_depth=depth)):
        ours.h[number].load_state_dict(theirs.h[layer].state_dict())
    for name in "wte", "wpe", "ln_f":
        getattr(ours, name).load_state_dict(getattr(theirs, name).state_dict())
    found.lm_head.load_state_dict(teacher.lm_head.state_dict())
    return found


def position_ids(attention_mask: Tensor) -> Tensor:
    """The place of each token in its own text, int64 ``[N, L]``: padding on the left does not count.

    GPT-2 numbers places from the left edge if it is not told: a prompt that is padded there would be read as the middle
    of a text.

    >>> position_ids(torch.tensor([[False, False, True, True], [True, True, True, True]])).tolist()
    [[0, 0, 0, 1], [0, 1, 2, 3]]
    """
    return (attention_mask.long().cumsum(1) - 1).clamp_min(0)


def inputs(input_ids: Tensor, attention_mask: Tensor) -> dict[str, Any]:
    """What a network is given, by name, to say the next token at each place of texts ``[N, L]``."""
    places = position_ids(attention_mask)
    return {"input_ids": input_ids, "attention_mask": attention_mask.long(), "position_ids": places, "use_cache": False}


def write(
    network: PreTrainedModel,
    prompts: tuple[Tensor, Tensor],
    length: int,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    greedy: bool = False,
) -> Answers:
    """Let ``network`` answer: ``Answers`` of up to ``length`` tokens, sampled by Hugging Face's ``generate``.

    Parameters:
        network: in whatever mode; it writes in eval mode, without dropout, and is then as it was.
        prompts: ``input_ids`` and ``attention_mask``, ``[N, P]`` each (``Answers.prompts``), padded on the left.
        length: the most tokens of an answer, its end included. One that has not ended by then is cut.
        generator: gives the seed of what is drawn. ``generate`` itself takes none, only torch's global one, which is
            as it was afterwards.
        temperature: of the sampling, T of softmax(z / T); it has nothing to do with that of a loss.
        greedy: take the likeliest token each time, and draw nothing.

    Raises ``ValueError`` for a temperature that is no positive number, and for texts that would grow too long.
    """
    input_ids, attention_mask = prompts
    length, asked = whole(length, "length", 1), input_ids.shape[1]
    most, end = network.config.max_position_embeddings, network.config.eos_token_id
    if asked + length > most:
        raise ValueError(f"prompts of {asked} tokens and answers of {length} are longer than the network's {most}.")
    how: dict = {"do_sample": False} if greedy else {"do_sample": True, "top_k": 0}
    how |= {} if greedy else {"temperature": positive("temperature", temperature)}
    drawn = int(torch.randint(2**62, (), generator=generator))
    with models.evaluating(network), models.seeded(drawn, input_ids.device):
        texts = network.generate(  # type: ignore[operator]  # of a mixin that has no types
            input_ids=input_ids, attention_mask=attention_mask.long(), max_new_tokens=length, pad_token_id=end, **how
        )
    padding = texts.new_full((len(texts), asked + length - texts.shape[1]), end)  # where all ended early
    return until_end(torch.cat([texts, padding], 1), asked, end, attention_mask)
