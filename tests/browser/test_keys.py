"""The table by keyboard alone."""

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
    expect(dialog.locator(".htmx-settling")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(link_of(page, newest[1])).to_be_focused()
    assert_stayed(page)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{LIST}{newest[1].pk}/change/")
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Refund")).to_be_visible()


def test_more_filters_are_shown_without_a_request(page, newest):
    stay(page)
    with page.expect_request("**") as asked:
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
