"""The losses of knowledge distillation, as plain functions of tensors: student first, teacher second."""

from kdkit.losses.features import cosine_distance
from kdkit.losses.logits import (
    KDTerms,
    hard_cross_entropy,
    kd_loss,
    kd_terms,
    kl_divergence,
    resolve_weights,
    soft_cross_entropy,
    why_not_finite,
)

__all__ = [
    "KDTerms",
    "cosine_distance",
    "hard_cross_entropy",
    "kd_loss",
    "kd_terms",
    "kl_divergence",
    "resolve_weights",
    "soft_cross_entropy",
    "why_not_finite",
]
