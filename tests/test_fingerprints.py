"""A fingerprint sees what changes an answer, and is the same in each process."""

import functools
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch import nn
from torchvision import transforms

from kdkit import models
from kdkit.models import bert
from kdkit.models.fingerprints import fingerprint


class With(nn.Module):
    """A network with plain attributes."""

    def __init__(self, **attributes):
        super().__init__()
        self.net = tiny.net()
        for name, value in attributes.items():
            setattr(self, name, value)


class Extra(With):
    """One with extra state."""

    def get_extra_state(self):
        return {"version": self.version, "table": torch.ones(2)}


class Pipeline:
    """No module: an object with parts."""

    def __init__(self, *parts):
        self.parts = parts


def buffer(value):
    network = With()
    network.register_buffer("mean", torch.full((2,), value), persistent=False)
    return network


def frozen(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is on its way out of torch
        traced = torch.jit.trace(nn.Sequential(linear(seed), nn.Tanh()).eval(), torch.zeros(1, 4))
        return torch.jit.freeze(traced)


def linear(seed):
    with models.seeded(seed):
        return nn.Linear(4, 2)


def quantised(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(linear(seed)), {nn.Linear}, dtype=torch.qint8)


def normalised(std):
    return transforms.Normalize((0.5,) * 3, (std,) * 3)


def scaled_by(factor):
    return With(head=lambda logits: factor * logits)


def heads(count):
    """Two encoder layers of the same weights."""
    with models.seeded(0):
        return nn.TransformerEncoderLayer(8, count, 16, batch_first=True)


def bert_heads(count):
    network = bert.teacher(16, 1, vocab_size=30, max_length=8)
    network.bert.encoder.layer[0].attention.self.num_attention_heads = count
    return network


PAIRS = {  # each makes two networks that answer otherwise with the same registered weights
    "a Normalize in front": lambda k: nn.Sequential(normalised((0.2, 0.3)[k]), tiny.net()),
    "a Compose as an attribute": lambda k: With(before=transforms.Compose([normalised((0.2, 0.3)[k])])),
    "networks in a list": lambda k: With(nets=[tiny.net(1), tiny.net((2, 3)[k])]),
    "networks in an object in a dict": lambda k: With(nets={"a": Pipeline(tiny.net((2, 3)[k]))}),
    "a number": lambda k: With(scale=(0.5, 0.6)[k]),
    "a text": lambda k: With(mode=("nearest", "bilinear")[k]),
    "a tuple": lambda k: With(stride=((1, 2), (2, 1))[k]),
    "bytes that are cut elsewhere": lambda k: With(table=([b"ab", b"c"], [b"a", b"bc"])[k]),
    "a set": lambda k: With(kept=({"a", "b", "c"}, {"a", "b", "d"})[k]),
    "a tensor": lambda k: With(mean=torch.tensor((0.5, 0.6)[k])),
    "a sparse tensor": lambda k: With(mask=torch.diag(torch.tensor([1.0, k])).to_sparse()),
    "an array": lambda k: With(mean=np.array((0.5, 0.6)[k])),
    "a buffer that is not kept": lambda k: buffer((0.5, 0.6)[k]),
    "a dtype": lambda k: With(kind=(torch.half, torch.bfloat16)[k]),
    "a function": lambda k: With(act=(torch.relu, torch.tanh)[k]),
    "a function with a fixed argument": lambda k: With(act=functools.partial(torch.add, (1, 2)[k])),
    "a lambda around a number": lambda k: scaled_by((1, 2)[k]),
    "another lambda": lambda k: With(act=(lambda x: x + 1, lambda x: x - 1)[k]),
    "extra state": lambda k: Extra(version=(1, 2)[k]),
    "a frozen TorchScript": frozen,
    "a frozen TorchScript inside": lambda k: nn.Sequential(frozen(k), nn.Tanh()),
    "a quantised network": quantised,
    "torch's attention": lambda k: heads((2, 4)[k]),
    "BERT's attention": lambda k: bert_heads((2, 4)[k]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_two_networks_that_answer_otherwise_differ_and_equal_ones_do_not(name):
    make = PAIRS[name]
    assert fingerprint(make(0)) != fingerprint(make(1))
    assert fingerprint(make(0)) == fingerprint(make(0))


def test_networks_that_hold_themselves_and_odd_things_have_one_too():
    network = With(device=torch.device("cpu"), file=Path("here"), functions=nn.functional)
    network.itself = [network, network.net]
    before = fingerprint(network)
    network.device, network.file = torch.device("meta"), Path("there")  # where a network lies decides no answer
    assert fingerprint(network) == before


def test_wrapped_networks_have_one_too():
    net = tiny.net()
    for wrap in torch.compile, nn.DataParallel, lambda net: torch.fx.symbolic_trace(nn.Sequential(net.classify)):
        assert fingerprint(wrap(net)) == fingerprint(wrap(net))


def test_of_the_kits_own_networks_it_is_what_it_always_was():
    """Results, caches and checkpoints are stored under it."""
    assert fingerprint(models.student(2, 3)) == "7df5a67d65877ea9"


def test_of_torchs_layers_it_is_the_same_in_each_release_of_torch():
    """These are of torch 2.14. Of a normalisation 2.6 prints less, and `make lowest` runs this with it."""
    norms = nn.BatchNorm2d(2), nn.InstanceNorm1d(2), nn.GroupNorm(1, 2), nn.LayerNorm(2), nn.LayerNorm(2, bias=False)
    assert [fingerprint(norm) for norm in norms] == [
        "5527959ed61b40a9",
        "0128229fbc3486d8",
        "1f1e541d21ade2ee",
        "51ea2a63fa864c3c",
        "78c858a9d6acc24d",
    ]


def test_it_is_the_same_in_another_process():
    program = (
        "import test_fingerprints as t; frozen = t.frozen(5); print([t.fingerprint(m(0)) for m in t.PAIRS.values()])"
    )
    here = Path(__file__).parent
    threads = "2" if torch.get_num_threads() == 1 else "1"
    environment = os.environ | {"PYTHONPATH": f"{here.parent}:{here}", "PYTHONHASHSEED": "7"}
    environment["OMP_NUM_THREADS"] = threads
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == str([fingerprint(make(0)) for make in PAIRS.values()]), done.stderr


LIKE_BUT_FOR_ONE = {
    "pooling": lambda pad: torch.nn.AvgPool2d(3, 2, 1, count_include_pad=pad),
    "scaling": lambda corners: torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=corners),
}


@pytest.mark.parametrize("what", LIKE_BUT_FOR_ONE)
def test_what_a_layer_does_not_print_is_seen_all_the_same(what):
    one, other = (fingerprint(LIKE_BUT_FOR_ONE[what](setting)) for setting in (True, False))
    assert one != other == fingerprint(LIKE_BUT_FOR_ONE[what](False))
