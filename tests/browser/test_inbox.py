"""Two people, each in a browser of their own, settle what no machine can."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from refunds.models import Attention, Refund
from refunds.states import Status
from refunds.sweeps import flag_overdue
from tests.refunds.desk import Desk
from tests.refunds.faults.play import assert_agreement
from tests.rest import make_person
from transactions.models import Transaction

from .cases import age, lose_an_answer, wait_out

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

INBOX = "/admin/refunds/attention/"


@pytest.fixture
def agent(transactional_db):
    return make_person("agent", first_name="Ana", last_name="Lup")


@pytest.fixture
def approver(transactional_db):
    return make_person("approver", first_name="Ion", last_name="Rusu")


@pytest.fixture
def desk(sandbox):
    return Desk(sandbox, "authorizenet", None)


@pytest.fixture
def refund(desk, agent):
    """A refund whose answer was lost twenty minutes ago: nobody knows that it was not made."""
    refund = lose_an_answer(desk, agent, payer_name="Maria Santos")
    age(refund, timedelta(minutes=20))
    flag_overdue()
    return refund


def propose(page, label, evidence):
    page.get_by_role("link", name=label, exact=True).click()
    dialog = page.get_by_role("dialog", name=label)
    expect(dialog.get_by_role("textbox").first).to_be_focused()
    dialog.get_by_label("What did you see").fill(evidence)
    dialog.get_by_role("button", name="Propose").click()


def test_an_unknown_refund_is_settled_by_two_people(desk, refund, agent, approver, open_page):
    first = open_page(agent)
    first.goto("/admin/")
    first.get_by_role("link", name="Needs attention 1").click()
    row = first.locator("#results tbody tr")
    expect(row).to_contain_text("Outcome unknown")
    expect(row).to_contain_text("Maria Santos")
    row.get_by_role("link").first.click()
    page = first.locator("#case")
    expect(page.get_by_role("button", name="Send it again")).to_be_disabled()
    expect(page).to_contain_text("Two complete look-ups at Authorize.net")

    wait_out(refund)
    first.reload()
    expect(page.get_by_role("link", name="Send it again")).to_be_visible()
    propose(first, "It was not made", "Neither in the unsettled list nor in the batches of today.")
    expect(first).to_have_url(f"{first.url.split('/admin')[0]}{INBOX}")
    expect(first.get_by_text("“It was not made” is proposed.")).to_be_visible()
    assert Refund.objects.get(pk=refund.pk).status == Status.UNKNOWN

    second = open_page(approver)
    second.goto(f"{INBOX}{Attention.objects.get().pk}/change/")
    expect(second.locator("#case")).to_contain_text("Ana Lup")
    expect(second.locator("#case")).to_contain_text("the batches of today")
    second.get_by_role("link", name="Confirm", exact=True).click()
    dialog = second.get_by_role("dialog", name="Confirm")
    expect(dialog).to_contain_text("its 25.00 USD can be refunded again. Nothing is sent.")
    dialog.get_by_role("button", name="Confirm").click()
    expect(second.get_by_text("the refund of 25.00 USD counts as not made")).to_be_visible()
    expect(second.get_by_role("heading", name="Nothing needs you")).to_be_visible()

    refund.refresh_from_db()
    assert refund.status == Status.FAILED
    assert Transaction.objects.get(pk=refund.transaction_id).refundable_minor == 10_000
    assert_agreement(desk, refund.transaction)


def test_what_two_people_send_again_arrives_once(
    desk, refund, agent, approver, celery_worker_process, open_page
):
    wait_out(refund)
    case = Attention.objects.get()
    first = open_page(agent)
    first.goto(f"{INBOX}{case.pk}/change/")
    propose(first, "Send it again", "It is in no list, and the customer still waits.")
    expect(first.get_by_text("“It was not made: send it again” is proposed.")).to_be_visible()
    first.goto(f"{INBOX}{case.pk}/change/")
    expect(first.locator("#case")).to_contain_text("somebody else has to confirm it")
    expect(first.get_by_role("link", name="Confirm", exact=True)).to_have_count(0)

    second = open_page(approver)
    second.goto(f"{INBOX}{case.pk}/change/")
    expect(second.locator("#case")).to_contain_text("sent again under a new reference")
    second.get_by_role("link", name="Confirm", exact=True).click()
    second.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    expect(second.get_by_text("25.00 USD are sent again, under a new reference.")).to_be_visible()
    second.goto(f"/admin/refunds/refund/{refund.pk}/change/")
    expect(second.locator("#story article")).to_contain_text("Succeeded")
    expect(second.locator("#story")).to_contain_text("Attempt 2")
    assert_agreement(desk, refund.transaction, 2500)


def open_by_keyboard(page):
    """The dialog that says that it was made; what opened it, and the dialog with the focus."""
    page.goto(f"{INBOX}{Attention.objects.get().pk}/change/")
    opener = page.get_by_role("link", name="It was made", exact=True)
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="It was made")
    expect(dialog.get_by_label("The processor's id of the refund")).to_be_focused()
    return opener, dialog


def test_everything_by_keyboard(refund, agent, open_page):
    page = open_page(agent)
    opener, dialog = open_by_keyboard(page)
    page.keyboard.press("Enter")  # nothing was typed: the form says so where it is
    field = dialog.get_by_label("The processor's id of the refund")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_the_focus_comes_back_to_what_was_drawn_anew(refund, agent, approver, open_page):
    page = open_page(agent)
    opener, dialog = open_by_keyboard(page)
    draw_anew(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    draw_anew(page)
    expect(opener).to_be_focused()
    page = open_page(approver)
    page.goto(f"{INBOX}{Attention.objects.get().pk}/change/")
    taking = page.get_by_role("button", name="Take it")
    taking.focus()
    draw_anew(page)
    expect(taking).to_be_focused()


def draw_anew(page):
    page.evaluate("document.querySelector('#case').old = true; htmx.trigger('#case', 'refresh')")
    page.wait_for_function("!document.querySelector('#case').old")


def test_without_scripts(refund, agent, approver, open_page):
    wait_out(refund)
    case = Attention.objects.get()
    first = open_page(agent, java_script_enabled=False)
    first.goto(f"{INBOX}{case.pk}/change/")
    first.get_by_role("link", name="It was not made", exact=True).click()
    first.get_by_label("What did you see").fill("It is in no list of today, nor yesterday.")
    first.get_by_role("button", name="Propose").click()
    expect(first.get_by_text("“It was not made” is proposed.")).to_be_visible()
    second = open_page(approver, java_script_enabled=False)
    second.goto(f"{INBOX}{case.pk}/change/")
    second.get_by_role("button", name="Take it").click()
    expect(second.get_by_text("The case is yours now.")).to_be_visible()
    second.get_by_role("link", name="Confirm", exact=True).click()
    second.get_by_role("button", name="Confirm").click()
    expect(second.get_by_text("the refund of 25.00 USD counts as not made")).to_be_visible()
