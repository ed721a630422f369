"""Text becomes pieces of one length, with some words hidden: nothing is lost, mixed up or hidden that must not be."""

import pytest
import reading
import torch

from kdkit.data import tokens


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_words_are_learnt_from_the_texts_and_berts_own_come_first():
    words = tokens.learn_words(reading.documents().values(), 150)
    assert words[:5] == list(tokens.SPECIAL) and len(words) == len(set(words)) <= 150
    assert {"teacher", "student"} <= set(words) and any(word.startswith("##") for word in words)


def test_a_sentence_comes_back_in_lower_case():
    tokenizer = reading.tokenizer()
    ids = tokenizer("The Teacher sees nobody.", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == "the teacher sees nobody."
    assert tokenizer.unk_token_id in tokenizer("☃")["input_ids"]


def test_words_without_berts_own_are_refused():
    with pytest.raises(ValueError, match=r"words must hold \[PAD\], .* got none of \[MASK\]"):
        tokens.tokenizer([*tokens.SPECIAL[:4], "cat"])


@pytest.mark.parametrize("length", [3, 10, 24])
def test_pieces_hold_every_token_once_in_order_between_start_and_end(length):
    tokenizer, texts = reading.tokenizer(), ["the cat sees a bird. " * 9, "nobody.", "a dog hears nobody."]
    pieces = tokens.encode(texts, tokenizer, length)
    assert pieces.ids.shape[1] == length and pieces.ids.shape == pieces.mask.shape
    assert (pieces.ids[:, 0] == tokenizer.cls_token_id).all()
    assert (pieces.ids[~pieces.mask] == tokenizer.pad_token_id).all()
    inside = []
    for ids, mask in zip(*pieces, strict=True):
        assert ids[mask][-1] == tokenizer.sep_token_id
        inside += ids[mask][1:-1].tolist()
    assert inside == [number for text in tokenizer(texts, add_special_tokens=False)["input_ids"] for number in text]


def test_a_piece_is_of_one_text_and_beginnings_are_the_first_piece_of_each():
    texts = ["the cat sees a bird. " * 9, "nobody.", "a dog hears nobody."]
    pieces = tokens.encode(texts, reading.tokenizer(), 10)
    single = [tokens.encode([text], reading.tokenizer(), 10) for text in texts]
    assert torch.equal(pieces.ids, torch.cat([part.ids for part in single]))
    first = tokens.encode(texts, reading.tokenizer(), 10, beginnings=True)
    assert torch.equal(first.ids, torch.stack([part.ids[0] for part in single]))


@pytest.mark.parametrize("beginnings", [False, True])
@pytest.mark.parametrize(
    ("texts", "length", "words"),
    [
        ([""], 9, "hold no token"),
        (["a"], 2, "from 3 to .*; got 2. It must leave room"),
        ("the cat", 9, "several strings.*; got one string"),
    ],
)
def test_what_cannot_be_cut_is_refused(texts, length, words, beginnings):
    with pytest.raises(ValueError, match=words):
        tokens.encode(texts, reading.tokenizer(), length, beginnings)


def test_a_tokenizer_without_berts_own_tokens_is_refused():
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    blind = PreTrainedTokenizerFast(tokenizer_object=reading.tokenizer().backend_tokenizer, **names)
    with pytest.raises(ValueError, match=r"has no \[MASK\] token: take one that was made for BERT"):
        tokens.encode(["the cat"], blind)


def test_a_sentence_that_is_asked_about_begins_and_ends_as_the_pieces_do():
    ids = reading.tokenizer()("the cat sees")["input_ids"]
    piece = tokens.encode(["the cat sees"], reading.tokenizer(), 9)
    assert ids == piece.ids[0][piece.mask[0]].tolist()


def test_pieces_without_a_known_word_are_left_out_of_a_corpus():
    documents = reading.documents() | {f"snow {n}": "☃ ☃ ☃" for n in range(40)}
    corpus = tokens.corpus(documents, reading.tokenizer(), 24)
    for part, kept in zip(corpus[1:], reading.corpus()[1:], strict=True):
        assert torch.equal(part.ids, kept.ids)
    with pytest.raises(ValueError, match="knows no token of these texts"):
        tokens.corpus({f"snow {n}": "☃ ☃ ☃" for n in range(40)}, reading.tokenizer(), 24)


def test_labels_are_the_hidden_words_and_minus_100_elsewhere():
    pieces = reading.corpus().train
    hidden = tokens.hide(pieces, reading.tokenizer(), generator())
    asked = hidden.labels != -100
    assert torch.equal(hidden.labels[asked], pieces.ids[asked])
    assert torch.equal(hidden.inputs[~asked], pieces.ids[~asked]) and torch.equal(hidden.mask, pieces.mask)


def test_fifteen_in_a_hundred_words_are_hidden_at_least_one_a_piece_and_none_of_berts_own():
    pieces, tokenizer = reading.corpus().train, reading.tokenizer()
    for seed in range(20):
        hidden = tokens.hide(pieces, tokenizer, generator(seed))
        asked = hidden.labels != tokens.NOT_ASKED
        own = torch.isin(pieces.ids, torch.tensor(tokenizer.all_special_ids))
        assert not (asked & (own | ~pieces.mask)).any()
        words = (~own & pieces.mask).sum(1)
        assert torch.equal(asked.sum(1), (0.15 * words).round().clamp(min=1).long())


def test_a_piece_without_a_word_hides_nothing():
    tokenizer = reading.tokenizer()
    ids = torch.tensor([[tokenizer.cls_token_id, tokenizer.unk_token_id, tokenizer.sep_token_id]])
    hidden = tokens.hide(tokens.Pieces(ids, torch.ones_like(ids).bool()), tokenizer, generator())
    assert torch.equal(hidden.inputs, ids) and (hidden.labels == tokens.NOT_ASKED).all()


def test_of_hidden_words_eight_in_ten_are_masked_one_is_another_and_one_stays():
    tokenizer = reading.tokenizer()
    word = tokenizer.convert_tokens_to_ids("teacher")
    pieces = tokens.Pieces(torch.full((200, 100), word), torch.ones(200, 100, dtype=torch.bool))
    hidden = tokens.hide(pieces, tokenizer, generator())
    shown = hidden.inputs[hidden.labels != tokens.NOT_ASKED]
    masked = (shown == tokenizer.mask_token_id).double().mean()
    stays = (shown == word).double().mean()
    assert masked == pytest.approx(0.8, abs=0.03) and stays == pytest.approx(0.1, abs=0.03)
    assert len(shown.unique()) > 40  # the others are drawn from all that it knows


def test_what_is_hidden_depends_on_the_generator_alone_and_pieces_stay_as_they_are():
    pieces, tokenizer = reading.corpus().train, reading.tokenizer()
    before, state = pieces.ids.clone(), torch.get_rng_state()
    first, again, other = (tokens.hide(pieces, tokenizer, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.labels, other.labels)
    assert torch.equal(pieces.ids, before) and torch.equal(torch.get_rng_state(), state)


def test_frequencies_are_probabilities_and_no_token_is_impossible():
    pieces = reading.corpus().train
    count = len(reading.tokenizer())
    tokenizer = reading.tokenizer()
    found = tokens.log_frequencies(pieces, tokenizer)
    assert found.exp().sum().item() == pytest.approx(1) and found.isfinite().all()
    seen = [number for ids in pieces.ids.tolist() for number in ids if number not in tokenizer.all_special_ids]
    cat = tokenizer.convert_tokens_to_ids("cat")
    assert found[cat].exp().item() == pytest.approx((seen.count(cat) + 1) / (len(seen) + count))
    assert found[tokenizer.cls_token_id].exp().item() == pytest.approx(1 / (len(seen) + count))


def test_a_corpus_keeps_whole_documents_apart():
    corpus = reading.corpus()
    texts = [reading.tokenizer().decode(part.ids[0], skip_special_tokens=True) for part in corpus[1:]]
    assert len(set(texts)) == 3 and all(len(part.ids) > 5 for part in corpus[1:])
    assert tokens.fingerprint(corpus.train) != tokens.fingerprint(corpus.val)
