"""The slides and the handout in Chromium, opened from their folder with the network cut."""

import re

import pytest

HEADING = "main > section h1, main > section h2"


def seen(page):
    """The heading of the slide that stands at the top of the window."""
    return page.evaluate(
        """() => [...document.querySelectorAll('main > section')]
            .find((slide) => Math.abs(slide.getBoundingClientRect().top) < 2)?.querySelector('h1, h2').textContent"""
    )


def count(page):
    return page.locator("main > section").count()


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1280, 720)])
def test_each_slide_fits_the_projector_in_large_letters_whatever_it_shows(visit, width, height):
    page = visit("teaching/slides", width=width, height=height)
    page.locator(".kdkit-moves").nth(2).wait_for(timeout=15_000)
    page.wait_for_timeout(300)
    for slide in page.locator("main > section").all():
        assert slide.evaluate("slide => slide.scrollHeight") <= height, slide.locator("h1, h2").text_content()
    sizes = page.locator("main > section > :is(p, h2), main > section > * > li").evaluate_all(
        "all => all.map((element) => parseFloat(getComputedStyle(element).fontSize))"
    )
    assert min(sizes) >= height / 30


def test_keys_buttons_and_a_clicker_move_the_slides(visit):
    page = visit("teaching/slides")
    headings = page.locator(HEADING).all_text_contents()
    assert seen(page) == headings[0] and len(headings) == count(page)
    for key, wanted in ("ArrowRight", 1), ("PageDown", 2), (" ", 3), ("PageUp", 2), ("End", -1), ("Home", 0):
        page.keyboard.press(key)
        assert seen(page) == headings[wanted], key
    page.get_by_role("button", name="on", exact=True).click()
    assert seen(page) == headings[1] and page.get_by_text(f"2 of {count(page)}").is_visible()


def test_a_panel_lives_on_its_slide_and_keeps_its_arrows_but_a_clicker_still_moves_on(visit):
    page = visit("teaching/slides")
    slide = page.locator("main > section", has=page.locator(".kdkit-alive")).first
    slide.scroll_into_view_if_needed()
    heading = seen(page)
    slide.get_by_label("Temperature", exact=True).press("ArrowRight")
    slide.locator(".kdkit-bars p").filter(has_text="At T = 1.2: chair").wait_for(timeout=15_000)
    assert seen(page) == heading
    page.wait_for_function("location.hash.includes('T=1.2')")  # its state is a link here, too
    page.keyboard.press("PageDown")
    assert seen(page) != heading


def test_notes_are_hidden_until_a_key_or_a_window_of_their_own_shows_them(visit):
    page = visit("teaching/slides")
    notes = page.get_by_role("complementary", name="notes")
    assert notes.count() == 0
    page.keyboard.press("n")
    assert notes.count() == count(page)
    page.keyboard.press("n")
    assert notes.count() == 0
    with page.expect_popup() as opened:
        page.keyboard.press("p")
    desk = opened.value
    desk.get_by_text(re.compile("^0-1. Everybody")).wait_for(timeout=5000)
    desk.keyboard.press("PageDown")
    assert seen(page) == "In 90 minutes you can" and desk.get_by_text(re.compile("^1-3. The network")).is_visible()
    assert "Next: Now you: notebook 00." in desk.locator("main").text_content()
    assert desk.evaluate("document.styleSheets.length") == 2  # it has the slides' looks


def test_without_scripts_each_slide_has_its_still_picture(visit):
    page = visit("teaching/slides", java_script_enabled=False)
    stills = page.locator(".shown img")
    assert stills.count() >= 15 and all(still.bounding_box()["width"] > 40 for still in stills.all())


def test_the_handout_is_two_pages_of_a4(visit):
    page = visit("teaching/handout")
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 2
    assert re.search(rb"/MediaBox\s*\[0 0 59[45][.\d]* 84[12][.\d]*\]", printed)
