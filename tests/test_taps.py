"""Features are what the layers gave, with their gradients, and the network is as it was."""

import copy
import io
import pickle

import pytest
import tiny
import torch
from torch import nn

from kdkit import models
from kdkit.models import Features


def images(count=4):
    return torch.rand(count, 3, 10, 10, generator=torch.Generator().manual_seed(0))


def hooks(network):
    return sum(len(module._forward_hooks) for module in network.modules())


@pytest.mark.parametrize("grad", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_features_are_what_the_layers_give_and_no_hook_stays(grad):
    net = tiny.net(depth=6).eval()
    with grad():
        found = Features(net, early="stages.0", norm="stages.1.norms.1", head="classify")(images())
        first = net.stages[0](torch.relu(net.whiten(images())))
        second = net.stages[1]
        norm = second.norms[1](
            second.convs[1](torch.relu(second.norms[0](torch.max_pool2d(second.convs[0](first), 2))))
        )
    assert list(found) == ["logits", "early", "norm", "head"]
    with grad():
        assert torch.equal(found["early"], first) and torch.equal(found["norm"], norm)
        assert torch.equal(found["logits"], net(images())) and torch.equal(found["head"], found["logits"])
    assert hooks(net) == 0


def test_a_loss_on_a_feature_teaches_what_lies_before_it_and_nothing_behind():
    net = tiny.net()
    Features(net, early="stages.0")(images())["early"].square().sum().backward()
    learning = {name for name, weight in net.named_parameters() if weight.grad is not None}
    assert learning and all(name.startswith("stages.0.") for name in learning)


def test_a_network_that_stops_halfway_has_no_hook_left():
    net = tiny.net()
    with pytest.raises(ValueError, match="images must be"):
        Features(net, early="stages.0")(torch.zeros(1, 1, 10, 10))
    assert hooks(net) == 0


class Odd(nn.Module):
    """It calls one layer twice and one never; of the others one gives a tuple, one no tensor."""

    def __init__(self):
        super().__init__()
        self.twice, self.never = nn.Linear(3, 3), nn.Linear(3, 3)
        self.many, self.none = Gives(lambda x: ("text", x + 1, x + 2)), Gives(lambda x: "text")

    def forward(self, x, *, scale):
        self.many(x), self.none(x)
        return scale * self.twice(self.twice(x)), "more"


class Gives(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def test_of_a_layer_called_twice_the_last_counts_and_of_a_tuple_the_first_tensor():
    net, x = Odd(), torch.ones(2, 3)
    found = Features(net, twice="twice", many="many")(x, scale=2.0)
    assert torch.equal(found["twice"], net.twice(net.twice(x))) and torch.equal(found["logits"], 2 * found["twice"])
    assert torch.equal(found["many"], x + 1)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"early": "never"}, r"layer 'never' \(early\) was not called in this forward"),
        ({"early": "none"}, r"layer 'none' \(early\) gave no tensor, but str"),
    ],
)
def test_a_layer_that_gives_no_feature_is_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        Features(Odd(), **layers)(torch.ones(2, 3), scale=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Features(tiny.net(), early="stage.0"), r"ConvNet has no layer 'stage.0' \(for early\).*'stages.0'"),
        (lambda: Features(tiny.net(), early=0), r"has no layer 0 \(for early\)"),
        (lambda: Features(tiny.net(), logits="classify"), "cannot be named 'logits'"),
        (lambda: Features(torch.relu, early="a"), "network must be a torch.nn.Module"),
    ],
)
def test_layers_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_a_later_operation_writes_over_is_refused_or_under_inference_mode_kept():
    net, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)), torch.randn(8, 3)
    features = Features(net, early="0")
    for grad in torch.enable_grad, torch.no_grad:
        with grad(), pytest.raises(ValueError, match=r"wrote over what layer '0' \(early\) gave.*inplace=False"):
            features(x)
    with torch.inference_mode():
        early = features(x)["early"]
    assert torch.equal(early, net[0](x)) and (early < 0).any()
    assert torch.equal(Features(net, late="1")(x)["late"], net[0](x).relu())


def test_copies_and_files_work_and_the_copy_taps_itself():
    features = Features(tiny.net(), early="stages.0")
    file = io.BytesIO()
    torch.save(features, file)
    file.seek(0)
    copies = copy.deepcopy(features), pickle.loads(pickle.dumps(features)), torch.load(file, weights_only=False)
    other = Features(tiny.net(1), early="stages.0")
    other.load_state_dict(features.state_dict())
    wanted = features.eval()(images())
    with torch.no_grad():
        for weight in features.parameters():
            weight.zero_()
    for same in *copies, other:
        found = same.eval()(images())
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: torch.compile(Features(net, early="stages.0"), backend="eager"),
        lambda net: Features(torch.compile(net, backend="eager"), early="_orig_mod.stages.0"),
    ],
    ids=["compiled", "around a compiled network"],
)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's tracer looks at it
def test_under_torch_compile_features_and_gradients_are_the_same(wrap):
    torch._dynamo.reset()
    net, x = tiny.net().eval(), images()
    wanted = Features(net, early="stages.0")(x)
    gradient = torch.autograd.grad(wanted["early"].square().sum(), net.stages[0].convs[0].weight)[0]
    wrapped = wrap(net)
    for _ in range(2):  # the first call traces, the second runs what was traced
        found = wrapped(x)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert torch.equal(torch.autograd.grad(found["early"].square().sum(), net.stages[0].convs[0].weight)[0], gradient)
    assert not any(module._forward_hooks for module in wrapped.modules())


def test_what_holds_for_a_network_holds_for_the_one_inside():
    net = tiny.net()
    features = Features(net, early="stages.0")
    assert models.unwrapped(features) is net and models.unwrapped(nn.DataParallel(features)) is net
    assert models.unwrapped(Features(torch.compile(net))) is net
    prints = [models.fingerprint(one) for one in (net, features, Features(net, early="stages.1"), Features(net))]
    assert len(set(prints)) == 4
    assert models.fingerprint(Features(tiny.net(), early="stages.0")) == prints[1]


def test_outputs_gives_the_features_by_name():
    features = Features(tiny.net().half(), early="stages.0")
    found = models.outputs(features, images())
    assert list(found) == ["logits", "early"] and found["early"].dtype == torch.float16
