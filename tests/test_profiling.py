"""What a network costs: operations by hand, and a clock that tells slow from fast."""

import time

import pytest
import tiny
import torch
from torch import nn

from kdkit import models
from kdkit.measure import profiling


def test_operations_of_a_linear_layer_and_a_convolution_by_hand():
    assert profiling.flops(nn.Linear(7, 5), torch.zeros(3, 7)) == 2 * 3 * 7 * 5
    conv = nn.Conv2d(2, 4, 3, padding=1, bias=False)
    assert profiling.flops(conv, torch.zeros(1, 2, 8, 8)) == 2 * 8 * 8 * 4 * 2 * 9


def test_operations_of_a_course_network_by_hand():
    layers = [(12, 24, 31), (24 * 9, 8, 31), (8 * 9, 32, 15), (32 * 9, 32, 7)]
    by_hand = 2 * (sum(inputs * outputs * side**2 for inputs, outputs, side in layers) + 32 * 10)
    assert profiling.flops(models.student(8, 3), torch.zeros(5, 3, 32, 32)) == 5 * by_hand


@pytest.mark.parametrize("mode", [True, False])
def test_operations_of_an_encoder_by_hand_in_either_mode(mode):
    """torch's fused layer, which it takes in eval mode, would count as nothing."""
    width, depth, batch, length = 128, 3, 2, 10
    products = 2 * 12 * width**2  # for each token: four for attention, eight for the feed-forward
    attention = 2 * 2 * length * width  # scores, and sums of values
    net = models.encoder(width, depth).train(mode)
    assert profiling.flops(net, torch.rand(batch, length, width)) == depth * batch * length * (products + attention)
    assert torch.backends.mha.get_fastpath_enabled()


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
    assert len(seen["long"].values) == 3


def test_contenders_take_turns_there_and_back(monkeypatch):
    order = []
    monkeypatch.setattr(profiling, "SHORTEST", 0.0)
    profiling.latency({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3)
    assert "".join(order[-18:]) == "aaabbbbbbaaaaaabbb"  # two calls to warm up, one that counts


def test_median_quartiles_and_outliers():
    seen = profiling.Latency((1.0, 2.0, 3.0, 4.0, 100.0))
    assert seen.median == 3.0 and seen.quartiles == (2.0, 4.0) and seen.outliers == (100.0,)
    assert str(seen) == "3000.00 ms (middle half 2000.00 to 4000.00; 1 of 5 rounds outliers)"
    assert str(profiling.Latency((1.0, 1.0, 1.0))) == "1000.00 ms (middle half 1000.00 to 1000.00)"


def rounds_of(monkeypatch, **seconds):
    """``profiling.latency`` that gives these seconds, round by round."""
    taken = {name.replace("_", " "): profiling.Latency(tuple(values)) for name, values in seconds.items()}
    monkeypatch.setattr(profiling, "latency", lambda contenders, rounds: {name: taken[name] for name in contenders})


def test_ratios_are_taken_round_by_round_beside_the_noise(monkeypatch):
    rounds_of(monkeypatch, one=[1.0, 2.0, 1.0], other=[3.0, 6.0, 4.0], the_first_again=[1.1, 1.8, 1.0])
    seen = profiling.compare({"one": None, "other": None}, rounds=3)
    assert list(seen) == ["one", "other"]
    assert seen["other"].spread.values == pytest.approx((3, 3, 4)) and seen["other"].noise == seen["one"].spread
    assert seen["one"].noise.values == pytest.approx((1.1, 0.9, 1.0))
    assert seen["other"].shown and str(seen["other"]) == (
        "3.00 times as long (middle half 3.00 to 3.50); noise 0.90 to 1.10"
    )


@pytest.mark.parametrize(
    "other, shown", [([1.05] * 3, False), ([1.2] * 3, True), ([0.8] * 3, True), ([0.8, 1, 2], False)]
)
def test_a_ratio_within_the_noise_shows_nothing(monkeypatch, other, shown):
    rounds_of(monkeypatch, one=[1.0] * 3, other=other, the_first_again=[0.9, 1.0, 1.1])
    ratio = profiling.compare({"one": None, "other": None})["other"]
    assert ratio.shown == shown and ("no difference shown" in str(ratio)) != shown


@pytest.mark.parametrize(
    ("limit", "noise", "said"),
    [(0.6, 0.1, True), (0.4, 0.1, False), (0.51, 0.1, None), (0.6, 0.6, None), (0.4, 0.6, None)],
)
def test_a_limit_is_kept_or_broken_or_the_clock_cannot_say(limit, noise, said):
    ratio = profiling.Ratio(profiling.Spread((0.5, 0.51, 0.52)), profiling.Spread((1 - noise, 1.0, 1 + noise)))
    assert ratio.at_most(limit) is said


def test_a_call_that_does_three_times_the_work_is_told_from_its_equal():
    calls = {"one": lambda: time.sleep(0.004), "equal": lambda: time.sleep(0.004), "three": lambda: time.sleep(0.012)}
    seen = profiling.compare(calls, rounds=5)
    assert seen["three"].shown and 2 < seen["three"].spread.median < 4
    assert 0.5 < seen["equal"].spread.median < 2


def test_what_is_kept_for_a_backward_pass_is_counted_once():
    x = torch.ones(1000, requires_grad=True)
    assert profiling.kept_for_backward(lambda: x * x) == 4000
    assert profiling.kept_for_backward(lambda: x * x, without=[x]) == 0
    with torch.no_grad():
        assert profiling.kept_for_backward(lambda x: x * x, x) == 0


def test_activation_memory_by_hand():
    """A linear layer keeps its input, a tanh its output; weights are not activations."""
    net = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 3))
    assert profiling.activation_bytes(net, torch.zeros(2, 7)) == 4 * 2 * (7 + 5)


def test_activation_memory_grows_with_the_batch_and_leaves_the_network_alone():
    net, inputs = tiny.net().eval(), torch.rand(2, 3, 10, 10)
    before = models.fingerprint(net)
    once, twice = profiling.activation_bytes(net, inputs), profiling.activation_bytes(net, inputs.repeat(2, 1, 1, 1))
    assert once > 0 and 1.9 * once < twice < 2.1 * once
    assert models.fingerprint(net) == before and not net.training


@pytest.mark.parametrize("rounds", [1, 0, 2.0, True, None])
def test_fewer_than_two_rounds_are_refused(rounds):
    with pytest.raises(ValueError, match="rounds must be a whole number of at least 2"):
        profiling.latency({"nothing": lambda: None}, rounds=rounds)


def test_predicting_is_what_predict_gives():
    net, images = tiny.net(), tiny.images(4, seed=1).images
    with torch.no_grad():
        assert torch.equal(profiling.predicting(net, images)(), net.eval()(models.as_input(images)))


def test_predicting_takes_what_another_network_takes():
    net, inputs = models.encoder(64, 1), torch.rand(2, 5, 64)
    with torch.inference_mode():
        assert torch.equal(profiling.predicting(net, inputs)(), net.eval()(inputs))
