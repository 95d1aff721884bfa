"""What is only a test says so wherever it is shown, and in words."""

import pytest

from gateways.models import ProcessorAccount
from tests.pages import client_of, visible
from tests.rest import make_account, make_case, make_person, make_refund, make_transaction

pytestmark = pytest.mark.django_db

HERE = "Test account: no real money moves here."
EVERYWHERE = "Every account is a test account: no real money moves on this site."


@pytest.fixture
def browser():
    return client_of(make_person("admin"))


@pytest.fixture
def pages():
    """The pages of a payment in test mode, of its refund, its case, its account, and dialogs."""
    payment = make_transaction(make_account("tried"), customer_name="Ana Popescu")
    refund = make_refund(payment, 100)
    case = make_case(refund, "made_outside")
    return [
        f"/admin/transactions/transaction/{payment.pk}/change/",
        f"/admin/refunds/refund/{refund.pk}/change/",
        f"/admin/refunds/attention/{case.pk}/change/",
        f"/admin/gateways/processoraccount/{payment.account_id}/change/",
        f"/admin/transactions/transaction/{payment.pk}/refund/",
        f"/admin/refunds/attention/{case.pk}/accept/",
    ]


def make_live():
    account = ProcessorAccount.objects.create(slug="real", processor="stripe", mode="live")
    return make_transaction(account, customer_name="Li Wei")


def test_each_page_of_a_test_account_says_so(browser, pages):
    make_live()
    for page in pages:
        shown = visible(browser.get(page))
        assert f"Test {HERE}" in shown, page
        assert EVERYWHERE not in shown
    for page in pages[4:]:  # in the dialog as well
        assert HERE in visible(browser.get(page, headers={"HX-Request": "true"}))


def test_a_live_account_says_nothing(browser, pages):
    payment = make_live()
    for page in (
        f"transactions/transaction/{payment.pk}/change",
        f"transactions/transaction/{payment.pk}/refund",
    ):
        assert "no real money" not in visible(browser.get(f"/admin/{page}/"))


def test_each_line_of_a_table_says_which_it_is(browser, pages):
    make_refund(make_live(), 100)
    for path in ("transactions/transaction", "refunds/refund"):
        lines = browser.get(f"/admin/{path}/").content.decode().split("<tr")[2:]
        told = {("badge-test" in line): line for line in lines}
        assert "Ana Popescu" in told[True]
        assert "Li Wei" in told[False]


def test_where_there_are_test_accounts_alone_every_page_says_so(browser, pages):
    others = ["/admin/", "/admin/me/", "/admin/transactions/transaction/", "/admin/auth/user/add/"]
    for page in [*others, *pages]:
        assert EVERYWHERE in visible(browser.get(page)), page
        assert "badge-test" not in browser.get(page).content.decode(), page  # said once
    make_live()
    for page in others:
        assert EVERYWHERE not in visible(browser.get(page)), page


def test_without_accounts_there_is_nothing_to_say(browser):
    assert EVERYWHERE not in visible(browser.get("/admin/"))
