"""What a network costs: operations by hand, and a clock that tells slow from fast."""

import time

import pytest
import tiny
import torch
from torch import nn

from kdkit import models, profiling


def test_operations_of_a_linear_layer_and_a_convolution_by_hand():
    assert profiling.flops(nn.Linear(7, 5), torch.zeros(3, 7)) == 2 * 3 * 7 * 5
    conv = nn.Conv2d(2, 4, 3, padding=1, bias=False)
    assert profiling.flops(conv, torch.zeros(1, 2, 8, 8)) == 2 * 8 * 8 * 4 * 2 * 9


def test_operations_of_a_course_network_by_hand():
    layers = [(12, 24, 31), (24 * 9, 8, 31), (8 * 9, 32, 15), (32 * 9, 32, 7)]
    by_hand = 2 * (sum(inputs * outputs * side**2 for inputs, outputs, side in layers) + 32 * 10)
    assert profiling.flops(models.student(8, 3), torch.zeros(5, 3, 32, 32)) == 5 * by_hand


def test_a_training_step_costs_three_forwards_where_the_input_needs_a_gradient_too():
    net, inputs = nn.Linear(7, 5, bias=False), torch.zeros(3, 7, requires_grad=True)
    assert profiling.training_flops(net, inputs) == 3 * profiling.flops(net, inputs)
    assert profiling.training_flops(net, torch.zeros(3, 7)) == 2 * profiling.flops(net, inputs)


@pytest.mark.parametrize("count", [profiling.flops, profiling.training_flops])
def test_counting_leaves_a_network_in_training_as_it_was(count):
    net, inputs = tiny.net().train(), torch.rand(2, 3, 10, 10)
    net(inputs).sum().backward()
    before, gradients = models.fingerprint(net), [p.grad.clone() for p in net.parameters()]
    count(net, inputs)
    assert models.fingerprint(net) == before and net.training
    assert all(torch.equal(p.grad, kept) for p, kept in zip(net.parameters(), gradients, strict=True))


def test_a_pause_takes_as_long_as_it_takes():
    seen = profiling.latency({"short": lambda: time.sleep(0.001), "long": lambda: time.sleep(0.005)}, rounds=3)
    assert 0.001 <= seen["short"].median < seen["long"].median and 0.005 <= seen["long"].median < 0.05
    assert len(seen["long"].times) == 3


def test_contenders_take_turns(monkeypatch):
    order = []
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)
    profiling.latency({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3)
    assert "".join(order[-18:]) == 3 * "aaabbb"  # two calls to warm up, one that counts


def test_median_and_quartiles():
    seen = profiling.Latency((1.0, 2.0, 3.0, 4.0, 100.0))
    assert seen.median == 3.0 and seen.quartiles == (2.0, 4.0)
    assert str(seen) == "3000.00 ms (middle half 2000.00 to 4000.00)"


@pytest.mark.parametrize("rounds", [1, 0, 2.0, True, None])
def test_fewer_than_two_rounds_are_refused(rounds):
    with pytest.raises(ValueError, match="rounds must be a whole number of at least 2"):
        profiling.latency({"nothing": lambda: None}, rounds=rounds)


def test_predicting_is_what_predict_gives():
    net, images = tiny.net(), tiny.images(4, seed=1).images
    with torch.no_grad():
        assert torch.equal(profiling.predicting(net, images)(), net.eval()(models.as_input(images)))
