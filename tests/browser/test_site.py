"""``make site`` in Chromium, opened from its folder with the network cut: panels that move, drawing, links, looks."""

import re
import statistics

import pytest
from lab import ROOT, axe

from kdkit import zoo
from kdkit.course.widgets import TemperaturePanel
from kdkit.data import things
from kdkit.measure import metrics
from tools import alive
from tools.site import LECTURERS, reference

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PAGES = ["index", "draw", "cite", "docs/glossary", "kdkit/course/measured/README"]
PAGES += [f"teaching/{name}" for name in (*LECTURERS, "slides", "handout")]
PAGES += [*(f"notebooks/{name}" for name in NOTEBOOKS), "reference/index", "search", "genindex", "py-modindex"]
PAGES += [f"reference/{name}" for name, _ in reference()]
EXAMINED = ["index", "draw", "kdkit/course/measured/README", "reference/kdkit.losses", "search"]
EXAMINED += [f"notebooks/{NOTEBOOKS[number]}" for number in (1, 2, 6, 10, 11)]  # 01, 02, 05, 09, 10

SENTENCE = ".kdkit-bars p"


def teachers_words(images, temperature):
    """What Python writes beneath the bars for the first of these images."""
    logits = metrics.predict(zoo.load(alive.TEACHER), images)[:1]
    return TemperaturePanel(logits, things.CLASSES, [0], temperature=temperature).sentence


def says(page, words, number=0):
    page.locator(SENTENCE).nth(number).filter(has_text=words).wait_for(timeout=15_000)


# ------------------------------------------------------------------------------------------ the whole folder


def test_no_page_names_a_script_a_style_or_a_picture_on_the_web(site):
    for path in site.rglob("*.html"):
        tags = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", path.read_text(encoding="utf-8"))
        asks = [tag[:200] for tag in tags if re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag)]
        assert [tag for tag in asks if 'rel="canonical"' not in tag] == [], path.name


@pytest.mark.parametrize("name", PAGES)
def test_on_a_phone_no_page_scrolls_sideways(visit, name):
    page = visit(name, width=390, height=844)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_search_finds_pages_in_the_folder(visit):
    page = visit("search", fragment="?q=temperature")
    page.locator("#search-results li a", has_text="02 · Temperature").wait_for(timeout=10_000)


def test_formulas_are_set_without_a_script(visit):
    page = visit("notebooks/02_temperature", java_script_enabled=False)
    formula = page.locator(".formula math").first
    assert page.locator("math").count() > 20 and formula.bounding_box()["height"] > 20
    assert "KL" in page.locator("math mi", has_text="KL").first.text_content()


def test_without_scripts_each_panel_is_a_still_picture_with_words_for_it(visit):
    for name in ("index", "draw", *(f"notebooks/{NOTEBOOKS[number]}" for number in (0, 1, 2))):
        page = visit(name, java_script_enabled=False)
        stills = page.locator(":has(> .kdkit-alive) > img, :has(> .kdkit-alive) img")
        assert stills.count() >= 1
        for still in stills.all():
            assert still.is_visible() and len(still.get_attribute("alt")) > 20
            assert still.bounding_box()["width"] > 100


def test_solutions_are_folded_and_stubs_are_open(visit):
    page = visit("notebooks/00_start_here")
    assert page.locator("details.hide").count() == 1 and not page.get_by_text("def soft_targets_solution").is_visible()
    page.locator("details.hide summary").click()
    assert page.locator("pre", has_text="def soft_targets_solution").is_visible()
    assert page.locator("pre", has_text="def soft_targets(").is_visible()


def test_a_notebooks_links_lead_to_other_pages_and_to_colab(visit):
    page = visit("notebooks/02_temperature")
    assert page.locator("article a[href^='00_start_here.html']").count() >= 1
    assert page.locator("article a[href^='../docs/glossary.html']").count() >= 1
    [badge] = page.locator("article a[href*='.ipynb']").all()
    assert badge.get_attribute("href").startswith("https://colab.research.google.com/")


# ------------------------------------------------------------------------------------------ the front page


def test_before_any_text_stands_a_thing_that_the_teacher_answers_in_the_page(visit):
    page = visit("index")
    assert page.locator("article.bd-article > *").first.locator(".kdkit-panel").count() == 1
    images = things.morph("chair", "armchair", [0, 0.02], seed=alive.SEED)
    says(page, teachers_words(images[:1], 4.0))
    page.get_by_label("How far").press("ArrowRight")
    says(page, f"0.02 of the way from chair to armchair. {teachers_words(images[1:], 4.0)}")
    page.get_by_label("Temperature", exact=True).press("ArrowLeft")
    says(page, teachers_words(images[1:], 3.5))
    assert page.get_by_label("Temperature", exact=True).get_attribute("aria-valuetext") == "3.5"
    page.get_by_label("which thing turns into which").select_option("lamp-tree")
    images = things.morph("lamp", "tree", [0.02], seed=alive.SEED)
    says(page, f"0.02 of the way from lamp to tree. {teachers_words(images, 3.5)}")
    alt = page.locator(".kdkit-bars img").get_attribute("alt")
    assert alt == "0.02 of the way from lamp to tree."


def test_a_link_brings_the_panel_to_a_state_and_reset_takes_it_back(visit):
    page = visit("index", fragment="#pair=chair-armchair&amount=0.4&T=20")
    says(page, "0.40 of the way from chair to armchair. At T = 20:")
    page.evaluate("location.hash = '#pair=table-stool&amount=1&T=0.2'")
    says(page, "1.00 of the way from table to stool. At T = 0.2:")
    page.evaluate("location.hash = '#pair=cat-dog&amount=none&T=3.33'")  # nothing that the panel has
    page.get_by_role("button", name="Reset").click()
    says(page, "0.00 of the way from chair to armchair. At T = 4:")


def test_a_moved_slider_stands_in_the_address_and_the_link_can_be_copied(visit):
    page = visit("index")
    says(page, "At T = 4:")
    page.get_by_label("How far").press("End")
    page.wait_for_function("location.hash === '#pair=chair-armchair&amount=1&T=4'")
    page.get_by_role("button", name="Copy link").click()
    assert page.get_by_label("link").input_value().endswith("#pair=chair-armchair&amount=1&T=4")


def test_the_presenters_view_fills_a_projector_with_large_letters_and_its_link_opens_it(visit):
    page = visit("index", width=1920, height=1080, fragment="#pair=chair-armchair&amount=0.4&T=4&present=1")
    says(page, "0.40 of the way")
    view = page.get_by_role("dialog")
    assert view.bounding_box() == {"x": 0, "y": 0, "width": 1920, "height": 1080}
    assert view.evaluate("view => view.scrollHeight <= 1080 && view.scrollWidth <= 1920")
    assert view.locator(SENTENCE).evaluate("words => parseFloat(getComputedStyle(words).fontSize)") >= 28
    assert view.locator(".kdkit-bars svg").bounding_box()["height"] > 1080 / 2
    page.keyboard.press("Escape")
    assert view.count() == 0 and page.locator("article .kdkit-panel").count() == 1


def test_the_qr_code_is_that_of_the_link(visit, packages):
    page = visit("index", fragment="#pair=chair-armchair&amount=0.4&T=4")
    says(page, "0.40 of the way")
    page.get_by_role("button", name="QR code").click()
    drawn = page.locator(".kdkit-qr svg")
    assert drawn.bounding_box()["width"] > 150
    assert page.get_by_label("link").input_value() in drawn.inner_html().replace("&amp;", "&")


# ------------------------------------------------------------------------------------------ the notebooks' panels


def test_the_bars_of_00_move(visit):
    page = visit("notebooks/00_start_here")
    page.get_by_label("Temperature", exact=True).press("ArrowRight")
    says(page, "At T = 1.2: chair")
    assert not page.locator(":has(> .kdkit-alive) > img").is_visible()


def test_in_01_the_morph_waits_for_a_guess_and_compares_it(visit):
    page = visit("notebooks/01_dark_knowledge")
    says(page, "What will the network say?")
    assert page.locator(".kdkit-bars svg[role=img]").first.is_hidden()
    how_far = page.get_by_label("How far")
    for _ in range(25):
        how_far.press("ArrowRight")
    page.get_by_role("button", name="I would switch here").click()
    says(page, "0.50 of the way from chair to armchair. At T = 1:")
    says(page, "For the network it tips at 0.70; you said 0.50: 0.20 earlier.")
    assert page.locator(".kdkit-bars svg[role=img]").first.is_visible()


def test_in_02_bars_and_flip_book_move_and_share_their_state(visit):
    page = visit("notebooks/02_temperature")
    page.get_by_label("Temperature", exact=True).press("ArrowRight")
    page.get_by_label("Image", exact=True).select_option(index=3)
    says(page, "At T = 1.2, the teacher says: stool")
    book = page.get_by_label("Labelled images")
    book.press("ArrowRight")
    page.locator(".kdkit-page p").filter(has_text=re.compile("^30 images of each class")).wait_for(timeout=5000)
    page.wait_for_function("location.hash.startsWith('#panel=2&labelled-images=')")


def test_in_05_depth_and_width_move_what_was_measured_and_share_their_state(visit):
    page = visit("notebooks/05_smaller_is_not_faster", fragment="#depth-layers=12&width=128")
    words = page.locator(".kdkit-page p")
    words.filter(has_text="12 layers of width 128: 2.38 million parameters").wait_for(timeout=15_000)
    page.get_by_label("Width", exact=True).press("ArrowLeft")
    words.filter(has_text="12 layers of width 64: 0.60 million parameters").wait_for(timeout=5000)
    page.wait_for_function("location.hash === '#depth-layers=12&width=64'")
    page.get_by_label("Depth, layers").press("Home")
    words.filter(has_text="1 layer of width 64").wait_for(timeout=5000)
    page.get_by_role("button", name="Reset").click()
    words.filter(has_text="3 layers of width 256").wait_for(timeout=5000)


def test_in_09_humps_and_kept_tokens_move(visit):
    page = visit("notebooks/09_distilling_generators")
    page.get_by_label("Beta").press("End")
    page.locator(".kdkit-humps p", has_text="At beta 1, KL(student ‖ teacher)").wait_for(timeout=15_000)
    page.get_by_label("Tokens kept, k").press("Home")
    page.locator(".kdkit-top-k p", has_text=", k = 1: the likeliest token holds").wait_for(timeout=5000)
    assert page.locator(".kdkit-top-k rect.kept").count() == 2  # the token, and "0 more kept"
    page.wait_for_function("/^#panel=2&after=.*&tokens-kept-k=1$/.test(location.hash)")


# ------------------------------------------------------------------------------------------ accessibility


def in_both_themes(page, packages):
    """What axe-core finds on a page, in the light and in the dark; not while one fades into the other."""
    page.add_style_tag(content="* { transition: none !important }")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)
        yield from (f"{theme}: {found}" for found in axe(page, packages))


# Each kind of page; all of them took 165 seconds, beside other programs, and nothing was found.
@pytest.mark.parametrize("name", EXAMINED)
def test_axe_finds_no_violation_of_wcag_2_2_aa(visit, packages, name):
    page = visit(name)
    page.locator(":not(.kdkit-moves).kdkit-alive").wait_for(state="detached")
    assert list(in_both_themes(page, packages)) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["slides", "handout", "90-minutes", "misconceptions"])
def test_axe_finds_no_violation_in_the_lecturers_pages(visit, packages, name, scheme):
    page = visit(f"teaching/{name}", scheme=scheme)
    page.keyboard.press("n")  # the notes of the slides, too
    assert axe(page, packages) == []


def test_axe_finds_none_in_a_panel_that_fills_the_screen_with_its_link_and_code(visit, packages):
    page = visit("index", width=1920, height=1080, fragment="#pair=chair-armchair&amount=0.4&T=4&present=1")
    says(page, "0.40 of the way")
    page.get_by_role("button", name="QR code").click()
    assert list(in_both_themes(page, packages)) == []


# What Tab is to reach, in the order of the page: all that is seen and takes the focus.
REACHABLE = """() => {
    const wanted = 'a[href], button, input, select, textarea, summary, [tabindex]';
    const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length > 0;
    window.reachable = [...document.querySelectorAll(wanted)].filter((e) => e.tabIndex >= 0 && !e.disabled && seen(e));
    return window.reachable.length;
}"""
# Which of these has the focus (-1: none), and whether one sees it.
FOCUSED = """() => {
    const element = document.activeElement, look = getComputedStyle(element);
    const outlined = look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) >= 1;
    const seen = outlined || look.boxShadow !== 'none';
    return [window.reachable.indexOf(element), seen, element.outerHTML.slice(0, 160)];
}"""


@pytest.mark.parametrize("name", ["index", "draw", "notebooks/01_dark_knowledge"])
def test_tab_walks_through_all_controls_in_their_order_is_seen_and_is_caught_nowhere(visit, name):
    page = visit(name)
    says(page, re.compile("."))
    count, walk = page.evaluate(REACHABLE), []
    for _ in range(count):
        page.keyboard.press("Tab")
        walk.append(page.evaluate(FOCUSED))
    assert [number for number, _, _ in walk] == list(range(count))
    assert [html for _, seen, html in walk if not seen] == []
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement === document.body")  # on to the browser's own buttons


# ------------------------------------------------------------------------------------------ how quickly it answers

# From a key that moves the slider to bars that have changed, in milliseconds.
WATCH = """() => {
    window.taken = [];
    let pressed;
    addEventListener('keydown', (event) => { pressed = event.timeStamp; }, true);
    const changed = () => pressed && (taken.push(performance.now() - pressed), pressed = undefined);
    const everything = { subtree: true, childList: true, attributes: true, characterData: true };
    new MutationObserver(changed).observe(document.querySelector('.kdkit-bars svg'), everything);
}"""


def test_a_move_of_the_slider_is_answered_at_once(visit):
    """The figures for a quiet machine: python -m pytest tests/browser/test_site.py -k answered_at_once -s"""
    page = visit("index")
    says(page, "At T = 4:")
    page.get_by_label("How far").focus()
    page.evaluate(WATCH)
    for key in ["ArrowRight"] * 50 + ["ArrowLeft"] * 50:
        page.keyboard.press(key)
        page.wait_for_timeout(20)
    taken = page.evaluate("window.taken")
    middle, high = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    print(f"\n{len(taken)} moves: bars changed after {middle:.1f} ms (median), {high:.1f} ms (p95)")
    assert len(taken) == 100 and middle < 200  # also where much else runs
