"""A check passes right answers however they are written, and names the misconception behind wrong ones."""

import functools
import re

import pytest
import torch
import torch.nn.functional as F

from kdkit import check
from kdkit.check import judging

RIGHT = {
    "method": lambda z, t: (z / t).softmax(dim=1),
    "function": lambda z, t: F.softmax(z / t, -1),
    "by hand": lambda z, t: (z / t).exp() / (z / t).exp().sum(1, keepdim=True),
    "through the log": lambda z, t: (z / t).log_softmax(1).exp(),
    "in place": lambda z, t: z.div_(t).softmax(1),
    "in float64": lambda z, t: torch.softmax(z.double() / t, 1),
}

WRONG = {
    "multiplied": (lambda z, t: (z * t).softmax(1), "multiplied by the temperature"),
    "no temperature": (lambda z, t: z.softmax(1), "makes no difference"),
    "after the softmax": (lambda z, t: z.softmax(1) / t, "before the softmax"),
    "over the batch": (lambda z, t: (z / t).softmax(0), "runs over the batch"),
    "log": (lambda z, t: (z / t).log_softmax(1), "log-probabilities"),
    "twice": (lambda z, t: (z / t).softmax(1).softmax(1), "softmax twice"),
    "half": (lambda z, t: (z / t).softmax(1) / 2, "largest difference to the right answer"),
    "not a number": (lambda z, t: z * float("nan"), "largest difference to the right answer is inf"),
    "one row": (lambda z, t: (z / t).softmax(1)[0], r"shape \[7\]; expected \[5, 7\]"),
    "no return": (lambda z, t: None, "is the `return` missing"),
    "a list": (lambda z, t: (z / t).softmax(1).tolist(), "gives list; a tensor"),
    "crash inside torch": (
        lambda z, t: F.softmax(z / t, dim=5),
        r"stopped at .*F\.softmax\(z / t, dim=5\).*IndexError",
    ),
    "crash": (lambda z, t: z / t / missing, "stopped at .*NameError"),  # noqa: F821
}


@pytest.mark.parametrize("how", RIGHT)
def test_a_right_answer_passes_however_it_is_written(how):
    verdict = check.soft_targets(RIGHT[how])
    assert verdict.passed is True and repr(verdict).startswith("✓ right")


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_answer_is_named(how):
    function, message = WRONG[how]
    verdict = check.soft_targets(function)
    assert verdict.passed is False and re.search(message, repr(verdict)), verdict


def test_an_untouched_stub_is_not_attempted_yet():
    verdict = check.soft_targets(lambda z, t: ...)
    assert verdict.passed is None and "not attempted yet" in repr(verdict)


def test_inputs_are_new_each_time():
    seen = []
    for _ in range(2):
        check.soft_targets(lambda z, t: seen.append(z) or (z / t).softmax(1))
    assert not torch.equal(seen[0], seen[judging.ROUNDS])


def test_a_check_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    check.soft_targets(RIGHT["method"])
    assert torch.equal(torch.get_rng_state(), before)


# -------------------------------------------------------------- the exercises of notebooks 01 and 02
# Right answers in several ways, and wrong ones as readers write them, each with the words that must name the mistake.


def masked(p, y):
    p = p.clone()
    p[torch.arange(len(p)), y] = 0
    return p


def columns_out(p, y):
    p = p.clone()
    p[:, y] = -1
    return p


def by_loop(z, y):
    p = z.softmax(-1)
    return torch.stack([p[y == k].mean(dim=0) for k in range(z.shape[1])])


def by_one_hot(z, y):
    member = F.one_hot(y, z.shape[1]).float()
    return member.T @ z.softmax(1) / member.sum(0)[:, None]


def by_autograd(s, z, t):
    s.requires_grad_()
    loss = F.kl_div((s / t).log_softmax(1), (z / t).softmax(1), reduction="batchmean") * t * t
    loss.backward()
    return s.grad


def soft(z, t):
    return (z / t).softmax(1)


EXERCISES = {
    "second_choice": (
        [
            lambda p, y: masked(p, y).argmax(1),
            lambda p, y: masked(p, y).topk(1).indices[:, 0],
            lambda p, y: (p - 2 * F.one_hot(y, p.shape[1])).argmax(-1),
        ],
        {
            "leave the label out": lambda p, y: p.argmax(dim=1),
            "where the network errs": lambda p, y: p.topk(2).indices[:, 1],
            "these are probabilities": lambda p, y: masked(p, y).max(1).values,
            "least likely": lambda p, y: p.argmin(1),
            "second least likely": lambda p, y: p.argsort(dim=1)[:, 1],
            "names whole columns": lambda p, y: columns_out(p, y).argmax(1),
            "moved up by one": lambda p, y: torch.stack(
                [torch.tensor([v for k, v in enumerate(row) if k != c]).argmax() for row, c in zip(p, y, strict=True)]
            ),
        },
    ),
    "mean_soft_targets": (
        [by_loop, by_one_hot],
        {
            "averaged the logits": lambda z, y: torch.stack([z[y == k].mean(0) for k in range(4)]).softmax(-1),
            "softmax is missing": lambda z, y: torch.stack([z[y == k].mean(0) for k in range(4)]),
            "swapped": lambda z, y: by_loop(z, y).t(),
            "added up": lambda z, y: F.one_hot(y, 4).float().T @ z.softmax(1),
            r"take logits.shape\[1\], not 10 \(shape \[10, 4\]": lambda z, y: torch.stack(
                [z.softmax(1)[y == k].mean(0) for k in range(10)]
            ),
            "number of all pictures": lambda z, y: F.one_hot(y, 4).float().T @ z.softmax(1) / len(z),
            "log-probabilities": lambda z, y: torch.stack([z.log_softmax(1)[y == k].mean(0) for k in range(4)]),
            "group by the label": lambda z, y: by_loop(z, z.argmax(1)),
            "runs over the pictures": lambda z, y: torch.stack([z.softmax(0)[y == k].mean(0) for k in range(4)]),
        },
    ),
    "entropy": (
        [
            lambda p: -torch.special.xlogy(p, p).sum(1) / torch.tensor(2.0).log(),
            lambda p: -(p * p.clamp(min=1e-30).log2()).sum(-1),
            lambda p: torch.special.entr(p).sum(1) / torch.tensor(2.0).log(),
        ],
        {
            r"0 gave nan: 0 times": lambda p: -(p * torch.log2(p)).sum(1),
            "0 gave nan, and the logarithm is the natural one": lambda p: -(p * p.log()).sum(1),
            "in nats": lambda p: torch.special.entr(p).sum(1),
            "sign is wrong": lambda p: (p * p.clamp(min=1e-30).log2()).sum(1),
            "averaged over the classes": lambda p: -(p * p.clamp(min=1e-30).log2()).mean(1),
            "base 10": lambda p: -(p * p.clamp(min=1e-30).log10()).sum(1),
            "weighted with its probability": lambda p: -p.clamp(min=1e-30).log2().sum(1),
            "no further softmax": lambda p: -(p.softmax(1) * p.log_softmax(1)).sum(1) / torch.tensor(2.0).log(),
            r"dim=0": lambda p: -(p * p.clamp(min=1e-30).log2()).sum(0),
            "averaged over the pictures": lambda p: -(p * p.clamp(min=1e-30).log2()).sum(1).mean(),
            "added over the pictures": lambda p: -(p * p.clamp(min=1e-30).log2()).sum(),
            r"shape \[7\]; expected \[6\]": lambda p: p.sum(0) * 3,
        },
    ),
    "kl_divergence": (
        [
            lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="batchmean"),
            lambda s, z, t: (soft(z, t) * (soft(z, t).log() - soft(s, t).log())).sum(1).mean(),
            lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="batchmean").item(),
        ],
        {
            "swapped": lambda s, z, t: F.kl_div((z / t).log_softmax(1), soft(s, t), reduction="batchmean"),
            "log_softmax on that side": lambda s, z, t: F.kl_div(soft(s, t), soft(z, t), reduction="batchmean"),
            "softmax second: logarithms": lambda s, z, t: F.kl_div(
                (s / t).log_softmax(1), (z / t).log_softmax(1), reduction="batchmean"
            ),
            "bare logits in second place": lambda s, z, t: F.kl_div(
                (s / t).log_softmax(1), z / t, reduction="batchmean"
            ),
            "runs over the batch": lambda s, z, t: F.kl_div(
                (s / t).log_softmax(0), (z / t).softmax(0), reduction="batchmean"
            ),
            "one number is wanted": lambda s, z, t: (soft(z, t) * (soft(z, t).log() - soft(s, t).log())).sum(1),
            "two things at once": lambda s, z, t: F.kl_div(soft(s, t), soft(z, t), reduction="none").mean(),
            r"times -1": lambda s, z, t: -F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="batchmean"),
            "averaged over the classes": lambda s, z, t: F.kl_div(
                (s / t).log_softmax(1), soft(z, t), reduction="none"
            ).mean(),
            "did not divide by its size": lambda s, z, t: F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="sum"),
            "you multiplied": lambda s, z, t: F.kl_div((s * t).log_softmax(1), soft(z, 1 / t), reduction="batchmean"),
            "makes no difference": lambda s, z, t: F.kl_div(s.log_softmax(1), z.softmax(1), reduction="batchmean"),
            "only the teacher was softened": lambda s, z, t: F.kl_div(
                s.log_softmax(1), soft(z, t), reduction="batchmean"
            ),
            r"T\^2 is in it": lambda s, z, t: (
                t * t * F.kl_div((s / t).log_softmax(1), soft(z, t), reduction="batchmean")
            ),
            "this is the cross-entropy": lambda s, z, t: F.cross_entropy(s / t, soft(z, t)),
        },
    ),
    "kd_gradient": (
        [by_autograd, lambda s, z, t: t * (soft(s, t) - soft(z, t)) / len(s)],
        {
            "sign is turned": lambda s, z, t: t * (soft(z, t) - soft(s, t)) / len(s),
            r"without T\^2": lambda s, z, t: (soft(s, t) - soft(z, t)) / (t * len(s)),
            r"kept all of T\^2": lambda s, z, t: t**2 * (soft(s, t) - soft(z, t)) / len(s),
            "no T is left": lambda s, z, t: (soft(s, t) - soft(z, t)) / len(s),
            "mean over the batch": lambda s, z, t: t * (soft(s, t) - soft(z, t)),
            "number of classes as well": lambda s, z, t: t * (soft(s, t) - soft(z, t)) / s.numel(),
            "derived above": lambda s, z, t: (soft(s, t) - soft(z, t)) / t,
            "times B/T ": lambda s, z, t: soft(s, t) - soft(z, t),
            "only one network was softened": lambda s, z, t: t * (s.softmax(1) - soft(z, t)) / len(s),
            "runs over the batch": lambda s, z, t: t * ((s / t).softmax(0) - (z / t).softmax(0)) / len(s),
            "at T = 1": lambda s, z, t: t * (s.softmax(1) - z.softmax(1)) / len(s),
        },
    ),
    "high_temperature_gradient": (
        [
            lambda s, z: ((s - s.mean(1, True)) - (z - z.mean(1, True))) / (s.shape[0] * s.shape[1]),
            lambda s, z: (s - z - (s - z).mean(1, keepdim=True)) / s.numel(),
        ],
        {
            "not centred": lambda s, z: (s - z) / s.numel(),
            "mean of everything": lambda s, z: (s - z - (s - z).mean()) / s.numel(),
            "only one network's": lambda s, z: (s - (z - z.mean(1, True))) / s.numel(),
            "times B C": lambda s, z: (s - s.mean(1, True)) - (z - z.mean(1, True)),
            "centred over the batch": lambda s, z: ((s - s.mean(0)) - (z - z.mean(0))) / s.numel(),
            "number of classes is missing": lambda s, z: ((s - s.mean(1, True)) - (z - z.mean(1, True))) / len(s),
            "mean over the batch": lambda s, z: ((s - s.mean(1, True)) - (z - z.mean(1, True))) / s.shape[1],
            "sign is turned": lambda s, z: ((z - z.mean(1, True)) - (s - s.mean(1, True))) / s.numel(),
        },
    ),
}


@pytest.mark.parametrize(("name", "number"), [(n, k) for n, (right, _) in EXERCISES.items() for k in range(len(right))])
def test_right_answers_pass(name, number):
    verdict = getattr(check, name)(EXERCISES[name][0][number])
    assert verdict.passed is True, verdict


@pytest.mark.parametrize(
    ("name", "words"), [(name, words) for name, (_, wrong) in EXERCISES.items() for words in wrong]
)
def test_the_message_names_the_mistake(name, words):
    for _ in range(2):  # on whatever inputs are drawn
        verdict = getattr(check, name)(EXERCISES[name][1][words])
        assert verdict.passed is False and re.search(words, verdict.message), verdict


@pytest.mark.parametrize("name", EXERCISES)
def test_stubs_count_as_not_attempted_and_other_answers_are_not_explained_away(name):
    assert getattr(check, name)(lambda *inputs: ...).passed is None
    nonsense = getattr(check, name)(lambda *inputs: EXERCISES[name][0][0](*inputs) * 1.37)
    assert nonsense.passed is False and "largest difference to the right answer" in nonsense.message


@pytest.mark.parametrize(
    ("yours", "answer", "passed", "message"),
    [
        (..., "stool", None, "no guess yet"),
        ("stool", "stool", True, "you said stool: right"),
        (" Stool", "stool", True, "you said stool: right"),
        ("sofa", "stool", False, "you said sofa: it is stool"),
        ("couch", "stool", False, "'couch', which is none of stool, sofa: try again"),
        (0.5, 0.341, False, "you said 0.5; it is 0.341: 0.159 too high"),
        (0.3, 0.341, False, "0.041 too low"),
        (0.34, 0.341, True, "close enough"),
        (3, 3, True, "close enough"),
        ("three", 3, False, "a number is wanted: try again"),
        (float("nan"), 3, False, "a number is wanted: try again"),
        ("3", 3, True, "close enough"),
        (torch.tensor(3.0), 3, True, "close enough"),
    ],
)
def test_a_guess_stands_beside_the_answer(yours, answer, passed, message):
    choices = ("stool", "sofa") if isinstance(answer, str) else None
    verdict = check.guess(yours, answer, choices)
    assert verdict.passed is passed and re.search(message, verdict.message), verdict


@pytest.mark.parametrize("answer", [torch.softmax, functools.partial(torch.softmax, dim=1), max])
def test_what_is_no_function_of_the_reader_gets_a_sentence_too(answer):
    assert check.entropy(answer).passed is False


def test_a_function_of_other_arguments_is_refused_with_the_number_that_is_wanted():
    assert "a function of 1 arguments" in check.entropy(lambda: 0).message
    assert "a function of 3 arguments" in check.kd_gradient(lambda s, z: s).message


def test_half_precision_is_right_up_to_rounding():
    verdict = check.kd_gradient(lambda s, z, t: (t * (soft(s, t) - soft(z, t)) / len(s)).half().float())
    assert verdict.passed is True


def test_the_line_that_failed_is_shown_behind_a_decorator():
    @torch.no_grad()
    def decorated(p):
        return p @ p

    assert "return p @ p" in check.entropy(decorated).message
