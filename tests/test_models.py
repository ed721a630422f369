"""The course's networks have the sizes that they say, come out of their seed alone, and whiten what they see."""

import copy
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kdkit import losses, models
from kdkit.models import Whiten

DEPTHS, WIDTHS = range(1, 10), range(1, 17)
GRID = [(width, depth) for depth in DEPTHS for width in WIDTHS]


def count_by_hand(width, depth, classes, channels):
    """The parameters of a network, from its description: the stages' shares of the depth are written out here."""
    shares = {1: (0, 0, 1), 2: (0, 1, 1), 3: (1, 1, 1), 4: (1, 1, 2), 5: (1, 2, 2)}
    shares |= {6: (2, 2, 2), 7: (2, 2, 3), 8: (2, 3, 3), 9: (3, 3, 3)}
    total, before = 0, 8 * channels  # 2x2 patches of all channels, each with both signs
    for after, convs in zip((width, 4 * width, 4 * width), shares[depth], strict=True):
        for _ in range(convs):
            total += 9 * before * after + 2 * after  # a 3x3 convolution without bias, a normalisation
            before = after
    return total + before * classes + classes


def random_images(count=4, channels=3, size=32, seed=0):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def state_bytes(net):
    return {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}


# --------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(("channels", "classes"), [(3, 10), (1, 7)])
def test_a_network_has_the_parameters_that_its_width_and_depth_imply(channels, classes):
    for width, depth in GRID:
        net = models.student(width, depth, classes, channels)
        assert models.count_parameters(net) == count_by_hand(width, depth, classes, channels), (width, depth)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (1, 9)])
def test_every_network_answers_images_with_one_logit_a_class(depth, channels, size):
    for width in (1, 2, 5, 16):
        net = models.student(width, depth, 7, channels).eval()
        answer = net(random_images(2, channels, size))
        assert answer.shape == (2, 7) and answer.dtype == torch.float32 and answer.isfinite().all()


def test_depth_counts_convolutions():
    for depth in DEPTHS:
        convs = [m for m in models.student(2, depth).modules() if isinstance(m, torch.nn.Conv2d)]
        assert len(convs) == depth


def test_the_sizes_that_the_documentation_names():
    sizes = [models.count_parameters(models.student(width, depth)) for width, depth in ((8, 3), (8, 6), (6, 6))]
    assert [round(size / 1000) for size in sizes] == [14, 33, 19]
    assert models.count_parameters(models.teacher()) == pytest.approx(2e6, rel=0.02)
    assert models.count_parameters(models.teacher(32)) == pytest.approx(5e5, rel=0.02)


def test_a_network_can_be_built_again_from_its_architecture():
    net = models.student(3, 4, classes=5, channels=1, seed=2)
    assert state_bytes(models.student(**net.architecture, seed=2)) == state_bytes(net)


# --------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize(
    "make", [lambda seed: models.student(4, 6, seed=seed), lambda seed: models.teacher(4, seed=seed)]
)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(make):
    assert state_bytes(make(3)) == state_bytes(make(3))
    first, other = make(3), make(4)
    for (name, one), two in zip(first.named_parameters(), other.parameters(), strict=True):
        assert one.ndim == 1 or not torch.equal(one, two), name


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 - 1, 2**64 + 1, -(10**30), 10**30])
def test_seeds_may_be_of_any_size(seed):
    assert state_bytes(models.student(2, 3, seed=seed)) == state_bytes(models.student(2, 3, seed=seed))
    assert state_bytes(models.student(2, 3, seed=seed)) != state_bytes(models.student(2, 3, seed=5))
    with models.seeded(seed):
        drawn = torch.rand(3)
    with models.seeded(seed):
        assert torch.equal(torch.rand(3), drawn)


def test_numpys_whole_numbers_do_as_well():
    net = models.student(np.int64(2), np.int32(3), classes=np.int8(4), seed=np.uint64(7))
    assert state_bytes(net) == state_bytes(models.student(2, 3, classes=4, seed=7))
    assert all(type(size) is int for size in net.architecture.values())
    assert models.fingerprint(models.encoder(np.int64(8), np.int64(1))) == models.fingerprint(models.encoder(8, 1))


def test_building_a_network_neither_reads_nor_changes_the_global_random_state():
    def states():
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002

    built = []
    with torch.random.fork_rng():
        for seed in 1, 2:
            torch.manual_seed(seed)
            before = states()
            built.append(state_bytes(models.student(4, 6)))
            assert states() == before
    assert built[0] == built[1]


def test_every_weight_is_set():
    for width, depth in GRID[::7]:
        for name, tensor in models.student(width, depth).state_dict().items():
            assert tensor.isfinite().all() and tensor.float().abs().max() < 30, name


# --------------------------------------------------------------------------------------- the whitening layer


def natural_images(count=200, channels=3, height=16, width=14):
    """Neighbouring pixels and channels alike, as in photographs, with a mean that is not 0.5."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, channels, height // 2 + 1, width // 2 + 1, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") ** 2
    mixed = 0.7 * smooth.mean(1, keepdim=True) + 0.3 * smooth
    return (mixed + 0.02 * torch.rand(mixed.shape, generator=generator)).clamp(0, 1)


def patches(images):
    """All 2x2 patches on the even grid, by slicing: float64 [patches, channels * 4]."""
    pixels = images.double().numpy()
    corners = [pixels[:, :, down::2, right::2] for down in (0, 1) for right in (0, 1)]
    return np.stack(corners, 2).transpose(0, 3, 4, 1, 2).reshape(-1, 4 * pixels.shape[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_whitening_makes_patches_uncorrelated_of_variance_1_and_mean_0(channels):
    images, epsilon = natural_images(channels=channels), 1e-3
    layer = Whiten(channels)
    layer.fit(images, epsilon)
    answer = layer(images)[:, :, ::2, ::2]
    features = answer.permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
    positive, negative = features[:, : 4 * channels], features[:, 4 * channels :]
    assert np.allclose(positive, -negative, atol=1e-4), "each feature comes with both signs"
    assert np.abs(positive.mean(0)).max() < 1e-3

    covariance = np.cov(positive.T, bias=True)
    variances = np.linalg.eigvalsh(np.cov(patches(images).T, bias=True))
    strong = variances > 20 * epsilon
    assert strong.sum() > 1 and not strong.all(), "the images should have strong and weak directions"
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3
    assert np.allclose(np.sort(np.diag(covariance)), variances / (variances + epsilon), atol=1e-3)
    assert (np.sort(np.diag(covariance))[strong] > 0.95).all()


def test_before_whitening_the_layer_subtracts_a_half_and_divides_by_a_quarter():
    images = random_images(size=10)
    first = Whiten(3)(images)[:, :12:4]  # the upper left pixel of each patch, of each channel
    assert torch.allclose(first, (images[:, :, :-1, :-1] - 0.5) / 0.25, atol=1e-5)


def test_images_without_any_variation_are_whitened_to_finite_numbers():
    net = models.student(2, 3)
    net.fit_input(torch.zeros(3, 3, 32, 32))
    assert net.eval()(random_images()).isfinite().all()


def test_the_input_is_fitted_once_even_after_loading():
    net = models.student(2, 3)
    before = net.whiten.weight.clone()
    net.fit_input(natural_images())
    fitted = net.whiten.weight.clone()
    assert not torch.equal(before, fitted)
    loaded = models.student(2, 3)
    loaded.load_state_dict(net.state_dict())
    for each in net, loaded:
        each.fit_input(random_images())
        assert torch.equal(each.whiten.weight, fitted)


def test_no_optimiser_touches_the_whitening():
    net = models.student(2, 3)
    net.fit_input(natural_images())
    before = {name: tensor.clone() for name, tensor in net.whiten.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    convs = net.stages[0].convs[0].weight.clone()
    for _ in range(3):
        net(random_images()).logsumexp(1).mean().backward()
        optimizer.step()
    assert not torch.equal(convs, net.stages[0].convs[0].weight), "the rest learns"
    assert not list(net.whiten.parameters()) and not net.whiten.weight.requires_grad and net.whiten.weight.grad is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.whiten.state_dict().items())


# --------------------------------------------------------------------------------------- answers


def test_in_eval_mode_an_answer_does_not_depend_on_the_rest_of_the_batch():
    net, images = models.student(4, 6).eval(), random_images(12)
    together, order = net(images), torch.randperm(12, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(torch.cat([net(image[None]) for image in images]), together, atol=1e-5)
    assert torch.allclose(net(images[order]), together[order], atol=1e-5)
    assert together.std(0).min() > 1e-3, "different images, different answers"


def test_memory_layout_of_the_images_changes_nothing():
    net, images = models.student(4, 6).eval(), random_images()
    assert torch.allclose(net(images), net(images.contiguous(memory_format=torch.channels_last)), atol=1e-5)


def test_every_parameter_gets_a_gradient():
    net = models.student(2, 9).train()
    net(random_images(8)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.parameters())


def test_logits_are_taken_out_of_an_output_that_has_them():
    class Output:
        logits = torch.ones(2, 3)

    assert models.logits(lambda inputs: Output, None) is Output.logits
    assert models.logits(lambda inputs: inputs, Output.logits) is Output.logits


TWO, THREE = torch.ones(4, 2), torch.ones(4, 3)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (TWO, {"logits": TWO}),
        ((TWO, THREE), {"logits": TWO}),
        ([TWO, "text"], {"logits": TWO}),
        ({"logits": TWO, "early": THREE, "note": "text", "none": None}, {"logits": TWO, "early": THREE}),
        ({"logits": TWO, "hidden_states": (TWO, THREE)}, {"logits": TWO, "hidden": THREE}),
        ({"logits": TWO, "hidden_states": (TWO, TWO), "hidden": THREE}, {"logits": TWO, "hidden": THREE}),
        (SimpleNamespace(logits=TWO, hidden_states=(TWO, THREE)), {"logits": TWO, "hidden": THREE}),
        (SimpleNamespace(logits=TWO, hidden_states=()), {"logits": TWO}),
    ],
)
def test_outputs_are_given_by_name(answer, wanted):
    found = models.outputs(lambda inputs: answer, None)
    assert list(found) == list(wanted) and all(found[name] is wanted[name] for name in wanted)
    assert models.logits(lambda inputs: answer, None) is TWO


@pytest.mark.parametrize("answer", [None, (), ("text", TWO), {"early": TWO}, {"logits": "text"}, SimpleNamespace()])
def test_an_answer_without_logits_is_refused(answer):
    with pytest.raises(ValueError, match=r"the student must answer with logits: a tensor, .* got "):
        models.outputs(lambda inputs: answer, None, "student")


def test_a_network_computes_where_its_first_tensor_lies_and_without_any_on_the_cpu():
    meta = torch.nn.Linear(2, 2, device="meta")
    assert models.device_of(meta) == torch.device("meta")
    assert models.device_of(torch.nn.BatchNorm1d(2, affine=False, device="meta")) == torch.device("meta")
    assert models.device_of(torch.nn.ReLU()) == torch.device("cpu")


@pytest.mark.parametrize("train", [True, False])
def test_hooks_see_what_each_layer_gave(train):
    net, seen = models.student(4, 6).train(train), {}
    for name, layer in net.named_modules():
        if not list(layer.children()):
            layer.register_forward_hook(
                lambda layer, inputs, gave, name=name: seen.update({name: (gave, gave.clone(), inputs[0].clone())})
            )
    net(random_images(8))
    assert len(seen) == 1 + 6 + 6 + 1
    assert all(torch.equal(gave, when_given) for gave, when_given, _ in seen.values())
    assert (seen["stages.1.norms.1"][0] < 0).any(), "what BatchNorm gave, before the ReLU"


# --------------------------------------------------------------------------------------- fingerprints


def test_equal_networks_have_equal_fingerprints_wherever_and_however_they_lie_in_memory():
    net = models.student(3, 4, seed=5)
    same = [models.student(3, 4, seed=5), copy.deepcopy(net), copy.deepcopy(net).eval()]
    same.append(copy.deepcopy(net).to(memory_format=torch.contiguous_format))
    assert {models.fingerprint(each) for each in same} == {models.fingerprint(net)}


def test_one_bit_of_any_weight_or_buffer_changes_the_fingerprint():
    net = models.student(1, 2)
    before = models.fingerprint(net)
    for name, tensor in net.state_dict().items():
        flat = tensor.view(-1) if tensor.is_contiguous() else tensor.permute(0, 2, 3, 1).view(-1)
        kept = flat[-1].clone()
        if tensor.dtype == torch.float32:
            flat[-1] = torch.nextafter(kept, torch.tensor(torch.inf))
        else:
            flat[-1] = not kept if tensor.dtype == torch.bool else kept + 1
        assert models.fingerprint(net) != before, name
        flat[-1] = kept
    assert models.fingerprint(net) == before


def test_other_sizes_other_names_and_other_layers_have_other_fingerprints():
    nets = [
        models.student(2, 3),
        models.student(3, 2),
        models.student(2, 3, classes=9),
        models.student(2, 3, channels=1),
    ]
    linear = torch.nn.Linear(2, 2)
    nets += [torch.nn.Sequential(linear, layer) for layer in (torch.nn.ReLU(), torch.nn.GELU())]
    nets += [torch.nn.Sequential(linear, linear), torch.nn.Sequential(linear), copy.deepcopy(linear).double()]
    assert len({models.fingerprint(net) for net in nets}) == len(nets)


# --------------------------------------------------------------------------------------- bad input


BAD = {
    "no width": (lambda: models.student(0, 3), "width must be a whole number of at least 1; got 0"),
    "negative depth": (lambda: models.student(8, -1), "depth must be a whole number of at least 1; got -1"),
    "half a layer": (lambda: models.student(8, 2.5), "depth must be a whole number of at least 1; got 2.5"),
    "width as text": (lambda: models.student("8", 3), "width must be a whole number of at least 1; got '8'"),
    "True": (lambda: models.student(True, 3), "width must be a whole number of at least 1; got True"),
    "one class": (lambda: models.student(8, 3, classes=1), "classes must be a whole number of at least 2; got 1"),
    "no channels": (lambda: models.student(8, 3, channels=0), "channels must be a whole number of at least 1; got 0"),
    "teacher": (lambda: models.teacher(width=0), "width must be a whole number of at least 1; got 0"),
    "far too wide": (lambda: models.student(10**6, 3), r"about 4e\+14 weights, more than 10\^9. Make width, depth"),
    "far too many classes": (lambda: models.teacher(classes=10**12), "weights, more than 10.9"),
    "an encoder beyond measure": (lambda: models.encoder(64, 10**9), "weights, more than 10.9"),
    "half a seed": (lambda: models.student(8, 3, seed=0.5), "seed must be a whole number; got 0.5"),
    "a seed in words": (lambda: models.encoder(8, 1, seed="one"), "seed must be a whole number; got 'one'"),
    "grey": (
        lambda: models.student(2, 3)(random_images(channels=1)),
        r"images must be \[N, 3, H, W\].*got \[4, 1, 32, 32\]",
    ),
    "too small": (lambda: models.student(2, 3)(random_images(size=8)), r"H and W of at least 9; got \[4, 3, 8, 8\]"),
    "one image": (
        lambda: models.student(2, 3)(random_images()[0]),
        r"images must be \[N, 3, H, W\].*got \[3, 32, 32\]",
    ),
    "bytes": (
        lambda: models.student(2, 3)(random_images().byte()),
        r"floating-point in \[0, 1\]; got torch.uint8.*by 255",
    ),
    "bytes to fit": (lambda: models.student(2, 3).fit_input(random_images().byte()), "got torch.uint8.*divide by 255"),
    "grey to fit": (
        lambda: models.student(2, 3).fit_input(random_images(channels=1)),
        r"images must be \[N, 3, H, W\]",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_sizes_and_images_are_refused(what):
    call, message = BAD[what]
    with pytest.raises(ValueError, match=message):
        call()


def test_argmax_teacher_names_one_class_at_any_temperature():
    teacher, images = models.student(2, 3, seed=1).eval(), torch.rand(6, 3, 32, 32)
    with torch.no_grad():
        plain, sure = teacher(images), models.Argmax(teacher)(images)
    one_hot = torch.nn.functional.one_hot(plain.argmax(1), 10).float()
    for temperature in 1.0, 4.0, 50.0:
        assert torch.equal((sure / temperature).softmax(1), one_hot)


def test_distilling_from_argmax_at_t_1_is_cross_entropy_with_the_teachers_answer():
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 8, 5, generator=generator)
    student.requires_grad_()
    answers = models.Argmax(torch.nn.Identity())(teacher)
    soft = losses.kd_loss(student, answers, temperature=1.0, soft_weight=1.0, hard_weight=0.0)
    hard = torch.nn.functional.cross_entropy(student, teacher.argmax(1))
    assert torch.allclose(soft, hard) and torch.allclose(*(torch.autograd.grad(x, student)[0] for x in (soft, hard)))


# ------------------------------------------------------------------------------------------------ encoders


@pytest.mark.parametrize("width, depth", [(64, 1), (128, 3), (544, 2)])
def test_an_encoder_has_as_many_parameters_as_berts_layers(width, depth):
    attention, feed_forward, norms = 4 * (width**2 + width), 8 * width**2 + 5 * width, 4 * width
    assert models.count_parameters(models.encoder(width, depth)) == depth * (attention + feed_forward + norms)


def test_an_encoder_comes_out_of_its_seed_alone():
    state = torch.get_rng_state()
    one, same, other = (models.fingerprint(models.encoder(64, 2, seed)) for seed in (0, 0, 1))
    assert one == same != other and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("width, depth", [(0, 1), (64, 0), (64, 1.5), (True, 1)])
def test_an_encoder_without_a_size_is_refused(width, depth):
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        models.encoder(width, depth)


def test_a_width_that_its_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="multiple of its 2 heads"):
        models.encoder(129, 1)
