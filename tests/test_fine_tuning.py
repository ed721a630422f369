"""The task that no network was told of: unseen documents, few labels, and a network that is left as it was."""

import pytest
import reading
import torch

from kdkit import models
from kdkit.data import text
from kdkit.models import bert
from kdkit.training import fine_tuning


def pairs():
    """Docstrings that tell their module by a word: a list of pairs."""
    subjects = dict(
        zip(fine_tuning.MODULES, ("cat", "dog", "man", "bird", "story", "student", "teacher", "nobody"), strict=True)
    )
    return [
        (module, f"the {subject} sees {'the other ' * (number % 3)}{subject} and a {subject}. {number}{subject}")
        for module, subject in subjects.items()
        for number in range(30)
    ]


def test_ten_of_each_module_are_learnt_from_and_the_others_tested():
    task = fine_tuning.which_module(reading.tokenizer(), pairs())
    assert task.train_labels.bincount().tolist() == [10] * 8 and task.test_labels.bincount().tolist() == [20] * 8
    rows = {tuple(row) for row in task.train.input_ids.tolist()}
    assert (
        len(rows) > 1
        and task.train.input_ids.shape == (80, fine_tuning.MAX_LENGTH)
        and task.classes == fine_tuning.MODULES
    )
    other = fine_tuning.which_module(reading.tokenizer(), pairs(), seed=1)
    assert not torch.equal(task.train.input_ids, other.train.input_ids)


def test_no_text_is_tested_that_stands_among_those_to_learn_from():
    known = " ".join(f"known{number}" for number in range(20))
    repeats = [(module, f"{words}\n\n{known}") for module, words in pairs()]
    task, again = (fine_tuning.which_module(reading.tokenizer(), given) for given in (pairs(), repeats))
    assert torch.equal(task.test.input_ids, again.test.input_ids) and not torch.equal(
        task.train.input_ids, again.train.input_ids
    )


def test_docstrings_to_classify_are_those_that_no_network_has_learnt_from(monkeypatch):
    known = " ".join(f"known{number}" for number in range(20))
    found = [("email", f"A new one of six words.\n\n{known}"), ("enum", known), ("json", "This is of another module.")]
    found += [("enum", "Too short."), ("enum", "But this one is long enough.")]
    monkeypatch.setattr(text, "docstrings", lambda: found)
    documents = {f"topic {number}": f"{number} {known}" for number in range(50)}
    documents |= {f"new {number}": f"{number} and nothing else" for number in range(50)}
    left = fine_tuning.unseen_docstrings(documents)
    assert left == [("email", "A new one of six words."), ("enum", "But this one is long enough.")]


def test_nobody_has_learnt_from_these_modules():
    names = {f"module {module}": module for module in fine_tuning.MODULES}
    others = {f"topic {number}": str(number) for number in range(200)}
    assert not set(text.split({**names, **others}).train) & set(names)


def test_this_machine_has_enough_of_them(docstrings, python_texts, monkeypatch):
    monkeypatch.setattr(text, "docstrings", lambda: docstrings)
    found = fine_tuning.unseen_docstrings(python_texts)
    task = fine_tuning.which_module(reading.tokenizer(), found)
    assert task.train_labels.bincount().tolist() == [10] * 8 and task.test_labels.bincount().min() >= 10
    assert text.overlap(dict(enumerate(words for _, words in found)), others=text.split(python_texts).train) == 0


def test_fine_tuning_learns_what_can_be_learnt_and_leaves_the_network_alone():
    network = bert.teacher(32, 1, vocab_size=len(reading.tokenizer()), max_length=fine_tuning.MAX_LENGTH)
    task, before = fine_tuning.which_module(reading.tokenizer(), pairs()), models.fingerprint(network)
    state = torch.get_rng_state()
    scores = [fine_tuning.fine_tune(network, task, epochs=40, lr=5e-3, seed=seed) for seed in (0, 0)]
    assert scores[0] == scores[1] > 0.8 and models.fingerprint(network) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert fine_tuning.fine_tune(network, task, epochs=1, lr=1e-6) < 0.25


def test_a_task_that_cannot_be_made_or_read_is_refused():
    few = [pair for number, pair in enumerate(pairs()) if pair[0] != "enum" or number % 3 == 0]
    same = [(module, "the cat sees " * 9 if module == "enum" else words) for module, words in pairs()]
    for given, count in (few, 10), (same, 30):
        with pytest.raises(
            ValueError, match=f"enum has {count} docstrings: 10 are learnt from, and nothing else is left"
        ):
            fine_tuning.which_module(reading.tokenizer(), given)
    with pytest.raises(ValueError, match="texts have 64 tokens; this network reads 24 at most"):
        fine_tuning.fine_tune(reading.teacher(), fine_tuning.which_module(reading.tokenizer(), pairs()))


def test_fine_tuning_does_not_seed_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU was seeded"))
    network = bert.teacher(8, 1, vocab_size=len(reading.tokenizer()), max_length=fine_tuning.MAX_LENGTH)
    fine_tuning.fine_tune(network, fine_tuning.which_module(reading.tokenizer(), pairs()), epochs=1)


def test_naive_bayes_solves_what_a_word_tells_and_not_what_it_does_not():
    task = fine_tuning.which_module(reading.tokenizer(), pairs())
    assert fine_tuning.naive_bayes(task) == 1
    mixed = task._replace(
        train_labels=task.train_labels[torch.randperm(80, generator=torch.Generator().manual_seed(0))]
    )
    assert fine_tuning.naive_bayes(mixed) < 0.4
