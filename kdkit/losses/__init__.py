"""The losses of knowledge distillation, as plain functions of tensors: student first, teacher second."""

from kdkit.losses.features import attention_map, attention_transfer, cosine_distance, hint, log_sum
from kdkit.losses.logits import (
    KDTerms,
    dist,
    dkd,
    hard_cross_entropy,
    kd_loss,
    kd_terms,
    kl_divergence,
    resolve_weights,
    soft_cross_entropy,
    standardised,
    why_not_finite,
)
from kdkit.losses.relations import gram_table, pkt, rkd_angle, rkd_distance, similarity_preserving

__all__ = [
    "KDTerms",
    "attention_map",
    "attention_transfer",
    "cosine_distance",
    "dist",
    "dkd",
    "gram_table",
    "hard_cross_entropy",
    "hint",
    "kd_loss",
    "kd_terms",
    "kl_divergence",
    "log_sum",
    "pkt",
    "resolve_weights",
    "rkd_angle",
    "rkd_distance",
    "similarity_preserving",
    "soft_cross_entropy",
    "standardised",
    "why_not_finite",
]
