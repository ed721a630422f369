"""Text becomes sequences of one length, some tokens masked: nothing is lost, mixed up or masked that must not be."""

import pytest
import reading
import torch

from kdkit.data import tokens
from kdkit.losses.arguments import IGNORE_INDEX


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_vocabulary_is_learnt_from_the_texts_and_special_tokens_come_first():
    vocabulary = tokens.learn_vocabulary(reading.documents().values(), 150)
    assert vocabulary[:5] == list(tokens.SPECIAL) and len(vocabulary) == len(set(vocabulary)) <= 150
    assert {"teacher", "student"} <= set(vocabulary) and any(token.startswith("##") for token in vocabulary)


def test_a_sentence_comes_back_in_lower_case():
    tokenizer = reading.tokenizer()
    ids = tokenizer("The Teacher sees nobody.", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == "the teacher sees nobody."
    assert tokenizer.unk_token_id in tokenizer("☃")["input_ids"]


def test_a_vocabulary_without_special_tokens_is_refused():
    with pytest.raises(ValueError, match=r"vocabulary must hold \[PAD\], .* got none of \[MASK\]"):
        tokens.tokenizer([*tokens.SPECIAL[:4], "cat"])


@pytest.mark.parametrize("max_length", [3, 10, 24])
def test_sequences_hold_every_token_once_in_order_between_cls_and_sep(max_length):
    tokenizer, texts = reading.tokenizer(), ["the cat sees a bird. " * 9, "nobody.", "a dog hears nobody."]
    sequences = tokens.encode(texts, tokenizer, max_length)
    assert sequences.input_ids.shape[1] == max_length and sequences.input_ids.shape == sequences.attention_mask.shape
    assert (sequences.input_ids[:, 0] == tokenizer.cls_token_id).all()
    assert (sequences.input_ids[~sequences.attention_mask] == tokenizer.pad_token_id).all()
    inside = []
    for ids, attended in zip(*sequences, strict=True):
        assert ids[attended][-1] == tokenizer.sep_token_id
        inside += ids[attended][1:-1].tolist()
    assert inside == [number for text in tokenizer(texts, add_special_tokens=False)["input_ids"] for number in text]


def test_a_sequence_is_of_one_text_and_truncation_leaves_the_first_of_each():
    texts = ["the cat sees a bird. " * 9, "nobody.", "a dog hears nobody."]
    sequences = tokens.encode(texts, reading.tokenizer(), 10)
    single = [tokens.encode([text], reading.tokenizer(), 10) for text in texts]
    assert torch.equal(sequences.input_ids, torch.cat([part.input_ids for part in single]))
    first = tokens.encode(texts, reading.tokenizer(), 10, truncation=True)
    assert torch.equal(first.input_ids, torch.stack([part.input_ids[0] for part in single]))


@pytest.mark.parametrize("truncation", [False, True])
@pytest.mark.parametrize(
    ("texts", "max_length", "message"),
    [
        ([""], 9, "hold no token"),
        (["a"], 2, "from 3 to .*; got 2. It must have place"),
        ("the cat", 9, "several strings.*; got one string"),
    ],
)
def test_what_cannot_be_cut_is_refused(texts, max_length, message, truncation):
    with pytest.raises(ValueError, match=message):
        tokens.encode(texts, reading.tokenizer(), max_length, truncation)


def test_a_tokenizer_without_special_tokens_is_refused():
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    blind = PreTrainedTokenizerFast(tokenizer_object=reading.tokenizer().backend_tokenizer, **names)
    with pytest.raises(ValueError, match=r"has no \[MASK\] token: take one that was made for BERT"):
        tokens.encode(["the cat"], blind)


def test_a_sentence_by_itself_begins_and_ends_as_the_sequences_do():
    ids = reading.tokenizer()("the cat sees")["input_ids"]
    sequence = tokens.encode(["the cat sees"], reading.tokenizer(), 9)
    assert ids == sequence.input_ids[0][sequence.attention_mask[0]].tolist()


def test_sequences_without_a_known_token_are_left_out_of_a_corpus():
    documents = reading.documents() | {f"snow {n}": "☃ ☃ ☃" for n in range(40)}
    corpus = tokens.corpus(documents, reading.tokenizer(), 24)
    for part, kept in zip(corpus[1:], reading.corpus()[1:], strict=True):
        assert torch.equal(part.input_ids, kept.input_ids)
    with pytest.raises(ValueError, match="knows no token of these texts"):
        tokens.corpus({f"snow {n}": "☃ ☃ ☃" for n in range(40)}, reading.tokenizer(), 24)


def test_labels_are_the_masked_tokens_and_minus_100_elsewhere():
    sequences = reading.corpus().train
    batch = tokens.mask_tokens(sequences, reading.tokenizer(), generator())
    masked = batch.labels != -100
    assert torch.equal(batch.labels[masked], sequences.input_ids[masked])
    assert torch.equal(batch.input_ids[~masked], sequences.input_ids[~masked]) and torch.equal(
        batch.attention_mask, sequences.attention_mask
    )


def test_fifteen_in_a_hundred_tokens_are_masked_at_least_one_a_sequence_and_no_special_one():
    sequences, tokenizer = reading.corpus().train, reading.tokenizer()
    for seed in range(20):
        batch = tokens.mask_tokens(sequences, tokenizer, generator(seed))
        masked = batch.labels != IGNORE_INDEX
        special = torch.isin(sequences.input_ids, torch.tensor(tokenizer.all_special_ids))
        assert not (masked & (special | ~sequences.attention_mask)).any()
        count = (~special & sequences.attention_mask).sum(1)
        assert torch.equal(masked.sum(1), (0.15 * count).round().clamp(min=1).long())


def test_in_a_sequence_without_a_known_token_none_is_masked():
    tokenizer = reading.tokenizer()
    ids = torch.tensor([[tokenizer.cls_token_id, tokenizer.unk_token_id, tokenizer.sep_token_id]])
    batch = tokens.mask_tokens(tokens.Sequences(ids, torch.ones_like(ids).bool()), tokenizer, generator())
    assert torch.equal(batch.input_ids, ids) and (batch.labels == IGNORE_INDEX).all()


def test_of_masked_tokens_eight_in_ten_are_shown_as_mask_one_as_another_and_one_stays():
    tokenizer = reading.tokenizer()
    token = tokenizer.convert_tokens_to_ids("teacher")
    sequences = tokens.Sequences(torch.full((200, 100), token), torch.ones(200, 100, dtype=torch.bool))
    batch = tokens.mask_tokens(sequences, tokenizer, generator())
    shown = batch.input_ids[batch.labels != IGNORE_INDEX]
    as_mask = (shown == tokenizer.mask_token_id).double().mean()
    stays = (shown == token).double().mean()
    assert as_mask == pytest.approx(0.8, abs=0.03) and stays == pytest.approx(0.1, abs=0.03)
    assert len(shown.unique()) > 40  # the others are drawn from all that it knows


def test_what_is_masked_depends_on_the_generator_alone_and_sequences_stay_as_they_are():
    sequences, tokenizer = reading.corpus().train, reading.tokenizer()
    before, state = sequences.input_ids.clone(), torch.get_rng_state()
    first, again, other = (tokens.mask_tokens(sequences, tokenizer, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.labels, other.labels)
    assert torch.equal(sequences.input_ids, before) and torch.equal(torch.get_rng_state(), state)


def test_frequencies_are_probabilities_and_no_token_is_impossible():
    sequences = reading.corpus().train
    count = len(reading.tokenizer())
    tokenizer = reading.tokenizer()
    found = tokens.log_frequencies(sequences, tokenizer)
    assert found.exp().sum().item() == pytest.approx(1) and found.isfinite().all()
    seen = [number for ids in sequences.input_ids.tolist() for number in ids if number not in tokenizer.all_special_ids]
    cat = tokenizer.convert_tokens_to_ids("cat")
    assert found[cat].exp().item() == pytest.approx((seen.count(cat) + 1) / (len(seen) + count))
    assert found[tokenizer.cls_token_id].exp().item() == pytest.approx(1 / (len(seen) + count))


def test_a_corpus_keeps_whole_documents_apart():
    corpus = reading.corpus()
    texts = [reading.tokenizer().decode(part.input_ids[0], skip_special_tokens=True) for part in corpus[1:]]
    assert len(set(texts)) == 3 and all(len(part.input_ids) > 5 for part in corpus[1:])
    assert tokens.fingerprint(corpus.train) != tokens.fingerprint(corpus.val)
