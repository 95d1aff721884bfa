"""Rows of refunds and voids that were made elsewhere, and the cases they make."""

from __future__ import annotations

import pytest

from gateways.base import (
    Failure,
    FailureCode,
    RefundState,
)
from refunds.models import Attention, AttentionKind, Refund
from tests.transactions.scripted import PAID_AT

from .reports import now_reported, record

pytestmark = pytest.mark.django_db

REFUSAL = Failure(FailureCode.DECLINED_BY_BANK, "declined", "The card was closed.")


# --- before a person ---------------------------------------------------------------------------


def test_a_new_refund_made_elsewhere_is_put_before_a_person(paid, approver):
    report = now_reported()
    record(paid.account, report)
    case = Attention.objects.get()
    assert (case.kind, case.owner) == (AttentionKind.MADE_OUTSIDE, approver)
    day = f"{report.created_at.day} {report.created_at:%b %Y}"
    assert case.reason == (
        f"5.00 USD were refunded outside Refund Desk on {day}; accept it or find out who did it."
    )
    record(paid.account, report)
    assert Attention.objects.count() == 1


@pytest.mark.parametrize(
    "values", [{"created_at": PAID_AT}, {"state": RefundState.FAILED, "failure": REFUSAL}]
)
def test_history_and_what_moved_no_money_make_no_case(paid, values):
    record(paid.account, now_reported(**values))
    assert Refund.objects.count() == 1
    assert not Attention.objects.exists()


def test_a_reference_like_ours_without_a_row_is_told_from_other_hands(paid):
    record(paid.account, now_reported(reference="A2B3C4D5E6F7G2H3I4J5"))
    assert "under a reference of Refund Desk that it has no record of" in (
        Attention.objects.get().reason
    )
