"""A check that cannot fail is worthless: each kind of harm is planted here, and has to be found."""

from __future__ import annotations

import pytest
from django.db import connection

from chaos.oracle import findings
from chaos.processors import Books
from refunds.attention import raise_case
from refunds.execution import send_refund
from refunds.models import AttentionKind
from refunds.states import Status
from tests.refunds.desk import Desk
from tests.refunds.raw import triggers_off
from tests.refunds.states import bring


@pytest.fixture
def desk(sandbox, ask, transactional_db):
    return Desk(sandbox, "stripe", ask)


@pytest.fixture
def judge(desk):
    """What the oracle says now: the categories that it found something in, with the sentences."""

    def look() -> dict[str, list[str]]:
        ledger, found = desk.sandbox.ledger, {}
        books = Books(
            list(ledger.payments.values()),
            list(ledger.refunds.values()),
            list(ledger.events),
            list(ledger.requests),
        )
        for category, sentence in findings(desk.account, books):
            found.setdefault(category, []).append(sentence)
        return found

    return look


@pytest.fixture
def sent(desk):
    """A refund that went well."""
    refund = desk.ask(desk.pay(), 4_000)
    send_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == Status.SUCCEEDED
    return refund


def write(statement: str, *values: object) -> None:
    """Change rows as no code of ours would."""
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_all_is_well(sent, judge):
    assert judge() == {}


def test_a_double_is_found(desk, sent, judge):
    payment_id = sent.transaction.external_id
    made = desk.post("refunds", payment_id=payment_id, amount_minor=4_000)["refund"]
    twin = desk.sandbox.ledger.refunds[made["id"]]
    twin.origin, twin.reference = "api", sent.attempts.get().reference
    assert set(judge()) >= {"doubles"}


def test_a_refund_without_a_row_is_lost(desk, sent, judge):
    desk.post("refunds", payment_id=sent.transaction.external_id, amount_minor=1_000)
    assert set(judge()) == {"lost"}


def test_a_refund_that_nobody_minds_is_lost(desk, judge):
    desk.ask(desk.pay(), 4_000)
    assert set(judge()) == {"lost"}


def test_what_is_before_a_person_is_no_failed_refund_that_looks_alike(desk, judge):
    refund = bring(desk.ask(desk.pay(), 4_000), Status.FAILED)
    payment_id = refund.transaction.external_id
    made = desk.post("refunds", payment_id=payment_id, amount_minor=4_000)["refund"]
    assert set(judge()) == {"wrong status"}
    subject = f"outside:{desk.account.pk}:{made['id']}"
    raise_case(AttentionKind.UNPLACED, subject, "It fits several.", account=desk.account)
    assert judge() == {}


def test_a_success_that_is_not_in_the_books_is_wrong(desk, judge):
    bring(desk.ask(desk.pay(), 4_000), Status.SUCCEEDED)
    assert "wrong status" in judge()


def test_a_failure_that_was_made_is_wrong(sent, judge):
    write("UPDATE refunds_refund SET status = 'failed' WHERE id = %s", sent.pk)
    write("UPDATE transactions_transaction SET refunded_minor = 0")
    assert "wrong status" in judge()


def test_another_amount_is_wrong(desk, sent, judge):
    desk.sandbox.ledger.refunds[sent.processor_refund_id].amount_minor = 4_001
    assert set(judge()) == {"wrong status"}


def test_a_refund_beyond_the_payment_is_found(desk, sent, judge):
    desk.sandbox.ledger.payments[sent.transaction.external_id].amount_minor = 3_999
    assert "over-refunds" in judge()


def test_sums_that_do_not_add_up_are_unexplained(sent, judge):
    write("UPDATE transactions_transaction SET refunded_minor = refunded_minor - 1")
    assert set(judge()) == {"unexplained"}


def test_a_changed_history_is_unexplained(sent, judge):
    write("UPDATE refunds_refundevent SET kind = 'renamed' WHERE refund_id = %s", sent.pk)
    assert set(judge()) == {"unexplained"}


def test_other_bytes_under_the_same_identity_are_unexplained(desk, sent, judge):
    requests = desk.sandbox.ledger.requests
    (first,) = [each for each in requests if each.call == "refund"]
    again = type(first)(**{name: getattr(first, name) for name in first.__slots__})
    again.body += "&amount=1"
    requests.append(again)
    assert set(judge()) == {"unexplained"}


def test_a_failure_that_had_to_be_corrected_is_wrong(sent, judge):
    write(
        "UPDATE refunds_refundevent SET from_status = 'failed' WHERE refund_id = %s"
        " AND to_status = 'succeeded'",
        sent.pk,
    )
    assert "wrong status" in judge()
