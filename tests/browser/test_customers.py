"""Customers, twins and exchanges in a browser, and taking a refund back at once."""

import pytest
from playwright.sync_api import expect

from refunds.models import Refund
from refunds.states import Status
from tests.rest import make_account, make_person, make_transaction
from transactions.models import Customer
from transactions.twins import mark_twins_of

from .test_refunding import LIST, open_dialog, row_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def manager(transactional_db):
    return make_person("manager", first_name="Ana", last_name="Lup")


@pytest.fixture
def customer(transactional_db):
    return Customer.objects.create(email="maria@example.com", name="Maria Santos")


@pytest.fixture
def pair(customer):
    """Two payments of the customer, perhaps one that was made twice."""
    account = make_account()
    first = make_transaction(
        account, external_id="ch_first", customer=customer, customer_name="Maria Santos"
    )
    second = make_transaction(
        account, external_id="ch_second", customer=customer, customer_name="Maria Santos",
        created_at=first.created_at,
    )  # fmt: skip
    mark_twins_of(customer)
    return first, second


def test_undo_takes_a_refund_back_from_where_it_was_asked_for(open_page, manager, settings):
    settings.UNDO_SECONDS = 600
    transaction = make_transaction()
    page = open_page(manager)
    page.goto(LIST)
    dialog = open_dialog(page, transaction)
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(dialog).to_be_hidden()
    page.locator("#toast").get_by_role("button", name="Undo").click()
    expect(page.locator("#toast")).to_contain_text("Canceled; nothing was refunded.")
    expect(row_of(page, transaction)).to_contain_text("Not refunded")
    assert Refund.objects.get().status == Status.CANCELED


def test_a_twin_is_found_and_refunded_in_one_step(open_page, manager, pair, settings):
    settings.UNDO_SECONDS = 600
    page = open_page(manager)
    page.goto(LIST)
    page.get_by_role("link", name="Charged twice?").click()
    expect(page.locator("#results tbody tr")).to_have_count(2)
    page.locator("#results tbody tr a").first.click()
    page.get_by_role("link", name="Refund this one as a duplicate").click()
    dialog = page.get_by_role("dialog", name="Refund")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(page.locator("#story")).to_contain_text("Queued")
    assert Refund.objects.get().reason.code == "duplicate"


def test_an_exchange_is_linked_and_unlinked(open_page, manager, pair):
    page = open_page(manager)
    page.goto(f"{LIST}{pair[0].pk}/change/")
    box = page.get_by_label("The payment for the replacement")
    box.fill("ch_second")
    page.get_by_role("button", name="Link", exact=True).click()
    expect(page.locator("#exchanges")).to_contain_text("Exchanged for ch_second")
    expect(page.locator("#story")).to_contain_text("Exchanged for another payment")
    page.get_by_role("button", name="Unlink").click()
    expect(page.locator("#exchanges li")).to_have_count(0)
    box.fill("nothing like it")
    page.get_by_role("button", name="Link", exact=True).click()
    expect(page.locator("#toast")).to_contain_text("No other payment matches")


def test_customers_are_marked_merged_and_parted(open_page, manager, customer):
    Customer.objects.create(email="m.santos@example.com", name="Maria Santos")
    page = open_page(manager)
    page.goto(LIST)
    page.get_by_role("link", name="Customers").click()
    page.get_by_label("Search").fill("maria@")
    expect(page.locator("#results tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Maria Santos").click()
    page.get_by_label("VIP").check()
    page.get_by_label("Language").select_option("ro")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Kept: VIP yes, language ro.")).to_be_visible()
    page.get_by_role("link", name="Merge", exact=True).click()
    dialog = page.get_by_role("dialog", name="Merge customers")
    expect(dialog).to_contain_text("Of the same name: m.santos@example.com")
    dialog.get_by_label("The other e-mail").fill("m.santos@example.com")
    dialog.get_by_role("button", name="Merge").click()
    expect(page.get_by_text("Also m.santos@example.com")).to_be_visible()
    page.get_by_role("button", name="Part them").click()
    expect(page.get_by_text("is a customer of their own again.")).to_be_visible()


@pytest.mark.parametrize("width", [1360, 390])
def test_a_customer_is_erased_in_a_dialog(open_page, customer, pair, width):
    page = open_page(make_person("admin"), width=width)
    page.goto(f"/admin/transactions/customer/{customer.pk}/change/")
    page.get_by_role("link", name="Erase").click()
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("This cannot be undone.")
    dialog.get_by_role("button", name="Erase", exact=True).click()
    expect(dialog.get_by_role("alert")).to_have_text("Tick the box if you mean it.")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    dialog.get_by_label("Erase this customer for good").check()
    dialog.get_by_role("button", name="Erase", exact=True).click()
    expect(page.get_by_text("The customer is erased.")).to_be_visible()
    expect(page.locator("main, #content, body").first).not_to_contain_text("Maria Santos")
