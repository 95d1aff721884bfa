"""The chain holds under concurrent writers, and whatever is done to its rows is named."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from audit import chains
from audit.chains import ENTRIES, Break, Head, first_break, first_missing_head
from audit.kinds import Kind
from audit.log import record
from audit.models import AuditEntry
from tests.refunds.raw import triggers_off


@pytest.fixture(params=[20_000, 2])
def chain(request, db, person, monkeypatch):
    """Five entries, read in one batch and in several."""
    monkeypatch.setattr(chains, "_BATCH", request.param)
    for number in range(5):
        record(Kind.PERSON_CHANGED, actor=person, about=person, data={"n": number, "a\nb": "Ω|"})
    return ENTRIES


def tamper(sql: str) -> None:
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_an_untouched_chain_holds(chain):
    assert first_break(chain) is None
    rows = AuditEntry.objects.all()
    assert [a.hash for a in rows][:-1] == [b.previous_hash for b in rows][1:]


@pytest.mark.django_db
def test_an_empty_chain_holds():
    assert first_break(ENTRIES) is None
    assert (Head.of(ENTRIES).sequence, Head.of(ENTRIES).hash) == (0, "0" * 64)


@pytest.mark.parametrize(
    "edit",
    [
        "kind = 'person.added'",
        "at = at + interval '1 microsecond'",
        "actor_id = NULL",
        "actor_name = 'somebody'",
        "account_id = 1",
        "about_type = 'auth.group'",
        "about_id = '1'",
        "about_name = 'somebody'",
        "address = '10.0.0.1'",
        "request_id = 'a'",
        """data = '{"n": 9}'""",
        "hash = repeat('f', 64)",
    ],
)
def test_an_edited_row_is_named(chain, edit):
    tamper(f"UPDATE audit_auditentry SET {edit} WHERE sequence = 3")
    assert first_break(chain) == Break(3, "its content was changed")


def test_text_cannot_move_from_one_column_to_the_next(chain):
    tamper(
        "UPDATE audit_auditentry SET about_type = '', about_id = about_type || about_id"
        " WHERE sequence = 3"
    )
    assert first_break(chain) == Break(3, "its content was changed")


@pytest.mark.parametrize(("gone", "named"), [(1, 2), (2, 3), (4, 5)])
def test_the_row_after_a_deleted_one_is_named(chain, gone, named):
    tamper(f"DELETE FROM audit_auditentry WHERE sequence = {gone}")
    assert first_break(chain) == Break(named, f"row {gone} is missing before it")


def test_swapped_rows_are_named(chain):
    tamper(
        "UPDATE audit_auditentry SET sequence = -2 WHERE sequence = 2;"
        "UPDATE audit_auditentry SET sequence = 2 WHERE sequence = 3;"
        "UPDATE audit_auditentry SET sequence = 3 WHERE sequence = -2"
    )
    assert first_break(chain) == Break(2, "it does not follow the row before it")


def test_a_row_that_was_hashed_again_breaks_the_next(chain):
    tamper(
        "UPDATE audit_auditentry SET kind = 'person.added' WHERE sequence = 3;"
        "UPDATE audit_auditentry e SET hash = audit_digest(e) WHERE sequence = 3"
    )
    assert first_break(chain) == Break(4, "it does not follow the row before it")


def test_rows_cut_off_at_the_end_are_found_by_a_noted_head(chain):
    early = Head(chain.name, 2, AuditEntry.objects.get(sequence=2).hash, "2026-01-01")
    noted = [early, Head("another", 9, "f", ""), Head.of(chain)]
    assert first_missing_head(chain, noted) is None
    tamper("DELETE FROM audit_auditentry WHERE sequence > 3")
    assert first_break(chain) is None
    found = first_missing_head(chain, noted)
    assert found == Break(5, f"it was there at {noted[-1].at} and is not any more")


def test_a_tail_that_was_written_anew_is_found_by_a_noted_head(chain):
    noted = Head.of(chain)
    tamper("DELETE FROM audit_auditentry WHERE sequence > 3")
    for _number in range(3):
        record(Kind.SIGNED_IN, actor=None)
    assert first_break(chain) is None
    found = first_missing_head(chain, [noted])
    assert found == Break(5, f"it is not the row that was there at {noted.at}")


@pytest.mark.django_db(transaction=True)
def test_many_writers_at_once_leave_no_gap_and_no_fork():
    writers, each = 8, 40

    def write(_writer: int) -> None:
        try:
            for number in range(each):
                with transaction.atomic():
                    record(Kind.SIGNED_IN, actor=None, data={"n": number})
                    transaction.set_rollback(number % 4 == 3)
        finally:
            connection.close()

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    expected = writers * each * 3 // 4
    assert [row.sequence for row in AuditEntry.objects.all()] == list(range(1, expected + 1))
    assert first_break(ENTRIES) is None
