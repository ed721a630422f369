"""Prompts with their answers, as a network that writes reads them: one row a text, and which of its tokens count."""

from typing import NamedTuple

import torch
from torch import Tensor

from kdkit import losses

IN_WORDS = "a prompt's tokens, then its answer's up to the end token"
_TENSORS = "input_ids", "attention_mask", "loss_mask"


class Answers(NamedTuple):
    """``N`` prompts of ``prompt_length`` tokens, each with an answer.

    ``input_ids``, int64 ``[N, L]``: the prompt, the answer with the token that ends it, and padding.
    ``attention_mask``, bool ``[N, L]``: False in padding, on the left of a short prompt or behind an answer.
    ``loss_mask``, bool ``[N, L]``: True where the answer stands, its end included: neither prompt nor padding counts.
    """

    input_ids: Tensor
    attention_mask: Tensor
    loss_mask: Tensor
    prompt_length: int

    def at(self, index: Tensor | slice) -> "Answers":
        """Those rows alone: ``index`` is int64 or bool ``[n]``, or a slice."""
        return self._replace(**{name: getattr(self, name)[index] for name in _TENSORS})

    def to(self, device: torch.device | str) -> "Answers":
        """The same on ``device``."""
        return self._replace(**{name: getattr(self, name).to(device) for name in _TENSORS})

    @property
    def prompts(self) -> tuple[Tensor, Tensor]:
        """The prompts alone, ``[N, prompt_length]``: their ``input_ids`` and ``attention_mask``."""
        return self.input_ids[:, : self.prompt_length], self.attention_mask[:, : self.prompt_length]


def until_end(input_ids: Tensor, prompt_length: int, end: int, prompt_mask: Tensor | None = None) -> Answers:
    """``Answers`` of texts ``input_ids`` ``[N, L]``: an answer goes to its first ``end`` token, which counts.

    What stands behind it is padding, whatever it is, so that the end may be used to pad as well. (Whoever ignores
    every label that equals the padding token then never teaches the end, and the network does not stop.) An answer
    without an end counts whole. ``prompt_mask``, bool ``[N, prompt_length]``: False where a prompt is padded.
    Raises ``ValueError`` where the shapes do not fit.

    >>> until_end(torch.tensor([[7, 5, 9, 9]]), prompt_length=1, end=9).loss_mask.tolist()
    [[False, True, True, False]]
    """
    if input_ids.ndim != 2 or not 1 <= prompt_length < input_ids.shape[1]:
        raise ValueError(f"input_ids must be [N, L], {IN_WORDS}; got {list(input_ids.shape)}, prompt {prompt_length}.")
    asked = torch.ones_like(input_ids[:, :prompt_length], dtype=torch.bool) if prompt_mask is None else prompt_mask
    if asked.shape != (len(input_ids), prompt_length):
        raise ValueError(
            f"prompt_mask must be [N, prompt_length], here {[len(input_ids), prompt_length]}; got {list(asked.shape)}."
        )
    counts = losses.completion_mask(input_ids, prompt_length, end)
    attention_mask = torch.cat([asked.bool(), counts[:, prompt_length:]], 1)
    return Answers(input_ids, attention_mask, counts, prompt_length)
