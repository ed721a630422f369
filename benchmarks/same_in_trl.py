"""What TRL says, kept so that the kit can be held against it where TRL is not installed.

    pip install trl==1.16.0
    python benchmarks/same_in_trl.py --json kdkit/course/measured/trl.json

*losses*: its generalised Jensen-Shannon loss of ``libraries.some_logits``, for five beta and two temperatures. *steps*:
one training step of its trainers, with a random student of one layer and the teacher that ships; beside it, the kit's
loss of the same texts, tokens that count, and by how many TRL divided.
"""

import argparse
import json
from itertools import product
from pathlib import Path

from kdkit import losses, zoo
from kdkit.course import libraries
from kdkit.data import sums
from kdkit.measure import machine
from kdkit.models import gpt

BETAS, TEMPERATURES = (0.0, 0.1, 0.5, 0.9, 1.0), (1.0, 2.0)


def in_kdkit(student, teacher, labels, beta=0.5, temperature=1.0):
    """TRL's generalised Jensen-Shannon loss in the kit's terms, as notebook 09 has it."""
    mask = labels != -100
    if beta == 0:
        return losses.kl_divergence(student, teacher, temperature, mask)
    if beta == 1:
        return losses.reverse_kl(student, teacher, temperature, mask)
    return losses.jensen_shannon(student, teacher, beta=beta, temperature=temperature, mask=mask)


def said():
    """TRL's loss of the same logits, row by row."""
    from trl.experimental.gkd import GKDTrainer

    for beta, temperature in product(BETAS, TEMPERATURES):
        loss = GKDTrainer.generalized_jsd_loss(*libraries.some_logits(), beta=beta, temperature=temperature)
        yield {"beta": beta, "temperature": temperature, "loss": round(loss.item(), 7)}


def student():
    return gpt.gpt(32, 1, len(sums.CHARACTERS), sums.LENGTH)


def texts():
    from datasets import Dataset

    return {"train_dataset": Dataset.from_list(libraries.prompts()), "processing_class": libraries.tokenizer()}


def distillation(beta=1.0):
    """A ``DistillationTrainer``: the student writes, the teacher judges each token."""
    from trl import DistillationConfig, DistillationTrainer

    how = DistillationConfig(max_steps=1, beta=beta, max_completion_length=6, **libraries.QUIET)
    return DistillationTrainer(student(), teacher_model=zoo.load("sums-teacher"), args=how, **texts())


def gkd(**settings):
    """A ``GKDTrainer``, with ``lmbda``, ``beta``, ``seq_kd`` and others."""
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    how = GKDConfig(max_steps=1, max_new_tokens=6, **libraries.QUIET, **settings)
    return GKDTrainer(student(), teacher_model=zoo.load("sums-teacher"), args=how, **texts())


STEPS = {
    "DistillationTrainer": distillation,
    "GKDTrainer, lmbda 0": lambda: gkd(lmbda=0.0, beta=1.0, temperature=3.0),
    "GKDTrainer, lmbda 1": lambda: gkd(lmbda=1.0, beta=1.0),
    "GKDTrainer, seq_kd": lambda: gkd(lmbda=0.0, beta=0.0, seq_kd=True),
}


def measure():
    import trl

    steps = {name: libraries.one_step(make(), in_kdkit)._asdict() for name, make in STEPS.items()}
    about = {"versions": {**machine.versions(), "trl": trl.__version__}}
    return {"experiment": "trl", **about, "losses": list(said()), "steps": steps}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not libraries.trl_installed():
        raise SystemExit(1)
    result = json.dumps(measure(), indent=1) + "\n"
    print(result)
    if options.json:
        options.json.write_text(result, encoding="utf-8")


if __name__ == "__main__":
    main()
