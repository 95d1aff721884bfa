from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from refunds.history import record_event
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import Refund, RefundAttempt, RefundEvent
from transactions.models import Transaction

from .raw import rolled_back, triggers_off
from .test_guards import make_attempt

pytestmark = pytest.mark.django_db


@pytest.fixture
def refund(make_transaction, ask) -> Refund:
    return ask(make_transaction(), 4_000)


def long_ago() -> object:
    return timezone.now() - timedelta(hours=1)


def overdraw(refund: Refund) -> None:
    Transaction.objects.filter(pk=refund.transaction_id).update(
        reserved_minor=99_999, over_refunded=True
    )


def overdraw_unseen(refund: Refund) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;"
            "ALTER TABLE transactions_transaction DROP CONSTRAINT transaction_is_not_over_refunded"
        )
    Transaction.objects.filter(pk=refund.transaction_id).update(reserved_minor=99_999)


def keep_sending(refund: Refund) -> None:
    Refund.objects.filter(pk=refund.pk).update(
        status="sending", lease_owner="w", lease_until=long_ago()
    )


def keep_unknown(refund: Refund) -> None:
    Refund.objects.filter(pk=refund.pk).update(status="unknown", unknown_since=long_ago())


def change_order(refund: Refund) -> None:
    attempt = make_attempt(refund, 1, "not_sent")
    order = {"amount_minor": 5, "currency": "USD", "reference": attempt.reference}
    RefundAttempt.objects.update(order=order)


@pytest.mark.parametrize(
    ("break_it", "names"),
    [
        (overdraw_unseen, {"Never more", "The sums"}),
        (overdraw, {"The sums"}),
        (keep_sending, {"No refund stays", "A refund that left"}),
        (keep_unknown, {"An unknown outcome", "A refund that left"}),
        (change_order, {"An attempt is sent"}),
    ],
)
def test_each_query_names_what_breaks_its_promise(refund, break_it, names):
    for invariant in INVARIANTS:
        assert broken_rows(invariant) == []
    with rolled_back(), triggers_off():
        break_it(refund)
        broken = [each.name for each in INVARIANTS if broken_rows(each)]
        assert len(broken) == len(names)
        assert all(any(name.startswith(start) for start in names) for name in broken)


def test_the_command_says_what_holds(refund):
    out = StringIO()
    call_command("check_invariants", stdout=out)
    assert out.getvalue().count("holds") == len(INVARIANTS)


def test_the_command_ends_with_1_when_something_is_broken(refund):
    out, err = StringIO(), StringIO()
    with rolled_back(), triggers_off():
        keep_unknown(refund)
        with pytest.raises(SystemExit) as ended:
            call_command("check_invariants", stdout=out, stderr=err)
    assert ended.value.code == 1
    assert str(refund.pk) in out.getvalue()
    assert "2 rows" in err.getvalue()


def test_verify_audit_prints_the_newest_hash(refund):
    out = StringIO()
    record_event(refund, "noted")
    call_command("verify_audit", stdout=out)
    assert RefundEvent.objects.latest("sequence").hash in out.getvalue()


def test_verify_audit_of_nothing():
    out = StringIO()
    call_command("verify_audit", stdout=out)
    assert "no events" in out.getvalue()


def test_verify_audit_names_the_first_broken_row(refund):
    record_event(refund, "noted")
    err = StringIO()
    with rolled_back(), triggers_off():
        RefundEvent.objects.filter(sequence=1).update(kind="other")
        with pytest.raises(SystemExit) as ended:
            call_command("verify_audit", stderr=err)
    assert ended.value.code == 1
    assert "Event 1 " in err.getvalue()
