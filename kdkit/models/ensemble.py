"""Several networks as one."""

import math

import torch
from torch import Tensor, nn

from kdkit.models.networks import check_network
from kdkit.models.outputs import logits


class Ensemble(nn.Module):
    """Several teachers as one: the mean of their soft targets at ``temperature``, or without one of their logits.

    Probabilities are what an ensemble usually averages. Logits of networks that are trained on another scale are not
    alike: the one that is surest of itself outvotes the others. Raises ``ValueError`` for no members, or what is no
    network.
    """

    def __init__(self, members: list[nn.Module], temperature: float | None = None) -> None:
        super().__init__()
        if not members:
            raise ValueError("an ensemble needs members: give at least one network.")
        for number, member in enumerate(members):
            check_network(f"members[{number}]", member)
        self.members, self.temperature = nn.ModuleList(members), temperature

    def extra_repr(self) -> str:
        """What it prints of itself."""
        return f"temperature={self.temperature}"

    @property
    def size(self) -> int | None:
        """The largest ``size`` that a member wants its images in (``ForImages``); None where any will do."""
        return max((size for member in self.members if (size := getattr(member, "size", None))), default=None)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, C]``; with a temperature those whose soft target there is the mean of the members'."""
        said = torch.stack([logits(member, images) for member in self.members])  # [members, N, C]
        if self.temperature is None:
            return said.mean(0)
        # in logarithms, where a class of probability 1e-50 is still one that is less unlikely than another
        mean = (said / self.temperature).log_softmax(-1).logsumexp(0) - math.log(len(said))
        return self.temperature * mean
