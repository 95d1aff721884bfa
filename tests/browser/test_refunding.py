"""What staff do all day, in a browser: find a payment, refund it, see how it went."""

import re

import pytest
from playwright.sync_api import expect

from refunds.models import ApprovalRule, Refund
from tests.refunds.desk import Desk
from tests.rest import make_person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/transactions/transaction/"


@pytest.fixture
def agent(transactional_db):
    return make_person("agent", first_name="Ana", last_name="Lup")


def row_of(page, transaction):
    return page.locator(f"#transaction-{transaction.pk}")


def open_dialog(page, transaction):
    row_of(page, transaction).get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Refund").click()
    dialog = page.get_by_role("dialog", name="Refund")
    expect(dialog).to_be_visible()
    return dialog


def stay(page):
    """Mark the document: whoever loads another one loses the mark."""
    page.evaluate("document.body.dataset.same = 'yes'")


def assert_stayed(page):
    assert page.evaluate("document.body.dataset.same") == "yes"


@pytest.mark.parametrize("processor", ["stripe", "paypal", "authorizenet", "nmi"])
def test_a_part_and_then_the_rest(processor, sandbox, celery_worker_process, open_page, agent):
    desk = Desk(sandbox, processor, None)
    transaction = desk.pay(10_000)
    page = open_page(agent)
    page.goto(LIST)
    stay(page)
    row = row_of(page, transaction)

    dialog = open_dialog(page, transaction)
    amount = dialog.get_by_label("Amount")
    expect(amount).to_have_value("100.00")
    expect(amount).to_be_focused()
    amount.fill("40")
    expect(dialog.locator("#refund-preview")).to_contain_text("Left after this refund: 60.00 USD")
    dialog.get_by_label("Reason").select_option("goodwill")
    dialog.get_by_label("Internal note").fill("The parcel was late.")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(dialog).to_be_hidden()
    expect(row).to_contain_text("Partly refunded")
    expect(row.locator(".left")).to_contain_text("60.00")
    expect(page.locator("#announcer")).to_contain_text("Partly refunded")

    dialog = open_dialog(page, transaction)
    expect(dialog.get_by_label("Amount")).to_have_value("60.00")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(row).to_contain_text("Fully refunded")
    assert_stayed(page)
    assert desk.given_back(transaction) == [4000, 6000]

    row.get_by_role("link").first.click()
    story = page.locator("#story")
    expect(story.get_by_role("article")).to_have_count(2)
    expect(story).to_contain_text("The parcel was late.")
    expect(story).to_contain_text("Ana Lup")
    expect(story.get_by_text("Succeeded").first).to_be_visible()


def test_the_page_follows_a_refund_by_itself(sandbox, celery_worker_process, open_page, agent):
    desk = Desk(sandbox, "stripe", None)
    transaction = desk.pay(10_000)
    page = open_page(agent)
    page.goto(f"{LIST}{transaction.pk}/change/")
    stay(page)
    page.get_by_role("link", name="Refund", exact=True).click()
    dialog = page.get_by_role("dialog", name="Refund")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    story = page.locator("#story")
    expect(story.get_by_role("article")).to_contain_text("Succeeded")
    expect(story).to_contain_text("Fully refunded")
    details = story.get_by_text("What was sent and answered")
    details.click()
    expect(story.get_by_text("HTTP 200")).to_be_visible()
    assert_stayed(page)


def test_a_refusal_of_the_processor_is_told_in_plain_words(
    sandbox, celery_worker_process, open_page, agent
):
    desk = Desk(sandbox, "stripe", None)
    transaction = desk.pay(10_000)
    page = open_page(agent)
    page.goto(LIST)
    dialog = open_dialog(page, transaction)
    dialog.get_by_label("Amount").fill("4.03")  # the sandbox refuses what ends like this
    dialog.get_by_role("button", name="Refund", exact=True).click()
    row = row_of(page, transaction)
    expect(row).to_contain_text("Refund failed")
    expect(row).to_contain_text("Not refunded")
    row.get_by_role("link").first.click()
    story = page.locator("#story")
    refused = story.get_by_role("article")
    expect(refused).to_contain_text("The balance at the processor does not cover this refund.")
    expect(refused).to_contain_text("Add funds at the processor, then try again.")
    expect(refused).to_contain_text("Stripe said: balance_insufficient")
    expect(story.get_by_role("button", name="Try again")).to_be_visible()
    assert desk.given_back(transaction) == []


def test_mistakes_are_told_where_they_were_made(sandbox, open_page, agent):
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(agent)
    page.goto(LIST)
    stay(page)
    dialog = open_dialog(page, transaction)
    amount = dialog.get_by_label("Amount")
    amount.fill("100.01")
    expect(dialog.locator("#refund-preview")).to_contain_text("more than the 100.00 USD")
    amount.fill("12,50")
    expect(dialog.locator("#refund-preview")).to_contain_text("with digits and a dot only")
    dialog.get_by_label("Internal note").fill("Keep me.")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("with digits and a dot only")
    expect(amount).to_have_value("12,50")
    expect(amount).to_be_focused()
    expect(dialog.get_by_label("Internal note")).to_have_value("Keep me.")
    assert_stayed(page)
    assert not Refund.objects.exists()


def test_an_impatient_person_refunds_once(sandbox, open_page, agent):
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(agent)
    page.goto(LIST)
    dialog = open_dialog(page, transaction)
    dialog.get_by_label("Amount").fill("10.00")
    dialog.get_by_role("button", name="Refund", exact=True).evaluate(
        "button => { for (let n = 0; n < 5; n += 1) button.form.requestSubmit(button); }"
    )
    expect(dialog).to_be_hidden()
    expect(row_of(page, transaction)).to_contain_text("Refund in progress")
    assert Refund.objects.count() == 1


def test_undo(sandbox, open_page, agent, settings):
    settings.UNDO_SECONDS = 60
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(agent)
    page.goto(LIST)
    dialog = open_dialog(page, transaction)
    dialog.get_by_role("button", name="Refund", exact=True).click()
    row = row_of(page, transaction)
    row.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("Not refunded")
    expect(page.locator("#toast")).to_contain_text("nothing was refunded")


def test_two_people_above_the_limit(sandbox, celery_worker_process, open_page, agent):
    manager = make_person("manager", first_name="Ion", last_name="Rusu", email="ion@example.com")
    ApprovalRule.objects.create(currency="USD", value=5_000, made_by=manager)
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(agent)
    page.goto(LIST)
    dialog = open_dialog(page, transaction)
    expect(dialog).to_contain_text("Another person has to approve it, because it is more than")
    dialog.get_by_label("Amount").fill("50.00")
    expect(dialog).not_to_contain_text("Another person")
    dialog.get_by_label("Amount").fill("50.01")
    expect(dialog).to_contain_text("Another person")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(page.locator("#toast")).to_contain_text("waits for another person to approve it")

    theirs = open_page(manager)
    theirs.goto("/admin/")
    theirs.get_by_role("link", name="Refunds that wait for your approval").click()
    expect(theirs.get_by_role("article")).to_contain_text("because it is more than 50.00 USD")
    theirs.get_by_role("link", name="50.01").click()
    theirs.get_by_role("button", name="Approve").click()
    expect(theirs.locator("#story")).to_contain_text("Succeeded")


def test_the_filter_for_partly_refunded(sandbox, celery_worker_process, open_page, agent):
    desk = Desk(sandbox, "stripe", None)
    part, whole = desk.pay(10_000), desk.pay(5_000)
    page = open_page(agent)
    page.goto(LIST)
    dialog = open_dialog(page, part)
    dialog.get_by_label("Amount").fill("1.00")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(row_of(page, part)).to_contain_text("Partly refunded")
    page.get_by_role("search").get_by_label("Refund", exact=True).select_option("partial")
    expect(row_of(page, whole)).to_have_count(0)
    expect(row_of(page, part)).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?refund_state=partial$"))


def test_search_as_you_type(sandbox, open_page, agent):
    desk = Desk(sandbox, "stripe", None)
    first, second = (
        desk.pay(10_000, last4="4242"),
        desk.pay(5_000, last4="4444", brand="mastercard"),
    )
    page = open_page(agent)
    page.goto(LIST)
    page.get_by_role("searchbox").press_sequentially("4444")
    expect(row_of(page, first)).to_have_count(0)
    expect(row_of(page, second)).to_be_visible()
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_role("searchbox").fill("nothing like it")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()


def test_a_note(sandbox, open_page, agent):
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(agent)
    page.goto(f"{LIST}{transaction.pk}/change/")
    stay(page)
    page.get_by_label("Note", exact=True).fill("4242 4242 4242 4242")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator("#notes").get_by_role("alert")).to_contain_text("looks like a card number")
    page.get_by_label("Note", exact=True).fill("Called back.")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator("#notes").get_by_role("listitem")).to_contain_text("Called back.")
    expect(page.locator("#notes")).to_contain_text("Ana Lup")
    expect(page.get_by_label("Note", exact=True)).to_have_value("")
    assert_stayed(page)


def test_a_viewer_has_no_button(sandbox, open_page):
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(make_person("viewer"))
    page.goto(LIST)
    row_of(page, transaction).get_by_role("button", name="Actions for").click()
    expect(page.get_by_role("menuitem", name="Open")).to_be_visible()
    expect(page.get_by_role("menuitem", name="Refund")).to_have_count(0)
    page.goto(f"{LIST}{transaction.pk}/change/")
    expect(page.get_by_role("link", name="Refund", exact=True)).to_have_count(0)


def test_everything_by_keyboard(sandbox, open_page, agent):
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(agent)
    page.goto(LIST)
    dots = row_of(page, transaction).get_by_role("button", name="Actions for")
    dots.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Refund")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Open")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Refund")
    expect(dialog.get_by_label("Amount")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
        inside = (
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(dots).to_be_focused()


def test_without_scripts(sandbox, open_page, agent):
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(agent, java_script_enabled=False)
    page.goto(LIST)
    page.get_by_role("searchbox").fill(transaction.external_id)
    page.get_by_role("button", name="Show").click()
    row_of(page, transaction).get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Refund").click()
    page.get_by_label("Amount").fill("12.50")
    page.get_by_role("button", name="Refund", exact=True).click()
    expect(page.get_by_text("The refund of 12.50 USD is on its way.")).to_be_visible()
    expect(page.get_by_role("article")).to_contain_text("12.50 USD")
    page.get_by_label("Note", exact=True).fill("By hand.")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator("#notes").get_by_role("listitem")).to_contain_text("By hand.")


def test_a_session_that_ended_leads_to_the_login(sandbox, open_page, agent):
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    page = open_page(agent)
    page.goto(LIST)
    page.context.clear_cookies()
    row_of(page, transaction).get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Refund").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_the_login_opens_the_desk(open_page):
    make_person("agent", password="a long password")
    from django.contrib.auth.models import User

    name = User.objects.get().username
    page = open_page(None)
    page.goto("/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Needs you")).to_be_visible()
    page.locator(f'#nav-sidebar a[href$="{LIST}"]').click()
    expect(page).to_have_url(re.compile(rf"{LIST}$"))
    expect(page.get_by_role("heading", name="No transactions yet")).to_be_visible()


def test_pull_now(sandbox, celery_worker_process, open_page):
    desk = Desk(sandbox, "paypal", None)
    made = desk.post(
        "payments", account=desk.name, amount_minor=5000, currency="USD", status="settled"
    )
    page = open_page(make_person("manager"))
    page.goto(LIST)
    stay(page)
    page.get_by_role("button", name="Pull now").click()
    expect(page.locator("#results tbody tr")).to_have_count(1, timeout=30_000)
    expect(page.locator("#pulling")).to_contain_text("Read")
    assert made
    assert_stayed(page)
