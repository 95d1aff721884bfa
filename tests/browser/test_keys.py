"""The table by keyboard alone."""

import re

import pytest
from playwright.sync_api import expect

from tests.rest import make_account, make_person, make_transaction

from .test_refunding import LIST, assert_stayed, row_of, stay

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def newest(transactional_db):
    """Three payments, newest first."""
    account = make_account()
    return [make_transaction(account, customer_name=name) for name in "ABC"][::-1]


@pytest.fixture
def page(open_page, newest):
    page = open_page(make_person("agent"))
    page.goto(LIST)
    return page


def link_of(page, transaction):
    return row_of(page, transaction).get_by_role("link").first


def test_lines_are_walked_opened_and_refunded(page, newest):
    stay(page)
    for key, place in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        expect(link_of(page, newest[place])).to_be_focused()
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Refund")
    expect(dialog.get_by_label("Amount")).to_be_focused()
    expect(dialog).to_contain_text("B")
    page.keyboard.press("Escape")
    expect(link_of(page, newest[1])).to_be_focused()
    assert_stayed(page)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LIST}{newest[1].pk}/change/")
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Refund")).to_be_visible()


def draw_anew(page, transaction):
    row = row_of(page, transaction)
    with page.expect_response("**fragment=row"):
        row.evaluate("row => { row.classList.add('old'); htmx.trigger(row, 'refresh'); }")
    expect(row).not_to_have_class(re.compile("old|htmx"))


def test_the_line_keeps_the_focus_when_it_is_drawn_anew(page, newest):
    for _ in range(2):
        page.keyboard.press("j")
    link = link_of(page, newest[1])
    draw_anew(page, newest[1])
    expect(link).to_be_focused()
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Refund")
    expect(dialog.get_by_label("Amount")).to_be_focused()
    draw_anew(page, newest[1])  # a worker changed it meanwhile
    dialog.get_by_label("Amount").fill("12.00")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(link).to_be_focused()


def test_the_first_field_that_is_wrong_has_the_focus(page, newest):
    page.keyboard.press("j")
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Refund")
    dialog.get_by_label("Internal note").fill("4242 4242 4242 4242")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("card number")
    expect(dialog.get_by_label("Internal note")).to_be_focused()


def test_what_was_pressed_leaves_the_focus_where_it_stood(page, newest):
    page.goto(f"{LIST}{newest[0].pk}/change/")
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Refund")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Cancel refund").press("Enter")
    expect(page.get_by_role("button", name="Cancel refund")).to_have_count(0)
    inside = "document.querySelector('#story').contains(document.activeElement)"
    page.wait_for_function(inside)


PRESS_WHEN_DRAWN = """
new MutationObserver((_changes, observer) => {
  const [button] = [...document.querySelectorAll("#story button")].filter(
    (each) => each.textContent.trim() === "Cancel refund"
  );
  if (button) { observer.disconnect(); button.click(); }
}).observe(document.body, { childList: true, subtree: true });
"""


def test_a_button_can_be_pressed_the_moment_that_it_is_drawn(page, newest):
    page.goto(f"{LIST}{newest[0].pk}/change/")
    stay(page)
    page.evaluate(PRESS_WHEN_DRAWN)
    page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Refund")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(page.locator("#story")).to_contain_text("Canceled")
    assert_stayed(page)


def test_more_filters_are_shown_without_a_request(page, newest):
    stay(page)
    with page.expect_request(lambda request: "/static/" not in request.url) as asked:
        page.locator("label[for=more-filters]").click()
        expect(page.get_by_label("At least")).to_be_visible()
        page.get_by_label("At least").fill("200")
        page.keyboard.press("Tab")
    assert "amount_min=200" in asked.value.url
    expect(page.locator("#results")).to_contain_text("Nothing matches")
    assert_stayed(page)


def test_what_is_filtered_gets_a_place_in_the_sidebar(page, newest):
    page.goto(f"{LIST}?amount_max=100")
    page.get_by_role("link", name="Save this view").click()
    dialog = page.get_by_role("dialog", name="Save this view")
    dialog.get_by_label("Name").fill("Small ones")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LIST}?amount_max=100")
    item = page.get_by_role("link", name="Small ones")
    expect(item).to_contain_text("3")
    page.goto(LIST)
    page.get_by_role("link", name="Small ones").click()
    page.wait_for_url(f"**{LIST}?amount_max=100")
    page.get_by_role("button", name="Delete this view").click()
    expect(page.get_by_role("link", name="Small ones")).to_have_count(0)


@pytest.mark.parametrize("form", ["CSV", "XLSX"])
def test_what_is_shown_becomes_a_file(page, newest, form):
    stay(page)
    with page.expect_download() as started:
        page.get_by_role("link", name=form).click()
    saved = started.value
    assert saved.suggested_filename.endswith(f".{form.lower()}")
    assert saved.path().stat().st_size > 300
    expect(page.locator("#exporting")).to_be_hidden()
    assert_stayed(page)


def test_letters_that_are_typed_are_letters(page, newest):
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("jkr?/")
    expect(page.get_by_label("Search")).to_have_value("jkr?/")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_help_tells_the_keys_and_switches_them_off(page, newest):
    page.keyboard.press("k")
    expect(link_of(page, newest[2])).to_be_focused()
    page.keyboard.press("?")
    helped = page.get_by_role("dialog", name="Keys")
    expect(helped).to_contain_text("Refund it")
    switch = helped.get_by_label("Letters work as keys in this browser")
    expect(switch).to_be_checked()
    switch.uncheck()
    page.keyboard.press("Escape")
    expect(link_of(page, newest[2])).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("?")
    expect(link_of(page, newest[2])).to_be_focused()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Letters work as keys in this browser").check()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    expect(row_of(page, newest[2]).get_by_role("link").first).to_be_focused()
