"""A student is made of its teacher: the right layers, to the bit, in the right places."""

import contextlib
import doctest
import itertools

import pytest
import reading
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DistilBertForMaskedLM, RobertaConfig, RobertaForMaskedLM

from kdkit import models, zoo
from kdkit.models import bert


def test_examples_in_docstrings_are_true():
    result = doctest.testmod(bert)
    assert result.attempted > 0 and result.failed == 0


@given(st.integers(1, 48), st.data())
def test_layers_are_spread_from_the_first_to_the_last_and_none_comes_twice(depth, data):
    few = data.draw(st.integers(1, depth))
    layers = bert.layers_to_copy(teacher_depth=depth, student_depth=few)
    assert len(set(layers)) == few and list(layers) == sorted(layers) and layers[0] == 0
    assert few == 1 or layers[-1] == depth - 1
    gaps = {later - earlier for earlier, later in itertools.pairwise(layers)}
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("depth", [0, 5])
def test_a_student_with_no_layer_or_more_than_its_teacher_is_refused(depth):
    with pytest.raises(ValueError, match=f"1 to 4 layers can be made of 4; got {depth}"):
        bert.layers_to_copy(teacher_depth=4, student_depth=depth)


def test_a_seed_gives_the_same_weights_and_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    first, again, other = (reading.teacher(seed) for seed in (0, 0, 1))
    students = [bert.student(first, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), before)
    for one, two, three in (first, again, other), students:
        assert models.fingerprint(one) == models.fingerprint(two) != models.fingerprint(three)


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="multiple of 4, the number of heads; got 18"):
        bert.teacher(18, 2)


def test_a_student_has_half_the_layers_of_the_same_width():
    teacher = reading.teacher()
    student = bert.student(teacher)
    assert student.config.n_layers == 2 and student.config.hidden_size == teacher.config.hidden_size
    assert bert.student(teacher, depth=3).config.n_layers == 3


def test_a_student_with_all_layers_copied_says_what_its_teacher_says():
    """Held against the networks themselves, not against the list of names: a layer in a wrong place would show."""
    teacher, batch = reading.teacher(seed=5).eval(), reading.masked_batch()
    with torch.no_grad():
        for parameter in teacher.parameters():  # biases and norms too: fresh ones are all 0 or 1
            parameter.add_(
                0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
            )
        teacher.bert.embeddings.token_type_embeddings.weight.zero_()  # what DistilBERT leaves out
    student = bert.student(teacher, depth=4).eval()
    assert bert.copy_layers(teacher, student) == (0, 1, 2, 3)
    with torch.no_grad():
        ours, theirs = (bert.answer(network, batch.input_ids, batch.attention_mask) for network in (student, teacher))
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine[batch.attention_mask], other[batch.attention_mask], atol=1e-4)


def test_copied_weights_are_equal_to_the_bit_and_are_copies():
    teacher = reading.teacher()
    student = bert.student(teacher)
    assert bert.copy_layers(teacher, student) == (0, 3)
    block, layer = student.distilbert.transformer.layer[1], teacher.bert.encoder.layer[3]
    pairs = [
        (block.attention.k_lin.weight, layer.attention.self.key.weight),
        (block.ffn.lin2.bias, layer.output.dense.bias),
        (student.distilbert.embeddings.word_embeddings.weight, teacher.bert.embeddings.word_embeddings.weight),
        (student.vocab_projector.weight, teacher.cls.predictions.decoder.weight),
        (student.vocab_transform.weight, teacher.cls.predictions.transform.dense.weight),
    ]
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    before = models.fingerprint(teacher)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1)
    assert models.fingerprint(teacher) == before


def test_what_stands_in_padding_changes_nothing_to_the_bit():
    batch, teacher = reading.masked_batch(), reading.teacher().eval()
    assert not batch.attention_mask.all()
    other = batch.input_ids.where(batch.attention_mask, 9)
    with torch.no_grad():
        for network in teacher, bert.student(teacher).eval():
            first, second = (bert.answer(network, inputs, batch.attention_mask) for inputs in (batch.input_ids, other))
            for a, b in zip(first, second, strict=True):
                assert torch.equal(a[batch.attention_mask], b[batch.attention_mask])


def test_outputs_of_both_kinds_are_logits_and_last_hidden_states_by_name():
    batch, teacher = reading.masked_batch(), reading.teacher().eval()
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask.long()}
    with torch.no_grad():
        for network in teacher, bert.student(teacher).eval():
            assert list(models.outputs(network, inputs)) == ["logits"]
            found = models.outputs(network, inputs | {"output_hidden_states": True})
            assert list(found) == ["logits", "hidden"]
            for mine, other in zip(found.values(), bert.answer(network, *batch[::2]), strict=True):
                assert torch.equal(mine, other)
            body = models.Features(network, body=network.base_model_prefix)(**inputs)["body"]
            assert torch.equal(body, found["hidden"])


def test_a_student_computes_as_its_teacher_does_activation_and_dropout_too():
    config = reading.teacher().config
    odd = type(config)(**{**config.to_dict(), "hidden_act": "relu", "hidden_dropout_prob": 0.3, "num_hidden_layers": 1})
    student = bert.student(bert.BertForMaskedLM(odd))
    assert (student.config.activation, student.config.dropout, student.config.n_layers) == ("relu", 0.3, 1)


def test_a_student_is_made_of_a_bert_whose_embeddings_are_tied():
    teacher = reading.teacher()
    with pytest.raises(ValueError, match="made of a BertForMaskedLM; got DistilBertForMaskedLM"):
        bert.student(bert.student(teacher))
    untied = reading.teacher()
    untied.cls.predictions.decoder.weight = torch.nn.Parameter(untied.cls.predictions.decoder.weight.clone())
    with pytest.raises(ValueError, match="one table of embeddings and another to predict with"):
        bert.copy_layers(untied, bert.student(teacher))


def test_building_a_network_does_not_seed_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU was seeded"))
    bert.student(reading.teacher(seed=3), seed=4)


def test_a_gpu_is_seeded_where_it_is_named(monkeypatch):
    """Without a GPU: what torch would be told."""
    told = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: told.append(devices) or contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "device", lambda device: told.append(device) or contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "manual_seed", told.append)
    monkeypatch.setattr(torch.mps, "manual_seed", told.append)
    before, cuda = torch.get_rng_state(), torch.device("cuda:1")
    for device, seed in (cuda, 5), ("mps", 6):
        with models.seeded(seed, device):
            pass
    torch.set_rng_state(before)
    assert told == [[cuda], cuda, 5, [], 6]


def test_the_global_generator_is_seeded_and_put_back():
    before = torch.get_rng_state()
    draws = []
    for seed in 1, 1, 2:
        with models.seeded(seed):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_networks_that_do_not_fit_are_refused():
    teacher = reading.teacher()
    with pytest.raises(ValueError, match="must know the same tokens; the teacher has 30, the student"):
        bert.check_fit(bert.teacher(16, 4, vocab_size=30, max_length=24), bert.student(teacher))
    wide = bert.student(bert.teacher(20, 4, vocab_size=teacher.config.vocab_size, max_length=24))
    with pytest.raises(ValueError, match="have 20 numbers, the teacher's 16: there is no angle between them"):
        bert.copy_layers(teacher, wide)
    bert.check_fit(teacher, wide, hidden=False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_heads": 2}, "another kind: heads 2 .the teacher 4"),
        ({"activation": "relu"}, "activation 'relu' .the teacher 'gelu'"),
        ({"hidden_dim": 32}, "width inside a layer 32 .the teacher 64"),
        ({"max_position_embeddings": 12}, "positions 12 .the teacher 24"),
    ],
)
def test_layers_of_another_kind_are_not_copied(setting, message):
    teacher = reading.teacher()
    config = bert.student(teacher).config
    config.update(setting)
    with pytest.raises(ValueError, match=message):
        bert.copy_layers(teacher, DistilBertForMaskedLM(config))


def test_networks_of_another_kind_or_without_layers_are_refused():
    teacher = reading.teacher()
    with pytest.raises(ValueError, match="copied to a DistilBertForMaskedLM; got BertForMaskedLM"):
        bert.copy_layers(teacher, reading.teacher(depth=2))
    with pytest.raises(
        ValueError, match="a BertForMaskedLM or a DistilBertForMaskedLM is wanted; got RobertaForMaskedLM"
    ):
        bert.classifier(
            RobertaForMaskedLM(
                RobertaConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=4)
            ),
            3,
        )
    with pytest.raises(
        ValueError,
        match=r"depth must be a whole number of at least 1; got 0\. It is half the teacher's",
    ):
        bert.student(teacher, depth=0)
    with pytest.raises(ValueError, match="width must be a multiple of 4, the number of heads; got 0"):
        bert.teacher(0)
    with pytest.raises(ValueError, match="depth must be a whole number of at least 1; got 0"):
        bert.teacher(8, 0)
    teacher.bert.encoder.layer = teacher.bert.encoder.layer[:1]
    with pytest.raises(ValueError, match="BertForMaskedLM has another body than its config says"):
        bert.classifier(teacher, 3)


def test_a_classifier_has_the_body_of_the_network_and_leaves_it_as_it_is():
    teacher = reading.teacher()
    for network in teacher, bert.student(teacher):
        before, made = models.fingerprint(network), bert.classifier(network, 3, seed=1)
        body = network.base_model.state_dict()
        assert all(torch.equal(made.base_model.state_dict()[name], weight) for name, weight in body.items())
        batch = reading.masked_batch()
        logits = made(input_ids=batch.input_ids, attention_mask=batch.attention_mask.long()).logits
        assert logits.shape == (6, 3)
        logits.sum().backward()
        with torch.no_grad():
            made.base_model.embeddings.word_embeddings.weight.zero_()
        assert models.fingerprint(network) == before
        heads = [bert.classifier(network, 3, seed=seed).classifier.weight for seed in (1, 1, 2)]
        assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


# --------------------------------------------------------------------------------------- in files


def test_a_bert_comes_back_from_its_file_with_its_vocabulary(tmp_path):
    teacher, path = reading.teacher(), tmp_path / "reader.safetensors"
    zoo.save(teacher, path, {})
    vocabulary = [reading.tokenizer().convert_ids_to_tokens(number) for number in range(len(reading.tokenizer()))]
    zoo.save_vocabulary(vocabulary, path)
    back, batch = zoo.read(path), reading.masked_batch()
    assert not back.training and back.architecture == teacher.architecture
    assert back.cls.predictions.decoder.weight is back.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        kept, was = (bert.answer(net.eval(), batch.input_ids, batch.attention_mask)[0] for net in (back, teacher))
    assert torch.allclose(kept, was, atol=1e-2) and was.std() > 0.01
    assert zoo.read_tokenizer(path)("the teacher")["input_ids"] == reading.tokenizer()("the teacher")["input_ids"]
    path.with_suffix(".txt").write_text("[PAD]\n[UNK]\n")
    with pytest.raises(ValueError, match=r"reader\.txt holds 2 tokens; .* are wanted"):
        zoo.read_tokenizer(path)
    path.with_suffix(".txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"reader\.txt does not exist: it holds the vocabulary"):
        zoo.read_tokenizer(path)


def test_weights_that_are_tied_stand_in_the_file_once(tmp_path):
    teacher, path = reading.teacher(), tmp_path / "reader.safetensors"
    zoo.save(teacher, path, {})
    assert path.stat().st_size < 2 * models.count_parameters(teacher) + 12_000


def test_the_reader_that_ships_is_small_and_reads():
    path = zoo.SHIPPED / "python-teacher.safetensors"
    assert path.stat().st_size + path.with_suffix(".txt").stat().st_size < 6_000_000
    teacher, tokenizer = zoo.load("python-teacher"), zoo.tokenizer("python-teacher")
    encoded = tokenizer("Raises a [MASK] if the key is not found.", return_tensors="pt")
    with torch.no_grad():
        logits, _ = bert.answer(teacher, encoded.input_ids, encoded.attention_mask)
    place = (encoded.input_ids[0] == tokenizer.mask_token_id).nonzero().item()
    assert tokenizer.convert_ids_to_tokens(int(logits[0, place].argmax())) == "keyerror"


def test_a_trace_adds_up_to_what_the_layer_gives():
    network, earlier = reading.teacher().train(), None
    ids = reading.masked_batch(1).input_ids[:, :9]
    for number, own in enumerate(network.bert.encoder.layer):
        seen = bert.trace(network, ids, number)
        middle = own.attention.output.LayerNorm(seen.before + seen.from_attention)
        assert torch.allclose(own.output.LayerNorm(middle + seen.from_network), seen.after, atol=1e-5)
        assert seen.inner.shape == (9, 64)
        assert earlier is None or torch.equal(seen.before, earlier)
        earlier = seen.after
    assert network.training


def test_a_trace_looks_where_the_network_itself_says_it_looks():
    network = reading.teacher().eval()
    for name, weight in network.named_parameters():
        if "query" in name:
            weight.data *= 1000  # fresh ones look everywhere alike
    network.config._attn_implementation = "eager"  # the one that gives its weights
    ids = reading.masked_batch(1).input_ids[:, :9]
    own = network(ids, output_attentions=True).attentions
    assert max(share.max() for share in own) > 0.5
    for number in range(4):
        assert torch.allclose(bert.trace(network, ids, number).looks_at, own[number][0].mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("ids", "layer", "words"),
    [
        (torch.zeros(1, 5, dtype=torch.long), 4, "layer must be a whole number from 0 to 3; got 4"),
        (torch.zeros(2, 5, dtype=torch.long), 0, r"one text, \[1, L\]; got shape \[2, 5\]"),
        (torch.zeros(5, dtype=torch.long), 0, r"one text, \[1, L\]; got shape \[5\]"),
    ],
)
def test_a_trace_of_a_layer_that_is_not_there_or_of_several_texts_is_refused(ids, layer, words):
    with pytest.raises(ValueError, match=words):
        bert.trace(reading.teacher(), ids, layer)
