"""A network that was kept comes back as it was, and a file that is not what its card says is refused."""

import json
import os

import pytest
import torch

from kdkit import models, zoo


@pytest.fixture
def net():
    net = models.student(3, 4, classes=5, channels=1, seed=2)
    with torch.no_grad():  # statistics and weights such as a training leaves behind
        for _ in range(3):
            net.train()(images())
    net.fit_input(images())
    return net.eval()


@pytest.fixture
def path(net, tmp_path):
    zoo.save(net, tmp_path / "net.safetensors", {"name": "net", "limits": "drawn images at 28 °C"})
    return tmp_path / "net.safetensors"


@pytest.fixture
def shipped(path, monkeypatch):
    monkeypatch.setattr(zoo, "SHIPPED", path.parent)


def images():
    return torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def change_card(path, **entries):
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text(encoding="utf-8")) | entries), encoding="utf-8")


# --------------------------------------------------------------------------------------- there and back


def test_a_network_comes_back_with_the_same_answers_in_eval_mode_and_float32(net, path):
    back = zoo.read(path)
    assert not any(module.training for module in back.modules())
    assert {weight.dtype for weight in back.parameters()} == {torch.float32}
    assert back.architecture == net.architecture and bool(back.whiten.fitted)
    for (name, kept), was in zip(back.state_dict().items(), net.state_dict().values(), strict=True):
        expected = was.half().float() if was.is_floating_point() else was
        assert torch.equal(kept, expected), name
    with torch.no_grad():
        answer, expected = back(images()), net(images())
    assert torch.allclose(answer, expected, atol=0.01 * float(expected.abs().max())) and expected.std() > 0.01


def test_keeping_a_network_that_was_read_changes_nothing_more(path, tmp_path):
    once = zoo.read(path)
    zoo.save(once, tmp_path / "again.safetensors", {})
    assert models.fingerprint(zoo.read(tmp_path / "again.safetensors")) == models.fingerprint(once)


def test_weights_are_kept_in_half_precision(net, path):
    assert 2 * models.count_parameters(net) < path.stat().st_size < 2 * models.count_parameters(net) + 8000


def test_the_network_that_is_kept_stays_as_it_was(net, tmp_path):
    before = models.fingerprint(net)
    zoo.save(net, tmp_path / "other.safetensors", {})
    assert models.fingerprint(net) == before


def test_the_card_holds_what_was_given_and_how_to_build_the_network(net, path):
    card = zoo.read_card(path)
    assert card["name"] == "net" and card["limits"] == "drawn images at 28 °C"
    assert card["architecture"] == net.architecture and len(card["sha256"]) == 64


def test_an_old_card_given_again_does_not_speak_for_the_new_weights(path):
    other = models.student(2, 3, classes=5, channels=1)
    zoo.save(other, path, zoo.read_card(path))
    back = zoo.read(path)
    assert back.architecture == other.architecture and zoo.read_card(path)["limits"] == "drawn images at 28 °C"


def test_names_lead_to_networks_and_cards(path, net, shipped):
    assert zoo.names() == ["net"]
    assert models.fingerprint(zoo.load("net")) == models.fingerprint(zoo.read(path))
    assert zoo.card("net") == zoo.read_card(path)


def test_every_network_that_ships_with_the_kit_can_be_loaded():
    assert "things-teacher" in zoo.names()
    for name in zoo.names():
        assert not zoo.load(name).training and zoo.card(name)["architecture"]


def test_others_may_read_what_was_kept(path):
    umask = os.umask(0o022)
    os.umask(umask)
    expected = 0o666 & ~umask
    assert all(file.stat().st_mode & 0o777 == expected for file in (path, path.with_suffix(".json")))


def test_a_file_that_is_cut_short_while_it_is_read_was_read_before(path, monkeypatch):
    whole, build = zoo.read(path).state_dict(), zoo._build

    def cut_short(architecture):
        os.truncate(path, 0)
        return build(architecture)

    monkeypatch.setattr(zoo, "_build", cut_short)
    read = zoo.read(path).state_dict()
    assert all(torch.equal(read[name], value) for name, value in whole.items())


@pytest.mark.parametrize("card", [{"picture": torch.ones(1)}, None, ["name"]])
def test_a_card_that_cannot_be_written_leaves_the_old_network_and_no_rubbish(path, card):
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    with pytest.raises(ValueError, match=r"cannot be written as JSON|a card, a dict, are kept; got ConvNet and"):
        zoo.save(models.student(2, 3), path, card)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


BAD_CARDS = {
    "bytes that are no text": ({"classes": ["caf\udce9"]}, r"text that is no Unicode: '\\udce9"),
    "an accuracy of NaN": ({"results": {"accuracy": float("nan")}}, "cannot be written as JSON .*NaN and inf are no"),
}


@pytest.mark.parametrize("card, message", BAD_CARDS.values(), ids=BAD_CARDS)
def test_a_card_that_would_be_no_json_is_refused_before_anything_is_written(path, card, message, monkeypatch):
    monkeypatch.setattr(zoo.files, "replacing", None)  # nothing may be written
    with pytest.raises(ValueError, match=message):
        zoo.save(models.student(2, 3), path, card)


def test_class_names_come_back_from_the_card_as_they_were(net, path):
    names = ["caf\u00e9", "\u30ab\U0001f408", 'cat "Tom"\\']
    zoo.save(net, path, {"classes": names})
    assert zoo.read_card(path)["classes"] == names


def test_a_tilde_is_ones_home(net, path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    zoo.save(net, "~/mine.safetensors", {})
    assert (path.parent / "mine.safetensors").exists()
    assert models.fingerprint(zoo.read("~/mine.safetensors")) == models.fingerprint(zoo.read(path))
    zoo.save_vocabulary(["a", "b"], "~/mine.safetensors")
    assert (path.parent / "mine.txt").exists()


def test_what_is_no_course_network_is_not_half_kept(tmp_path):
    with pytest.raises(ValueError, match=r"kdkit\.models has built, and a card, a dict, are kept; got Linear and dict"):
        zoo.save(torch.nn.Linear(2, 2), tmp_path / "linear.safetensors", {})
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------- what is refused


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def other_weights(path):
    zoo.save(models.student(3, 4, classes=5, channels=1, seed=3), path.parent / "other.safetensors", {})
    (path.parent / "other.safetensors").replace(path)


DAMAGES = {
    "a flipped bit": (flip_a_byte, r"net.safetensors is damaged.*SHA-256 \w{12}\.\.\., expected \w{12}\.\.\. Make or"),
    "half a file": (lambda path: path.write_bytes(path.read_bytes()[:-500]), "net.safetensors is damaged"),
    "an empty file": (lambda path: path.write_bytes(b""), "net.safetensors is damaged"),
    "other weights": (other_weights, "net.safetensors is damaged, or not the file that its card describes"),
    "another's sum": (lambda path: change_card(path, sha256="0" * 64), "expected 000000000000"),
    "no sum": (lambda path: change_card(path, sha256=None), "net.safetensors is damaged.*expected None"),
    "a card that is no JSON": (
        lambda path: path.with_suffix(".json").write_text("{'"),
        "net.json is damaged: it is no JSON",
    ),
    "an empty card": (lambda path: path.with_suffix(".json").write_text(""), "net.json is damaged: it is no JSON"),
    "a card of bytes": (lambda path: path.with_suffix(".json").write_bytes(b"\xff\xfe{}"), "net.json is damaged"),
    "a list for a card": (lambda path: path.with_suffix(".json").write_text("[1]"), "net.json is no card of a kdkit"),
    "a foreign card": (lambda path: path.with_suffix(".json").write_text("{}"), "net.json.*names no architecture"),
    "another width": (
        lambda path: change_card(path, architecture={"width": 4, "depth": 4, "classes": 5, "channels": 1}),
        "net.safetensors does not fit the architecture on its card, {'width': 4",
    ),
    "unknown sizes": (lambda path: change_card(path, architecture={"layers": 4}), "does not fit.*{'layers': 4}"),
    "sizes of an earlier kit": (
        lambda path: change_card(path, architecture={"width": 8, "depth": 1, "words": 97, "length": 128}),
        "net.json was written by an earlier kdkit: in its architecture, rename 'words' to 'vocab_size'",
    ),
    "text for sizes": (lambda path: change_card(path, architecture="small"), "does not fit the architecture.*small"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_network_is_refused_by_name(path, what):
    damage, message = DAMAGES[what]
    damage(path)
    with pytest.raises(ValueError, match=message):
        zoo.read(path)


@pytest.mark.parametrize("missing", ["net.safetensors", "net.json"])
def test_a_missing_file_is_named(path, missing):
    (path.parent / missing).unlink()
    with pytest.raises(
        FileNotFoundError, match=f"{missing} does not exist: a network is a .safetensors file and a .json"
    ):
        zoo.read(path)


@pytest.mark.parametrize("name", ["cifar11-teacher", "", "../net", "net.safetensors", None])
@pytest.mark.parametrize("ask", [zoo.load, zoo.card])
def test_an_unknown_name_is_refused_with_the_names_that_there_are(shipped, name, ask):
    with pytest.raises(ValueError, match=r"no network named .* ships with the kit; there are: net"):
        ask(name)


def test_without_any_networks_the_message_says_none(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match="no network named 'net' ships with the kit; there are: none"):
        zoo.load("net")


@pytest.mark.parametrize("name", ["net", "net.pt", "net.json"])
def test_a_name_without_the_right_ending_is_refused_before_anything_is_written(net, tmp_path, name):
    with pytest.raises(ValueError, match=rf"ends in \.safetensors; got .*{name}\.$"):
        zoo.save(net, tmp_path / name, {})
    assert not list(tmp_path.iterdir())


def test_statistics_too_large_for_half_precision_are_kept_whole(tmp_path):
    model = models.student(2, 3)
    model.stages[0].norms[0].running_var.fill_(1e5)
    zoo.save(model, tmp_path / "m.safetensors", {})
    assert torch.equal(zoo.read(tmp_path / "m.safetensors").stages[0].norms[0].running_var, torch.full((2,), 1e5))
