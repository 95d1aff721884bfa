"""Every screen at the width of a desk and of a phone, light and dark, on the demo's data.

``SCREENSHOTS`` names a folder to keep some of the pictures in: `make screenshots` renews those of
the README with it.
"""

import os
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from playwright.sync_api import expect

from campaigns import running, services
from campaigns.models import Campaign
from gateways.demo import create_accounts
from gateways.models import ProcessorAccount
from gateways.money import Money
from refunds.models import ApprovalRule, Refund, RefundReason, RuleKind
from refunds.states import Status
from refunds.sync import sync_account
from tests.refunds.states import bring
from tests.rest import make_person, make_refund
from transactions.models import Transaction

from .cases import raise_cases
from .test_refunding import LIST, open_dialog, row_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SCREENS = [(1360, "light"), (390, "dark")]
if "SCREENSHOTS" in os.environ:  # to be looked at; what fits in the light fits in the dark
    SCREENS += [(1360, "dark"), (390, "light")]
# The pictures that are kept, and what they are called.
KEPT = {
    "transactions-1360-light": "transactions",
    "refund-1360-light": "refund",
    "refused-1360-light": "payment",
    "transactions-390-dark": "phone",
    "inbox-1360-light": "inbox",
    "case-1360-light": "case",
    "home-1360-light": "home",
    "customer-1360-light": "customer",
    "campaign-1360-light": "campaign",
    "approvals-1360-light": "approvals",
}


@pytest.fixture
def demo(sandbox):
    """The demo's payments at all processors, pulled in; those of the first page to try things on."""
    sandbox.reset(seed=1, payments=400)
    create_accounts(sandbox.url)
    for account in ProcessorAccount.objects.exclude(slug="stripe-japan"):
        sync_account(account)
    newest = Transaction.objects.order_by("-created_at", "-pk")[:50]
    return [
        each
        for each in newest
        if each.status == "settled" and not each.disputed and each.refundable_minor > 3000
        and each.currency in ("USD", "EUR", "GBP")
    ]  # fmt: skip


@pytest.fixture
def look(tmp_path):
    """Take a picture of a page on which nothing sticks out to the right."""

    def look(page, name):
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0, name
        folder = Path(os.environ.get("SCREENSHOTS", tmp_path)) if name in KEPT else tmp_path
        path = folder / f"{KEPT.get(name, name)}.png"
        page.screenshot(path=path, animations="disabled")
        assert path.stat().st_size < 300_000, f"{path} is too heavy for a page of the README"

    return look


def refund(page, transaction, amount):
    dialog = open_dialog(page, transaction)
    if amount:
        dialog.get_by_label("Amount").fill(amount)
    dialog.get_by_label("Internal note").fill("One of the two arrived broken.")
    dialog.get_by_role("button", name="Refund", exact=True).click()
    expect(dialog).to_be_hidden()


def start_campaign(payment, maker):
    """A campaign over the payments of one account, of which some are refunded and some failed."""
    second = make_person("manager", first_name="Ion", last_name="Rusu", email="ion@example.com")
    campaign = Campaign(
        name="Outage of Friday",
        query=f"account={payment.account.slug}&status=settled&amount_min=120&currency=USD",
        percent=25,
        reason=RefundReason.objects.get(code="service_issue"),
        note="The shop was down from 9 to 11.",
        words="We are sorry for the outage on Friday.",
        most_refunds=1_000,
        most_money=10_000_000,
    )
    services.make(campaign, [], actor=maker)
    running.work(campaign.pk)
    services.start(campaign, actor=second)
    running.work(campaign.pk)
    refunds = Refund.objects.filter(campaign_item__campaign=campaign).order_by("pk")
    for number, refund in enumerate(refunds):
        if number % 8 == 7:
            bring(refund, Status.FAILED, failure_message="The card is closed.")
        elif number % 3:
            bring(refund, Status.SUCCEEDED)
    return campaign


def leave_to_approve(manager, payments):
    """Refunds that wait for the manager, who has set the rules, and one of theirs; the first."""
    agents = [
        make_person("agent", first_name="Tom", last_name="Baker"),
        make_person("agent", first_name="Mia", last_name="Weber"),
        manager,
    ]
    for currency in {each.currency for each in payments}:
        for minor in (50_000, 1_000):
            ApprovalRule.objects.create(currency=currency, value=minor, made_by=manager)
    ApprovalRule.objects.create(kind=RuleKind.SOON, value=1_000_000, made_by=manager)
    agents_group = Group.objects.get(name="agent")
    ApprovalRule.objects.create(kind=RuleKind.TRIES, role=agents_group, value=0, made_by=manager)
    refunds = [make_refund(each, 2_500, who) for each, who in zip(payments, agents, strict=True)]
    return refunds[0]


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_every_screen_fits(width, theme, demo, celery_worker_process, open_page, look):
    person = make_person("manager", first_name="Ana", last_name="Lup", email="ana@example.com")
    page = open_page(person, width=width, theme=theme)
    name = f"{width}-{theme}"
    partly, whole, refused, asked = demo[:4]
    page.goto(LIST)
    refund(page, partly, "12.50")
    refund(page, whole, "")
    refund(page, refused, "4.03")  # the sandbox refuses what ends like this
    expect(row_of(page, partly)).to_contain_text("Partly refunded")
    expect(row_of(page, whole)).to_contain_text("Fully refunded")
    expect(row_of(page, refused)).to_contain_text("Refund failed")
    expect(page.locator("#toast")).to_be_hidden()
    page.evaluate("window.scrollTo(0, 0)")
    page.mouse.move(0, 0)
    look(page, f"transactions-{name}")

    open_dialog(page, asked).get_by_label("Amount").fill("12.50")
    left = Money(asked.refundable_minor - 1250, asked.currency)
    expect(page.locator("#refund-preview")).to_contain_text(f"Left after this refund: {left}")
    look(page, f"refund-{name}")
    page.keyboard.press("Escape")

    campaign = start_campaign(partly, person)
    waiting = leave_to_approve(person, demo[4:7])
    for what, address in (
        ("home", "/admin/"),
        ("campaign", f"/admin/campaigns/campaign/{campaign.pk}/change/"),
        ("campaigns", "/admin/campaigns/campaign/"),
        ("campaign-new", "/admin/campaigns/campaign/new/?status=settled"),
        ("me", "/admin/me/"),
        ("refused", f"{LIST}{refused.pk}/change/"),
        ("partly", f"{LIST}{partly.pk}/change/"),
        ("dialog-page", f"{LIST}{asked.pk}/refund/"),
        ("empty", f"{LIST}?q=nothing+like+it"),
        ("customer", f"/admin/transactions/customer/{partly.customer_id}/change/"),
        ("customers", "/admin/transactions/customer/"),
        ("twins", f"{LIST}?duplicate=true"),
        ("refunds", "/admin/refunds/refund/"),
        ("refunds-empty", "/admin/refunds/refund/?status=returned"),
        ("reasons", "/admin/refunds/refundreason/"),
        ("rules", "/admin/refunds/approvalrule/"),
        ("rule-new", "/admin/refunds/approvalrule/add/"),
        ("limited", f"{LIST}{asked.pk}/refund/"),
        ("approvals", "/admin/refunds/refund/approvals/"),
        ("to-decide", f"{LIST}{waiting.transaction_id}/change/"),
    ):
        page.goto(address)
        look(page, f"{what}-{name}")


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_what_needs_a_person_fits(width, theme, sandbox, open_page, look):
    agent = make_person("agent", first_name="Ana", last_name="Lup")
    manager = make_person("manager", first_name="Ion", last_name="Rusu", email="ion@example.com")
    cases = raise_cases(sandbox, agent, manager)
    page = open_page(manager, width=width, theme=theme)
    name = f"{width}-{theme}"
    page.goto("/admin/refunds/attention/")
    expect(page.locator("#results tbody tr")).to_have_count(6)
    look(page, f"inbox-{name}")
    page.goto("/admin/refunds/attention/?settled=true")
    look(page, f"inbox-settled-{name}")
    for kind, case in cases.items():
        page.goto(f"/admin/refunds/attention/{case.pk}/change/")
        look(page, f"{'case' if kind == 'waiting' else f'case-{kind}'}-{name}")
    page.goto(f"/admin/refunds/attention/{cases['waiting'].pk}/change/")
    page.get_by_role("link", name="Confirm", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    look(page, f"confirm-{name}")
    page.goto(f"/admin/refunds/attention/{cases['fresh'].pk}/change/")
    page.get_by_role("link", name="It was made", exact=True).click()
    page.get_by_role("button", name="Propose").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    look(page, f"propose-{name}")
    transaction = cases["disputed"].transaction
    page.goto(f"{LIST}{transaction.pk}/change/")
    look(page, f"disputed-payment-{name}")
    page.goto(f"{LIST}{cases['waiting'].transaction_id}/change/")
    look(page, f"unknown-payment-{name}")
