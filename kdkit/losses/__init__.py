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
)
from kdkit.losses.relations import gram_table, pkt, rkd_angle, rkd_distance, similarity_preserving
from kdkit.losses.rows import why_not_finite
from kdkit.losses.sequences import (
    NextToken,
    TopK,
    completion_mask,
    jensen_shannon,
    next_token,
    reverse_kl,
    sampled_reverse_kl,
    top_k,
    top_k_kl,
)

__all__ = [
    "KDTerms",
    "NextToken",
    "TopK",
    "attention_map",
    "attention_transfer",
    "completion_mask",
    "cosine_distance",
    "dist",
    "dkd",
    "gram_table",
    "hard_cross_entropy",
    "hint",
    "jensen_shannon",
    "kd_loss",
    "kd_terms",
    "kl_divergence",
    "log_sum",
    "next_token",
    "pkt",
    "resolve_weights",
    "reverse_kl",
    "rkd_angle",
    "rkd_distance",
    "sampled_reverse_kl",
    "similarity_preserving",
    "soft_cross_entropy",
    "standardised",
    "top_k",
    "top_k_kl",
    "why_not_finite",
]
