"""The queue of approvals, and what its buttons do."""

from __future__ import annotations

import re

import pytest

from audit.models import AuditEntry
from refunds.models import ApprovalRule, Refund, RuleKind
from refunds.states import Status
from tests.pages import client_of, visible
from tests.rest import make_account, make_person, make_transaction

pytestmark = pytest.mark.django_db

QUEUE = "/admin/refunds/refund/approvals/"


@pytest.fixture(autouse=True)
def always():
    """Every refund needs a second person."""
    manager = make_person("manager", email="manager@example.com")
    return ApprovalRule.objects.create(currency="USD", value=0, made_by=manager)


@pytest.fixture
def person():
    return make_person("approver", email="zoe@example.com")


@pytest.fixture
def browser(person):
    return client_of(person)


def seen_on(page) -> list[str]:
    return re.findall(r'name="seen" value="(\w+)"', page.content.decode())


def post(browser, refund: Refund, action: str, **fields: str):
    address = f"/admin/refunds/refund/{refund.pk}/{action}/"
    return browser.post(address, {"from_queue": "1"} | fields, follow=True)


def test_the_oldest_comes_first_with_why_and_how_long(ask, browser):
    amounts = [ask(make_transaction(), 100 + number).amount for number in range(3)]
    text = visible(browser.get(QUEUE))
    assert sorted(text.index(str(amount)) for amount in amounts) == [
        text.index(str(amount)) for amount in amounts
    ]
    assert "because it is more than 0.00 USD." in text
    assert "Without a decision it is called off on" in text


def test_its_queries_do_not_grow_with_it(ask, browser, django_assert_max_num_queries):
    account = make_account()
    for _ in range(2):
        ask(make_transaction(account), 100)
    browser.get(QUEUE)
    with django_assert_max_num_queries(40) as few:
        browser.get(QUEUE)
    for _ in range(20):
        ask(make_transaction(account), 100)
    with django_assert_max_num_queries(len(few)):
        browser.get(QUEUE)


def test_more_than_a_page_moves_up(ask, browser, monkeypatch):
    monkeypatch.setattr("refunds.deciding._AT_ONCE", 2)
    for _ in range(3):
        ask(make_transaction(), 100)
    page = browser.get(QUEUE)
    assert "More wait behind these" in visible(page)
    assert len(seen_on(page)) == 4  # two forms each


def test_approving_leads_back_to_the_queue(ask, browser):
    refund = ask(make_transaction(), 100)
    [seen, _again] = seen_on(browser.get(QUEUE))
    answer = post(browser, refund, "approve", seen=seen)
    assert answer.redirect_chain[-1][0] == QUEUE
    assert "It is approved." in visible(answer)
    refund.refresh_from_db()
    assert refund.status == Status.QUEUED


def test_rejecting_keeps_why(ask, browser):
    refund = ask(make_transaction(), 100)
    [seen, _again] = seen_on(browser.get(QUEUE))
    post(browser, refund, "reject", seen=seen, why="It was paid in cash.")
    page = browser.get(f"/admin/refunds/refund/{refund.pk}/change/")
    assert "It was paid in cash." in visible(page)
    refund.refresh_from_db()
    assert refund.status == Status.CANCELED


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Look at the refund first"),
        ({"seen": "0" * 32}, "has changed since you looked"),
        ({"seen": "x" * 65}, "at most 64 characters"),
        ({"seen": "{seen}", "why": "4242 4242 4242 4242"}, "card number"),
        ({"seen": "{seen}", "why": "x" * 501}, "at most 500 characters"),
    ],
)
def test_what_cannot_be_decided_changes_nothing(ask, browser, fields, said):
    refund = ask(make_transaction(), 100)
    seen = seen_on(browser.get(QUEUE))[0]
    fields = {name: value.replace("{seen}", seen) for name, value in fields.items()}
    assert said in visible(post(browser, refund, "approve", **fields))
    refund.refresh_from_db()
    assert refund.status == Status.AWAITING_APPROVAL
    entry = AuditEntry.objects.get(kind="refund.refused")
    assert (entry.about_id, entry.data["action"]) == (str(refund.pk), "approve")


def test_a_second_tab_with_what_was_shown_before_does_not_approve(ask, browser):
    payment = make_transaction()
    refund = ask(payment, 100)
    old_tab = seen_on(browser.get(QUEUE))[0]
    ask(payment, 200)
    assert "Look again, then decide" in visible(post(browser, refund, "approve", seen=old_tab))
    refund.refresh_from_db()
    assert refund.status == Status.AWAITING_APPROVAL


def test_one_s_own_waits_for_others(ask):
    asks = make_person("manager", email="asks@example.com")
    refund = ask(make_transaction(), 100, requested_by=asks)
    browser = client_of(asks)
    page = browser.get(QUEUE)
    assert "Nothing waits for your approval." in visible(page)
    assert "What you asked for, and others decide" in visible(page)
    assert seen_on(page) == []
    assert post(browser, refund, "approve", seen="0").status_code == 403


def test_beyond_one_s_limit_it_can_be_rejected_only(ask, person, browser, always):
    rule = {"kind": RuleKind.APPROVING, "currency": "USD", "value": 99}
    ApprovalRule.objects.create(person=person, made_by=always.made_by, **rule)
    refund = ask(make_transaction(), 100)
    page = browser.get(QUEUE)
    assert "You approve refunds up to 0.99 USD." in visible(page)
    [seen] = seen_on(page)
    assert "You approve refunds up to" in visible(post(browser, refund, "approve", seen=seen))
    refund.refresh_from_db()
    assert refund.status == Status.AWAITING_APPROVAL
    post(browser, refund, "reject", seen=seen)
    refund.refresh_from_db()
    assert refund.status == Status.CANCELED


def test_who_may_not_approve_sees_nothing_to_decide(ask):
    agent = make_person("agent", email="agent@example.com")
    ask(make_transaction(), 100)
    assert seen_on(client_of(agent).get(QUEUE)) == []


def test_the_page_of_a_payment_costs_the_same_for_one_that_waits_and_for_many():
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from refunds.models import ApprovalRule
    from tests.pages import client_of
    from tests.rest import make_person, make_refund, make_transaction

    ApprovalRule.objects.create(currency="USD", value=0, made_by=make_person("manager"))
    asks, browser = make_person("agent"), client_of(make_person("approver"))
    payment = make_transaction()
    page = f"/admin/transactions/transaction/{payment.pk}/change/"
    counted = []
    for number in (1, 5):
        for _ in range(number):
            make_refund(payment, 100, asks)
        browser.get(page)
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(page).status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]
