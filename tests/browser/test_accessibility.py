"""WCAG 2.2 AA, as far as a machine can tell: axe-core finds nothing serious on any page of ours.

``AXE_REPORT`` names a file for what it finds: `make accessibility` renews docs/accessibility.md.
"""

import os
import re
from collections import Counter
from pathlib import Path

import pytest
from playwright.sync_api import expect

from campaigns import running
from campaigns.models import Campaign
from campaigns.services import make
from refunds.models import ApprovalRule, RefundReason, WebhookEvent
from tests.refunds.states import bring
from tests.rest import make_account, make_person, make_refund, make_token, make_transaction
from transactions.exchanges import link
from transactions.models import Customer, Note
from transactions.twins import mark_twins_of

from .cases import raise_cases

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/transactions/transaction/"
# The second one is the first, zoomed to 200 %.
SCREENS = [(1360, "dark"), (680, "light")]
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


_KEY = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
# From the worst on, as axe-core calls them.
_IMPACTS = ("critical", "serious", "moderate", "minor")
_REPORT = """# Accessibility

`make accessibility` writes this page. axe-core {version} looks at every page of ours with the rules of WCAG 2.0, 2.1 and 2.2, levels A and AA;
`make test` does as well, and fails on anything critical or serious. A width of 680 is the screen of 1,360 at 200 % zoom.

What a machine cannot tell is played in Chromium: dialogs keep the focus and give it back, everything works by keyboard and without scripts,
and nothing sticks out at 390 pixels (`tests/browser`).

| Page | Screen | Critical | Serious | Moderate | Minor | For a person to look at | Rules that hold |
|---|---|---|---|---|---|---|---|
{lines}
"""


@pytest.fixture(scope="module")
def report():
    """One line for each page that was looked at; kept in the file that ``AXE_REPORT`` names."""
    lines: list[str] = []
    versions = set()
    yield lines, versions
    if path := os.environ.get("AXE_REPORT"):
        told = _REPORT.format(version=", ".join(sorted(versions)), lines="\n".join(lines))
        Path(path).write_text(told)


@pytest.fixture
def audit(report):
    """``audit(page, name)``: nothing critical or serious is found on what the page shows now."""
    from axe_playwright_python.sync_playwright import Axe

    lines, versions = report
    options = {"runOnly": _RULES, "resultTypes": ["violations"]}

    def audit(page, name):
        found = Axe().run(page, options=options).response
        versions.add(found["testEngine"]["version"])
        by_impact = Counter(each["impact"] for each in found["violations"])
        numbers = [*(by_impact[impact] for impact in _IMPACTS), len(found["incomplete"])]
        scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        screen = f"{page.viewport_size['width']}, {'dark' if scheme else 'light'}"
        shown = _KEY.sub("…", name.removeprefix("/admin/")) or "home"
        cells = [f"`{shown}`", screen, *map(str, numbers), str(len(found["passes"]))]
        lines.append(f"| {' | '.join(cells)} |")
        told = [
            f"{each['id']} ({each['impact']}): {node['html'][:200]} {node['failureSummary'][:300]}"
            for each in found["violations"]
            if each["impact"] in _IMPACTS[:2]
            for node in each["nodes"][:3]
        ]
        assert not told, "\n".join([name, *told])

    return audit


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
    for minor in (0, None):  # one of somebody else waits for the manager
        ApprovalRule.objects.create(currency="USD", value=minor, made_by=manager)
        if minor == 0:
            make_refund(second, 500)
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
        "/admin/refunds/refund/approvals/",
        f"/admin/refunds/refund/{refund.pk}/change/",
        "/admin/refunds/webhookevent/",
        f"/admin/refunds/webhookevent/{event.pk}/change/",
        "/admin/campaigns/campaign/",
        f"/admin/campaigns/campaign/{campaign.pk}/change/",
        "/admin/campaigns/campaign/new/",
        "/admin/campaigns/campaign/new/?account=shop",
    ]


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_every_page(width, theme, pages, manager, open_page, audit):
    page = open_page(manager, width=width, theme=theme)
    for address in pages:
        page.goto(address)
        audit(page, address)
    page.goto(LIST)
    page.locator("#results tbody tr").first.get_by_role("button", name="Actions for").click()
    page.get_by_role("menuitem", name="Refund").click()
    expect(page.get_by_role("dialog", name="Refund")).to_be_visible()
    audit(page, "the dialog")


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_settings(width, theme, manager, open_page, audit):
    account = make_account("shop")
    for minor in (50_000, None):
        ApprovalRule.objects.create(account=account, currency="USD", value=minor, made_by=manager)
    make_token(manager)
    page = open_page(make_person("admin"), width=width, theme=theme)
    for address in (
        "refunds/approvalrule/",
        "refunds/approvalrule/add/",
        "refunds/refundreason/",
        "refunds/refundreason/add/",
        "gateways/processoraccount/",
        f"gateways/processoraccount/{account.pk}/change/",
        "auth/user/",
        f"auth/user/{manager.pk}/change/",
        "auth/group/",
        "access/apitoken/",
    ):
        page.goto(f"/admin/{address}")
        audit(page, address)


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_what_needs_a_person(width, theme, sandbox, manager, open_page, audit):
    agent = make_person("agent", first_name="Ion", last_name="Rusu")
    cases = raise_cases(sandbox, agent, manager)
    page = open_page(manager, width=width, theme=theme)
    for address in ("", "?settled=true", *(f"{case.pk}/change/" for case in cases.values())):
        page.goto(f"/admin/refunds/attention/{address}")
        audit(page, f"refunds/attention/{address}")


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_getting_in(width, theme, manager, open_page, audit):
    page = open_page(manager, width=width, theme=theme)
    for address in ("prove/", "security/", "security/app/add/", "security/passkeys/add/"):
        page.goto(f"/admin/{address}")
        audit(page, address)


def test_the_login(open_page, transactional_db, audit):
    page = open_page(None)
    page.goto("/admin/login/")
    audit(page, "login")
