"""The real BERT's code paths of notebook 06, on random weights of the true shape: a few steps, on the CPU, offline."""

import json

import pytest
import reading
import torch
from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertForMaskedLM

from kdkit import models
from kdkit.data import tokens
from kdkit.models import bert
from kdkit.training import masked_lm
from tools.notebooks import ROOT, code_cells, text

VOCAB_SIZE = 30_522


@pytest.fixture(scope="module")
def teacher():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BertForMaskedLM(BertConfig())  # bert-base-uncased: 12 layers of 768


@pytest.fixture(scope="module")
def tokenizer():
    """As many tokens as bert-base-uncased has."""
    known = [reading.tokenizer().convert_ids_to_tokens(number) for number in range(len(reading.tokenizer()))]
    return tokens.tokenizer([*known, *(f"[unused{number}]" for number in range(VOCAB_SIZE - len(known)))])


def test_a_student_of_bert_base_is_a_distilbert(teacher):
    student = bert.student(teacher)
    assert bert.copy_layers(teacher, student) == (0, 2, 4, 7, 9, 11)
    published = DistilBertForMaskedLM(DistilBertConfig())
    shapes = [{name: value.shape for name, value in net.state_dict().items()} for net in (student, published)]
    assert shapes[0] == shapes[1]
    assert models.count_parameters(teacher) == 109_514_298 and models.count_parameters(student) == 66_985_530


def test_steps_of_the_true_shape(teacher):
    student = bert.student(teacher)
    bert.copy_layers(teacher, student)
    input_ids = torch.randint(5, VOCAB_SIZE, (4, 64), generator=torch.Generator().manual_seed(0))
    labels = input_ids.where(torch.arange(64) % 7 == 0, -100)
    batch = tokens.MaskedBatch(input_ids, labels, torch.ones_like(input_ids).bool())
    before = models.fingerprint(teacher)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
    seen = [masked_lm.step(teacher, student, batch, optimizer).total for _ in range(3)]
    assert seen[-1] < seen[0] and models.fingerprint(teacher) == before


def test_the_section_for_those_online_runs(teacher, tokenizer, capsys):
    notebook = json.loads((ROOT / "notebooks" / "06_distilling_bert.ipynb").read_text(encoding="utf-8"))
    sources = [text(cell["source"]) for _, cell in code_cells(notebook) if "online" in cell["metadata"].get("tags", [])]
    namespace = {"bert": bert, "masked_lm": masked_lm, "models": models, "tokens": tokens, "torch": torch}
    namespace["documents"] = {}
    published = {"bert-base-uncased": teacher, "distilbert-base-uncased": DistilBertForMaskedLM(DistilBertConfig())}
    whole = tokens.corpus(reading.documents(), tokenizer)
    few = whole._replace(**{part: getattr(whole, part).at(slice(0, 2)) for part in ("train", "val", "test")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "corpus", lambda documents, tokenizer: few)
        patch.setattr("transformers.AutoModelForMaskedLM.from_pretrained", published.get)
        patch.setattr("transformers.AutoTokenizer.from_pretrained", lambda name: tokenizer)
        patch.setattr(torch.cuda, "is_available", lambda: False)
        for source in sources:
            exec(source.replace("ONLINE = False", "ONLINE = True"), namespace)
    said = capsys.readouterr().out
    assert "layers (0, 2, 4, 7, 9, 11); 61% of the parameters" in said and "DistilBERT, published: perplexity" in said
