"""The database refuses what must never be, by raw SQL, whoever writes."""

from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from refunds.models import Refund, RefundAttempt, RefundEvent
from refunds.states import ATTEMPT_EDGES, EDGES, LIVE_ATTEMPTS, RESERVING, AttemptState, Status

from .raw import rolled_back, triggers_off

pytestmark = pytest.mark.django_db


def execute(sql: str, *params: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)


def refused(sql: str, *params: object, match: str) -> None:
    with pytest.raises(IntegrityError, match=match):
        execute(sql, *params)


def check_now() -> None:
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.fixture
def refund(make_transaction, ask) -> Refund:
    return ask(make_transaction(), 4_000)


def put_into(refund: Refund, status: Status) -> None:
    """Force a status with the guards off, consistently with every other constraint."""
    leased = status == Status.SENDING
    with triggers_off():
        execute(
            "UPDATE refunds_refund SET status=%s, lease_until=%s, lease_owner=%s,"
            " unknown_since=now(), processor_refund_id=coalesce(processor_refund_id, 're_1')"
            " WHERE id=%s",
            status,
            timezone.now() if leased else None,
            "w" if leased else None,
            refund.pk,
        )


@pytest.mark.parametrize("before", list(Status))
@pytest.mark.parametrize("after", list(Status))
def test_only_the_edges_of_the_table_exist(refund, before, after):
    sql = (
        "UPDATE refunds_refund SET status=%s, lease_until=CASE WHEN %s THEN now() END,"
        " lease_owner=CASE WHEN %s THEN 'w' END WHERE id=%s"
    )
    leased = after == Status.SENDING
    with rolled_back():
        put_into(refund, before)
        if after == before or after in EDGES[before]:
            execute(sql, after, leased, leased, refund.pk)
        else:
            match = f"no edge from {before} to {after}"
            refused(sql, after, leased, leased, refund.pk, match=match)


@pytest.mark.parametrize("before", list(AttemptState))
@pytest.mark.parametrize("after", list(AttemptState))
def test_only_the_edges_of_an_attempt_exist(refund, before, after):
    attempt = make_attempt(refund, 1, before)
    sql = "UPDATE refunds_refundattempt SET state=%s, ended_at=%s WHERE id=%s"
    ended = None if after == AttemptState.STARTED else timezone.now()
    if after == before or after in ATTEMPT_EDGES[before]:
        execute(sql, after, ended, attempt.pk)
    else:
        refused(sql, after, ended, attempt.pk, match=f"no edge from {before} to {after}")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount_minor", 4_001),
        ("currency", "EUR"),
        ("mode", "live"),
        ("origin", "api"),
        ("idem_key", "another"),
        ("request_hash", b"x" * 32),
        ("requested_by_id", None),
        ("needs_approval", True),
        ("fence", -1),
        ("created_at", timezone.now()),
    ],
)
def test_what_was_asked_for_never_changes(refund, column, value):
    refused(
        f"UPDATE refunds_refund SET {column}=%s WHERE id=%s",
        value,
        refund.pk,
        match="never changes",
    )


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("amount_minor", 0, "refund_amount_is_positive"),
        ("amount_minor", -5, "refund_amount_is_positive"),
        ("amount_minor", 100_000_000_000, "refund_amount_is_positive"),
        ("status", "done", "refund_status_is_known"),
        ("origin", "nobody", "refund_origin_is_known"),
        ("operation", "credit", "refund_operation_is_known"),
        ("requested_by_id", None, "refund_of_ours_has_a_requester"),
        ("currency", "EUR", "refund_matches_transaction"),
        ("mode", "live", "refund_matches_transaction"),
        ("status", "succeeded", "refund_that_succeeded_has_an_id"),
        ("status", "sending", "refund_is_leased_while_sending"),
        ("status", "unknown", "refund_unknown_has_a_time"),
        ("attention_reason", "look", "refund_attention_has_a_time"),
        ("needs_approval", True, "refund_is_approved_first"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(refund, column, value, constraint):
    row = Refund.objects.filter(pk=refund.pk).values().get()
    row |= {"id": uuid.uuid4(), "idem_key": "second", column: value}
    columns = ", ".join(row)
    marks = ", ".join(["%s"] * len(row))
    refused(
        f"INSERT INTO refunds_refund ({columns}) VALUES ({marks}); SET CONSTRAINTS ALL IMMEDIATE",
        *row.values(),
        match=constraint,
    )


def test_the_requester_never_approves(refund):
    refused(
        "UPDATE refunds_refund SET approved_by_id=requested_by_id WHERE id=%s",
        refund.pk,
        match="refund_approver_is_another_person",
    )


def test_one_request_makes_one_refund(refund):
    refused(
        "INSERT INTO refunds_refund SELECT (jsonb_populate_record(r, jsonb_build_object("
        "'id', %s::text))).* FROM refunds_refund r WHERE id=%s",
        str(uuid.uuid4()),
        refund.pk,
        match="refund_request_is_made_once",
    )


def test_sums_equal_the_refund_rows_at_commit(refund):
    with pytest.raises(IntegrityError, match="its refunds say"), transaction.atomic():
        execute(
            "UPDATE transactions_transaction SET reserved_minor=0 WHERE id=%s",
            refund.transaction_id,
        )
        check_now()
    with pytest.raises(IntegrityError, match="its refunds say"), transaction.atomic():
        execute("UPDATE refunds_refund SET status='canceled' WHERE id=%s", refund.pk)
        check_now()


def test_a_transaction_is_never_reserved_beyond_its_amount(refund):
    refused(
        "UPDATE transactions_transaction SET reserved_minor=10001 WHERE id=%s",
        refund.transaction_id,
        match="transaction_is_not_over_refunded",
    )


def make_attempt(refund: Refund, number: int, state: str) -> RefundAttempt:
    return RefundAttempt.objects.create(
        refund=refund,
        account_id=refund.account_id,
        mode=refund.mode,
        number=number,
        operation="refund",
        reference=f"R{number}{refund.pk.hex[:12]}",
        order={},
        order_hash=b"x" * 32,
        state=state,
        fence=0,
        started_at=timezone.now(),
        ended_at=None if state == AttemptState.STARTED else timezone.now(),
    )


@pytest.mark.parametrize("first", list(AttemptState))
def test_a_second_identity_needs_the_first_to_be_proven_dead(refund, first):
    make_attempt(refund, 1, first)
    if first in LIVE_ATTEMPTS:
        with pytest.raises(IntegrityError, match="one_live_attempt"), transaction.atomic():
            make_attempt(refund, 2, AttemptState.STARTED)
    else:
        make_attempt(refund, 2, AttemptState.STARTED)


def test_attempts_and_sends_are_few(refund):
    attempt = make_attempt(refund, 1, AttemptState.STARTED)
    refused(
        "UPDATE refunds_refundattempt SET sends=7 WHERE id=%s", attempt.pk, match="sends_are_few"
    )
    with pytest.raises(IntegrityError, match="attempts_are_few"), transaction.atomic():
        make_attempt(refund, 6, AttemptState.NOT_SENT)


def test_an_attempt_belongs_to_the_account_of_its_refund(refund, make_account):
    make_attempt(refund, 1, AttemptState.NOT_SENT)
    other = make_account()
    with pytest.raises(IntegrityError, match="attempt_matches_refund"), transaction.atomic():
        attempt = RefundAttempt(**RefundAttempt.objects.values().get())
        attempt.id, attempt.number, attempt.reference = uuid.uuid4(), 2, "R2"
        attempt.account = other
        attempt.save(force_insert=True)
        check_now()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE refunds_refundevent SET kind='other'",
        "DELETE FROM refunds_refundevent",
        "DELETE FROM refunds_refund",
    ],
)
def test_history_is_append_only(refund, sql):
    assert RefundEvent.objects.filter(refund=refund).count() == 1
    refused(sql, match="never changed or removed")


def test_the_database_counts_the_same_statuses_as_reserving(refund):
    """The trigger's list and ``states.RESERVING`` agree: each status, with the sum that it needs."""
    for status in Status:
        put_into(refund, status)
        reserved = 4_000 if status in RESERVING else 0
        refunded = 4_000 if status == Status.SUCCEEDED else 0
        execute(
            "UPDATE transactions_transaction SET reserved_minor=%s, refunded_minor=%s WHERE id=%s",
            reserved,
            refunded,
            refund.transaction_id,
        )
        check_now()
