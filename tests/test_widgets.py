"""The panels over their whole range, without a browser. What the browser computes is tested in browser/test_bars.py."""

import base64
import html
import inspect
import io
import math
import re
from itertools import pairwise

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

from kdkit import losses, models
from kdkit.course import figures
from kdkit.course.widgets import (
    FlipBook,
    HumpsPanel,
    MorphPanel,
    ShapePanel,
    TemperaturePanel,
    TopKPanel,
    humps,
    shape,
    top_k,
)
from kdkit.course.widgets.bars import address
from kdkit.course.widgets.morph import COVERED, STEPS
from kdkit.course.widgets.shape import DEPTHS, WIDTHS
from kdkit.course.widgets.temperature import STOPS
from kdkit.data import things
from kdkit.data.things import CLASSES
from kdkit.measure import metrics, profiling

TEACHER = torch.tensor([[6.0, 4.0, 1.0, 0.5, -1.0, -6.0, -2.0, -3.0, -4.0, -5.0], [0.0] * 9 + [3.0]])
STUDENT = torch.tensor([[3.0, 4.0, 1.0, 0.0, -1.0, -2.0, -2.0, 0.0, -4.0, -1.0], [1.0] * 10])

# ------------------------------------------------------------------------------------------- temperature


@pytest.fixture
def panel():
    return TemperaturePanel(TEACHER, CLASSES, labels=[0, 9], student_logits=STUDENT)


@pytest.mark.parametrize("stop", STOPS)
def test_the_sentence_tells_softmax_of_logits_over_t_and_the_losses(panel, stop):
    panel.slider.value = stop
    expected = torch.softmax(TEACHER[0].double() / stop, 0)
    assert torch.allclose(panel.probabilities, expected)
    start = rf"At T = {stop:g}, the teacher says: chair (\S+), armchair (\S+),"
    said = [float(number) for number in re.match(start, panel.sentence).groups()]
    assert said == pytest.approx(expected[:2].tolist(), rel=0.5, abs=5e-4)
    assert "least mushroom" in panel.sentence
    z = STUDENT[:1].double().requires_grad_()
    kl = losses.kl_divergence(z, TEACHER[:1].double(), stop)
    norm = torch.autograd.grad(kl, z)[0].norm().item()
    said = [float(n) for n in re.search(r"KL (\S+) nats, gradient norm (\S+);", panel.sentence).groups()]
    assert said == pytest.approx([kl.item(), norm], rel=0.05)
    squared = [float(n) for n in re.search(r"T²: (\S+) and (\S+)\.$", panel.sentence).groups()]
    assert squared == pytest.approx([stop**2 * kl.item(), stop**2 * norm], rel=0.05)


@pytest.mark.parametrize("stop", STOPS)
def test_the_ratio_of_the_first_two_is_the_t_th_root_of_that_at_one(panel, stop):
    panel.slider.value = stop
    said = re.search(r"First to second: (\S+) to 1\.", panel.sentence)[1].replace(",", "")
    assert float(said) == pytest.approx(math.exp(6 - 4) ** (1 / stop), abs=0.051)


@pytest.mark.parametrize(
    ("ahead", "said"),
    [(math.log(1293.6), "1,293.6"), (math.log(4e7), "4e7"), (35.83, "4e15"), (800, "more than 1e300")],
)
def test_a_ratio_of_any_size_is_said_shortly(ahead, said):
    panel = TemperaturePanel(torch.tensor([[ahead, 0.0]]).double(), ("a", "b"), labels=[0])
    assert f"First to second: {said} to 1." in panel.sentence


def test_a_single_class_has_no_ratio():
    panel = TemperaturePanel(torch.zeros(1, 1), ("a",), labels=[0])
    assert panel.sentence == "At T = 1: a 1.000; least a 1.000."


def test_room_is_kept_for_the_longest_sentence(panel):
    said = []
    for panel.chooser.index in range(2):
        for panel.slider.value in STOPS:
            said.append(panel.sentence)
    assert len(set(said)) == 2 * len(STOPS) and panel.bars.longest == max(said, key=len)


def test_the_slider_is_finer_at_the_low_end():
    gaps = [round(later - earlier, 2) for earlier, later in pairwise(STOPS)]
    assert STOPS[0] == 0.2 and STOPS[-1] == 20 and gaps == sorted(gaps) and gaps[0] == 0.1


def test_the_controls_say_what_they_are(panel):
    assert panel.slider.description == "Temperature" and isinstance(panel.slider, ipywidgets.SelectionSlider)
    assert panel.chooser.description == "Image" and panel.chooser.options == ("0: chair", "1: bottle")


def test_another_picture(panel):
    panel.chooser.index = 1
    assert "says: bottle" in panel.sentence and panel.state == "T=1 image=1"


def test_one_picture_needs_no_chooser_and_a_teacher_alone_has_no_kl():
    panel = TemperaturePanel(TEACHER[:1], CLASSES, labels=[0])
    assert panel.chooser not in panel.children and "KL" not in panel.sentence
    assert panel.sentence.startswith("At T = 1: chair 0.8")


def test_the_state_can_be_shared(panel):
    panel.state = " T=0.2 image=1 "
    assert (panel.slider.value, panel.chooser.index, panel.state) == (0.2, 1, "T=0.2 image=1")


@pytest.mark.parametrize("state", ["hot", "T=. image=0", None, "T=4.3 image=0", "T=4 image=2"])
def test_a_state_that_is_none_changes_nothing(panel, state):
    form = 'a state looks like "T=4 image=0": T a stop of the slider (0.2, 0.3 … 20), image 0 to 1; got '
    with pytest.raises(ValueError, match=re.escape(f"{form}{state!r}.")):
        panel.state = state
    assert panel.state == "T=1 image=0"


def test_a_page_without_a_kernel_gets_a_still_picture_with_its_text(panel):
    still = panel._repr_mimebundle_()["text/html"]
    assert still.startswith(f'<img alt="{html.escape(panel.sentence)}"') and "data:image/png;base64," in still


def test_repr_is_stable_and_readable(panel):
    assert repr(panel) == f"TemperaturePanel({panel.sentence})" and "0x" not in repr(panel.bars)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(logits=torch.zeros(2, 3)), r"logits must be a tensor \[N, 10\].*got \[2, 3\]"),
        (dict(logits=torch.zeros(10)), r"got \[10\]"),
        (dict(logits=[[0.0] * 10]), "got list"),
        (dict(logits=torch.zeros(0, 10), labels=[]), r"got \[0, 10\]"),
        (dict(student_logits=torch.zeros(1, 10)), r"student_logits must be a tensor \[2, 10\].*got \[1, 10\]"),
        (dict(labels=[0]), "labels: one for each of 2 images is wanted; got 1"),
        (dict(images=torch.zeros(1, 3, 32, 32).byte()), "images: one for each of 2 images is wanted; got 1"),
        (dict(labels=[0, 12]), r"labels must be numbers of classes, 0 to 9; got \[0, 12\]"),
        (dict(logits=torch.full((2, 10), float("nan"))), "logits must be finite numbers"),
        (dict(temperature=1.05), "T=1.05 is no stop"),
        (dict(temperature=0.0), "temperature must be"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TemperaturePanel(**dict(logits=TEACHER, classes=CLASSES, labels=[0, 9]) | arguments)


# ------------------------------------------------------------------------------------------------- morph


@pytest.fixture(scope="module")
def network():
    return models.student(4, 3, seed=1)  # untrained: what it says does not matter here


@pytest.fixture
def morph(network):
    return MorphPanel(network, "chair", "armchair", seed=3)


def test_the_bars_are_covered_until_the_reader_has_guessed(morph):
    assert morph.bars.covered and [[morph.sentence]] == [[COVERED]] == morph.bars.sentences
    morph.slider.value = 0.46
    morph.guess_button.click()
    assert morph.guess == pytest.approx(0.46) and not morph.bars.covered and "you said 0.46" in morph.sentence


def test_a_reader_may_go_on_without_a_guess(morph):
    morph.skip_button.click()
    assert morph.guess is None and not morph.covered and "you said" not in morph.sentence


def test_every_stop_shows_what_the_network_says_about_that_picture(morph, network):
    morph.keep(0.5)
    pictures = things.morph("chair", "armchair", torch.linspace(0, 1, STEPS + 1), seed=3)
    for step in range(STEPS + 1):
        morph.slider.value = step / STEPS
        expected = metrics.predict(network, pictures[step : step + 1])[0]
        assert morph.bars.teacher == [pytest.approx(expected.tolist(), abs=1e-5)]
        assert morph.bars.pictures == [address(pictures[step])]
        [[sentence]] = morph.bars.sentences
        assert f"{step / STEPS:.2f} of the way from chair to armchair: " in sentence and "mushroom" in sentence
        assert len(sentence) <= len(morph.bars.longest) + 2 and morph.problem.value == ""  # 2: "the same place"


def test_an_address_holds_the_picture():
    image = things.make(1).images[3]
    content = base64.b64decode(address(image).removeprefix("data:image/png;base64,"))
    pixels = torch.tensor(list(Image.open(io.BytesIO(content)).tobytes())).view(32, 32, 3)
    assert torch.equal(pixels, image.permute(1, 2, 0).long())


def test_tipping_points_are_where_the_lead_changes(morph):
    morph.scan = torch.zeros(STEPS + 1, 10)
    morph.scan[:20, 0], morph.scan[20:, 1] = 1, 1
    assert morph.tipping_points == [20 / STEPS]
    for guess, words in (0.5, "0.10 later"), (0.3, "0.10 earlier"), (0.4, "the same place"):
        morph.keep(guess)
        assert f"it tips at 0.40; you said {guess:.2f}: {words}." in morph.sentence
    morph.scan[30:35, 0] = 2
    assert morph.tipping_points == [0.4, 0.6, 0.7]
    assert "it tips at 0.40, and back and forth until 0.70; you said 0.40: 0.30 earlier" in morph.sentence
    morph.scan[:, 1] = -1
    assert morph.tipping_points == [] and "never changes its mind" in morph.sentence


@pytest.mark.parametrize("guess", [-0.1, 1.7, float("nan")])
def test_a_guess_that_is_no_amount_is_refused(morph, guess):
    with pytest.raises(ValueError, match="a guess is an amount from 0"):
        morph.keep(guess)
    assert morph.covered


@pytest.mark.parametrize("seed", [2**32, 2**63, 2**64 - 1, np.int64(7), np.uint64(2**64 - 1)])
def test_a_seed_may_be_of_any_size_that_torch_knows_and_a_number_of_numpys(network, seed):
    panel = MorphPanel(network, seed=seed)
    assert panel.state == f"chair>armchair at 0.00 seed={seed}"
    other = MorphPanel(network)
    other.state = panel.state
    assert other.bars.pictures == panel.bars.pictures


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "1"])
def test_a_seed_that_is_none_is_refused(network, seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        MorphPanel(network, seed=seed)


def test_amounts_between_two_stops_go_to_the_nearer_one(morph):
    morph.state = "chair>sofa at 0.333 seed=0 guess=none"
    assert morph.state == "chair>sofa at 0.34 seed=0 guess=none" and morph.sentence.startswith("0.34 of the way")


def test_all_pairs_of_classes(morph):
    for start in CLASSES:
        morph.start.value = start
        for end in CLASSES:
            morph.end.value = end
            morph.keep(None)
            assert f"from {start} to {end}" in morph.sentence and morph.problem.value == ""


def test_a_guess_for_other_classes_no_longer_counts(morph):
    morph.keep(0.5)
    morph.end.value = "stool"
    assert morph.guess is None and morph.covered


@pytest.mark.parametrize(
    "state",
    [
        "stool>chair at 0.34 seed=7",
        "stool>chair at 0.34 seed=7 guess=0.50",
        "mushroom>umbrella at 1.00 seed=0 guess=none",
    ],
)
def test_the_state_of_a_morph_can_be_shared(morph, network, state):
    morph.field.value = state  # as a reader pastes it
    assert morph.state == state and morph.problem.value == ""
    other = MorphPanel(network)
    other.state = state
    assert other.bars.pictures == morph.bars.pictures and other.sentence == morph.sentence


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("chair at 0.3", "a state looks like"),
        ("chair>couch at 0.30 seed=0", "no thing called &#x27;couch&#x27;; choose one of chair, armchair"),
        ("chair>sofa at 1.5 seed=0", "a state looks like"),
        ("chair>sofa at 0.5 seed=0 guess=1.7", "a state looks like"),
        ("chair>sofa at 0.5 seed=99999999999999999999", "seed must be a whole number"),
    ],
)
def test_a_state_of_a_morph_that_is_none_is_refused_in_place(morph, state, message):
    before = morph.state
    morph.field.value = state
    assert 'role="alert"' in morph.problem.value and message in morph.problem.value and morph.state == before
    morph.field.value = before  # the panel's own state again
    assert morph.problem.value == "" and morph.state == before


def test_an_error_in_the_network_shows_where_the_reader_looks(morph):
    def broken(*_):
        raise RuntimeError("the network is <gone>")

    morph.model.forward, kept = broken, morph.model.forward
    try:
        morph.slider.value = 0.5
    finally:
        morph.model.forward = kept
    assert "the network is &lt;gone&gt;" in morph.problem.value


def test_a_network_that_is_none_is_not_hidden_in_the_panel():
    with pytest.raises(ValueError, match=r"model must be a torch.nn.Module; got str"):
        MorphPanel("a network")


def test_a_page_without_a_kernel_gets_some_steps_of_the_morph(morph):
    still = morph._repr_mimebundle_()["text/html"]
    assert still.startswith('<img alt="Six steps from chair to armchair')


@pytest.mark.parametrize("names", [dict(start="couch"), dict(end="couch"), dict(watched="couch")])
def test_an_unknown_thing_is_refused(network, names):
    with pytest.raises(ValueError, match="no thing called 'couch'"):
        MorphPanel(network, **names)


# ---------------------------------------------------------------------------------------------- flip book


def test_a_flip_book_turns_its_pages():
    def page(n):
        return figures.lines([0, 1], {"a": [0, n]}, xlabel="x", ylabel="y"), f"It ends at {n} & more."

    book = FlipBook({"one": page(1), "two": page(2)}, "Page")
    assert book.sentence == "It ends at 1 & more." and book.slider.description == "Page"
    book.slider.index = 1
    assert book.sentence == "It ends at 2 & more." and repr(book) == "FlipBook(Page two: It ends at 2 & more.)"
    assert book._repr_mimebundle_()["text/html"].startswith('<img alt="It ends at 2 &amp; more."')
    assert len(set(book.pages.pages)) == 2
    book.state = "one"
    assert book.slider.index == 0
    with pytest.raises(ValueError, match="no page 'three'; there are: one, two"):
        book.state = "three"
    with pytest.raises(ValueError, match="at least one page"):
        FlipBook({}, "Page")


# ------------------------------------------------------------------------------- two humps and one Gaussian


@pytest.fixture(scope="module")
def two_humps():
    return HumpsPanel()


def found(panel, beta):
    """Where each start comes to rest: a dict of start to ``Rest``."""
    return {start: rest for rest in panel.rests[beta] for start in rest.starts}


def test_the_forward_kl_covers_from_every_start_with_the_teachers_own_mean_and_deviation(two_humps):
    [rest] = two_humps.rests[0]
    mean = -3 * 0.6 + 3 * 0.4
    assert rest.mean == pytest.approx(mean, abs=1e-3)
    assert rest.deviation == pytest.approx((1 + 9 - mean**2) ** 0.5, abs=1e-3)
    assert rest.gap == pytest.approx(0.248, abs=1e-3) and two_humps.teacher_gap == pytest.approx(0.0228, abs=1e-4)


def test_the_reverse_kl_is_lowest_at_one_hump_and_yet_descent_from_the_forward_fit_stays_covering(two_humps):
    rests = found(two_humps, 1)
    assert [round(rests[start].loss, 3) for start in humps.STARTS] == [0.507, 0.911, 0.846]
    assert rests["wide"].deviation > 2.5 and abs(rests["left"].mean + 3) < 0.1 and abs(rests["right"].mean - 3) < 0.1
    assert all(found(two_humps, beta)["wide"].deviation > 2.5 for beta in humps.RESTS)
    first = {beta: min(rests, key=lambda rest: rest.loss).starts for beta, rests in two_humps.rests.items()}
    assert first[0.7][-1] == "wide" and first[0.8] == ("left",)  # the optimum commits; descent need not find it
    assert found(two_humps, 0.1)["left"].deviation > 2.5 > found(two_humps, 0.2)["left"].deviation


@pytest.mark.parametrize("beta", [0.2, 1])
def test_small_steps_downhill_lead_to_the_places_that_are_kept(beta):
    assert np.allclose(humps.descend(beta), humps.RESTS[beta], atol=2e-3)


@pytest.mark.parametrize("beta", humps.RESTS)
def test_no_step_from_a_resting_place_goes_down(two_humps, beta):
    """The loss is that of kdkit.losses, with the places of the x axis as classes."""
    ends = {0: losses.kl_divergence, 1: losses.reverse_kl}
    density = 0.6 * (-((humps.X + 3) ** 2) / 2).exp() + 0.4 * (-((humps.X - 3) ** 2) / 2).exp()
    teacher = density.log()[None]

    def loss(mean, deviation):
        student = (-0.5 * ((humps.X - mean) / deviation) ** 2)[None]
        if beta in ends:
            return ends[beta](student, teacher).item()
        return losses.jensen_shannon(student, teacher, beta=beta).item() / (beta * (1 - beta))

    for rest in two_humps.rests[beta]:
        here = loss(rest.mean, rest.deviation)
        assert rest.loss == pytest.approx(here, abs=1e-6)
        for mean, deviation in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)):
            assert loss(rest.mean + mean, rest.deviation + deviation) > here


def test_the_humps_are_told_in_a_sentence_and_stand_without_a_kernel(two_humps):
    assert two_humps.sentence.startswith(
        "At beta 0, KL(teacher ‖ student): begun left or right or wide, it covers both"
    )
    two_humps.slider.value = 0.8
    words = two_humps.sentence
    assert "begun left, it keeps to the left one: mean -2.98" in words and "begun wide, it covers both humps" in words
    assert "The loss is lowest where it keeps to the left one." in words and repr(two_humps) == f"HumpsPanel({words})"
    assert two_humps._repr_mimebundle_()["text/html"].startswith('<img alt="At beta 0.8: begun left, it keeps')
    assert len(two_humps.humps.sentences) == len(two_humps.humps.curves) == len(two_humps.slider.options)
    two_humps.slider.value = 0


# ------------------------------------------------------------------------------------------ top k, and a tail

WORDS = [f"word {number}" for number in range(400)]


@pytest.fixture(scope="module")
def next_token():
    """Logits of a place where the teacher is unsure, and of one where it is sure."""
    return torch.randn(2, 400, generator=torch.Generator().manual_seed(3)).double() * torch.tensor([[1.5], [8.0]])


@pytest.fixture
def top(next_token):
    return TopKPanel(next_token, WORDS, ["to be or", "not to"])


def test_at_every_k_shares_and_kls_are_those_of_the_definitions(top, next_token):
    for place, logits in enumerate(next_token):
        for stop, (_, k) in enumerate(top.slider.options):
            top.chooser.index, top.slider.index = place, stop
            order = logits.argsort(descending=True)
            t = logits.softmax(0)
            kept = torch.zeros(400, dtype=torch.bool).index_fill(0, order[:k], True)
            mass = t[kept].sum()
            with_tail = t.where(kept, (1 - mass) / max(1, 400 - k))
            alone = t.where(kept, 0.0) / mass
            shown = top.shown
            assert shown.k == k and shown.share == pytest.approx(mass.item(), abs=1e-9)
            assert shown.tail == pytest.approx(1 - mass.item(), abs=1e-9)
            assert shown.evenly == pytest.approx((t * (t / with_tail).log()).nansum().item(), abs=1e-9)
            assert shown.renormalised == pytest.approx((alone * (alone / t).log()).nansum().item(), abs=1e-9)


def test_the_sentence_says_what_is_kept_at_every_k(top):
    for place in range(2):
        for stop, (_, k) in enumerate(top.slider.options[:-1]):
            top.chooser.index, top.slider.index = place, stop
            words, shown = top.sentence, top.shown
            assert words.startswith(f"After “{top.prefixes[top.chooser.index]}”, k = {k:,}: the likeliest token")
            assert f"{100 * shown.share:.1f} %" in words and f"tail of {400 - k:,} others" in words
            assert f"KL(teacher ‖ truncation) {shown.evenly:.3f} nats" in words
            assert f"KL(truncation ‖ teacher) {shown.renormalised:.3f}" in words
            assert f"{4 * k:,} bytes a token instead of 800." in words
            assert words == top.bars.sentences[top.chooser.index][top.slider.index]
            assert len(words) <= len(top.bars.longest)
    top.slider.index += 1
    assert top.sentence.endswith("k = 400: nothing is left out, and nothing is lost. 800 bytes a token.")


def test_more_tokens_lose_less_and_a_sure_teacher_loses_less_than_an_unsure_one(top):
    for row in top.kept:
        for measure in "tail", "evenly", "renormalised":
            values = [getattr(kept, measure) for kept in row]
            assert values == sorted(values, reverse=True) and values[-1] == pytest.approx(0, abs=1e-9), measure
    unsure, sure = (row[2] for row in top.kept)
    assert sure.share > unsure.share


def test_all_bars_together_are_one(top):
    for kept in top.kept[0]:
        bars = top_k._bars_of(top.tops[0], kept, 400)
        tail = bars[-1][1]
        assert sum(probability for _, probability, is_kept in bars if is_kept) + tail == pytest.approx(1)
        assert sum(is_kept for *_, is_kept in bars) == min(kept.k, top_k.WITH_BARS) + 1


def test_the_top_k_panel_stands_without_a_kernel_and_says_what_its_controls_are(top):
    assert top.slider.description == "Tokens kept, k" and top.slider.value == 5
    assert top.chooser.description == "After" and top.chooser.options == ("to be or", "not to")
    still = top._repr_mimebundle_()["text/html"]
    assert still.startswith(f'<img alt="{html.escape(top.sentence)}"') and "data:image/png;base64," in still
    assert repr(top) == f"TopKPanel({top.sentence})" and repr(top.bars) == "TopKBars()"


def test_one_place_needs_no_chooser_and_a_small_vocabulary_few_stops():
    panel = TopKPanel(torch.tensor([[1.0, 2.0, 0.0]]), ["a", "b", "c"], ["so"])
    assert panel.chooser not in panel.children and [k for _, k in panel.slider.options] == [1, 2, 3]
    assert panel.sentence.endswith("6 bytes a token.") and panel.tops[0][0][0] == "b"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(logits=torch.zeros(2, 3)), r"logits must be a tensor \[N, 400\], one row a place.*got \[2, 3\]"),
        (dict(logits=torch.zeros(0, 400)), r"got \[0, 400\]"),
        (dict(logits=[[0.0] * 400]), "got list"),
        (dict(logits=torch.full((2, 400), float("nan"))), "logits must be finite numbers"),
        (dict(prefixes=["one"]), "prefixes must be a list or tuple of 2 texts"),
        (dict(tokens=range(400)), "tokens must be a list or tuple of texts"),
    ],
)
def test_logits_that_fit_no_tokens_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TopKPanel(**dict(logits=torch.zeros(2, 400), tokens=WORDS, prefixes=["a", "b"]) | arguments)


# ----------------------------------------------------------------------------------------------- shape


def shape_panel(**keywords):
    return ShapePanel(lambda layers, flops: 1e-3 * layers + 1e-12 * flops, **keywords)


@pytest.fixture
def clock(monkeypatch):
    """A clock that says 2 ms for each layer of what it is asked about."""
    timed = []

    def latency(calls, rounds):
        networks = {name: inspect.getclosurevars(call.__wrapped__).nonlocals["model"] for name, call in calls.items()}
        timed.extend(networks.values())
        return {name: profiling.Latency((0.002 * len(network),) * rounds) for name, network in networks.items()}

    monkeypatch.setattr(profiling, "latency", latency)
    return timed


@pytest.fixture
def two_shapes(monkeypatch):
    """Sliders with so few stops that a panel is made quickly."""
    monkeypatch.setattr(shape, "DEPTHS", (1, 2))
    monkeypatch.setattr(shape, "WIDTHS", (64,))


def test_every_shape_says_what_is_predicted_and_what_was_measured(clock):
    panel = shape_panel(tokens=4)
    for width in WIDTHS:
        for depth in DEPTHS:
            panel.depth.value, panel.width.value = depth, width
            net, inputs = models.encoder(width, depth), torch.zeros(1, 4, width)
            expected = depth + 1e-9 * profiling.flops(net, inputs)
            assert panel.sentence == (
                f"{depth} layer{'s' * (depth > 1)} of width {width}: "
                f"{models.count_parameters(net) / 1e6:.2f} million parameters; "
                f"predicted {expected:.2f} ms for 4 tokens, measured {2 * depth:.2f} ms."
            )
            assert panel.sentence in panel.still()
            assert panel.still() == panel.view.pages[DEPTHS.index(depth)][WIDTHS.index(width)]
            assert len(panel.sentence) <= len(re.search('data-longest="(.*?)"', panel.still())[1])


def test_the_bars_of_all_shapes_have_one_scale(clock):
    panel = shape_panel()
    shares = [
        [float(share) for share in re.findall(r"width:([\d.]+)%\"></div>", page)] for [page, *_] in panel.view.pages
    ]
    slowest = max(*panel.predicted.values(), 0.002 * DEPTHS[-1])
    assert [measured for _, measured in shares] == [round(0.2 * depth / slowest, 1) for depth in DEPTHS]
    assert [predicted for predicted, _ in shares] == [round(100 * panel.predicted[d, 64] / slowest, 1) for d in DEPTHS]


def test_the_networks_are_timed_where_the_reader_computes(clock, two_shapes):
    shape_panel(depth=1, width=64, device="meta")
    assert {parameter.device.type for parameter in clock[-1].parameters()} == {"meta"}
    shape_panel(depth=1, width=64)
    assert {parameter.device.type for parameter in clock[-1].parameters()} == {"cpu"}


def test_the_shape_panel_measures_for_real(two_shapes):
    panel = shape_panel(depth=1, width=64)
    assert [shape for shape, taken in panel.measured.items() if 0 < taken.median < 1] == [(1, 64), (2, 64)]
    assert all(len(taken.values) == 3 for taken in panel.measured.values())


def test_a_shape_panels_state_is_a_text_and_takes_it_back(clock, two_shapes):
    panel = shape_panel(depth=2, width=64)
    assert panel.state == "depth=2 width=64" and (panel.view.depth, panel.view.width) == (1, 0)
    panel.state = " depth=1 width=64 "
    assert panel.depth.value == 1 and panel.state == "depth=1 width=64"
    for wrong in ("depth=3 width=64", "depth=1 width=63", "1 layer", ""):
        with pytest.raises(ValueError, match=r'a state looks like "depth=12 width=128": .* one of 1, 2.*; got \''):
            panel.state = wrong
    assert panel.state == "depth=1 width=64"


@pytest.mark.parametrize(
    "start, words", [({"depth": 13}, "Depth, layers: choose one of 1, 2"), ({"width": 65}, "Width")]
)
def test_a_shape_that_the_sliders_do_not_have_is_refused(start, words):
    with pytest.raises(ValueError, match=words):
        shape_panel(**start)
