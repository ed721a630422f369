"""Text students are kept in folders that Hugging Face opens: written whole, measured as written, reported."""

import argparse
import json
import re
import shutil

import labelling
import pytest
import torch
import transformers
from labelling import classifier, tokenizer, write
from torch import nn

from kdkit import data, metrics
from kdkit.cli import distill_texts
from kdkit.cli.main import main
from kdkit.data import files, tokens
from kdkit.models.for_texts import ForTexts, text_classifier
from kdkit.studies import texts as study
from kdkit.training import Diverged, texts
from kdkit.zoo import for_texts

FEW = ["--epochs", "12", "--width", "16", "--depth", "1", "--lr", "5e-3", "--device", "cpu"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which texts, a teacher and what ``distill`` made of them lie."""
    place = tmp_path_factory.mktemp("made")
    write(place / "mails", 100)
    labelling.keep_teacher(place / "teacher")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(place)
        assert main([*DISTILL, "--out", "student", "--json", "run.json"]) == 0
    return place


DISTILL = ["distill", "--data", "mails", "--teacher", "teacher", "--seeds", "2", *FEW]


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy of it, to work in."""
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def said(capsys, *arguments, status=0):
    capsys.readouterr()
    assert main([*arguments]) == status
    return capsys.readouterr()[1 if status else 0]


# ------------------------------------------------------------------------------------------ the student


def test_what_was_measured_is_what_transformers_opens(place):
    card, split = for_texts.read_card("student"), data.labelled_texts("mails")
    assert card["results"]["accuracy"] == card["runs"][card["results"]["seed"]]["student_distilled"] > 0.8
    network = transformers.AutoModelForSequenceClassification.from_pretrained("student")
    own = transformers.AutoTokenizer.from_pretrained("student")
    assert network.config.id2label == {0: "fruit", 1: "tools"} and own.model_max_length == card["max_length"] == 48
    batch = own([*split.test.texts], padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        logits = network(batch["input_ids"], batch["attention_mask"]).logits
    assert metrics.accuracy(logits, split.test.labels) == card["results"]["accuracy"]
    ours = for_texts.read("student")
    torch.testing.assert_close(texts.predict(ours, ours.encode(split.test.texts)), logits, atol=1e-5, rtol=0)
    assert ours.classes == ("fruit", "tools") and ours.max_length == 48 and not ours.training


def test_a_classifier_comes_back_to_the_bit_with_its_length_and_odd_names_of_classes(tmp_path):
    network = ForTexts(classifier(16, 1).network.eval(), tokenizer(), max_length=20, classes=["LABEL_0", "LABEL_1"])
    for_texts.save(network, tmp_path / "kept", {"name": "kept"})
    again = for_texts.read(tmp_path / "kept")
    some = network.encode(["apple " * 30, "the saw"])
    assert again.max_length == 20 and again.classes == ("LABEL_0", "LABEL_1") and some["input_ids"].shape[1] == 20
    assert torch.equal(texts.predict(again, again.encode(["apple " * 30, "the saw"])), texts.predict(network, some))
    modes = {file.stat().st_mode for file in (tmp_path / "kept").iterdir()}
    assert len(modes) == 1  # nobody can read the one and not the other


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_folder_is_refused(file, place, capsys):
    content = (place / "student" / file).read_bytes()
    (place / "student" / file).write_bytes(content[:-10] + content[-10:].replace(b"}", b" "))
    (place / "student" / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{file} is missing, or not the file that the card" in said(
        capsys, "evaluate", "student", "--data", "mails", status=1
    )


def test_the_same_command_writes_its_student_anew_and_keeps_what_else_lies_there(place, capsys):
    (place / "student" / "README.md").write_text("mine")
    before = for_texts.read_card("student")
    (place / "student" / "model.safetensors").unlink()
    assert "kept in student/" in said(capsys, *DISTILL, "--out", "student")
    assert for_texts.read_card("student")["sha256"] == before["sha256"] and for_texts.read("student")
    assert (place / "student" / "README.md").read_text() == "mine"
    assert not [entry.name for entry in place.iterdir() if entry.name.endswith(".part")]


def test_another_network_and_another_s_folder_are_not_overwritten(place, capsys, monkeypatch):
    more = "student holds another network already, which names"
    assert more in said(capsys, *DISTILL, "--temperature", "2", "--out", "student", status=1)
    assert "of its test texts right" in said(capsys, *DISTILL, "--temperature", "2", "--out", "student", status=1)
    assert "mails is a folder with other things in it" in said(capsys, *DISTILL, "--out", "mails", status=1)
    (place / "note").write_text("mine")
    for name in "note", "student.safetensors":
        assert "kept in a folder, with its tokenizer" in said(capsys, *DISTILL, "--out", name, status=1)
    (place / "empty").mkdir()
    monkeypatch.chdir(place / "empty")
    for name in ".", "..", str(place / "empty"):
        command = ["distill", "--data", "../mails", "--teacher", "../teacher", "--seeds", "2", *FEW]
        assert f"--out {name} is the folder in which this runs" in said(capsys, *command, "--out", name, status=1)
    monkeypatch.chdir(place)
    refused = said(capsys, *DISTILL, "--out", "new", "--json", "new/kdkit.json", status=1)
    assert "is where the card of --out new will lie" in refused


def test_a_folder_is_written_whole_or_not_at_all(tmp_path):
    for_texts.save(ForTexts(classifier(16, 1).network, tokenizer(), classes=["a", "b"]), tmp_path / "kept", {})
    before = {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()}
    with pytest.raises(ValueError, match="NaN and inf are no results"):
        for_texts.save(
            ForTexts(classifier(8, 1).network, tokenizer(), classes=["a", "b"]), tmp_path / "kept", {"x": float("nan")}
        )
    assert {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()} == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]
    (tmp_path / ".kept.0.part" / "below").mkdir(parents=True)  # what a killed program leaves
    with files.alone(tmp_path / "kept"):
        assert not (tmp_path / ".kept.0.part").exists()


def test_what_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(ValueError, match="with the names of its classes; got BertForSequenceClassification, classes N"):
        for_texts.save(classifier(8, 1), tmp_path / "kept", {})
    with pytest.raises(FileNotFoundError, match="the card of a text classifier that kdkit has kept"):
        for_texts.read(tmp_path)
    (tmp_path / "kdkit.json").write_text("{}")
    with pytest.raises(ValueError, match="tells of no files, sha256, classes, max_length"):
        for_texts.read(tmp_path)


def test_no_code_in_a_folder_is_run(place):
    about = json.loads((place / "teacher" / "config.json").read_text())
    about |= {
        "model_type": "theirs",
        "auto_map": {"AutoConfig": "theirs.C", "AutoModelForSequenceClassification": "theirs.M"},
    }
    (place / "teacher" / "config.json").write_text(json.dumps(about))
    (place / "teacher" / "theirs.py").write_text(f"open({str(place / 'run')!r}, 'w')\nC = M = None\n")
    with pytest.raises(ValueError, match=r"cannot be read as a text classifier"):
        text_classifier("teacher")
    assert not (place / "run").exists()


# ---------------------------------------------------------------------------- evaluate, report, and others


def test_evaluate_says_what_the_card_says(place, capsys):
    told = said(capsys, "evaluate", "student", "--data", "mails", "--device", "cpu", "--json", "found.json")
    found, card = json.loads((place / "found.json").read_text()), for_texts.read_card("student")
    assert (
        found["results"]["accuracy"] == card["results"]["accuracy"]
        and found["results"]["ece"] == card["results"]["ece"]
    )
    assert found["results"]["milliseconds"].keys() == {"1", "64"} and "ms for one text" in told
    assert f"accuracy {card['results']['accuracy']:.2%}" in told and "student on 40 test texts of mails" in told
    theirs = said(capsys, "evaluate", "teacher", "--data", "mails", "--device", "cpu")
    assert f"accuracy {card['teacher_accuracy']:.2%}" in theirs  # any of Hugging Face's, its classes by name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "student", "--data", "things"], "student reads texts: give --data a folder of texts"),
        (["evaluate", "things-teacher", "--data", "mails"], "give the folder of a text classifier"),
        (["export", "student"], "AutoModelForSequenceClassification.from_pretrained opens it without kdkit"),
        (["train-teacher", "--data", "mails"], "Fine-tune a text classifier of Hugging Face's"),
        (["look", "mails", "--size", "32"], "texts, which have no --size"),
        (["evaluate", "student", "--data", "mails", "--size", "32"], "for which there is no --size"),
        (["report", "mails"], "kdkit.json does not exist"),
    ],
)
def test_what_texts_do_not_have_gets_a_sentence_that_says_what_to_do(arguments, message, place, capsys):
    assert message in said(capsys, *arguments, status=1)


@pytest.mark.parametrize(
    ("about", "named"),
    [({"architectures": ["ViTForImageClassification"]}, "ViTForImageClassification"), ({}, "nothing")],
)
def test_an_image_classifier_s_folder_does_not_read_texts(about, named, place, capsys):
    (place / "vit").mkdir()
    (place / "vit" / "config.json").write_text(json.dumps(about))
    for command in ["evaluate", "vit", "--data", "things"], ["export", "vit"]:
        told = said(capsys, *command, status=1)
        assert f"vit is a folder of Hugging Face's, of {named}: for images kdkit takes a .safetensors file" in told


def test_the_report_of_the_folder_in_which_one_is_has_its_name(place, monkeypatch, capsys):
    monkeypatch.chdir(place / "student")
    said(capsys, "report", ".")
    assert (place / "student.html").exists() and (place / "student.md").exists()


def test_a_student_of_other_classes_is_refused(place, capsys):
    (place / "mails" / "tools").rename(place / "mails" / "toys")
    assert "toys" in said(capsys, "evaluate", "student", "--data", "mails", status=1)


@pytest.mark.parametrize("source", ["student", "run.json"])
def test_the_report_is_of_texts(source, place, capsys):
    said(capsys, "report", source)
    page, card = ((place / source).with_suffix(ending).read_text() for ending in (".html", ".md"))
    text = re.sub(r"<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL)
    for told in (
        *("see the same texts in the same order", "texts to train: 144", "Of 40 test texts, in texts a student"),
        *("one text", "64 texts: the student takes", "first 48 tokens of a text", "training texts", "test texts"),
    ):
        assert told in text or (told.startswith("Of 40") and "No confusion" in text), told
    said_of_diagnose = "asks kdkit.diagnose about images alone"
    assert text.count("image") == text.count(said_of_diagnose) <= 1
    assert card.count("image") == card.count(said_of_diagnose)
    assert "pipeline_tag: text-classification" in card and "95 % interval" in card
    if source == "student":
        snippets = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        for snippet in snippets:
            exec(compile(snippet, "card", "exec"), {})
        assert len(snippets) == 2 and capsys.readouterr().out.count("label") == 1
        assert "The folder student holds the distilled student of seed" in text
    else:
        assert "No student was kept" in card


@pytest.mark.filterwarnings("default")
def test_look_says_how_many_how_long_and_what_is_odd(tmp_path, capsys):
    root = write(tmp_path / "mails" / "train", 60).parent
    write(root / "test", 30, first=60)
    same = (root / "train" / "fruit" / "3.txt").read_text(encoding="utf-8")
    (root / "test" / "fruit" / "again.txt").write_text(same.replace(" ", "\n "), encoding="utf-8")
    (root / "train" / "tools" / "empty.txt").write_text(" \n", encoding="utf-8")
    (root / "train" / "tools" / "lost.txt").write_text("a caf\ufffd saw", encoding="utf-8")
    (root / "train" / "tools" / "scan.pdf").write_bytes(b"%PDF")
    assert main(["look", str(root)]) == 0
    out, err = capsys.readouterr()
    assert "mails: 2 classes: fruit, tools" in out and "texts of 3 to 11 words, half of them with" in out
    assert "1 text stands in two parts of the split" in out and "again.txt" in out
    assert (
        "1 text holds control characters, or signs that were lost in a conversion (such as train/tools/lost.txt)" in out
    )
    assert "texts without a word (1, such as" in err and ".pdf (1, such as" in err
    assert re.search(r"^fruit +54 +6 +31$", out, re.MULTILINE) and "image" not in out
    for file in (root / "train" / "tools").glob("*.txt"):
        file.write_text(file.read_text(encoding="utf-8") * 9, encoding="utf-8")
    assert "Texts of tools are longer (half have at least" in said(capsys, "look", str(root))


# ------------------------------------------------------------------------------------ what may go wrong


def test_a_student_that_diverges_leaves_the_others_standing(place, monkeypatch, capsys):
    true = study.train

    def spoilt(student, split, *, seed, teacher=None, **settings):
        if seed == 1 and teacher is not None:
            raise Diverged("the loss of epoch 3 is 842")
        return true(student, split, seed=seed, teacher=teacher, **settings)

    monkeypatch.setattr(study, "train", spoilt)
    assert main([*DISTILL, "--out", "other", "--json", "d.json"]) == 1
    out, found = capsys.readouterr().out, json.loads((place / "d.json").read_text())
    assert "seed 1: distilled diverged" in out and "nothing can be said" in out and "842" in out
    first, second = found["runs"]
    assert second["student_distilled"] is None and second["diverged_distilled"] == "the loss of epoch 3 is 842"
    assert second["student_alone"] > 0.8 and first["student_distilled"] > 0.8 and found["verdict"] is None
    assert found["broken"] == ["seed 1, distilled: the loss of epoch 3 is 842"] and not (place / "other").exists()
    said(capsys, "report", "d.json")
    assert "| seed 1 | " in (card := (place / "d.md").read_text()) and "| none | diverged |" in card


def test_a_loss_that_is_no_number_is_found_in_texts_too(tmp_path):
    def make(seed):
        network = classifier(16, 1, seed)
        with torch.no_grad():
            network.network.classifier.weight.mul_(float("nan") if seed == 1 else 1.0)
        return network

    seen = []
    found = study.compare(
        make, labelling.toy(), labelling.teacher(), seeds=2, epochs=1, done=lambda *arm: seen.append(arm)
    )
    assert [run is None for _, _, run in seen] == [False, False, True, True] and found["verdict"] is None
    assert "no longer a finite number in epoch 1" in found["runs"][1]["diverged_alone"]
    assert found["runs"][0]["student_alone"] is not None


class Wrapped(nn.Module):
    """A network that tells nothing of itself: it has no config."""

    def __init__(self, network):
        super().__init__()
        self.inner = network

    def forward(self, input_ids, attention_mask):
        return self.inner(input_ids=input_ids, attention_mask=attention_mask).logits


SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 34}
KINDS = {
    "Bert": ({"intermediate_size": 8}, 34),
    "Roberta": ({"intermediate_size": 8, "pad_token_id": 1}, 32),
    "XLMRoberta": ({"intermediate_size": 8, "pad_token_id": 0}, 33),
    "OPT": ({"ffn_dim": 8, "word_embed_proj_dim": 8, "pad_token_id": 0}, 34),
}


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_cut_to_what_the_network_has_places_for(kind, bare):
    sizes, places = KINDS[kind]
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(tokenizer()), **SMALL, **sizes)
    network = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    network = Wrapped(network) if bare else network
    reader = ForTexts(network, tokenizer(), max_length=512)
    assert reader.max_length == places
    encoded = reader.encode(["hammer " * 60])
    assert encoded["input_ids"].shape == (1, places) and texts.predict(reader, encoded).isfinite().all()
    one_more = torch.full((1, places + 1), tokenizer().vocab["hammer"])
    with pytest.raises((IndexError, RuntimeError)):  # so that the limit is the true one
        network(input_ids=one_more, attention_mask=torch.ones_like(one_more))


def test_a_teacher_like_roberta_is_distilled_from_a_folder_with_texts_longer_than_it_reads(place, capsys):
    config = transformers.RobertaConfig(vocab_size=len(tokenizer()), **SMALL, intermediate_size=8, pad_token_id=1)
    transformers.RobertaForSequenceClassification(config).save_pretrained("roberta")
    tokenizer().save_pretrained("roberta")
    (place / "mails" / "fruit" / "1.txt").write_text("apple " * 60, encoding="utf-8")
    main(["distill", "--data", "mails", "--teacher", "roberta", "--seeds", "1", "--epochs", "1", *FEW[2:]])
    out, err = capsys.readouterr()
    assert "1 of 200 texts have more than 32 tokens: only their beginning is read" in out and "distillation:" in out, (
        err
    )


def test_a_student_knows_which_of_the_teacher_s_tokens_is_padding(tmp_path):
    own = tokens.tokenizer(["apple", "saw", *tokens.SPECIAL])
    config = transformers.BertConfig(vocab_size=len(own), **SMALL, intermediate_size=8, pad_token_id=own.pad_token_id)
    teacher = ForTexts(transformers.BertForSequenceClassification(config), own)
    made = distill_texts.student(argparse.Namespace(width=8, depth=1, device="cpu"), teacher, ["a", "b"], seed=0)
    assert made.network.config.pad_token_id == own.pad_token_id == 2 and made.classes == ("a", "b")
    assert made.max_length == teacher.max_length == 34
    made(**made.encode(["apple saw", "apple"])).logsumexp(1).sum().backward()
    gradient = made.network.bert.embeddings.word_embeddings.weight.grad
    assert gradient[0].any() and not gradient[2].any()  # apple learns, padding does not


# ------------------------------------------------------------------------------ teachers of one's own


def test_a_function_and_a_class_map_make_a_teacher(place, capsys):
    labelling.keep_teacher(place / "kept", classes=("Werkzeug", "Obst"))
    (place / "theirs.py").write_text(
        "from kdkit.models.for_texts import text_classifier\n\n\ndef teacher():\n    return text_classifier('kept')\n"
        "\n\ndef bare():\n    return teacher().network\n"
    )
    command = ["distill", "--data", "mails", "--seeds", "1", "--epochs", "1", *FEW[2:], "--json", "t.json"]
    assert "--class-map takes a JSON file" in said(capsys, *command, "--teacher", "theirs:teacher", status=1)
    (place / "map.json").write_text(json.dumps({"fruit": "Obst", "tools": "Werkzeug"}))
    main([*command, "--teacher", "theirs:teacher", "--class-map", "map.json"])
    found = json.loads((place / "t.json").read_text())
    assert found["teacher_accuracy"] > 0.9 and found["teacher"] == "theirs:teacher"
    assert found["settings"]["class_map"] == {"fruit": "Obst", "tools": "Werkzeug"}
    (place / "map.json").write_text(json.dumps({"fruit": "Werkzeug", "tools": "Obst"}))  # the wrong way round
    main([*command, "--teacher", "kept", "--class-map", "map.json"])
    assert json.loads((place / "t.json").read_text())["teacher_accuracy"] < 0.1
    refused = said(capsys, *command, "--teacher", "theirs:bare", status=1)
    assert "returned a BertForSequenceClassification; for texts it must be a kdkit.models.for_texts.ForTexts" in refused


@pytest.mark.parametrize("command", ["distill", "evaluate", "look"])
def test_help_says_that_texts_will_do(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "of texts (.txt" in " ".join(capsys.readouterr().out.split())
