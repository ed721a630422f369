"""Networks: the course's own, and what holds for any. (``bert`` stands apart: transformers takes seconds to load.)"""

from kdkit.models.convnet import ConvNet, Whiten, student, teacher
from kdkit.models.encoder import encoder
from kdkit.models.fingerprints import fingerprint
from kdkit.models.networks import (
    check_network,
    check_total,
    count_parameters,
    device_of,
    eval_mode,
    evaluating,
    every_module,
    seeded,
    train_mode,
    unwrapped,
)
from kdkit.models.outputs import EVALUATION_BATCH, Argmax, as_input, evaluation_batch, logits, outputs
from kdkit.models.projector import Projector
from kdkit.models.taps import Features

__all__ = [
    "EVALUATION_BATCH",
    "Argmax",
    "ConvNet",
    "Features",
    "Projector",
    "Whiten",
    "as_input",
    "check_network",
    "check_total",
    "count_parameters",
    "device_of",
    "encoder",
    "eval_mode",
    "evaluating",
    "evaluation_batch",
    "every_module",
    "fingerprint",
    "logits",
    "outputs",
    "seeded",
    "student",
    "teacher",
    "train_mode",
    "unwrapped",
]
