from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from audit.kinds import Kind
from audit.log import record
from audit.models import AuditEntry
from refunds.attention import flag
from refunds.history import record_event
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import AttentionKind, Refund, RefundAttempt, RefundEvent, Ruling
from refunds.tasks import note_audit_heads
from tests.scripts import environment_of_scripts
from transactions.models import Transaction

from .raw import rolled_back, triggers_off
from .states import add_attempt
from .test_guards import make_attempt

pytestmark = pytest.mark.django_db


@pytest.fixture
def refund(make_transaction, ask) -> Refund:
    return ask(make_transaction(), 4_000)


def put(refund: Refund, **fields: object) -> None:
    Refund.objects.filter(pk=refund.pk).update(**fields)


@contextmanager
def triggers_on() -> Iterator[None]:
    """Within ``triggers_off``: events are numbered and chained by a trigger."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = origin")
        yield
        cursor.execute("SET session_replication_role = replica")


def tell(refund: Refund, before: str, after: str) -> None:
    with triggers_on():
        record_event(refund, "moved", from_status=before, to_status=after)


def long_ago() -> object:
    return timezone.now() - timedelta(hours=1)


def without(what: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED;" + what)


def overdraw(refund: Refund) -> None:
    Transaction.objects.filter(pk=refund.transaction_id).update(
        reserved_minor=99_999, over_refunded=True
    )


def overdraw_unseen(refund: Refund) -> None:
    without("ALTER TABLE transactions_transaction DROP CONSTRAINT transaction_is_not_over_refunded")
    Transaction.objects.filter(pk=refund.transaction_id).update(reserved_minor=99_999)


def leave_the_flag(refund: Refund) -> None:
    Transaction.objects.filter(pk=refund.transaction_id).update(over_refunded=True)


def keep_sending(refund: Refund) -> None:
    put(refund, status="sending", lease_owner="w", lease_until=long_ago())
    tell(refund, "queued", "sending")


def keep_unknown(refund: Refund) -> None:
    put(refund, status="unknown", unknown_since=long_ago())
    tell(refund, "sending", "unknown")


def keep_unapproved(refund: Refund) -> None:
    two_days_ago = timezone.now() - timedelta(days=2)
    put(refund, status="awaiting_approval", created_at=two_days_ago)
    RefundEvent.objects.all().delete()
    tell(refund, "", "awaiting_approval")
    RefundEvent.objects.update(at=two_days_ago)


def be_unknown(refund: Refund) -> None:
    """As it should be."""
    put(refund, status="unknown", unknown_since=timezone.now())
    tell(refund, "sending", "unknown")
    add_attempt(refund, "ambiguous", order=order_of(refund))


def order_of(refund: Refund) -> dict[str, object]:
    reference = f"{refund.pk.hex[:18].upper()}1"
    return {"amount_minor": 4_000, "currency": "USD", "reference": reference}


def succeed_unaccepted(refund: Refund) -> None:
    be_unknown(refund)
    RefundAttempt.objects.update(state="declined")
    put(refund, status="succeeded", processor_refund_id="re_1")
    tell(refund, "unknown", "succeeded")
    Transaction.objects.update(reserved_minor=0, refunded_minor=4_000)


def live_twice(refund: Refund) -> None:
    be_unknown(refund)
    without("DROP INDEX one_live_attempt")
    attempt = RefundAttempt.objects.get()
    reference = "R2"
    order = attempt.order | {"reference": reference}
    add_attempt(refund, "accepted", 2, reference=reference, order=order)


def end_with_an_open_attempt(refund: Refund) -> None:
    be_unknown(refund)
    put(refund, status="failed")
    tell(refund, "unknown", "failed")
    Transaction.objects.update(reserved_minor=0)


def rule_out_alone(refund: Refund) -> None:
    be_unknown(refund)
    RefundAttempt.objects.update(state="ruled_out")


def rule(refund: Refund, attempt_state: str, **fields: object) -> None:
    be_unknown(refund)
    attempt = RefundAttempt.objects.get()
    RefundAttempt.objects.update(state=attempt_state)
    first, second = (User.objects.create_user(name) for name in ("first", "second"))
    decided = {"decided_by": second, "decided_at": timezone.now(), "confirmed": True}
    Ruling.objects.create(
        refund=refund,
        attempt=attempt,
        proposed_by=first,
        **({"verdict": "did_not", "evidence": "Seen."} | decided | fields),
    )


def rule_and_forget(refund: Refund) -> None:
    rule(refund, "ambiguous")


def rule_that_it_happened(refund: Refund) -> None:
    rule(refund, "ruled_out", verdict="happened", processor_refund_id="re_1")


def take_back_alone(refund: Refund) -> None:
    rule(refund, "accepted", verdict="happened", processor_refund_id="re_1")
    put(refund, status="returned", failure_code="not_made")
    tell(refund, "unknown", "succeeded")
    tell(refund, "succeeded", "returned")
    Transaction.objects.update(reserved_minor=0)


def count_as_itself(refund: Refund) -> None:
    put(refund, made_as=refund.pk)


def leave_a_ruling_open(refund: Refund) -> None:
    rule(refund, "not_sent", decided_by=None, decided_at=None, confirmed=False)
    put(refund, status="queued")
    tell(refund, "unknown", "queued")


def change_mode(refund: Refund) -> None:
    put(refund, mode="live")


def change_mode_of_attempt(refund: Refund) -> None:
    be_unknown(refund)
    RefundAttempt.objects.update(mode="live")


def change_status(refund: Refund) -> None:
    put(refund, status="awaiting_approval")


def take_a_step_that_is_none(refund: Refund) -> None:
    tell(refund, "canceled", "queued")


def forget_the_history(refund: Refund) -> None:
    RefundEvent.objects.all().delete()


def flag_without_a_case(refund: Refund) -> None:
    put(refund, attention_reason="Look.", attention_since=timezone.now())


def hide_a_case(refund: Refund) -> None:
    with triggers_on():
        flag(refund, AttentionKind.RETURNED, "Look.")
    put(refund, attention_reason=None, attention_since=None)


def change_order(refund: Refund) -> None:
    attempt = make_attempt(refund, 1, "not_sent")
    order = {"amount_minor": 5, "currency": "USD", "reference": attempt.reference}
    RefundAttempt.objects.update(order=order)


@pytest.mark.parametrize(
    ("break_it", "names"),
    [
        (overdraw_unseen, {"Never more", "The sums"}),
        (overdraw, {"The sums"}),
        (leave_the_flag, {"A payment counts as refunded beyond"}),
        (keep_sending, {"No refund stays", "A refund that is on its way"}),
        (keep_unknown, {"An unknown outcome", "A refund that is on its way"}),
        (keep_unapproved, {"A refund that nobody approves"}),
        (flag_without_a_case, {"A refund says what its oldest"}),
        (hide_a_case, {"A refund says what its oldest"}),
        (succeed_unaccepted, {"A refund of ours that was made"}),
        (live_twice, {"One attempt"}),
        (end_with_an_open_attempt, {"An attempt without an end"}),
        (rule_out_alone, {"What was sent is ruled out", "A refund that is on its way"}),
        (rule_and_forget, {"What two people ruled"}),
        (
            rule_that_it_happened,
            {"What two people ruled", "What was sent is ruled out", "A refund that is on its way"},
        ),
        (count_as_itself, {"A refund counts as one made elsewhere"}),
        (take_back_alone, {"Only two people take back"}),
        (leave_a_ruling_open, {"A ruling waits only"}),
        (change_mode, {"A refund, its transaction and its attempts"}),
        (change_mode_of_attempt, {"A refund, its transaction and its attempts"}),
        (change_status, {"A refund stands where"}),
        (forget_the_history, {"A refund stands where"}),
        (take_a_step_that_is_none, {"A history has no steps"}),
        (change_order, {"An attempt is sent"}),
    ],
)
def test_each_query_names_what_breaks_its_promise(refund, break_it, names):
    for invariant in INVARIANTS:
        assert broken_rows(invariant) == []
    with rolled_back(), triggers_off():
        break_it(refund)
        broken = [each.name for each in INVARIANTS if broken_rows(each)]
        assert {start for start in names if any(each.startswith(start) for each in broken)} == names
        assert len(broken) == len(names), broken


def test_each_query_is_broken_by_some_row():
    [marker] = test_each_query_names_what_breaks_its_promise.pytestmark
    starts = {start for _break, names in marker.args[1] for start in names}
    for invariant in INVARIANTS:
        assert any(invariant.name.startswith(start) for start in starts), invariant.name


def test_what_is_as_it_should_be_breaks_nothing(refund):
    with rolled_back(), triggers_off():
        be_unknown(refund)
        assert [each.name for each in INVARIANTS if broken_rows(each)] == []


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
    assert out.getvalue().count("There are no rows in ") == 2


def test_verify_audit_names_the_first_broken_row(refund):
    record_event(refund, "noted")
    err = StringIO()
    with rolled_back(), triggers_off():
        RefundEvent.objects.filter(sequence=1).update(kind="other")
        with pytest.raises(SystemExit) as ended:
            call_command("verify_audit", stderr=err)
    assert ended.value.code == 1
    assert err.getvalue() == "Row 1 of refunds_refundevent: its content was changed.\n"


def test_verify_audit_names_the_first_broken_row_of_each_chain(refund):
    record(Kind.SIGNED_IN, actor=None)
    err = StringIO()
    with rolled_back(), triggers_off():
        RefundEvent.objects.filter(sequence=1).update(kind="other")
        AuditEntry.objects.filter(sequence=1).update(kind="other")
        with pytest.raises(SystemExit):
            call_command("verify_audit", stderr=err)
    assert err.getvalue().splitlines() == [
        "Row 1 of refunds_refundevent: its content was changed.",
        "Row 1 of audit_auditentry: its content was changed.",
    ]


def test_verify_audit_finds_by_the_heads_what_was_cut_off(refund, tmp_path, settings):
    settings.AUDIT_HEADS_FILE = str(tmp_path / "heads")
    record(Kind.SIGNED_IN, actor=None)
    record(Kind.SIGNED_OUT, actor=None)
    note_audit_heads()
    call_command("verify_audit", heads=tmp_path / "heads")
    err = StringIO()
    with rolled_back(), triggers_off():
        AuditEntry.objects.filter(sequence=2)._raw_delete("default")
        call_command("verify_audit")
        with pytest.raises(SystemExit) as ended:
            call_command("verify_audit", heads=tmp_path / "heads", stderr=err)
    assert ended.value.code == 1
    assert "Row 2 of audit_auditentry: it was there at 20" in err.getvalue()


def test_verify_audit_says_which_heads_it_cannot_read(tmp_path):
    for content, said in ((None, "cannot be read: No such file"), ("{}", "Line 1 of")):
        if content:
            (tmp_path / "heads").write_text(content)
        with pytest.raises(CommandError, match=said) as failed:
            call_command("verify_audit", heads=tmp_path / "heads")
        assert failed.value.returncode == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", ["check_invariants", "verify_audit"])
def test_a_reader_that_leaves_ends_it_without_a_word(command):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as gone:
        done = subprocess.run(
            [sys.executable, "manage.py", command],
            env=environment_of_scripts(),
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=100,
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
