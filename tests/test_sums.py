"""A language in which everything can be counted, and measures of whoever writes it that are computed, not sampled."""

import math

import pytest
import torch
import writing

from kdkit import zoo
from kdkit.data import sums
from kdkit.data.answers import until_end
from kdkit.data.seeds import generator
from kdkit.measure import exact
from kdkit.models import gpt

# --------------------------------------------------------------------------------------- the language


def test_all_sentences_are_there_once_and_each_is_right():
    texts = sums.decode(sums.sentences().input_ids)
    assert len(texts) == len(set(texts)) == 99 * 99
    for text in texts:
        asked, answer = text.split("=")
        assert len(asked) == 3 and eval(answer.rstrip(".").replace("+", " + ")) == int(asked)


def test_totals_are_as_frequent_as_they_have_right_answers():
    count = sums.totals(sums.sentences().input_ids).bincount()
    assert count[87] == 86 and count[2] == count[198] == 1 and count[100] == 99 and len(count) == 199


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("087=45+42.", True),
        ("002=1+1.", True),
        ("087=45+41.", False),  # another sum
        ("087=045+42", False),  # a nought in front, and no end within the length
        ("087=87+0.", False),  # no number from 1
        ("087=45.", False),
        ("087=.", False),
    ],
)
def test_who_is_right(text, good):
    assert sums.right(sums.encode([text])).tolist() == [good]


def test_what_stands_behind_the_end_does_not_count():
    tokens = sums.encode(["087=1+86.9"])
    assert sums.decode(tokens) == ["087=1+86."] and sums.right(tokens).all()


def test_prompts_and_what_they_ask_for():
    assert sums.decode(sums.prompts([87, 198])) == ["087=", "198="]
    assert sums.totals(sums.prompts([2, 87, 198])).tolist() == [2, 87, 198]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: sums.encode(["087=45+42.."]), "at most 10 of the characters"),
        (lambda: sums.encode(["87 = 1"]), "got '87 = 1'"),
        (lambda: sums.prompts([199]), "from 2 to 198; got 199"),
        (lambda: sums.totals(torch.zeros(1, 10, dtype=torch.long)), "such as 087=; got '0000'"),
        (lambda: until_end(torch.zeros(3, 4), 4, 9), r"got \[3, 4\], prompt 4"),
        (lambda: until_end(torch.zeros(3, 4).long(), 2, 9, torch.ones(3, 1)), r"here \[3, 2\]; got \[3, 1\]"),
    ],
)
def test_what_is_no_sum_is_refused_with_what_would_be(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()


def test_an_answer_counts_up_to_its_end_and_without_one_whole():
    found = until_end(torch.tensor([[7, 9, 5, 9, 9], [7, 9, 5, 5, 5]]), prompt_length=2, end=9)
    assert found.loss_mask.tolist() == [[False, False, True, True, False], [False, False, True, True, True]]
    assert found.attention_mask.tolist() == [[True, True, True, True, False], [True] * 5]
    assert found.prompts[0].tolist() == [[7, 9], [7, 9]] and len(found.at(slice(1)).input_ids) == 1


# --------------------------------------------------------------------------------------- measures


def brute_force(network):
    """Probability of each string behind each prompt, and of the right ones, in the order of ``sentences``."""
    every = {
        letter: {
            answer: writing.probability(network, (letter, writing.ASK), answer) for answer in writing.every_answer()
        }
        for letter in writing.LETTERS
    }
    for strings in every.values():
        assert sum(strings.values()) == pytest.approx(1)
    sentences = writing.sentences()
    right = [
        every[row[0]][tuple(row[writing.PROMPT_LENGTH : writing.PROMPT_LENGTH + int(mask.sum())])]
        for row, mask in zip(sentences.input_ids.tolist(), sentences.loss_mask, strict=True)
    ]
    return every, right


def test_probabilities_and_measures_equal_those_of_brute_force_over_all_strings():
    student, teacher = writing.network(1), writing.network(2)
    (all_q, right_q), (all_p, right_p) = brute_force(student), brute_force(teacher)
    log_q, log_p = (exact.log_probabilities(net, writing.sentences()) for net in (student, teacher))
    assert log_q.exp().tolist() == pytest.approx(right_q, rel=1e-5)
    found = exact.judge(log_q, writing.prompt(), log_p)
    assert 0.01 < found["validity"] < 0.99
    assert found["validity"] == pytest.approx(sum(right_q) / 2, rel=1e-5)  # two prompts with three right answers each
    covers, kl = [], {"forward_kl": [], "reverse_kl": []}
    for half in slice(0, 3), slice(3, 6):
        p, q = right_p[half], right_q[half]
        among = [value / sum(q) for value in q]
        covers.append(math.exp(-sum(value * math.log(value) for value in among)) / 3)
        p, q = [*p, 1 - sum(p)], [*q, 1 - sum(q)]
        for name, (a, b) in {"forward_kl": (p, q), "reverse_kl": (q, p)}.items():
            kl[name].append(sum(x * math.log(x / y) for x, y in zip(a, b, strict=True)))
    assert found["coverage"] == pytest.approx(sum(covers) / 2, rel=1e-5)
    assert found["truth_kl"] == pytest.approx(sum(-math.log(3 * value) for value in right_q) / 6, rel=1e-5)
    for name, values in kl.items():
        assert found[name] == pytest.approx(sum(values) / 2, rel=1e-4)
        whole = [
            sum(p * math.log(p / all_q[letter][text]) for text, p in all_p[letter].items())
            if name == "forward_kl"
            else sum(q * math.log(q / all_p[letter][text]) for text, q in all_q[letter].items())
            for letter in writing.LETTERS
        ]
        assert found[name] <= sum(whole) / 2  # wrong answers are told apart there


def test_an_even_writer_covers_all_and_one_of_a_single_answer_one():
    prompt, even = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([0.25, 0.25, 0.25, 0.25, 1.0]).log()
    assert exact.judge(even, prompt) == pytest.approx({"validity": 1, "coverage": 1, "truth_kl": 0}, abs=1e-7)
    one = torch.tensor([1 - 3e-12, 1e-12, 1e-12, 1e-12, 1.0]).double().log()
    assert exact.judge(one, prompt)["coverage"] == pytest.approx((4 * 0.25 + 1) / 5, rel=1e-6)
    assert exact.judge(even, 7 * prompt + 3)["coverage"] == 1  # numbers are names


@pytest.fixture(scope="module")
def teacher():
    return zoo.load("sums-teacher")


def test_the_teacher_that_ships_is_as_its_card_says_and_as_good_as_it_is_held_to(teacher):
    texts, card = sums.sentences(), zoo.card("sums-teacher")
    found = exact.judge(exact.log_probabilities(teacher, texts), sums.totals(texts.input_ids))
    assert found == pytest.approx(card["results"], rel=1e-3)
    assert found["validity"] > 0.985 and found["coverage"] > 0.985
    assert card["command"].startswith("python -m kdkit train-gpt") and card["sentences"] == 9801


def test_ten_thousand_samples_agree_with_what_was_computed(teacher):
    """Validity within three standard errors; so are the shares of single answers, and with them coverage and KL."""
    count, asked = 10_000, 20  # nineteen right answers
    prompts = sums.prompts([asked]).expand(count, -1)
    written = gpt.write(teacher, (prompts, torch.ones_like(prompts)), 6, generator(3))
    texts = sums.sentences()
    mine = texts.at(sums.totals(texts.input_ids) == asked)
    q = exact.log_probabilities(teacher, mine).exp()
    shares = torch.tensor([float((written.input_ids == row).all(1).double().mean()) for row in mine.input_ids])
    error = (q * (1 - q) / count).sqrt()
    assert ((shares - q).abs() < 4 * error).all() and (shares > 0).all()
    valid, all_right = q.sum(), sums.right(written.input_ids).double().mean()
    assert abs(all_right - valid) < 3 * (valid * (1 - valid) / count).sqrt() + 1e-6
    assert all_right == pytest.approx(float(shares.sum()))
