"""Whose prefixes and which divergence are what they say; what is written is counted, and a run of it is resumed."""

import copy
import json

import pytest
import torch
import writing
from torch.nn import functional as F

from benchmarks import generators as benchmark
from kdkit import models, studies, training, zoo
from kdkit.course import brackets, measured, way_back
from kdkit.data.answers import until_end
from kdkit.data.seeds import generator
from kdkit.measure import exact
from kdkit.models import gpt
from kdkit.training import generators


@pytest.fixture(scope="module")
def teacher():
    """One that has learnt the right sentences."""
    texts = writing.sentences()
    network = writing.network(7, width=16)
    return generators.train(network, texts, epochs=120, batch_size=6, lr=1e-2, progress=False).student


def train(student=None, teacher=None, epochs=3, **settings):
    student = writing.network(1) if student is None else student
    shared = {"epochs": epochs, "batch_size": 4, "seed": 5, "progress": False}
    return generators.train(student, writing.sentences(), teacher=teacher, **{**shared, **settings})


def answers(network, seed=0, count=64, **how):
    prompts = tuple(part.repeat(count // 6 + 1, 1)[:count] for part in writing.sentences().prompts)
    return gpt.write(network, prompts, writing.LONGEST, generator(seed), **how)


def outputs(network, texts):
    return {"logits": network(**generators.as_batch(texts).inputs).logits}


# --------------------------------------------------------------------------------------- writing


def test_what_is_written_is_as_probable_as_the_network_says():
    network = writing.network(3)
    texts = answers(network, count=6000)
    for letter in writing.LETTERS:
        mine = texts.input_ids[texts.input_ids[:, 0] == letter]
        for answer in writing.every_answer()[:12]:
            wanted = torch.tensor([*answer, *[writing.END] * (writing.LONGEST - len(answer))])
            share = (mine[:, writing.PROMPT_LENGTH :] == wanted).all(1).double().mean().item()
            p = writing.probability(network, (letter, writing.ASK), answer)
            assert abs(share - p) < 4 * (p * (1 - p) / len(mine)) ** 0.5 + 1e-9


def test_writing_draws_from_its_generator_alone_and_leaves_everything_as_it_was():
    network = writing.network(3).train()
    before, state = models.fingerprint(network), torch.random.get_rng_state()
    first, again, other = (answers(network, seed).input_ids for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert network.training and models.fingerprint(network) == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_greedy_answers_are_the_likeliest_tokens_and_a_low_temperature_comes_near():
    network = writing.network(3)
    greedy = answers(network, 1, greedy=True)
    assert torch.equal(greedy.input_ids, answers(network, 2, greedy=True).input_ids)
    assert torch.equal(greedy.input_ids, answers(network, 3, temperature=1e-4).input_ids)
    row = greedy.input_ids[0].tolist()
    with torch.no_grad():
        assert row[2] == int(network(torch.tensor([row[:2]])).logits[0, -1].argmax())


def test_dropout_is_off_while_a_network_writes():
    network = writing.network(3).train()
    network.transformer.drop.p = 0.9
    assert torch.equal(answers(network).input_ids, answers(network.eval()).input_ids)


def test_padding_on_the_left_changes_nothing():
    """Neither the next token's logits nor what is written: places are counted from the prompt's own first token."""
    network = gpt.gpt(8, 1, vocab_size=4, max_length=9, seed=3)
    with torch.no_grad():
        network.transformer.wpe.weight.normal_(generator=generator(0))  # places that matter
    prompt = torch.tensor([[0, 1, 2]])
    padded, mask = F.pad(prompt, (3, 0), value=writing.END), torch.tensor([[False] * 3 + [True] * 3])
    plain = torch.ones_like(prompt, dtype=torch.bool)
    with torch.no_grad():
        given = [network(**gpt.inputs(*pair)).logits[0, -1] for pair in ((prompt, plain), (padded, mask))]
        unsaid = network(input_ids=padded, attention_mask=mask.long()).logits[0, -1]
    assert torch.allclose(*given, atol=1e-5) and (given[0] - unsaid).abs().max() > 0.01
    found = [gpt.write(network, pair, 3, generator(4)).input_ids[0, -3:] for pair in ((prompt, plain), (padded, mask))]
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: gpt.gpt(6, 1, 4, 5), "multiple of 4, the number of heads; got 6"),
        (lambda: gpt.gpt(8, 0, 4, 5), "depth must be a whole number of at least 1; got 0"),
        (lambda: answers(writing.network(), temperature=0.0), "temperature must be a finite number above 0"),
        (
            lambda: gpt.write(writing.network(), writing.sentences().prompts, 4, generator(0)),
            "prompts of 2 tokens and answers of 4 are longer than the network's 5",
        ),
    ],
)
def test_sizes_and_temperatures_that_are_none_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


# --------------------------------------------------------------------------------------- which divergence


def test_labels_are_the_next_tokens_of_the_answer_and_nothing_else():
    texts = until_end(torch.tensor([[0, 2, 0, 1, 3], [1, 2, 1, 3, 3]]), 2, 3)
    batch = generators.as_batch(texts)
    assert batch.labels.tolist() == [[-100, 0, 1, 3], [-100, 1, 3, -100]]
    assert torch.equal(batch.mask, batch.labels != -100)
    assert batch.inputs["input_ids"].tolist() == [[0, 2, 0, 1], [1, 2, 1, 3]]
    whole = writing.network()(texts.input_ids, labels=texts.input_ids.masked_fill(~texts.loss_mask, -100)).loss
    assert generators.labels(outputs(writing.network(), texts), None, batch).item() == pytest.approx(whole.item())


def by_hand(log_s, log_t, name):
    s, t = log_s.exp(), log_t.exp()
    m = ((s + t) / 2).log()
    return {
        "forward": (t * (log_t - log_s)).sum(-1),
        "reverse": (s * (log_s - log_t)).sum(-1),
        "jensen-shannon": ((t * (log_t - m)).sum(-1) + (s * (log_s - m)).sum(-1)) / 2,
    }[name]


@pytest.mark.parametrize("name", ["forward", "reverse", "jensen-shannon"])
def test_a_divergence_is_the_mean_over_the_tokens_of_the_answers(name):
    texts, pair = answers(writing.network(5), count=8), (writing.network(1), writing.network(2))
    batch, (ours, theirs) = generators.as_batch(texts), (outputs(network, texts) for network in pair)
    found = generators.DIVERGENCES[name](ours, theirs, batch)
    rows = by_hand(ours["logits"].log_softmax(-1), theirs["logits"].log_softmax(-1), name)
    wanted = sum(rows[place] for place in zip(*batch.mask.nonzero().T.tolist(), strict=True)) / batch.mask.sum()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)


def gradient(network, loss):
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(network.parameters()))])


def reverse_kl_of_texts(student, teacher, prompt):
    """KL(student || teacher) over all strings behind a prompt, with a gradient."""
    texts = [[*prompt, *answer] + [writing.END] * (writing.LONGEST - len(answer)) for answer in writing.every_answer()]
    every = until_end(torch.tensor(texts), writing.PROMPT_LENGTH, writing.END)
    batch = generators.as_batch(every)
    said = [
        (
            outputs(net, every)["logits"].log_softmax(-1).gather(-1, every.input_ids[:, 1:, None]).squeeze(-1)
            * batch.mask
        ).sum(1)
        for net in (student, teacher)
    ]
    return (said[0].exp() * (said[0] - said[1].detach())).sum()


def test_reward_to_go_follows_the_reverse_kl_of_whole_texts_and_a_token_by_itself_does_not():
    student, teacher = writing.network(1), writing.network(2)
    prompts = tuple(part[:1].expand(20_000, -1) for part in writing.sentences().prompts)
    texts = gpt.write(student, prompts, writing.LONGEST, generator(1))
    batch, length = generators.as_batch(texts), texts.loss_mask.sum() / len(texts.input_ids)
    whole = gradient(student, reverse_kl_of_texts(student, teacher, (0, writing.ASK)))
    theirs = {"logits": outputs(teacher, texts)["logits"].detach()}
    found, alone, token = (
        gradient(student, generators.DIVERGENCES[name](outputs(student, texts), theirs, batch)) * length
        for name in ("reward to go", "policy gradient", "reverse")
    )
    assert F.cosine_similarity(found, whole, 0) > 0.99 and (found - whole).norm() < 0.1 * whole.norm()
    assert F.cosine_similarity(token, whole, 0) < 0.97
    assert F.cosine_similarity(alone, token, 0) > 0.97 and (alone - token).norm() < 0.2 * token.norm()


# --------------------------------------------------------------------------------------- a run


def test_every_divergence_brings_a_student_nearer_to_its_teacher(teacher):
    texts, prompt = writing.sentences(), writing.prompt()
    theirs = exact.log_probabilities(teacher, texts)
    assert exact.judge(theirs, prompt)["validity"] > 0.9
    before = exact.judge(exact.log_probabilities(writing.network(1), texts), prompt, theirs)
    for name in generators.DIVERGENCES:
        own = float(name in generators.OWN_ONLY)
        taught = None if name == "labels" else teacher
        run = train(teacher=taught, divergence=name, own_share=own, epochs=16, lr=2e-2)
        after = exact.judge(exact.log_probabilities(run.student, texts), prompt, theirs)
        assert after["validity"] > before["validity"] and after["reverse_kl"] < 0.9 * before["reverse_kl"], name


def test_all_arms_of_a_seed_see_the_same_prompts_in_the_same_order():
    def seen(share):
        batches = generators.TextBatches(writing.sentences(), 4, 5, writing.network(), share)
        return [
            batch.inputs["input_ids"][:, : writing.PROMPT_LENGTH]
            for epoch in range(2)
            for batch in batches.epoch(epoch)
        ]

    first, *others = (seen(share) for share in (0.0, 0.5, 1.0))
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_own_texts_are_written_by_the_student_as_it_is_then(teacher):
    """Each batch is what the student, at that moment, writes."""
    student, seen = writing.network(1), []
    batches = generators.TextBatches(writing.sentences(), 6, 5, student, 1.0)
    for batch in batches.epoch(0):
        seen.append(batch.inputs["input_ids"])
    with torch.no_grad():
        student.lm_head.weight.zero_()[1] = 50 * torch.ones(8)
        student.transformer.ln_f.weight.zero_()
        student.transformer.ln_f.bias.fill_(1.0)  # whatever it reads, it says 1
    for batch in batches.epoch(0):
        assert (batch.inputs["input_ids"][:, writing.PROMPT_LENGTH :] == 1).all()
        assert not torch.equal(batch.inputs["input_ids"], seen[0])


def test_costs_are_counted(teacher):
    off, on = (train(teacher=teacher, divergence="reverse", own_share=share) for share in (0.0, 1.0))
    assert generators.cost(off) == {"teacher_calls": 3 * 6, "student_tokens": 0}
    assert generators.cost(on)["teacher_calls"] == 3 * 6
    assert 3 * 6 <= generators.cost(on)["student_tokens"] <= 3 * 6 * writing.LONGEST
    assert generators.cost(train())["teacher_calls"] == 0


class Stopped(Exception):
    pass


def stop_in(epoch):
    def progress(run):
        if len(run.history) == epoch:
            raise Stopped

    return progress


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_run_that_was_stopped_ends_with_the_same_weights_to_the_bit(teacher, tmp_path, share):
    settings = {"teacher": teacher, "divergence": "reverse", "own_share": share, "epochs": 4}
    whole = train(**settings)
    with pytest.raises(Stopped):
        train(**settings, checkpoint=tmp_path / "c", progress=stop_in(2))
    resumed = train(**settings, checkpoint=tmp_path / "c")
    assert resumed.history == whole.history
    assert models.fingerprint(resumed.student) == models.fingerprint(whole.student)


def test_a_checkpoint_of_other_texts_is_refused(tmp_path):
    train(checkpoint=tmp_path / "c", epochs=1)
    texts = writing.sentences().at(slice(0, 4))
    with pytest.raises(ValueError, match="belongs to another run: texts"):
        generators.train(writing.network(1), texts, epochs=1, batch_size=4, seed=5, checkpoint=tmp_path / "c")


def test_a_loss_of_ones_own_is_taken(teacher):
    run = train(teacher=teacher, divergence=lambda s, t, batch: (s["logits"] - t["logits"]).square().mean())
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def other_vocabulary():
    return gpt.gpt(8, 1, vocab_size=5, max_length=5)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"divergence": "forwards"}, "must be one of labels, forward, reverse, .*got 'forwards'"),
        ({"divergence": "forward"}, "divergence 'forward' is one from a teacher"),
        ({"teacher": writing.network(2)}, "labels are the tokens of the texts: no teacher is asked"),
        ({"own_share": 0.5}, "learnt its own tokens would learn nothing"),
        ({"teacher": writing.network(2), "divergence": "reverse", "own_share": 1.5}, "between 0 and 1.*got 1.5"),
        ({"teacher": writing.network(2), "divergence": "reward to go"}, "give own_share=1; got 0"),
        ({"teacher": other_vocabulary(), "divergence": "reverse"}, "the student knows 4 tokens, the teacher 5"),
        ({"student": gpt.gpt(8, 1, 3, 5)}, "texts hold token 3, and the student knows 0 to 2"),
        ({"student": gpt.gpt(8, 1, 4, 4)}, "texts of 5 tokens are longer than the student's 4"),
        ({"epochs": 0}, "epochs must be a whole number from 1 to 1000000; got 0"),
        ({"lr": 0}, "lr must be a finite number above 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        train(**settings)


def test_texts_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="texts must be Answers"):
        generators.train(writing.network(), writing.sentences().input_ids, epochs=1)


def test_the_student_that_diverges_is_told(teacher):
    with pytest.raises(training.Diverged):
        train(copy.deepcopy(teacher), lr=1e4, epochs=8)


# --------------------------------------------------------------------------------------- exact toys


@pytest.fixture(scope="module")
def bigram():
    """A student of brackets that has learnt the teacher's texts."""
    return brackets.fit("forward", "teacher")


def test_a_lost_teacher_makes_own_prefixes_bad_and_the_whole_text_makes_them_right(bigram):
    taught = brackets.visits(brackets.teacher().unsqueeze(1).expand(7, 8, 7))
    assert taught[-1].sum().item() == pytest.approx(1) and taught[-1][brackets.RIGHT].sum() > 0.99
    own, whole = (brackets.fit(*how, start=bigram) for how in (("forward", "own"), ("reverse", "whole text")))
    assert brackets.judge(own).valid < 0.2 < brackets.judge(bigram).valid < 0.8 < brackets.judge(whole).valid


def test_the_kl_of_bracket_texts_equals_the_one_that_samples_give(bigram):
    scores, drawn = bigram, generator(0)
    said, taught, follow = brackets.student_says(scores), brackets.teacher(), brackets.moves()
    state, last = torch.full((20_000,), brackets.START), torch.full((20_000,), brackets.BEGIN)
    total = torch.zeros(20_000, dtype=torch.float64)
    for _ in range(brackets.LENGTH):
        token = torch.multinomial(said[state, last], 1, generator=drawn).squeeze(1)
        going = state < brackets.RIGHT
        total += torch.where(going, (said[state, last, token] / taught[state, token]).log(), 0.0)
        state, last = follow[state, token], token
    found, error = brackets.judge(scores), total.std() / len(total) ** 0.5
    assert abs(total.mean() - found.reverse_kl) < 4 * error
    assert abs((state == brackets.RIGHT).double().mean() - found.valid) < 0.015


def test_the_way_back_is_learnt_on_own_prefixes_from_a_teacher_that_knows_it():
    start = way_back.fit("teacher")
    longer, own, lost = (
        way_back.off_the_track(scores)[-1]
        for scores in (
            way_back.fit("teacher", start=start),
            way_back.fit("own", start=start),
            way_back.fit("own", start=start, knows=False),
        )
    )
    assert own < 0.03 < 0.15 < min(longer, lost)
    assert way_back.visits(way_back.says(start))[-1].sum().item() == pytest.approx(1)


# --------------------------------------------------------------------------------------- the stored study


def test_the_study_trains_what_is_missing_and_nothing_twice(tmp_path, monkeypatch):
    few = {"labels": benchmark.Arm("labels"), "forward": benchmark.Arm("forward")}
    few["own, reverse"] = benchmark.Arm("reverse", 1.0)
    few["labels, longer"] = benchmark.Arm("labels", epochs=3, rate_of="labels")
    monkeypatch.setattr(benchmark, "ARMS", few)
    monkeypatch.setattr(benchmark, "PAIRS", [("time", "own, reverse", "labels, longer")])
    monkeypatch.setattr(benchmark, "STUDENTS", {"4x1": (4, 1)})
    monkeypatch.setattr(benchmark, "START", {"epochs": 1, "lr": 1e-2})
    monkeypatch.setattr(benchmark, "POOL", 128)
    few_sentences = benchmark.sums.sentences().at(slice(0, 99))
    monkeypatch.setattr(benchmark.sums, "sentences", lambda: few_sentences)
    monkeypatch.setattr(benchmark, "RATES", (1e-3, 1e-2))
    benchmark.pool.cache_clear()
    for again in range(2):
        ledger = studies.Ledger(benchmark.about(), tmp_path / "a.json", say=str)
        assert len(ledger.rows) == 17 * again
        benchmark.Sums("4x1", ledger).run(2)
        assert len(ledger.rows) == 1 + 3 * 2 + 2 * (1 + 4)
    benchmark.pool.cache_clear()
    result = json.loads((tmp_path / "a.json").read_text())
    assert studies.generators.arms(result, "4x1") == list(few)
    assert set(studies.generators.tries(result, "4x1", "labels, longer")) == {1e-3, 1e-2}
    tries = studies.generators.tries(result, "4x1", "labels")
    assert tries[studies.generators.chosen(result, "4x1", "labels")] == min(tries.values())
    rows = [row for row in result["rows"] if row.get("arm") == "labels, longer" and row["seed"] == 1]
    found = studies.generators.by_seed(result, "4x1", "labels, longer", "validity")
    assert found[1] == rows[0]["validity"] and list(found) == [0, 1] and rows[0]["steps"] == 3
    pair = studies.generators.gain(result, "4x1", "own, reverse", studies.generators.START, "validity")
    own, start = (studies.generators.by_seed(result, "4x1", arm, "validity") for arm in ("own, reverse", "start"))
    assert pair.differences == pytest.approx([own[seed] - start[seed] for seed in (0, 1)])
    assert "| own, reverse |" in "\n".join(benchmark.sums_table(result, "4x1"))
    with pytest.raises(ValueError, match="'reverse' was not tried by the student '4x1'"):
        studies.generators.chosen(result | {"arms": {"reverse": {"rate_of": "reverse"}}}, "4x1", "reverse")


def test_the_page_says_what_the_study_found():
    result, page = measured.load("generators"), (measured.FOLDER / "README.md").read_text(encoding="utf-8")
    lines = list(benchmark.table(result))
    assert len(lines) > 25 and [line for line in lines if line not in page] == []
    now = json.loads(json.dumps(benchmark.about()))
    assert {name: result[name] for name in ("settings", "rates", "arms", "students")} == {
        name: now[name] for name in ("settings", "rates", "arms", "students")
    }
    assert result["teacher"] == zoo.card("sums-teacher")["sha256"]
    for student in benchmark.STUDENTS:
        for arm in studies.generators.arms(result, student):
            assert len(studies.generators.by_seed(result, student, arm, "validity")) == 5, (student, arm)
            assert len(studies.generators.tries(result, student, arm)) == 3, (student, arm)


@pytest.mark.parametrize("student", benchmark.STUDENTS)
def test_what_the_page_says_of_both_students_holds(student):
    result = measured.load("generators")

    def gain(arm, measure, other="forward"):
        return studies.generators.gain(result, student, arm, other, measure)

    assert gain("reverse", "validity").low > 0 and max(gain("reverse", "coverage").differences) < 0
    assert (gain("reverse", "coverage").high < 0) == (student == "16x1")
    assert gain("jensen-shannon", "validity").low > 0 and gain("jensen-shannon", "coverage").mean > -0.02
    for arm in "own, reverse", "half own, reverse":
        pair = gain(arm, "validity", "reverse")
        assert pair.low < 0 < pair.high
    assert gain("own, reverse", "validity", "reverse, longer").high < 0
    assert max(gain("own, forward", "validity").differences) < 0
    assert gain("own, reward to go", "validity").low > 0 > gain("own, reward to go", "coverage").high
    assert gain("greedy answers", "validity").high < 0 and gain("greedy answers", "coverage").high < -0.4
    assert gain("labels, longer", "coverage", "reverse, longer").low > 0
    for measure in ("validity", "coverage") if student == "32x1" else ():
        found = {arm: gain(arm, measure).mean for arm in studies.generators.arms(result, student)}
        assert max(found, key=found.__getitem__) == "labels, longer"
