"""WCAG 2.2 AA, as far as a machine can tell: axe-core finds nothing serious on any page of ours."""

import pytest
from playwright.sync_api import expect

from campaigns import running
from campaigns.models import Campaign
from campaigns.services import make
from refunds.models import RefundReason, WebhookEvent
from tests.refunds.states import bring
from tests.rest import make_account, make_person, make_refund, make_transaction
from transactions.exchanges import link
from transactions.models import Customer, Note
from transactions.twins import mark_twins_of

from .cases import raise_cases

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/transactions/transaction/"
# The second one is the first, zoomed to 200 %.
SCREENS = [(1360, "dark"), (680, "light")]
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def assert_accessible(page, name):
    from axe_playwright_python.sync_playwright import Axe

    options = {"runOnly": _RULES, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    told = [
        f"{each['id']} ({each['impact']}): {node['html'][:200]} {node['failureSummary'][:300]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"][:3]
    ]
    assert not told, "\n".join([name, *told])


@pytest.fixture
def manager(transactional_db):
    return make_person("manager", first_name="Ana", last_name="Lup", email="ana@example.com")


@pytest.fixture
def pages(manager):
    """The addresses of every kind of page, with something on each."""
    customer = Customer.objects.create(email="maria@example.com", name="Maria Santos", is_vip=True)
    account = make_account("shop")
    paid = {"customer": customer, "customer_name": "Maria Santos", "customer_email": customer.email}
    first = make_transaction(account, **paid)
    second = make_transaction(account, created_at=first.created_at, **paid)
    mark_twins_of(customer)
    refund = bring(make_refund(first, 2_500, manager), "failed", failure_code="too_old")
    make_refund(second, 1_000, manager)
    Note.objects.create(transaction=first, author=manager, text="Called on Friday.")
    link(first, second.external_id, actor=manager)
    event = WebhookEvent.objects.create(
        account=account, mode="test", event_id="evt_1", event_type="charge.refunded",
        body_sha256=b"0" * 32, state="processed", payment_id=first.external_id,
    )  # fmt: skip
    campaign = make(
        Campaign(
            name="Outage", query="account=shop", most_refunds=10, most_money=10_000_000,
            reason=RefundReason.objects.get(code="service_issue"),
        ), [], actor=manager,
    )  # fmt: skip
    running.work(campaign.pk)
    return [
        "/admin/",
        "/admin/me/",
        LIST,
        f"{LIST}?duplicate=true",
        f"{LIST}?q=nothing+like+it",
        f"{LIST}?odd=1",
        f"{LIST}{first.pk}/change/",
        f"{LIST}{first.pk}/refund/",
        f"{LIST}columns/",
        "/admin/transactions/customer/",
        f"/admin/transactions/customer/{customer.pk}/change/",
        f"/admin/transactions/customer/{customer.pk}/merge/",
        "/admin/refunds/refund/",
        f"/admin/refunds/refund/{refund.pk}/change/",
        "/admin/refunds/webhookevent/",
        f"/admin/refunds/webhookevent/{event.pk}/change/",
        "/admin/campaigns/campaign/",
        f"/admin/campaigns/campaign/{campaign.pk}/change/",
        "/admin/campaigns/campaign/new/",
        "/admin/campaigns/campaign/new/?account=shop",
    ]


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_every_page(width, theme, pages, manager, open_page):
    page = open_page(manager, width=width, theme=theme)
    for address in pages:
        page.goto(address)
        assert_accessible(page, address)
    page.goto(LIST)
    page.locator("#results tbody tr").first.get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Refund").click()
    expect(page.get_by_role("dialog", name="Refund")).to_be_visible()
    expect(page.locator(".htmx-settling")).to_have_count(0)
    assert_accessible(page, "the dialog")


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_what_needs_a_person(width, theme, sandbox, manager, open_page):
    agent = make_person("agent", first_name="Ion", last_name="Rusu")
    cases = raise_cases(sandbox, agent, manager)
    page = open_page(manager, width=width, theme=theme)
    for address in ("", "?settled=true", *(f"{case.pk}/change/" for case in cases.values())):
        page.goto(f"/admin/refunds/attention/{address}")
        assert_accessible(page, address)


def test_the_login(open_page, transactional_db):
    page = open_page(None)
    page.goto("/admin/login/")
    assert_accessible(page, "login")
