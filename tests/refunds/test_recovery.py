"""After a restore: nothing is sent twice, nothing is lost, and nothing leaves before that is sure."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from audit.models import AuditEntry
from gateways.accounts import check_account
from gateways.base import Operation
from gateways.models import ProcessorAccount
from gateways.registry import gateway_class, open_gateway
from refunds import recovery, sweeps
from refunds.cases import why_not_accepted
from refunds.delivery import claim, deliver
from refunds.execution import send_refund
from refunds.models import Attention, AttentionKind, Refund, RefundAttempt
from refunds.reconciliation import ReconciliationFailed, reconcile
from refunds.recovery import finish, hold_accounts, suspect_refunds
from refunds.resolution import look_up_refund
from refunds.services import cancel_refund
from refunds.states import Origin, Status
from refunds.sync_tasks import reconcile_all_accounts
from tests.refunds.faults.play import due, sent
from tests.scripts import run_script
from transactions.advisory import advisory_lock
from transactions.models import Transaction

from .desk import ACCOUNTS, Desk
from .raw import triggers_off
from .recovering import an_hour_ago, pass_lag, recover
from .reports import in_ledger, stored

pytestmark = pytest.mark.django_db(transaction=True)


# --- held --------------------------------------------------------------------------------------


@pytest.fixture
def held(desk: Desk) -> Desk:
    hold_accounts(timezone.now() - timedelta(hours=1))
    return desk


def test_nothing_leaves_while_an_account_is_held(held: Desk):
    transaction = held.pay()
    refund = sent(held.ask(transaction, 4_000))
    assert refund.status == Status.QUEUED
    assert held.given_back(transaction) == []
    check_account(held.account)
    held.account.refresh_from_db()
    assert held.account.held_reason
    assert sent(refund).status == Status.QUEUED


def test_a_hold_is_a_case_that_keeps_its_first_moment_and_earliest_time(held: Desk):
    first = Attention.objects.get()
    earlier = timezone.now() - timedelta(days=2)
    hold_accounts(earlier)
    hold_accounts(timezone.now())
    case = Attention.objects.get()
    assert (case.kind, case.raised_at) == (AttentionKind.ACCOUNT_PAUSED, first.raised_at)
    assert case.evidence == {"since": earlier.isoformat()}


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_a_hold_is_in_utc_whatever_zone_somebody_wrote(desk: Desk):
    hold_accounts(datetime.fromisoformat("2026-03-01T00:00:00-23:00"))
    case = Attention.objects.get()
    assert case.evidence == {"since": "2026-03-01T23:00:00+00:00"}
    hold_accounts(datetime.fromisoformat("2026-02-28T00:00:00+14:00"))
    case.refresh_from_db()
    assert case.evidence == {"since": "2026-02-27T10:00:00+00:00"}


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_a_hold_of_an_older_release_may_be_in_any_zone(held: Desk):
    case = Attention.objects.get()
    case.evidence = {"since": "2026-03-01T00:00:00-23:00"}
    case.save()
    pass_lag()
    assert finish(held.account).free_at is None
    case.refresh_from_db()
    assert "2026-03-01T23:00:00+00:00" in case.outcome


def test_an_account_is_free_when_its_processor_can_list_all_of_the_gap(held: Desk):
    lag = gateway_class(held.processor).capabilities.lookup_lag
    raised_at = Attention.objects.get().raised_at
    assert finish(held.account).free_at == raised_at + lag
    held.account.refresh_from_db()
    assert held.account.held_reason
    pass_lag()
    assert finish(held.account).free_at is None
    held.account.refresh_from_db()
    assert not held.account.held_reason
    assert not Attention.objects.filter(closed_at__isnull=True).exists()
    told = AuditEntry.objects.filter(account_id=held.account.pk).values_list("kind", flat=True)
    assert list(told) == ["account.held", "account.released"]


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_an_account_stays_held_when_more_turns_out_to_be_missing(held: Desk, monkeypatch):
    """Somebody finds, while it is compared, that the backup was older than they had said."""
    pass_lag()
    earlier = timezone.now() - timedelta(hours=5)

    def compare_meanwhile(*args, **values):
        tally = reconcile(*args, **values)
        hold_accounts(earlier)
        return tally

    monkeypatch.setattr(recovery, "reconcile", compare_meanwhile)
    assert finish(held.account).free_at is not None
    held.account.refresh_from_db()
    assert held.account.held_reason
    hold = Attention.objects.get(closed_at__isnull=True)
    assert hold.evidence == {"since": earlier.isoformat()}
    monkeypatch.undo()
    assert finish(held.account).free_at is None
    held.account.refresh_from_db()
    assert not held.account.held_reason


def test_an_account_whose_processor_does_not_answer_stays_held(held: Desk):
    pass_lag()
    ProcessorAccount.objects.update(base_url="http://127.0.0.1:9")
    held.account.refresh_from_db()
    with pytest.raises(ReconciliationFailed):
        finish(held.account)
    held.account.refresh_from_db()
    assert held.account.held_reason


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_beat_frees_a_held_account_when_the_time_has_come(held: Desk):
    reconcile_all_accounts()
    held.account.refresh_from_db()
    assert held.account.held_reason
    pass_lag()
    reconcile_all_accounts()
    held.account.refresh_from_db()
    assert not held.account.held_reason


def test_what_is_not_at_its_end_is_looked_up_first_and_nothing_counts_as_unsent(held: Desk):
    transaction = held.pay()
    waiting, taken = held.ask(transaction, 1_000), held.ask(transaction, 2_000)
    due(taken)
    taken.refresh_from_db()
    attempt = claim(taken, Operation.REFUND)
    assert attempt
    assert attempt.sends == 0
    suspected = suspect_refunds()
    assert (suspected.interrupted, suspected.looked_up) == (1, 2)
    waiting.refresh_from_db()
    taken.refresh_from_db()
    assert (waiting.status, waiting.look_up_first) == (Status.QUEUED, True)
    assert (taken.status, taken.look_up_first) == (Status.UNKNOWN, True)
    attempt.refresh_from_db()
    assert (attempt.sends, attempt.first_sent_at) == (1, attempt.started_at)
    assert suspect_refunds().interrupted == 0


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_an_account_that_is_switched_off_is_held_until_it_is_on_and_compared(desk: Desk, capsys):
    """The backup may be older than its being switched on, and than what left through it then."""
    ProcessorAccount.objects.update(is_active=False)
    assert recover(capsys, since=an_hour_ago())[0] == 0
    pass_lag()
    reconcile_all_accounts()
    desk.account.refresh_from_db()
    assert desk.account.held_reason
    assert "switched on" in why_not_accepted(Attention.objects.get())
    ProcessorAccount.objects.update(is_active=True)
    reconcile_all_accounts()
    desk.account.refresh_from_db()
    assert not desk.account.held_reason
    assert not Attention.objects.filter(closed_at__isnull=True).exists()


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_what_was_being_sent_is_unknown_also_while_another_process_sweeps(held: Desk):
    refund = held.ask(held.pay(), 2_000)
    assert claim(refund, Operation.REFUND)

    def suspect_elsewhere() -> None:
        try:
            suspect_refunds()
        finally:
            connections.close_all()

    with advisory_lock(sweeps.LOCKS + 4) as is_ours, ThreadPoolExecutor(1) as pool:
        assert is_ours
        pool.submit(suspect_elsewhere).result()
    refund.refresh_from_db()
    assert refund.status == Status.UNKNOWN
    assert refund.next_action_at <= timezone.now()


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_a_recovery_that_was_killed_leaves_the_account_held_and_is_repeated(desk: Desk, capsys):
    transaction = desk.pay()
    desk.post("refunds", payment_id=transaction.external_id, amount_minor=2_500)
    with pytest.raises(subprocess.CalledProcessError) as killed:
        run_script(
            "from django.core.management import call_command\n"
            f"call_command('recover', since='{an_hour_ago()}')",
            CRASH_AT="in-reconcile-page",
        )
    assert killed.value.returncode == -9
    desk.account.refresh_from_db()
    assert desk.account.held_reason
    pass_lag()
    code, told = recover(capsys)
    assert (code, "stripe-main: free again." in told) == (1, True)
    assert stored(desk) == in_ledger(desk)


@pytest.fixture
def restored(desk: Desk) -> Refund:
    """A refund whose row a backup would have as queued, and that the processor has made."""
    return forget(desk, desk.pay())


def forget(desk: Desk, transaction: Transaction) -> Refund:
    """Refund a part, and take back what is known here of that but its request."""
    sent(desk.ask(transaction, 4_000))
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM refunds_refundattempt")
        cursor.execute("DELETE FROM refunds_refundevent")
        cursor.execute("DELETE FROM refunds_attention")
        cursor.execute(
            "UPDATE refunds_refund SET status = 'queued', processor_refund_id = NULL,"
            " look_up_first = true, attention_reason = NULL, attention_since = NULL"
        )
        cursor.execute(
            "UPDATE transactions_transaction SET reserved_minor = 4000,"
            " refunded_minor = 0 WHERE id = %s",
            [transaction.pk],
        )
    return Refund.objects.get()


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_a_request_that_waits_for_approval_may_have_been_sent_as_well(desk: Desk, restored: Refund):
    with triggers_off():
        Refund.objects.update(status=Status.AWAITING_APPROVAL)
    tally = reconcile(desk.account)
    assert (tally.awaited, tally.recorded) == (1, 0)
    assert desk.sums(restored.transaction) == (4_000, 0)
    Refund.objects.update(status=Status.QUEUED)  # somebody approves it again
    sent(restored)
    assert Refund.objects.get().status == Status.SUCCEEDED
    assert desk.given_back(restored.transaction) == [4_000]


def test_a_look_that_found_it_is_repeated_when_its_worker_dies(desk: Desk, restored: Refund):
    due(restored)
    with pytest.raises(subprocess.CalledProcessError):
        run_script(
            f"from refunds.execution import send_refund; send_refund('{restored.pk}')",
            CRASH_AT="after-claim",
        )
    sent(restored)
    assert Refund.objects.get().status == Status.SUCCEEDED
    assert desk.given_back(restored.transaction) == [4_000]


@pytest.mark.parametrize("desk", ["nmi"], indirect=True)
def test_a_refund_that_looks_like_ours_and_bears_no_reference_is_for_a_person(
    desk: Desk, restored: Refund
):
    desk.post("accounts", account=desk.name, refund_shape="B")
    assert reconcile(desk.account).awaited == 1
    assert sent(restored).status == Status.QUEUED
    assert desk.given_back(restored.transaction) == [4_000]
    case = Attention.objects.get(closed_at__isnull=True)
    assert case.refund == restored
    assert case.reason.startswith("The processor lists a refund like this one")
    cancel_refund(restored, actor=restored.requested_by)
    assert reconcile(desk.account, since=timezone.now() - timedelta(days=1)).recorded == 1
    assert sum(desk.sums(restored.transaction)) == 4_000


@pytest.mark.parametrize("shape", ["A", "B"])
@pytest.mark.parametrize("desk", ["nmi"], indirect=True)
def test_nor_does_one_that_bears_the_order_of_its_payment(desk: Desk, shape):
    desk.post("accounts", account=desk.name, refund_shape=shape, refund_keeps_order_id=False)
    restored = forget(desk, desk.pay(order_reference="A-1001"))
    assert reconcile(desk.account).awaited == 1
    assert sent(restored).status == Status.QUEUED
    assert desk.given_back(restored.transaction) == [4_000]


def refund_by_hand(desk: Desk, transaction: Transaction, order: str) -> None:
    """Somebody refunds at the processor, which keeps the order of the payment beside it."""
    desk.post("refunds", payment_id=transaction.external_id, amount_minor=4_000)
    ledger = desk.sandbox.ledger
    with ledger.lock:
        payment = ledger.payment(ledger.accounts[desk.name], transaction.external_id)
        [made] = ledger.refunds_of(payment)
        made.reference = order
        made.extra["order_id"] = order


NOT_LEFT = [Status.QUEUED, Status.AWAITING_APPROVAL]


@pytest.mark.parametrize("desk", ["authorizenet", "nmi"], indirect=True)
def test_a_void_that_a_restore_forgot_is_ours_all_the_same(desk: Desk, capsys):
    payment = desk.pay(status="captured")
    refund = sent(desk.ask(payment, 10_000))
    assert refund.operation == Operation.VOID.value
    with triggers_off(), connection.cursor() as cursor:
        for table in ("refundattempt", "refundevent", "attention"):
            cursor.execute(f"DELETE FROM refunds_{table}")
        cursor.execute(
            "UPDATE refunds_refund SET status = 'queued', processor_refund_id = NULL,"
            " operation = 'refund', look_up_first = true, finished_at = NULL"
        )
        cursor.execute(
            "UPDATE transactions_transaction SET reserved_minor = 10000, refunded_minor = 0,"
            " status = 'captured', voided_at = NULL"
        )
    recover(capsys, since=an_hour_ago())
    pass_lag()
    recover(capsys)
    sent(refund)
    assert Refund.objects.get().status == Status.SUCCEEDED
    assert desk.sums(payment) == (0, 10_000)


@pytest.mark.parametrize("status", NOT_LEFT)
@pytest.mark.parametrize("desk", ["authorizenet"], indirect=True)
def test_where_references_are_kept_another_one_is_told_before_ours_leaves(desk: Desk, status):
    payment = desk.pay(order_reference="A-1001")
    desk.ask(payment, 4_000)
    with triggers_off():
        Refund.objects.update(look_up_first=True, status=status)
    refund_by_hand(desk, payment, "A-1001")
    assert reconcile(desk.account).recorded == 1
    assert Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE).exists()


@pytest.mark.parametrize("desk", ["authorizenet"], indirect=True)
def test_recovery_tells_of_what_was_refunded_by_hand_meanwhile(desk: Desk, capsys):
    payment = desk.pay(order_reference="A-1001")
    desk.ask(payment, 4_000)
    recover(capsys, since=an_hour_ago())
    refund_by_hand(desk, payment, "A-1001")
    pass_lag()
    code, told = recover(capsys)
    assert (code, "Some refunds need a person" in told) == (1, True)


@pytest.mark.parametrize("status", NOT_LEFT)
@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("desk", ["nmi"], indirect=True)
def test_what_bears_the_order_of_another_payment_is_that_one_s(desk: Desk, status, keeps):
    desk.post("accounts", account=desk.name, refund_shape="A", refund_keeps_order_id=keeps)
    desk.ask(desk.pay(order_reference="A-1001"), 4_000)
    with triggers_off():
        Refund.objects.update(look_up_first=True, status=status)
    other = desk.pay(order_reference="B-2002")
    refund_by_hand(desk, other, "B-2002")
    assert reconcile(desk.account).recorded == 1
    assert desk.sums(other) == (0, 4_000)
    assert Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE).transaction == other


# --- F9 ----------------------------------------------------------------------------------------


def run_at_server(*statements: str) -> None:
    """Over a session that stands in no test database, with none left that does."""
    connections.close_all()
    with connection._nodb_cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def back_up(transactional_db) -> Iterator[Callable[[], Callable[[], None]]]:
    """Takes a backup of the whole database; what that returns brings it back."""
    name = connection.settings_dict["NAME"]
    backup = f"{name}_backup"

    def bring_back() -> None:
        run_at_server(
            f'DROP DATABASE "{name}" WITH (FORCE)',
            f'CREATE DATABASE "{name}" TEMPLATE "{backup}"',
        )

    def take() -> Callable[[], None]:
        run_at_server(f'CREATE DATABASE "{backup}" TEMPLATE "{name}"')
        return bring_back

    yield take
    run_at_server(f'DROP DATABASE IF EXISTS "{backup}" WITH (FORCE)')


def settle_all() -> None:
    """What workers make of all that is due, until nothing moves any more."""
    for _round in range(3):
        for refund in Refund.objects.filter(status__in=[Status.UNKNOWN, Status.PENDING]):
            due(refund)
            look_up_refund(refund.pk)
        for refund in Refund.objects.filter(status=Status.QUEUED):
            due(refund)
            send_refund(refund.pk)


def test_f09_refunds_that_a_restore_forgot_are_found_and_none_is_made_twice(
    sandbox, ask, approver, back_up, capsys
):
    desks = [Desk(sandbox, processor, ask) for processor in ACCOUNTS]
    payments = {
        desk.name: [desk.pay(last4=f"{place}11{number}") for number in range(4)]
        for place, desk in enumerate(desks)
    }
    for desk in desks:
        known, queued, taken, _new = payments[desk.name]
        assert sent(desk.ask(known, 1_100)).status == Status.SUCCEEDED
        desk.ask(queued, 2_200)
        refund = desk.ask(taken, 3_300)
        due(refund)
        refund.refresh_from_db()
        assert claim(refund, Operation.REFUND)
    bring_back = back_up()

    for desk in desks:  # what the lost time line did: two that the backup knows, and three new ones
        known, queued, taken, new = payments[desk.name]
        sent(Refund.objects.get(transaction=queued))
        deliver(
            RefundAttempt.objects.get(refund__transaction=taken),
            open_gateway(desk.account),
            time.monotonic(),
        )
        for transaction, minor in ((new, 4_400), (new, 4_500), (known, 4_600)):
            transaction.refresh_from_db()
            sent(desk.ask(transaction, minor))
        assert len(in_ledger(desk)) == 6
    before = {desk.name: in_ledger(desk) for desk in desks}

    bring_back()
    code, told = recover(capsys, since=an_hour_ago())
    assert code == 2
    assert told.count("still held") == 4
    settle_all()
    assert {desk.name: in_ledger(desk) for desk in desks} == before
    pass_lag()
    code, told = recover(capsys)
    assert code == 1
    assert told.count("free again") == 4
    settle_all()
    for desk in desks:
        assert in_ledger(desk) == before[desk.name] == stored(desk)
        rows = Refund.objects.filter(account=desk.account)
        assert rows.filter(origin=Origin.EXTERNAL).count() == 3
        assert rows.filter(status=Status.SUCCEEDED).count() == 6
        assert not rows.filter(look_up_first=True, status__in=[Status.QUEUED]).exists()
    adopted = Attention.objects.filter(kind=AttentionKind.MADE_OUTSIDE)
    assert adopted.count() == 12
    assert all("that it has no record of" in case.reason for case in adopted)
    call_command("check_invariants")
