"""The triple loss is what it says, counts what it says, and a run of it is fair, kept and resumed."""

import math

import pytest
import reading
import torch
from torch import nn

from kdkit import losses, models, training, zoo
from kdkit.data import tokens
from kdkit.models import bert
from kdkit.training import masked_lm

VOCAB_SIZE = len(reading.tokenizer())
WEIGHTS = {"soft_weight": 5.0, "hard_weight": 2.0, "cosine_weight": 1.0}


def student(teacher, seed=0):
    made = bert.student(teacher, seed=seed)
    bert.copy_layers(teacher, made)
    return made


def train(teacher=None, seed=0, epochs=2, **settings):
    network = student(reading.teacher(), seed)
    shared = {"epochs": epochs, "batch_size": 16, "seed": seed, "progress": False}
    return masked_lm.train(network, reading.corpus(), teacher=teacher, **{**shared, **settings})


@pytest.fixture(scope="module")
def teacher():
    """One that has learnt something."""
    return masked_lm.train(
        reading.teacher(seed=1), reading.corpus(), epochs=40, batch_size=16, lr=5e-3, progress=False
    ).student


# --------------------------------------------------------------------------------------- the loss


def test_values_computed_by_hand():
    """Two tokens that count and one of padding; one token of three is masked; T = 2."""
    e = math.exp
    logits = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [9.0, 9.0, 0.0]]])
    theirs = torch.tensor([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 5.0, 1.0]]])
    hidden = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    other = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]])
    labels, attention_mask = torch.tensor([[-100, 1, -100]]), torch.tensor([[True, True, False]])
    found = masked_lm.triple_loss((logits, hidden), (theirs, other), labels, attention_mask)
    peaked = [e(1) / (e(1) + 2), 1 / (e(1) + 2), 1 / (e(1) + 2)]  # softmax of (2, 0, 0) / 2
    even = [1 / 3] * 3
    kl = [sum(t * math.log(t / s) for t, s in zip(*pair, strict=True)) for pair in ((even, peaked), (peaked, even))]
    assert found.soft.item() == pytest.approx(4 * sum(kl) / 2, rel=1e-5)
    assert found.hard.item() == pytest.approx(math.log(3), rel=1e-5)
    assert found.cosine.item() == pytest.approx((0 + 1) / 2, rel=1e-5)
    total = 5 * found.soft + 2 * found.hard + found.cosine
    assert found.total.item() == pytest.approx(total.item(), rel=1e-6)


@pytest.mark.parametrize("without", ["soft_weight", "hard_weight", "cosine_weight"])
def test_a_term_of_weight_0_reads_0_and_the_others_stay(without):
    teacher = reading.teacher(seed=1).eval()
    batch, network = reading.masked_batch(), student(reading.teacher()).eval()
    pair = [bert.answer(net, batch.input_ids, batch.attention_mask) for net in (network, teacher)]
    whole = masked_lm.triple_loss(*pair, batch.labels, batch.attention_mask)
    part = masked_lm.triple_loss(*pair, batch.labels, batch.attention_mask, **{without: 0.0})
    for weight, term in zip(WEIGHTS, ("soft", "hard", "cosine"), strict=True):
        assert getattr(part, term) == (0 if weight == without else getattr(whole, term))
    left = sum(
        w * getattr(whole, t)
        for (n, w), t in zip(WEIGHTS.items(), ("soft", "hard", "cosine"), strict=True)
        if n != without
    )
    assert part.total.item() == pytest.approx(left.item(), rel=1e-6)


@pytest.mark.parametrize(
    "weights", [{"cosine_weight": -1.0}, {"soft_weight": math.nan}, {"soft_weight": 0.0, "hard_weight": 0.0}]
)
def test_weights_that_mean_nothing_are_refused_by_the_loss_itself(weights):
    pair = torch.zeros(1, 2, 3), torch.ones(1, 2, 4)
    with pytest.raises(ValueError, match="weight"):
        masked_lm.triple_loss(pair, pair, torch.zeros(1, 2).long(), torch.ones(1, 2).bool(), **weights)


def test_the_hard_loss_counts_masked_tokens_only_and_the_others_all_but_padding():
    teacher = reading.teacher(seed=1).eval()
    batch, network = reading.masked_batch(), student(reading.teacher()).eval()
    mine, other = (bert.answer(net, batch.input_ids, batch.attention_mask) for net in (network, teacher))
    found = masked_lm.triple_loss(mine, other, batch.labels, batch.attention_mask)
    m, masked = batch.attention_mask, batch.labels != -100
    assert torch.allclose(found.soft, 4 * losses.kl_divergence(mine[0][m], other[0][m], 2.0))
    assert torch.allclose(found.hard, nn.functional.cross_entropy(mine[0][masked], batch.labels[masked]))
    assert torch.allclose(found.cosine, 1 - nn.functional.cosine_similarity(mine[1][m], other[1][m], dim=-1).mean())


def test_the_loss_does_not_see_padding_to_the_bit():
    teacher = reading.teacher(seed=1).eval()
    batch, network = reading.masked_batch(), student(reading.teacher()).eval()
    assert not batch.attention_mask.all()

    def loss(inputs):
        pair = [bert.answer(net, inputs, batch.attention_mask) for net in (network, teacher)]
        total = masked_lm.triple_loss(*pair, batch.labels, batch.attention_mask).total
        network.zero_grad()
        total.backward()
        return total, [parameter.grad.clone() for name, parameter in network.named_parameters() if "layer" in name]

    (first, gradients), (second, others) = (
        loss(inputs) for inputs in (batch.input_ids, batch.input_ids.where(batch.attention_mask, 9))
    )
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))


# --------------------------------------------------------------------------------------- a step


def test_a_step_moves_the_student_and_leaves_the_teacher_as_it_was(teacher):
    network = student(reading.teacher())
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    before, mine = models.fingerprint(teacher.train()), models.fingerprint(network)
    seen = masked_lm.step(teacher, network.eval(), reading.masked_batch(), optimizer)
    assert models.fingerprint(teacher) == before and models.fingerprint(network) != mine
    assert not any(module.training for module in teacher.modules()) and network.training
    assert all(parameter.grad is None for net in (teacher, network) for parameter in net.parameters())
    assert seen.total == pytest.approx(5 * seen.soft + 2 * seen.hard + seen.cosine, rel=1e-5)
    assert all(isinstance(value, float) for value in seen)


# --------------------------------------------------------------------------------------- a run


def test_a_teacher_learns_more_than_frequencies(teacher):
    found = masked_lm.report(teacher, reading.corpus())
    assert found["perplexity"] < 0.9 * found["by_frequency"]["perplexity"]
    assert found["by_frequency"]["perplexity"] < 0.3 * found["untrained"]["perplexity"]


def test_distillation_moves_the_student_towards_the_teacher(teacher):
    batch = masked_lm.mask_for_evaluation(reading.corpus().test, reading.tokenizer())
    answers = masked_lm.guesses(teacher, batch)
    run = train(teacher, epochs=6, hard_weight=0.0, lr=5e-3)
    before, after = (
        masked_lm.judge(masked_lm.guesses(net, batch), batch, answers)
        for net in (student(reading.teacher()), run.student)
    )
    assert after["kl"] < 0.2 * before["kl"]
    assert run.history[-1]["cosine_loss"] < run.history[0]["cosine_loss"]


def test_the_history_adds_up_and_says_nothing_of_a_teacher_where_there_is_none(teacher):
    for line in train(teacher).history:
        parts = 5 * line["soft_loss"] + 2 * line["hard_loss"] + line["cosine_loss"]
        assert line["loss"] == pytest.approx(parts, rel=1e-5) and 0 <= line["val_agreement"] <= 1
    for line in train().history:
        assert line["loss"] == line["hard_loss"] and line["soft_loss"] == line["cosine_loss"] == 0
        assert line["val_agreement"] is None and line["val_perplexity"] > 1


def test_the_same_seed_gives_the_same_run_to_the_bit_and_leaves_the_global_state_alone(teacher):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again, other = (train(teacher, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.history == again.history != other.history
    assert models.fingerprint(first.student) == models.fingerprint(again.student)


def test_arms_of_one_seed_read_the_same_texts_with_the_same_tokens_masked(teacher, monkeypatch):
    seen, ask = {}, models.outputs

    def watch(network, inputs, name="network"):
        if network.training:
            seen[arm].append(inputs["input_ids"].clone())
        return ask(network, inputs, name)

    monkeypatch.setattr(models, "outputs", watch)
    for arm, settings in {
        "alone": {},
        "distilled": {"teacher": teacher},
        "soft": {"teacher": teacher, "hard_weight": 0.0},
    }.items():
        seen[arm] = []
        train(**settings)
    assert len(seen["alone"]) == len(seen["distilled"]) == len(seen["soft"]) > 4
    for other in "distilled", "soft":
        assert all(torch.equal(a, b) for a, b in zip(seen["alone"], seen[other], strict=True))
    assert not torch.equal(seen["alone"][0], seen["alone"][-1])


@pytest.mark.parametrize("distilled", [True, False])
def test_a_run_that_was_killed_goes_on_to_the_bit(teacher, tmp_path, distilled):
    def pull_the_plug(run):
        if len(run.history) == 1:
            raise KeyboardInterrupt

    who = teacher if distilled else None
    whole = train(who, epochs=3)
    with pytest.raises(training.TrainingInterrupted, match="1 epoch is kept"):
        train(who, epochs=3, checkpoint=tmp_path / "c", progress=pull_the_plug)
    resumed = train(who, epochs=3, checkpoint=tmp_path / "c")
    assert resumed.history == whole.history
    assert models.fingerprint(resumed.student) == models.fingerprint(whole.student)
    with pytest.raises(ValueError, match=r"belongs to another run: .*lr 0\.002, now 0\.1"):
        train(who, epochs=3, checkpoint=tmp_path / "c", lr=0.1)


def test_the_test_texts_are_never_looked_at(teacher):
    corpus = reading.corpus()._replace(test=None)
    masked_lm.train(student(reading.teacher()), corpus, teacher=teacher, epochs=1, progress=False)


@pytest.mark.parametrize("lr", [10.0, 1e3])
def test_a_training_that_explodes_says_so(lr):
    with pytest.raises(training.Diverged, match=r"epoch 1.*: the training diverged.*first weights back: lower lr"):
        train(lr=lr)


# --------------------------------------------------------------------------------------- judging


def test_whoever_finds_all_tokens_alike_has_the_perplexity_of_their_number():
    batch = reading.masked_batch()
    labels = batch.labels[batch.labels != -100]
    found = masked_lm.judge(torch.zeros(len(labels), VOCAB_SIZE), batch)
    assert found["perplexity"] == pytest.approx(VOCAB_SIZE, rel=1e-5) and "kl" not in found
    sure = masked_lm.judge(50 * nn.functional.one_hot(labels, VOCAB_SIZE).float(), batch)
    assert sure == {"perplexity": pytest.approx(1, abs=1e-5), "accuracy": 1.0}


def test_guesses_are_those_for_the_masked_tokens_in_order_whatever_the_batch(monkeypatch):
    network, batch = reading.teacher(seed=2).train(), reading.masked_batch(20)
    found = masked_lm.guesses(network, batch)
    assert network.training
    with torch.no_grad():
        logits, _ = bert.answer(network.eval(), batch.input_ids, batch.attention_mask)
    assert torch.allclose(found, logits[batch.labels != -100], atol=1e-5)
    monkeypatch.setattr(masked_lm, "EVALUATION_BATCH", 8)
    assert torch.allclose(masked_lm.guesses(network, batch), found, atol=1e-5)


def test_the_shipped_teacher_is_as_good_as_its_card_says(python_texts):
    """On the Python that it learnt from to the digit; another version brings slightly other texts."""
    card = zoo.card("python-teacher")
    corpus = tokens.corpus(python_texts, zoo.tokenizer("python-teacher"))
    found, said = masked_lm.report(zoo.load("python-teacher"), corpus), card["results"]
    assert found["perplexity"] == pytest.approx(said["perplexity"], rel=0.15)
    assert found["accuracy"] == pytest.approx(said["accuracy"], abs=0.03)
    if found["masked_tokens"] == said["masked_tokens"]:
        assert found["perplexity"] == pytest.approx(said["perplexity"], rel=1e-3)
        assert found["accuracy"] == pytest.approx(said["accuracy"], abs=1e-4)


# --------------------------------------------------------------------------------------- refused

TEACHER = reading.teacher()
REFUSED = {
    "teacher and student are the same network": lambda: masked_lm.check(TEACHER, TEACHER),
    "cosine_weight must be a finite number of at least 0; got -1": lambda: masked_lm.check(
        TEACHER, student(TEACHER), cosine_weight=-1
    ),
    "soft_weight must be a finite number of at least 0; got nan": lambda: masked_lm.check(
        TEACHER, student(TEACHER), soft_weight=math.nan
    ),
    "all three weights are 0": lambda: masked_lm.check(
        TEACHER, student(TEACHER), soft_weight=0, hard_weight=0, cosine_weight=0
    ),
    "do not teach the head which word to say": lambda: masked_lm.check(
        TEACHER, student(TEACHER), soft_weight=0, hard_weight=0
    ),
    "temperature must be a finite number above 0; got 0": lambda: masked_lm.check(
        TEACHER, student(TEACHER), temperature=0
    ),
    "the student's hidden states have 20 numbers": lambda: masked_lm.check(
        TEACHER, bert.student(bert.teacher(20, 2, vocab_size=TEACHER.config.vocab_size, max_length=24))
    ),
    "must know the same tokens": lambda: masked_lm.check(
        TEACHER, bert.student(bert.teacher(16, 2, vocab_size=30, max_length=24))
    ),
    "the tokenizer knows .* tokens, the network 30": lambda: masked_lm.check_reads(
        bert.teacher(16, 2, vocab_size=30, max_length=24), reading.corpus()
    ),
    "sequences of 24 tokens are longer than the 8": lambda: masked_lm.check_reads(
        bert.teacher(16, 2, vocab_size=TEACHER.config.vocab_size, max_length=8), reading.corpus()
    ),
    "hard_weight must be a plain number; got '2'": lambda: masked_lm.check(TEACHER, student(TEACHER), hard_weight="2"),
    "lr must be a finite number above 0; got 0": lambda: train(lr=0),
    "without a teacher temperature=3.0.* would do nothing: pass a teacher": lambda: masked_lm.train(
        student(TEACHER), reading.corpus(), epochs=1, temperature=3.0
    ),
    "epochs must be a whole number from 1 to 1000000; got 0": lambda: train(epochs=0),
    "seed must be a whole number; got 0.5": lambda: masked_lm.train(
        student(TEACHER), reading.corpus(), epochs=1, seed=0.5
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_settings_that_contradict_each_other_are_refused_at_the_start(words):
    with pytest.raises(ValueError, match=words):
        REFUSED[words]()
