"""No event is ever changed, so that what people type stays outside of them (ADR 32)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from refunds import rulings
from refunds.approvals import reject_refund
from refunds.erasure import erase
from refunds.models import ApprovalRule, Attention, RefundEvent, Verdict
from tests.refunds.states import ago, leave_unknown
from tests.rest import make_person, make_refund, make_transaction
from transactions.models import Customer

pytestmark = pytest.mark.django_db

NAME, EMAIL = "Zdzisława Brzęczyszczykiewicz", "zdzislawa@example.com"


@pytest.fixture
def customer():
    return Customer.objects.create(email=EMAIL, name=NAME)


@pytest.fixture
def payment(customer):
    return make_transaction(customer=customer, customer_name=NAME, customer_email=EMAIL)


def in_events() -> list[str]:
    return [each.kind for each in RefundEvent.objects.all() if "Brz" in str(each.data)]


def test_why_a_refund_was_rejected(customer, payment):
    ApprovalRule.objects.create(currency="USD", value=0, made_by=make_person("manager"))
    refund = make_refund(payment, 500)
    reject_refund(refund, actor=make_person("manager"), why=f"{NAME} got it in cash.")
    erase(customer, actor=None)
    assert in_events() == []


def test_what_was_seen_at_the_processor(customer, payment):
    refund = leave_unknown(make_refund(payment, 500), **ago(timedelta(hours=40)))
    said = f"The list of refunds of 3 March ends without that of {NAME}."
    ruling = rulings.propose(
        refund, verdict=Verdict.DID_NOT, evidence=said, actor=make_person("agent")
    )
    rulings.confirm(ruling, actor=make_person("manager"))
    Attention.objects.open().close("Seen.")
    erase(customer, actor=None)
    assert in_events() == []
