"""What a network that writes does, computed and not sampled: for languages whose right sentences can be listed.

A language is ``Answers``, all right ones, and ``prompt``, int64 ``[N]``: those of one prompt have the same number.
Means over prompts weigh each by the number of its right answers: under the truth, each right sentence is as likely.
"""

import torch
from torch import Tensor, nn

from kdkit import models
from kdkit.data.answers import Answers

EVALUATION_BATCH = 2048  # texts
ROUNDING = 1e-9  # what is left of a probability that float32 has rounded to 1


@torch.no_grad()
def log_probabilities(network: nn.Module, answers: Answers) -> Tensor:
    """The log-probability of each answer, its end included, given its prompt: float64 ``[N]``.

    ``network``: one that says the next token, such as ``gpt.gpt`` makes; in eval mode, its own mode is put back.
    """
    from kdkit.models import gpt  # transformers takes seconds to import

    found, device = [], models.device_of(network)
    with models.evaluating(network):
        for start in range(0, len(answers.input_ids), EVALUATION_BATCH):
            part = answers.at(slice(start, start + EVALUATION_BATCH)).to(device)
            logits = models.logits(network, gpt.inputs(part.input_ids[:, :-1], part.attention_mask[:, :-1]))
            said = logits.double().log_softmax(-1).gather(-1, part.input_ids[:, 1:, None]).squeeze(-1)  # [n, L - 1]
            found.append(said.masked_fill(~part.loss_mask[:, 1:], 0.0).sum(1).cpu())
    return torch.cat(found)


def judge(log_q: Tensor, prompt: Tensor, teacher: Tensor | None = None) -> dict[str, float]:
    """How well a network writes, of its ``log_probabilities`` ``log_q`` ``[N]``: a dict.

    ``validity``: the probability that its answer is right. ``coverage``: how many of the right answers it uses, exp of
    the entropy among them / their number; 1 if all are as likely. ``truth_kl``: KL(truth || network) in nats, where the
    truth is even over right answers. (The other way round it is infinite for whoever is ever wrong.) With ``teacher``,
    its log-probabilities ``[N]``, also ``forward_kl``, KL(teacher || network), and ``reverse_kl``, KL(network ||
    teacher), with all wrong answers to a prompt counted as one: exact for what can be told apart so, and at most the KL
    over all strings.

    >>> half = torch.tensor([0.25, 0.25, 0.5]).log()  # of two answers to one prompt and the one to another
    >>> {name: round(value, 3) for name, value in judge(half, torch.tensor([0, 0, 1])).items()}
    {'validity': 0.5, 'coverage': 1.0, 'truth_kl': 0.693}
    """
    _, prompt, count = prompt.unique(return_inverse=True, return_counts=True)
    log_q, count = log_q.double(), count.double()
    q = log_q.exp()
    share = count / count.sum()
    right = _sums(q, prompt)
    among = q / right[prompt].clamp_min(torch.finfo(torch.float64).tiny)
    coverage = _sums(torch.special.entr(among), prompt).exp() / count
    found = {
        "validity": share @ right,
        "coverage": share @ coverage,
        "truth_kl": (-log_q - count.log()[prompt]).mean(),
    }
    if teacher is not None:
        found["forward_kl"] = share @ _divergence(teacher.double(), log_q, prompt)
        found["reverse_kl"] = share @ _divergence(log_q, teacher.double(), prompt)
    return {name: value.item() for name, value in found.items()}


def _sums(values: Tensor, prompt: Tensor) -> Tensor:
    """The sum of ``values`` ``[N]`` for each prompt: ``[P]``."""
    return values.new_zeros(int(prompt.max()) + 1).index_add(0, prompt, values)


def _divergence(log_p: Tensor, log_q: Tensor, prompt: Tensor) -> Tensor:
    """KL(p || q) for each prompt ``[P]``, over its right answers and one more for all that is wrong."""
    wrong_p, wrong_q = ((1 - _sums(log.exp(), prompt)).clamp_min(ROUNDING) for log in (log_p, log_q))
    return _sums(log_p.exp() * (log_p - log_q), prompt) + wrong_p * (wrong_p / wrong_q).log()
