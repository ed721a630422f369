"""Any network that sees as a teacher: scaled and normalised for it, its classes matched by name; several as one."""

import re

import pytest
import tiny
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from kdkit import models, training
from kdkit.data import Splits, Views
from kdkit.data.images import ImageSet
from kdkit.models import Ensemble, ForImages

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Sees(nn.Module):
    """A network that keeps what it was given, and answers with fixed logits, one for each class."""

    def __init__(self, logits=(0.0, 1.0, 2.0)):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))
        self.given = None

    def forward(self, images):
        self.given = images
        return self.logits.expand(len(images), -1)


def answer(classes, logits, wanted, **keywords):
    """What such a teacher says about an image."""
    teacher = ForImages(Sees(logits), classes=classes, wanted=wanted, **keywords)
    return teacher(torch.rand(1, 3, 8, 8))[0]


def test_the_network_is_given_what_it_would_be_given_by_hand():
    network, images = Sees(), torch.rand(4, 3, 24, 24)
    ForImages(network, size=16, mean=MEAN, std=STD)(images)
    scaled = F.interpolate(images, (16, 16), mode="bicubic", antialias=True).clamp(0, 1)
    by_hand = (scaled - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(network.given, by_hand)


def test_images_of_the_right_size_are_not_touched_by_scaling():
    network, images = Sees(), torch.rand(2, 3, 16, 16)
    ForImages(network, size=16)(images)
    assert torch.equal(network.given, images)


def test_scaling_is_nearly_that_of_pillow():
    picture = torch.randint(0, 256, (3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    network = Sees()
    ForImages(network, size=24)(picture[None].float() / 255)
    image = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((24, 24), Image.Resampling.BICUBIC)
    by_pillow = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(24, 24, 3).permute(2, 0, 1) / 255
    assert (network.given[0] - by_pillow).abs().max() < 0.005


def test_classes_are_matched_by_name_in_whatever_order_and_number():
    said = answer(["cat", "dog", "cow", "hen"], (1.0, 2.0, 3.0, 4.0), ["hen", "cat"])
    assert said.tolist() == [4.0, 1.0]


def test_capitals_spaces_underscores_and_hyphens_make_no_other_name_unless_two_differ_by_nothing_else():
    assert answer(["golden_retriever", "T-Shirt"], (1.0, 2.0), ["tshirt", "Golden Retriever"]).tolist() == [2.0, 1.0]
    assert answer(["cat", "Cat"], (1.0, 2.0), ["Cat", "cat"]).tolist() == [2.0, 1.0]
    with pytest.raises(
        ValueError, match=r"has 2 classes called 'CAT', numbers 0, 1: say which by its number, class_map"
    ):
        answer(["cat", "Cat"], (1.0, 2.0), ["CAT"])


def test_a_class_map_names_them_otherwise_and_a_number_will_do():
    known, logits = ["sofa", "crane", "crane"], (1.0, 2.0, 3.0)
    said = answer(known, logits, ["couch", "bird", "machine"], class_map={"couch": "sofa", "bird": 1, "machine": 2})
    assert said.tolist() == [1.0, 2.0, 3.0]


def test_probabilities_of_several_classes_that_are_one_are_summed():
    known, logits = ["tabby", "Persian cat", "dog", "car"], torch.tensor([1.0, 2.0, 0.5, -1.0])
    said = answer(known, logits.tolist(), ["cat", "dog"], class_map={"cat": ["tabby", "Persian cat"]})
    probabilities = logits.softmax(0)
    expected = torch.stack([probabilities[0] + probabilities[1], probabilities[2]]) / probabilities[:3].sum()
    torch.testing.assert_close(said.softmax(0), expected)


REFUSED = {
    "a class that it lacks": (
        dict(classes=["studio couch", "Chair", "table"], wanted=["chairs"]),
        r"no class 'chairs'. It has 3: studio couch, Chair, table. Nearest: 'Chair'. .*class_map={'chairs': \.\.\.}",
    ),
    "a name within a name": (
        dict(classes=["studio couch, day bed", "x"], wanted=["couch"]),
        "Nearest: 'studio couch, day bed'",
    ),
    "one of a thousand": (
        dict(classes=[f"class {n}" for n in range(1000)], wanted=["zebra"]),
        r"It has 1,000: class 0, .*class 9 and 990 more",
    ),
    "a map to nowhere": (dict(classes=["cat"], wanted=["a"], class_map={"a": "cot"}), "no class 'cot'.*Nearest: 'cat'"),
    "a map of no class": (
        dict(classes=["cat"], wanted=["cat"], class_map={"cow": "cat"}),
        "class_map names 'cow', which the data does not have. Its classes: cat",
    ),
    "an empty map": (dict(classes=["cat"], wanted=["cat"], class_map={"cat": []}), "gives no class .* for 'cat'"),
    "a number too large": (dict(classes=["a"], wanted=["a"], class_map={"a": 1}), "numbered 0 to 0; got 1"),
    "one class for two": (
        dict(classes=["cat", "dog"], wanted=["cat", "kitten"], class_map={"kitten": "cat"}),
        "class 'cat' would stand for two of the data, 'cat' and 'kitten': it cannot tell them apart",
    ),
    "a map without names": (dict(wanted=["a"], class_map={"a": "b"}), "class_map needs classes"),
    "no size": (dict(size=0), "size must be a whole number from 1 to 1024; got 0"),
    "no mean": (dict(mean="red"), "mean must be numbers, one a channel, .*got 'red'"),
    "no spread": (dict(std=(1, 0, 1)), "std must be above 0 in each channel"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_matched_is_refused_in_a_sentence_that_helps(what):
    keywords, said = REFUSED[what]
    with pytest.raises(ValueError, match=said):
        ForImages(Sees(), **keywords)


def test_more_or_fewer_answers_than_names_are_noticed():
    with pytest.raises(ValueError, match="2 classes are named, and the network answers with 3"):
        ForImages(Sees(), classes=["a", "b"])(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"network must be a torch\.nn\.Module; got int"):
        ForImages(3)


def test_all_that_decides_its_answers_is_in_its_fingerprint():
    network = tiny.net()
    kinds = [
        ForImages(network),
        ForImages(network, size=12),
        ForImages(network, mean=MEAN),
        ForImages(network, std=STD),
        ForImages(network, classes=["a", "b", "c"], wanted=["b", "a"]),
        ForImages(network, classes=["a", "b", "c"], wanted=["a", "b"]),
        ForImages(network, classes=["a", "b", "c"], wanted=["a", "b"], class_map={"b": ["b", "c"]}),
    ]
    assert len({models.fingerprint(kind) for kind in kinds}) == len(kinds)


def test_a_timm_like_network_is_asked_for_its_size_and_normalisation():
    network = Sees()
    network.pretrained_cfg = {"input_size": (3, 40, 40), "mean": MEAN, "std": STD, "label_names": None}
    known = models.as_described(network)
    known(torch.rand(1, 3, 20, 20))
    assert known.size == 40 and network.given.shape[-1] == 40 and known.classes is None
    torch.testing.assert_close(known.std.flatten(), torch.tensor(STD))


# Larger images for the teacher than for the student


def pair():
    """The same images twice: 40 pixels a side, and scaled down to 20."""
    large = torch.randint(0, 256, (24, 3, 40, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    small = F.avg_pool2d(large.float(), 2).round().to(torch.uint8)
    labels = torch.arange(24) % 3

    def splits(images, step):
        whole = ImageSet(images, labels, tiny.CLASSES)
        parts = whole.subset(slice(0, 16)), whole.subset(slice(16, 20)), whole.subset(slice(20, 24))
        return Splits(*parts, views=Views(True, 1, step))

    return splits(small, 1), splits(large, 2)


class Mean(nn.Module):
    """Answers with what it sees: means of parts of an image, and a pixel."""

    def forward(self, images):
        return torch.stack([images[..., :10].mean((1, 2, 3)), images[..., 10:].mean((1, 2, 3)), images[:, 0, 5, 5]], 1)


def test_a_cache_asks_the_teacher_about_its_own_larger_images_in_the_view_of_the_student():
    small, large = pair()
    cache = training.ViewCache(Mean(), small, teacher_data=large)
    image, view = torch.arange(16), small.views.schedule(16, 0)
    inputs = small.views.take(small.views.pad(small.train.images), image, view)
    found = cache.outputs(image, view, inputs)["logits"]
    by_hand = large.views.take(large.views.pad(large.train.images), image, view)
    torch.testing.assert_close(found, Mean()(by_hand))
    halved = F.avg_pool2d(by_hand, 2)[..., 1:-1, 1:-1]  # without the rim, which may be a reflection
    torch.testing.assert_close(halved, inputs[..., 1:-1, 1:-1], atol=2.1e-3, rtol=0)  # the same view
    torch.testing.assert_close(cache.val_logits(), Mean()(large.val.images.float() / 255))
    assert cache.check() <= 1e-5 and cache.argmax().check() == 0


def test_a_student_learns_from_a_teacher_that_sees_more_and_the_second_time_it_is_not_asked(tmp_path):
    small, large = pair()
    for seed in range(2):
        with training.ViewCache(Mean(), small, tmp_path / "cache", teacher_data=large) as cache:
            student = tiny.net(seed)
            training.train(student, small, teacher=cache.teacher, cache=cache, epochs=2, batch_size=8, seed=seed)
            assert (cache.teacher_images > 0) == (seed == 0)
    with pytest.raises(ValueError, match=r"is the cache of another teacher_data\. Give each"):
        training.ViewCache(Mean(), small, tmp_path / "cache")


def test_images_that_are_not_the_same_are_no_teachers_view_of_them():
    small, large = pair()
    other = Splits(tiny.relabelled(large).train, large.val, large.test, large.views)
    with pytest.raises(ValueError, match="the same images at another size were expected, in the same order; train is"):
        training.ViewCache(Mean(), small, teacher_data=other)
    with pytest.raises(
        ValueError, match=r"the same views were expected but for their step, Views\(flip=True, shift=1\)"
    ):
        training.ViewCache(Mean(), small, teacher_data=Splits(large.train, large.val, large.test, Views(False, 1, 2)))


# Several as one


def test_an_ensemble_averages_probabilities_at_its_temperature():
    members, images = [tiny.net(0), tiny.net(1)], torch.rand(5, 3, 10, 10)
    mean = torch.stack([(member.eval()(images) / 4).softmax(-1) for member in members]).mean(0)
    torch.testing.assert_close((Ensemble(members, 4.0).eval()(images) / 4).softmax(-1), mean)


def test_an_ensemble_of_very_sure_members_still_has_finite_logits():
    said = Ensemble([Sees((0.0, 500.0, 900.0)), Sees((0.0, 400.0, 900.0))], 1.0)(torch.rand(1, 3, 8, 8))
    assert said.isfinite().all() and said[0].argsort().tolist() == [0, 1, 2]


def test_an_ensembles_images_are_as_large_as_its_largest_members():
    members = [ForImages(Sees(), size=12), Sees(), ForImages(Sees(), size=20)]
    assert Ensemble(members).size == 20 and Ensemble([Sees()]).size is None
    Ensemble(members)(torch.rand(1, 3, 20, 20))
    assert [members[0].network.given.shape[-1], members[2].network.given.shape[-1]] == [12, 20]
    with pytest.raises(ValueError, match="give at least one network"):
        Ensemble([])
    with pytest.raises(ValueError, match=re.escape("members[1] must be a torch.nn.Module; got str")):
        Ensemble([Sees(), "another"])


def test_an_ensemble_is_kept_in_a_cache_like_one():
    data = tiny.splits()
    teacher = Ensemble([tiny.net(0), tiny.net(1)], 4.0)
    cache = training.ViewCache(teacher, data)
    training.train(tiny.net(2), data, teacher=teacher, cache=cache, epochs=1, batch_size=32)
    asked = cache.teacher_images
    training.train(tiny.net(3), data, teacher=teacher, cache=cache, epochs=1, batch_size=32)
    assert cache.teacher_images == asked > 0


# Hugging Face


@pytest.fixture
def vit(tmp_path):
    """A tiny image classifier of Hugging Face's, in a folder."""
    import transformers

    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, patch_size=8)
    torch.manual_seed(0)
    config = transformers.ViTConfig(**sizes, image_size=24, id2label={0: "cat", 1: "dog", 2: "cow"})
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    about = dict(size={"height": 24, "width": 24}, image_mean=list(MEAN), image_std=list(STD))
    (transformers.ViTImageProcessor(**about)).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def test_a_hugging_face_classifier_answers_as_it_does_behind_its_own_processor(vit):
    import transformers

    teacher = models.from_hugging_face(str(vit)).for_classes(["dog", "cat"])
    picture = torch.randint(0, 256, (24, 24, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    processor = transformers.AutoImageProcessor.from_pretrained(vit)
    given = processor(images=Image.fromarray(picture.numpy()), return_tensors="pt")
    network = transformers.AutoModelForImageClassification.from_pretrained(vit).eval()
    with torch.no_grad():
        by_hand = network(**given).logits[:, [1, 0]]
        found = teacher(models.as_input(picture.permute(2, 0, 1)[None]))
    torch.testing.assert_close(found, by_hand, atol=1e-5, rtol=1e-4)
    assert teacher.size == 24


def test_what_is_no_hugging_face_classifier_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty cannot be read as an image classifier of Hugging Face's: "):
        models.from_hugging_face(str(tmp_path / "empty"))
