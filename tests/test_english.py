"""The small GPT that writes English: made, kept, halved; what its students see of it, and what the study says."""

import copy
import json
import statistics

import pytest
import reading
import torch
from torch.nn import functional as F

from benchmarks import top_k_text as benchmark
from kdkit import studies, zoo
from kdkit.cli import main as cli
from kdkit.course import english, measured
from kdkit.data import text, tokens
from kdkit.data.answers import until_end
from kdkit.models import gpt
from kdkit.training import generators
from kdkit.training.step import Batch

SIZES = {"vocab_size": 40, "max_length": 12, "end": 3}


@pytest.fixture
def teacher():
    return gpt.gpt(8, 5, **SIZES, seed=1).eval()


@pytest.fixture
def texts():
    drawn = torch.randint(4, 40, (30, 12), generator=torch.Generator().manual_seed(0))
    drawn[:, 9:] = 3
    return until_end(drawn, 1, 3)


# ------------------------------------------------------------------------------------- what it is made of


def test_a_student_is_made_of_half_the_layers_to_the_bit(teacher):
    student = gpt.student(teacher)
    assert student.architecture == {**teacher.architecture, "depth": 2} and student.config.eos_token_id == 3
    ours, theirs = student.state_dict(), teacher.state_dict()
    layers = {"h.0.": "h.0.", "h.1.": "h.4."}
    for name, value in ours.items():
        for own, other in layers.items():
            if own in name:
                name = name.replace(own, other)
                break
        assert torch.equal(value, theirs[name]), name
    before = copy.deepcopy(theirs)
    with torch.no_grad():
        student.lm_head.weight.zero_()
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_one_layer_stays_one_and_another_network_is_refused():
    assert gpt.student(gpt.gpt(4, 1, 13, 10)).config.n_layer == 1
    with pytest.raises(ValueError, match=r"that kdkit.models.gpt built; got Linear"):
        gpt.student(torch.nn.Linear(1, 1))


def test_the_end_is_the_last_token_unless_another_is_named(tmp_path, teacher):
    assert gpt.gpt(4, 1, 13, 10).config.eos_token_id == 12 and "end" not in gpt.gpt(4, 1, 13, 10).architecture
    zoo.save(teacher, tmp_path / "a.safetensors", {})
    assert zoo.read(tmp_path / "a.safetensors").config.eos_token_id == 3
    with pytest.raises(ValueError, match="end must be"):
        gpt.gpt(4, 1, 13, 10, end=13)


def test_all_of_a_sequence_but_its_first_token_is_to_be_written():
    known = tokens.tokenizer([*tokens.SPECIAL, "a", "b"])
    found = tokens.to_write(tokens.encode(["a b", "a"], known, max_length=5))
    assert found.input_ids.tolist() == [[2, 5, 6, 3, 0], [2, 5, 3, 0, 0]] and found.prompt_length == 1
    assert found.loss_mask.long().tolist() == [[0, 1, 1, 1, 0], [0, 1, 1, 0, 0]]


@torch.no_grad()
def test_judged_by_hand(teacher, texts):
    student = gpt.gpt(8, 1, **SIZES, seed=2).train()
    found = generators.judge(student, texts, teacher=teacher, batch_size=7)
    assert student.training and not teacher.training
    batch = generators.as_batch(texts)
    s, t = (network(**batch.inputs).logits[batch.mask].double().log_softmax(-1) for network in (student, teacher))
    labels = batch.labels[batch.mask]
    assert found["perplexity"] == pytest.approx(F.nll_loss(s, labels).exp().item(), rel=1e-5)
    assert found["kl"] == pytest.approx((t.exp() * (t - s)).sum(-1).mean().item(), rel=1e-4)
    assert list(generators.judge(student, texts)) == ["perplexity"]


# ------------------------------------------------------------------------------------- what a student sees


def losses_of(arm, seed=0):
    s, t = torch.randn(2, 3, 5, 40, generator=torch.Generator().manual_seed(seed)).double()
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[:, 3:] = False
    loss = english.divergence(arm)({"logits": s}, {"logits": t}, Batch({}, None, mask)).item()
    return loss, s[mask].log_softmax(-1), t[mask].log_softmax(-1)


@pytest.mark.parametrize("arm", [arm for arm, (k, _) in english.ARMS.items() if k])
def test_each_arm_is_the_kl_that_its_name_says(arm):
    loss, s, t = losses_of(arm)
    k, others = english.ARMS[arm]
    t, order = t.sort(descending=True)
    s = s.gather(-1, order)
    kept = t[:, :k].exp()
    if others == "tail":
        target = torch.cat([kept, 1 - kept.sum(-1, keepdim=True)], -1)
        said = torch.cat([s[:, :k].exp(), s[:, k:].exp().sum(-1, keepdim=True)], -1)
    else:
        target, said = kept / kept.sum(-1, keepdim=True), s[:, :k].exp()
        if others == "among themselves":
            said = said / said.sum(-1, keepdim=True)
    assert loss == pytest.approx((target * (target / said).log()).sum(-1).mean().item(), rel=1e-5)


def test_one_alone_is_the_cross_entropy_with_the_likeliest_token():
    loss, s, t = losses_of("1", seed=4)
    assert loss == pytest.approx(F.nll_loss(s, t.argmax(-1)).item())
    assert [english.divergence(arm) for arm in ("full", "labels")] == ["forward", "labels"]


def test_what_is_stored_for_each_token():
    stored = {arm: english.stored_bytes(arm, 3000) for arm in english.ARMS}
    assert [stored[arm] for arm in ("full", "20 + tail", "5 alone", "1", "labels")] == [6000, 80, 20, 2, 0]


# ------------------------------------------------------------------------------------- the shipped teacher


def test_the_teacher_that_ships_is_small_and_as_its_card_says(python_texts):
    card, network = zoo.card("python-gpt"), english.teacher()
    assert (zoo.SHIPPED / "python-gpt.safetensors").stat().st_size < 6_000_000
    assert card["command"].startswith("python -m kdkit train-gpt --data python") and card["seconds"] < 25 * 60
    assert english.tokenizer().get_vocab() == zoo.tokenizer("python-teacher").get_vocab()
    found = generators.judge(network, english.corpus()[2])
    assert found["perplexity"] == pytest.approx(card["results"]["perplexity"], rel=0.05)  # Pythons differ a little
    assert found["perplexity"] < 0.4 * card["results"]["perplexity_by_frequency"]


def test_it_writes_words_goes_on_from_a_beginning_and_differs_by_temperature():
    cold, warm = (english.write(english.teacher(), "return the", 3, temperature=T, seed=1) for T in (0.01, 1.0))
    assert all(said.startswith("return the ") and len(said.split()) > 5 for said in cold + warm)
    assert len(set(cold)) == 1 < len(set(warm)) == 3
    assert warm == english.write(english.teacher(), "return the", 3, seed=1)


def test_places_go_from_the_surest_to_the_least_sure():
    found = english.places("return true if the object is a class, and false otherwise.")
    entropy = torch.special.entr(found["logits"].softmax(-1)).sum(-1)
    assert entropy[0] < entropy[1] < entropy[2] and len(found["prefixes"]) == 3
    assert found["logits"].shape == (3, 3000) and len(found["tokens"]) == 3000
    assert found["tokens"][found["logits"][0].argmax()] not in tokens.SPECIAL


def test_a_gpt_that_writes_english_is_kept_with_its_vocabulary(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(text, "python", reading.documents)
    few = ["--epochs", "40", "--width", "8", "--depth", "1", "--batch-size", "8", "--lr", "1e-2"]
    assert cli.main(["train-gpt", "--data", "python", *few]) == 0
    card = zoo.read_card("runs/python-gpt.safetensors")
    assert card["settings"]["data"] == "python" and card["architecture"]["end"] == tokens.SPECIAL.index("[SEP]")
    assert zoo.read_tokenizer("runs/python-gpt.safetensors").get_vocab() == english.tokenizer().get_vocab()
    assert f"perplexity {card['results']['perplexity']:.4g}" in capsys.readouterr().out
    few[1], few[-1] = "1", "1e-9"
    assert cli.main(["train-gpt", "--data", "python", *few, "--out", "b.safetensors"]) == 1
    assert "no better at English than whoever guesses by how common tokens are" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- the stored study


def test_the_study_trains_what_is_missing_and_nothing_twice(tmp_path, monkeypatch, teacher, texts):
    """The teacher's card is that of the shipped one."""
    monkeypatch.setattr(english, "teacher", lambda: teacher)
    monkeypatch.setattr(english, "corpus", lambda: (texts, texts, texts))
    monkeypatch.setattr(benchmark, "ARMS", {arm: english.ARMS[arm] for arm in ("full", "5 + tail", "labels")})
    monkeypatch.setattr(benchmark, "RATES", {"half": (1e-3, 1e-2), "32x1": (1e-2,)})
    monkeypatch.setattr(benchmark, "STEPS", 2)
    for again in range(2):
        ledger = studies.Ledger(benchmark.about(), tmp_path / "a.json", say=str)
        assert len(ledger.rows) == (2 + 3 * 2 + 2 * 3 + 3 + 2 * 3) * again
        for student in benchmark.RATES:
            benchmark.Study(student, ledger).run(2)
    result = json.loads((tmp_path / "a.json").read_text())
    assert studies.top_k.arms(result, "half") == ["full", "5 + tail", "labels"]
    assert set(studies.top_k.start(result, "half")) == {"student", "arm", "seed", "perplexity", "kl"}
    tries = studies.top_k.tries(result, "half", "5 + tail")
    assert tries[studies.top_k.chosen(result, "half", "5 + tail")] == min(tries.values()) and len(tries) == 2
    one, other = (studies.top_k.by_seed(result, "half", arm) for arm in ("5 + tail", "full"))
    pair = studies.top_k.change(result, "half", "5 + tail", "full")
    assert pair.differences == pytest.approx([one[seed] - other[seed] for seed in (0, 1)])
    with pytest.raises(ValueError, match="'5 alone' was not tried by the student 'half'"):
        studies.top_k.by_seed(result, "half", "5 alone")


def test_titles_say_which_arm_is_shown_to_come_nearer():
    def result(**arms):
        rows = [{"student": "a", "arm": arm, "lr": 1, "seed": 1000, "val_kl": 1.0} for arm in arms]
        rows += [
            {"student": "a", "arm": arm, "lr": 1, "seed": seed, "kl": kl}
            for arm, kls in arms.items()
            for seed, kl in enumerate(kls)
        ]
        return {"rows": rows}

    apart = result(**{"5 + tail": [0.5, 0.6, 0.5], "20 alone": [0.8, 0.9, 0.8], "full": [0.1] * 3, "labels": [1] * 3})
    assert english.verdict(apart, "a") == "“5 + tail” comes nearer to the teacher than “20 alone”, by 0.30 nats"
    assert english.nearer(apart, "a") == "5 + tail" and list(english.changes(apart, "a")) == ["5 + tail", "20 alone"]
    alike = result(**{"5 + tail": [0.5, 0.9, 0.5], "20 alone": [0.8, 0.6, 0.6]})
    assert english.verdict(alike, "a") == "Between “5 + tail” and “20 alone” no difference is shown"


def test_the_page_says_what_the_study_found():
    result, page = measured.load("top-k-text"), (measured.FOLDER / "README.md").read_text(encoding="utf-8")
    lines = list(benchmark.table(result))
    assert len(lines) > 10 and [line for line in lines if line not in page] == []
    now = json.loads(json.dumps(benchmark.about()))
    same = ("settings", "rates", "arms", "teacher")
    assert {name: result[name] for name in same} == {name: now[name] for name in same}
    for student in benchmark.RATES:
        assert studies.top_k.arms(result, student) == list(english.ARMS)
        for arm in english.ARMS:
            assert len(studies.top_k.by_seed(result, student, arm)) >= 5, (student, arm)
            assert len(studies.top_k.tries(result, student, arm)) == 3, (student, arm)
        rows = english.table(result, student)
        mean = statistics.mean(studies.top_k.by_seed(result, student, "5 alone").values())
        assert rows["5 alone"]["KL"] == f"{mean:.3f}" and rows["5 alone"]["bytes a token"] == "20"


def test_what_the_page_and_the_notebook_say_of_both_students_holds():
    result, gain = measured.load("top-k-text"), studies.top_k.change
    for arm in english.changes(result, "half"):
        assert min(gain(result, "half", arm, "full").differences) > 0, arm
    begun = studies.top_k.start(result, "half")["kl"]
    for arm in "5 alone", "1":
        assert min(studies.top_k.by_seed(result, "half", arm).values()) > begun
        tries = studies.top_k.tries(result, "half", arm)
        assert [tries[rate] for rate in sorted(tries)] == sorted(tries.values())
    for near, far in ("5 + tail", "20 alone"), ("labels", "20 alone"):
        assert gain(result, "half", far, near).low > 0
    close = (gain(result, "half", "20 among themselves", arm).mean for arm in ("20 + tail", "full"))
    assert all(0 < difference < 0.03 for difference in close)
    for k in 20, 5:
        assert gain(result, "32x1", f"{k} + tail", f"{k} alone").low > 0
    for other in "full", "labels":
        pair = gain(result, "32x1", "20 alone", other)
        assert pair.low < 0 < pair.high
    assert gain(result, "32x1", "20 among themselves", "20 + tail").low > 1
