"""Labelled texts of one's own: folders, networks with their tokenizers, and classifiers alone and distilled."""

import json

import labelling
import pytest
import torch
from labelling import WORDS, classifier, tokenizer, write

from kdkit import data, models
from kdkit.cli.main import main
from kdkit.models import bert
from kdkit.models.for_texts import ForTexts, text_classifier
from kdkit.studies import texts as study
from kdkit.training import texts


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "things")


# ------------------------------------------------------------------------------------------------ folders


def test_a_folder_of_texts_is_split_with_each_class_in_its_share(folder):
    found = data.labelled_texts(folder)
    assert found.classes == ("fruit", "tools") and found.name == "things" and not found.notes
    assert [len(part) for part in (found.train, found.val, found.test)] == [58, 6, 16]
    assert found.test.labels.bincount().tolist() == [8, 8]
    for part in (found.train, found.val, found.test):
        for text, label in zip(part.texts, part.labels.tolist(), strict=True):
            assert set(text.split()) & set(WORDS[found.classes[label]])
    assert len({*found.train.texts, *found.val.texts, *found.test.texts}) == 80
    assert "a fifth held out for testing" in found.source


def test_parts_of_a_split_are_read_as_they_are_and_repetitions_told(tmp_path):
    write(tmp_path / "own" / "Training", 30)
    write(tmp_path / "own" / "test_set", 10, first=100)
    same = (tmp_path / "own" / "Training" / "fruit" / "3.txt").read_text(encoding="utf-8")
    (tmp_path / "own" / "test_set" / "fruit" / "same.txt").write_text(same, encoding="utf-8")
    found = data.labelled_texts(tmp_path / "own")
    assert [len(part) for part in (found.train, found.val, found.test)] == [54, 6, 21]
    (note,) = found.notes
    assert note.startswith("1 text stands in two parts of the split (such as ") and "learnt a text by heart" in note


def spoil_encoding(folder):
    (folder / "fruit" / "0.txt").write_bytes(b"caf\xe9")


def spoil_class(folder):
    (folder / "animals").mkdir()


def spoil_words(folder):
    (folder / "animals").mkdir()
    (folder / "animals" / "0.txt").write_text(" \n", encoding="utf-8")


def one_class(folder):
    for file in (folder / "tools").iterdir():
        file.unlink()
    (folder / "tools").rmdir()


def few(folder):
    for name in WORDS:
        for number in range(8, 40):
            (folder / name / f"{number}.txt").unlink()


def other_classes(folder):
    write(folder / "train", 20)
    write(folder / "test", 20, first=20)
    (folder / "test" / "tools").rename(folder / "test" / "toys")
    for name in WORDS:
        for file in (folder / name).iterdir():
            file.unlink()
        (folder / name).rmdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_encoding, r"fruit.0\.txt is not UTF-8"),
        (spoil_class, r"No texts \(txt\) in these class folders of .*: animals"),
        (spoil_words, r"No texts \(txt\) in these .*: animals.*texts without a word \(1, such as"),
        (one_class, "must hold a folder of texts for each of at least two classes.*only one, 'fruit'"),
        (few, "holds 12 texts to train and 3 to test, 1 to validate: at least 20"),
        (other_classes, "parts of a split hold different classes"),
    ],
)
def test_a_folder_that_will_not_do_is_refused(folder, spoil, said):
    spoil(folder)
    with pytest.raises(ValueError, match=said):
        data.labelled_texts(folder)


def test_texts_without_a_word_are_left_out_and_said(folder):
    (folder / "fruit" / "0.txt").write_text("\n", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"texts without a word \(1, such as .*0\.txt\)"):
        found = data.labelled_texts(folder)
    assert sum(len(part) for part in (found.train, found.val, found.test)) == 79


# ----------------------------------------------------------------------------------- networks that read


@pytest.fixture(scope="module")
def toy():
    return labelling.toy()


@pytest.fixture(scope="module")
def teacher(toy):
    network = labelling.teacher()
    assert study.accuracy(network, toy) > 0.9
    return network


@torch.no_grad()
def sharpened(network):
    """Weights so large that a token of padding would be heard, and digits enough for 1e-5 all the same."""
    for weight in network.double().parameters():
        weight.mul_(10 if weight.ndim > 1 else 1)
    return network


@pytest.mark.parametrize("kind", ["bert", "distilbert", "folder"])
def test_padding_changes_no_answer(kind, teacher, toy, tmp_path):
    if kind == "folder":
        teacher.network.save_pretrained(tmp_path)
        teacher.tokenizer.save_pretrained(tmp_path)
        reader = text_classifier(tmp_path, max_length=48)
    else:
        body = bert.teacher(16, 2, vocab_size=len(tokenizer()), max_length=48)
        body = body if kind == "bert" else bert.student(body)
        reader = ForTexts(sharpened(bert.classifier(body, 2)), tokenizer(), max_length=48)
    some = [*toy.test.texts, "apple"]
    together = texts.predict(reader, reader.encode(some))
    alone = torch.cat([texts.predict(reader, reader.encode([each])) for each in some])
    padded = reader.encode([*some, "the " * 60])
    assert padded["input_ids"].shape[1] == 48 and together.std() > 0
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, texts.predict(reader, padded)[:-1], atol=1e-5, rtol=0)
    if kind == "folder":
        torch.testing.assert_close(together, texts.predict(teacher, teacher.encode(some)), atol=1e-5, rtol=0)


def test_a_student_of_other_tokens_and_size_learns_from_the_teacher_and_leaves_it_alone(teacher, toy):
    before, answers = models.fingerprint(teacher), texts.predict(teacher, teacher.encode(toy.test.texts))
    student = classifier(16, 1, letters=True)
    assert student.encode(["apple"])["input_ids"].shape != teacher.encode(["apple"])["input_ids"].shape
    run = texts.train(student, toy, teacher=teacher, hard_weight=0.0, soft_weight=1.0, epochs=2, progress=False)
    assert run.history[-1]["soft_loss"] > 0 and run.history[-1]["val_agreement"] is not None
    assert models.fingerprint(teacher) == before and not teacher.network.training
    assert torch.equal(texts.predict(teacher, teacher.encode(toy.test.texts)), answers)


def test_kept_logits_are_those_of_the_batch(teacher, toy):
    cache = texts.TeacherLogits(teacher, toy)
    encoded = teacher.encode(toy.train.texts)
    batches = texts.TextBatches(encoded, toy.train.labels, 7, seed=3, device=torch.device("cpu"))
    for batch in batches.epoch(1):
        asked = texts.predict(teacher, batch.inputs)
        torch.testing.assert_close(cache.outputs(batch.image, None, batch.inputs)["logits"], asked, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="cache is of another teacher"):
        texts.train(classifier(8, 1), toy, teacher=classifier(8, 1, seed=1), cache=cache, epochs=1, progress=False)


def test_a_comparison_learns_goes_on_and_gives_an_interval(teacher, toy, tmp_path):
    settings = {"seeds": 2, "folder": tmp_path, "epochs": 15, "lr": 5e-3, "progress": False}
    seen = []

    def make(seed):
        return classifier(16, 1, seed)

    found = study.compare(make, toy, teacher, done=lambda *arm: seen.append(arm[:2]), **settings)
    assert seen == [("alone", 0), ("distilled", 0), ("alone", 1), ("distilled", 1)]
    assert all(row[f"student_{arm}"] > 0.75 for row in found["runs"] for arm in ("alone", "distilled"))
    assert "95 % interval" in found["verdict"] and found["teacher_accuracy"] > 0.9
    again = study.compare(make, toy, teacher, **settings)  # from the checkpoints
    assert again == found


# --------------------------------------------------------------------------------------------- the command


@pytest.fixture
def kept(tmp_path):
    return labelling.keep_teacher(tmp_path / "teacher")


FEW = ["--epochs", "12", "--seeds", "2", "--width", "16", "--depth", "1", "--lr", "5e-3", "--device", "cpu"]


def test_the_command_takes_a_folder_of_texts(folder, kept, tmp_path, capsys):
    write(folder, 150)
    command = ["distill", "--data", str(folder), "--teacher", kept, "--runs", str(tmp_path / "runs"), *FEW]
    assert main([*command, "--json", str(tmp_path / "run.json")]) == 0
    said = capsys.readouterr().out
    assert "holds texts (.txt) and no image" in said and "distillation: " in said
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["data"] == "things" and found["train_texts"] == 216 and found["teacher_accuracy"] > 0.8
    assert [row["seed"] for row in found["runs"]] == [0, 1] and "95 % interval" in found["verdict"]
    assert {"student_alone", "student_distilled"} <= set(found["runs"][0]) and found["settings"]["width"] == 16


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--size", "32", "--top-k", "2"], "there is no --size and no --top-k: leave that out"),
        (["--teacher", "another"], "texts need one --teacher"),
        (["--max-grad-norm", "1"], "there is no --max-grad-norm"),
    ],
)
def test_what_texts_do_not_have_is_refused(more, said, folder, kept, capsys):
    assert main(["distill", "--data", str(folder), "--teacher", kept, *more]) == 1
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_text_classifier_is_refused(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["distill", "--data", str(folder), "--teacher", str(tmp_path / "empty")]) == 1
    assert "cannot be read as a text classifier of Hugging Face's" in capsys.readouterr().err
