"""Quick trainings of networks that write sums, and what the stored study says of such: for notebook 09.

What is trained here is for looking, not for results: one seed, a few hundred steps.
"""

import copy
import functools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdkit import losses, models, studies, zoo
from kdkit.data import sums
from kdkit.data.answers import Answers
from kdkit.data.seeds import generator
from kdkit.measure import exact, metrics
from kdkit.models import gpt
from kdkit.training import generators

FIELDS = {  # whose prefixes, which divergence: name to divergence and share of own prefixes
    "forward": ("forward", 0.0),
    "reverse": ("reverse", 0.0),
    "own, forward": ("forward", 1.0),
    "own, reverse": ("reverse", 1.0),
}
TEXTS, BATCH = 6400, 128  # of the teacher; 50 steps an epoch
BEGIN: dict[str, Any] = {"epochs": 24, "lr": 1e-2}
GO_ON: dict[str, Any] = {"epochs": 3, "lr": 2e-3}
ANSWER = sums.LENGTH - sums.PROMPT_LENGTH  # tokens of the longest answer
BY_TIME = "own, reverse", "reverse, longer"  # arms of the study that take about as long
MEASURES = ("validity", "coverage", "forward_kl", "reverse_kl")


@functools.cache
def teacher() -> PreTrainedModel:
    """The shipped teacher, which writes sums."""
    return zoo.load("sums-teacher")  # type: ignore[return-value]


@functools.cache
def texts() -> Answers:
    """6,400 answers of the teacher, to prompts that are as frequent as they have right answers."""
    return written(teacher(), TEXTS)


def written(network: PreTrainedModel, count: int, seed: int = 5) -> Answers:
    """``count`` answers that ``network`` samples, to prompts as frequent as they have right answers."""
    drawn, known = generator(seed), sums.sentences()
    index = torch.randint(len(known.input_ids), (count,), generator=drawn)
    return gpt.write(network, known.at(index).prompts, ANSWER, drawn)


def write(network: PreTrainedModel, total: int, count: int, seed: int = 0) -> list[str]:
    """``count`` sampled answers to the prompt of ``total``, each with a mark: ✓ if it is right. An end is "."."""
    asked = sums.prompts([total] * count)
    said = gpt.write(network, (asked, torch.ones_like(asked, dtype=torch.bool)), ANSWER, generator(seed)).input_ids
    return [f"{text}  {'✓' if good else '✗'}" for text, good in zip(_as_written(said), sums.right(said), strict=True)]


def _as_written(said):
    """The texts up to their first end; all of one that has none."""
    rows = ("".join(sums.CHARACTERS[token] for token in row) for row in said.tolist())
    return [row[: row.index(".") + 1] if "." in row else row for row in rows]


@functools.cache
def _language() -> tuple[Answers, Tensor, Tensor]:
    """All right sentences, what their prompts ask for, and the teacher's log-probabilities of them."""
    known = sums.sentences()
    return known, sums.totals(known.input_ids), exact.log_probabilities(teacher(), known)


def judged(network: PreTrainedModel) -> dict[str, float]:
    """The exact measures of ``network`` against the truth and the teacher (``exact.judge``)."""
    known, totals, log_teacher = _language()
    return exact.judge(exact.log_probabilities(network, known), totals, log_teacher)


def measures(network: PreTrainedModel) -> dict[str, str]:
    """Its validity and coverage, as a row of a table."""
    found = judged(network)
    return {name: f"{found[name]:.1%}" for name in ("validity", "coverage")}


def cooled(network: PreTrainedModel, temperature: float) -> PreTrainedModel:
    """A copy that says what ``network`` says at this ``temperature``: its logits are divided by it."""
    found = copy.deepcopy(network)
    with torch.no_grad():
        found.lm_head.weight /= temperature
    return found


def beginner(seed: int = 0, known: Answers | None = None) -> PreTrainedModel:
    """A small student (one layer, width 32) that has learnt the tokens of the teacher's ``texts``, or of ``known``."""
    student = gpt.gpt(32, 1, len(sums.CHARACTERS), sums.LENGTH, seed=seed)
    generators.train(student, texts() if known is None else known, batch_size=BATCH, seed=seed, **BEGIN)
    return student


def go_on(student: PreTrainedModel, field: str, seed: int = 100) -> PreTrainedModel:
    """A copy of ``student`` after 150 more steps in one of the four ``FIELDS``."""
    divergence, own_share = FIELDS[field]
    found, how = copy.deepcopy(student), {"divergence": divergence, "own_share": own_share, **GO_ON}
    generators.train(found, texts(), teacher=teacher(), batch_size=BATCH, seed=seed, **how)
    return found


def without_end() -> Answers:
    """The teacher's texts with the end left out of what is learnt, as if it were padding."""
    found = texts()
    return found._replace(loss_mask=found.loss_mask & (found.input_ids != sums.END))


def ended(network: PreTrainedModel, count: int = 500) -> float:
    """The share of answers that ``network`` ends itself, before they are cut."""
    found = written(network, count)
    return ((found.input_ids == sums.END) & found.loss_mask).any(1).float().mean().item()


@torch.no_grad()
def errors(student: PreTrainedModel, count: int = 2000) -> dict[str, list[float]]:
    """KL(teacher || student) of the next token, at each token of the answer, on prefixes of either."""
    found = {}
    for name, writer in {"the teacher's prefixes": teacher(), "its own prefixes": student}.items():
        said = written(writer, count, seed=7)
        given = gpt.inputs(said.input_ids[:, :-1], said.attention_mask[:, :-1])
        s, t = (models.logits(network, given) for network in (student, teacher()))
        counts = said.loss_mask[:, 1:]
        found[name] = [
            losses.kl_divergence(s[counts[:, at], at], t[counts[:, at], at]).item()
            for at in range(sums.PROMPT_LENGTH - 1, sums.LENGTH - 1)
        ]
    return found


def verdict_on_errors(found: dict[str, list[float]]) -> str:
    """A title for ``errors``: how far off the student is over a whole answer."""
    theirs, own = (sum(values) for values in found.values())
    return f"Over an answer: off by {theirs:.2f} nats on the teacher's prefixes, {own:.2f} on its own"


def next_logits(network: PreTrainedModel, text: str) -> Tensor:
    """The logits of what ``network`` says after ``text``: ``[1, 13]``, float64."""
    length = len(text)
    given = sums.encode([text])[:, :length]
    with torch.no_grad():
        said = models.logits(network, gpt.inputs(given, torch.ones_like(given, dtype=torch.bool)))
    return said[:, -1].double()


def estimators(student_logits: Tensor, teacher_logits: Tensor) -> dict[str, dict[str, str]]:
    """Where losses of one drawn token pull on average, exactly: a table of angles to both KLs' gradients.

    Logits ``[1, V]``. The average goes over all tokens that the student may draw, each as often as it does.
    """
    s = student_logits.clone().requires_grad_()
    log_s, log_t = s.log_softmax(-1)[0], teacher_logits.log_softmax(-1)[0]
    k1, drawn = log_s - log_t, log_s.detach().exp()
    tried = {
        "k1 = log s - log t": k1,
        "k2 = k1² / 2": k1**2 / 2,
        "k3 = t/s - 1 + k1": (-k1).exp() - 1 + k1,
        "k1, detached, times log s": k1.detach() * log_s,
    }
    full = {"reverse": losses.reverse_kl(s, teacher_logits), "forward": losses.kl_divergence(s, teacher_logits)}
    pulls = {name: _pull(loss, s) for name, loss in full.items()}
    rows = {}
    for name, each in tried.items():
        pull = _pull((drawn * each).sum(), s)
        rows[name] = {"length": f"{pull.norm():.2f}"} | {
            f"cosine with {kl}": "-" if pull.norm() < 1e-9 else f"{torch.cosine_similarity(pull, of, 0):.2f}"
            for kl, of in pulls.items()
        }
    return rows


def _pull(loss, logits):
    return torch.autograd.grad(loss, logits, retain_graph=True)[0].flatten()


def pulls(student_logits: Tensor, teacher_logits: Tensor, betas: Sequence[float]) -> dict[str, dict[str, str]]:
    """How long the gradient of each JSD(beta) is, with both KLs: a table. Logits ``[1, V]``."""
    s = student_logits.clone().requires_grad_()
    found = {f"JSD, beta {beta:g}": losses.jensen_shannon(s, teacher_logits, beta=beta) for beta in betas}
    found = {"forward KL": losses.kl_divergence(s, teacher_logits), **found}
    found["reverse KL"] = losses.reverse_kl(s, teacher_logits)
    return {
        name: {"loss": f"{loss.item():.4f}", "length of its gradient": f"{_pull(loss, s).norm():.4f}"}
        for name, loss in found.items()
    }


def cut(teacher_logits: Tensor, k: int) -> dict[str, dict[str, str]]:
    """What three losses of the teacher's ``k`` likeliest tokens say of two students: a table. Logits ``[1, V]``."""
    known = losses.top_k(teacher_logits, k)
    mass = known.log_probabilities.exp().sum()
    sure = torch.full_like(teacher_logits, -15.0).scatter(-1, known.indices, known.log_probabilities)
    rows = {}
    for name, student in {
        "says what the teacher says": teacher_logits,
        f"says hardly anything but these {k}": sure,
    }.items():
        log_s = student.log_softmax(-1).gather(-1, known.indices)
        bare = (known.log_probabilities.exp() * (known.log_probabilities - log_s)).sum().item()
        rows[name] = {
            "gives the others": f"{1 - log_s.exp().sum():.1%}",
            "bare sum": f"{round(bare, 3) + 0.0:.3f}",  # no -0.000
            "renormalised": f"{losses.top_k_kl(student, *known, tail=False).abs():.3f}",
            "with a tail": f"{losses.top_k_kl(student, *known).abs():.3f}",
        }
    lowest = {"gives the others": "0.0%", "bare sum": f"{mass * mass.log():.3f}"}
    return rows | {"lowest of the bare sum": lowest | {"renormalised": "", "with a tail": ""}}


# ---------------------------------------------------------------------------------------- what the study says


def gains(
    result: dict, measure: str, arms: Sequence[str] = tuple(FIELDS)[1:], baseline: str = "forward", size: str = "32x1"
) -> dict[str, metrics.Paired]:
    """The paired gains of ``arms`` over ``baseline`` in ``measure``, of the students of a ``size``."""
    return {arm: studies.generators.gain(result, size, arm, baseline, measure) for arm in arms}


def gains_of_all(result: dict, measure: str) -> dict[str, metrics.Paired]:
    """The gains of the three other fields over "forward", of students of all sizes: name and width to ``Paired``."""
    return {
        f"{arm} ({_width(size)})": pair
        for size in sizes(result)
        for arm, pair in gains(result, measure, size=size).items()
    }


def moves(result: dict, measure: str) -> str:
    """Which of the two choices changes ``measure`` more, "prefixes" or "divergence": mean sizes of both changes."""
    changes: dict[str, list[float]] = {"prefixes": [], "divergence": []}
    for size in sizes(result):
        mean = {field: _mean(result, size, field, measure) for field in FIELDS}
        changes["prefixes"] += [abs(mean[f"own, {kl}"] - mean[kl]) for kl in ("forward", "reverse")]
        changes["divergence"] += [abs(mean[f"{who}forward"] - mean[f"{who}reverse"]) for who in ("", "own, ")]
    return max(changes, key=lambda choice: statistics.mean(changes[choice]))


def _width(size):
    return f"width {size.split('x')[0]}"


def verdict(found: dict[str, metrics.Paired], measure: str) -> str:
    """A title: in how many arms more or less of ``measure`` is shown than in the baseline, and with which KL."""
    more = [arm for arm, pair in found.items() if pair.low > 0]
    less = [arm for arm, pair in found.items() if pair.high < 0]
    if not more + less:
        return f"No difference in {measure} is shown"
    first = f"{measure.capitalize()}: higher in {_counted(more)} of {len(found)}{_kl(more)}"
    return f"{first}, lower in {_counted(less)}{_kl(less)}"


def _counted(names):
    return len(names) or "none"


def _kl(arms):
    """Which KL these arms have, if it is the same in all."""
    kinds = {kl for arm in arms for kl in ("forward", "reverse") if kl in arm}
    return f" ({kinds.pop()} KL)" if len(kinds) == 1 else ""


def by_time(result: dict) -> dict[str, metrics.Paired]:
    """The gains of "own, reverse" over "reverse, longer", which takes about as many seconds, in both measures."""
    return _of_own(result, BY_TIME[1])


def by_calls(result: dict) -> dict[str, metrics.Paired]:
    """The gains of "own, reverse" over "reverse", for as many teacher calls, in both measures."""
    return _of_own(result, "reverse")


def _of_own(result, baseline):
    own = BY_TIME[0]
    return {
        f"{measure} ({_width(size)})": gains(result, measure, [own], baseline, size)[own]
        for measure in ("validity", "coverage")
        for size in sizes(result)
    }


def verdict_by_time(found: dict[str, metrics.Paired]) -> str:
    """A title for ``by_time``."""
    ahead = [name for name, pair in found.items() if pair.low > 0]
    behind = [name for name, pair in found.items() if pair.high < 0]
    return f"Own prefixes: ahead of more steps in {_counted(ahead)} of {len(found)}, behind in {_counted(behind)}"


def seconds(result: dict, arms: Sequence[str], size: str = "32x1") -> str:
    """What these arms took, in one line."""
    return ", ".join(f"“{arm}” {_mean(result, size, arm, 'seconds'):.1f} s" for arm in arms)


def _mean(result, size, arm, measure):
    return statistics.mean(studies.generators.by_seed(result, size, arm, measure).values())


def points(result: dict, size: str = "32x1") -> tuple[list[float], list[float], list[str]]:
    """Validity and coverage in percent, means over seeds, of the start and all arms but "greedy answers": and names.

    That one covers so little that the others could not be told apart beside it.
    """
    names = [studies.generators.START, *studies.generators.arms(result, size)]
    names.remove("greedy answers")
    both = [[100 * _mean(result, size, arm, measure) for arm in names] for measure in ("validity", "coverage")]
    return both[0], both[1], names


def verdict_on_points(x: list[float], y: list[float], names: list[str]) -> str:
    """A title for ``points``: who is most often right, and who covers most."""
    right, covers = names[x.index(max(x))], names[y.index(max(y))]
    if right == covers:
        return f"“{right}” is most often right and covers most"
    return f"“{right}” is most often right, “{covers}” covers most"


def sizes(result: dict) -> list[str]:
    """The sizes of students of which arms are stored."""
    return [size for size in result["students"] if studies.generators.arms(result, size)]


def table(result: dict, size: str = "32x1") -> dict[str, dict[str, str]]:
    """All arms of a ``size`` of students: means over seeds, and what an arm has cost."""
    rows = {}
    for arm in (studies.generators.START, *studies.generators.arms(result, size)):
        cost = ["-"] * 3
        if arm != studies.generators.START:
            parts = "teacher_calls", "student_tokens", "seconds"
            cost = [f"{_mean(result, size, arm, part):,.{int(part == 'seconds')}f}" for part in parts]
        said = [f"{_mean(result, size, arm, name):.3f}" for name in MEASURES]
        columns = "validity", "coverage", "KL(t‖s)", "KL(s‖t)", "texts scored", "tokens written", "seconds"
        rows[arm] = dict(zip(columns, [*said, *cost], strict=True))
    return rows


def brackets(result: dict) -> dict[str, dict[str, str]]:
    """The study of two brackets: a table, means over seeds."""
    found = [row for row in result["rows"] if row.get("setting") == "brackets"]
    rows: dict[str, dict[str, str]] = {}
    for how, prefixes in dict.fromkeys((row["how"], row["prefixes"]) for row in found):
        same = [row for row in found if (row["how"], row["prefixes"]) == (how, prefixes)]
        lost = {name: [row for row in same if row["lost"] == name] for name in ("any token", "ends")}
        where = {"teacher": "the teacher's", "own": "its own", "whole text": "its own, the whole text"}[prefixes]
        rows[f"{how}, {where}"] = {
            "valid": f"{statistics.mean(row['valid'] for row in lost['any token']):.2f}",
            "KL(t‖s)": f"{statistics.mean(row['forward_kl'] for row in lost['any token']):.2f}",
            "KL(s‖t)": f"{statistics.mean(row['reverse_kl'] for row in lost['any token']):.2f}",
            "valid, if a lost teacher ends": f"{statistics.mean(row['valid'] for row in lost['ends']):.2f}",
        }
    return rows


def way_back(result: dict) -> dict[str, list[float]]:
    """How often each arm is off the track before moves 5, 10, 20 and 40, in percent: means over seeds."""
    rows = [row for row in result["rows"] if row.get("setting") == "way back"]
    found: dict[str, list[float]] = {}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        columns = zip(*(row["off"] for row in rows if row["arm"] == arm), strict=True)
        found[arm] = [100 * statistics.mean(column) for column in columns]
    return found


def within_error(network: PreTrainedModel, count: int = 10_000) -> dict[str, str]:
    """Validity from ``count`` sampled answers, with its standard error, beside the exact one: a row of a table."""
    share = sums.right(written(network, count, seed=11).input_ids).double().mean().item()
    error = math.sqrt(share * (1 - share) / count)
    return {"sampled": f"{share:.4f} ± {error:.4f}", "exact": f"{judged(network)['validity']:.4f}"}
