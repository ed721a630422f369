"""What notebook 09 needs to hold TRL's trainers against the kit's losses, on sums. TRL is no dependency of the kit.

``benchmarks/same_in_trl.py`` has stored what TRL says, so that it can be compared where TRL is not installed.
"""

import contextlib
import importlib.util
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdkit import models
from kdkit.course import measured
from kdkit.data import sums
from kdkit.data.seeds import generator
from kdkit.losses.arguments import IGNORE_INDEX

INSTALL = "pip install trl==1.16.0"
QUIET: dict[str, Any] = {  # settings of transformers' trainers: on the CPU, in float32, nothing printed or kept
    "output_dir": str(Path(tempfile.gettempdir(), "kdkit-trl")),
    "use_cpu": True,
    "bf16": False,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "per_device_train_batch_size": 8,
}
Divergence = Callable[..., Tensor]  # of student and teacher logits, labels, beta and temperature, as TRL takes them


def trl_installed() -> bool:
    """Whether TRL can be imported. If so, its warnings of names that may change are silenced; else how to get it."""
    if importlib.util.find_spec("trl") is None:
        print(f"TRL is not installed ({INSTALL}): the following is stored.")
        return False
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    return True


def tokenizer() -> Any:
    """The characters of sums as a tokenizer of transformers: the same numbers as ``sums.encode`` gives."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    numbers = {character: number for number, character in enumerate(sums.CHARACTERS)}
    known = Tokenizer(WordLevel(numbers, unk_token="."))
    known.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    known.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=known, eos_token=".", pad_token=".", padding_side="left")


def prompts(texts: Sequence[str] = ("087=45+42.", "009=1+8.", "150=75+75.", "002=1+1.")) -> list[dict[str, Any]]:
    """These sums, twice each, as rows of a data set for TRL: the prompt, all tokens, and which are the answer."""
    rows = []
    for text in texts:
        prompt, answer = text[: sums.PROMPT_LENGTH], text[sums.PROMPT_LENGTH :]
        mask = [0] * len(prompt) + [1] * len(answer)
        rows.append({"prompt": prompt, "input_ids": [*map(sums.CHARACTERS.index, text)], "completion_mask": mask})
    return rows * 2


class Step(NamedTuple):
    """One training step of TRL: its loss, the kit's on the same texts; tokens that count, and that it divided by."""

    trl: float
    kdkit: float
    tokens: int
    divided_by: float


def one_step(trainer: Any, divergence: Divergence) -> Step:
    """Let a trainer of TRL make one step, and ask ``divergence`` about the same texts, with the same networks."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    seen: list[Step] = []
    original = trainer.compute_loss

    def watched(model, inputs, *others, **named):
        ours, tokens = _ours(trainer, inputs, divergence)
        result = original(model, inputs, *others, **named)
        loss = result[0] if isinstance(result, tuple) else result
        counted = inputs.get("num_items_in_batch", named.get("num_items_in_batch", others[-1] if others else None))
        seen.append(Step(loss.item(), ours, tokens, float(counted)))
        return result

    trainer.compute_loss = watched
    with _quiet(), models.seeded(0):
        trainer.train()
    return seen[0]


def _ours(trainer: Any, inputs: dict[str, Tensor], divergence: Divergence) -> tuple[float, int]:
    """What ``divergence`` says of the texts that a trainer has in hand, and of how many of their tokens."""
    if "completion_ids" in inputs:  # DistillationTrainer
        tokens = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        counts = torch.cat([torch.zeros_like(inputs["prompt_mask"]), inputs["completion_mask"]], 1).bool()
        labels = tokens.masked_fill(~counts, IGNORE_INDEX)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    else:  # GKDTrainer
        tokens, labels, mask = inputs["input_ids"], inputs["labels"], inputs["attention_mask"]
    with torch.no_grad():
        s, t = (net(tokens, attention_mask=mask).logits[:, :-1] for net in (trainer.model, trainer.teacher_model))
    labels = labels[:, 1:]
    return divergence(s, t, labels, beta=trainer.beta).item(), int((labels != IGNORE_INDEX).sum())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what transformers and TRL say of names that are to change."""
    known = [logging.getLogger(name) for name in ("transformers", "trl", "accelerate")]
    levels = [logger.level for logger in known]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in known:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(known, levels, strict=True):
                logger.setLevel(level)


# ------------------------------------------------------------------------------------- the loss, number by number


def some_logits() -> tuple[Tensor, Tensor, Tensor]:
    """Logits of a student and a teacher, ``[4, 6, 13]``, and labels of which about a third do not count."""
    drawn = generator(9)
    student, teacher = (3 * torch.randn(4, 6, 13, generator=drawn) for _ in range(2))
    labels = torch.randint(13, (4, 6), generator=drawn)
    return student, teacher, labels.masked_fill(torch.rand(4, 6, generator=drawn) < 0.3, IGNORE_INDEX)


def against_trl(divergence: Divergence) -> dict[str, dict[str, str]]:
    """What TRL's loss has said of ``some_logits``, and what ``divergence`` says of the same: a table.

    ``divergence(student, teacher, labels, beta=, temperature=)``, with what each means in TRL.
    """
    stored, logits = measured.load("trl")["losses"], some_logits()
    rows = {}
    for row in stored:
        ours = divergence(*logits, beta=row["beta"], temperature=row["temperature"]).item()
        said = {"TRL": f"{row['loss']:.6f}", "kdkit": f"{ours:.6f}", "difference": f"{abs(ours - row['loss']):.0e}"}
        rows[f"beta {row['beta']:g}, T = {row['temperature']:g}"] = said
    return rows


def in_words(step: Step | str) -> str:
    """A ``Step`` in a sentence, or the stored one of that name."""
    found = Step(**measured.load("trl")["steps"][step]) if isinstance(step, str) else step
    said = f"TRL {found.trl:.5f}, kdkit {found.kdkit:.5f} on the same {found.tokens} tokens"
    if found.tokens == found.divided_by:
        return said
    return f"{said}; TRL divided by {found.divided_by:g}: {found.kdkit:.5f} x {found.tokens} / {found.divided_by:g}"
