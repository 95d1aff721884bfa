"""Rulings against the processors' ledgers and against each other: what was ruled out may be there."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.base import RefundState, ReportedRefund
from refunds import resolution, services
from refunds.models import Attention, AttentionKind, Refund, RefundAttempt, Ruling, Verdict
from refunds.rulings import InvalidRuling, confirm, propose
from refunds.services import WrongStatus
from refunds.states import Origin, Status
from refunds.sync import sync_account
from tests.refunds.desk import ONE_SHOT, Desk
from tests.refunds.faults.play import assert_agreement, in_parallel, looked_up, sent
from tests.refunds.states import leave_unknown, missed
from transactions.models import Transaction

pytestmark = pytest.mark.django_db(transaction=True)

one_shot = pytest.mark.parametrize("desk", ONE_SHOT, indirect=True)
EVIDENCE = "The statement of Friday has no such refund."


def make_unseen(desk: Desk, minor: int = 2_500) -> Refund:
    """A refund that was made, whose answer was lost, and that two look-ups have missed since."""
    refund = desk.ask(desk.pay(), minor)
    desk.show_late(100_000)
    desk.arm("refund", "silence", "after", seconds=0.1)
    assert sent(refund).status == Status.UNKNOWN
    assert desk.given_back(refund.transaction) == [minor]
    RefundAttempt.objects.update(last_sent_at=timezone.now() - timedelta(hours=10))
    looked_up(refund)
    RefundAttempt.objects.update(first_absent_at=timezone.now() - timedelta(hours=1))
    assert looked_up(refund).status == Status.UNKNOWN
    desk.post("clock", advance_seconds=36_000)
    return refund


def cases_of(transaction: Transaction) -> set[str]:
    open_cases = Attention.objects.filter(transaction=transaction, closed_at__isnull=True)
    return set(open_cases.values_list("kind", flat=True))


def outside(transaction: Transaction) -> list[int]:
    rows = Refund.objects.filter(transaction=transaction, origin=Origin.EXTERNAL)
    return list(rows.values_list("amount_minor", flat=True))


@one_shot
def test_what_two_people_ruled_out_and_shows_up_is_counted_and_shown(desk: Desk, rule):
    refund = rule(make_unseen(desk), Verdict.DID_NOT)
    transaction = refund.transaction
    assert desk.sums(transaction) == (0, 0)
    desk.show_late(0)
    for _ in range(2):
        sync_account(desk.account)
        assert_agreement(desk, transaction, 2_500)
        assert cases_of(transaction) == {AttentionKind.PAID_AFTER_ALL}
    refund.refresh_from_db()
    assert (refund.status, refund.attempts.get().state) == (Status.SUCCEEDED, "ruled_out")
    transaction.refresh_from_db()
    assert not transaction.over_refunded


@one_shot
def test_what_shows_up_after_it_was_refunded_anew_is_shown_as_paid_twice(desk: Desk, rule, agent):
    first = rule(make_unseen(desk), Verdict.DID_NOT)
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.SUCCEEDED
    assert desk.given_back(first.transaction) == [2_500, 2_500]
    desk.show_late(0)
    sync_account(desk.account)
    assert_agreement(desk, first.transaction, 2_500, 2_500)
    assert cases_of(first.transaction) == {AttentionKind.PAID_AFTER_ALL}


@one_shot
def test_what_shows_up_before_it_is_refunded_anew_stops_that(desk: Desk, rule, agent):
    first = rule(make_unseen(desk), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.CANCELED
    assert again.attention_reason
    sync_account(desk.account)
    assert_agreement(desk, first.transaction, 2_500)


@one_shot
@pytest.mark.parametrize("generation", [1, 2])
def test_what_was_counted_while_its_repetition_waited_is_not_paid_again(
    desk: Desk, rule, agent, generation
):
    first = rule(make_unseen(desk), Verdict.DID_NOT)
    again = services.retry_refund(first, actor=agent)
    if generation == 2:
        services.cancel_refund(again, actor=agent)
        again.refresh_from_db()
        again = services.retry_refund(again, actor=agent)
    desk.show_late(0)
    sync_account(desk.account)
    assert sent(again).status == Status.CANCELED
    assert "was made after all" in again.attention_reason
    with pytest.raises(WrongStatus, match="went back already"):
        services.retry_refund(again, actor=agent)
    assert_agreement(desk, first.transaction, 2_500)


@one_shot
def test_what_breaks_the_cap_is_counted_and_flagged(desk: Desk, rule):
    transaction = rule(make_unseen(desk, 6_000), Verdict.DID_NOT).transaction
    transaction.refresh_from_db()
    waiting = desk.ask(transaction, 6_000)
    desk.show_late(0)
    sync_account(desk.account)
    transaction.refresh_from_db()
    assert transaction.over_refunded
    assert desk.sums(transaction) == (6_000, 6_000)
    too_much = {AttentionKind.PAID_AFTER_ALL, AttentionKind.OVER_REFUNDED}
    assert cases_of(transaction) == too_much
    assert sent(waiting).status == Status.CANCELED
    assert cases_of(transaction) == {AttentionKind.PAID_AFTER_ALL}
    assert_agreement(desk, transaction, 6_000)


@one_shot
def test_another_amount_than_the_ruled_one_is_a_refund_of_its_own(desk: Desk, rule):
    refund = make_unseen(desk)
    with desk.sandbox.ledger.lock:
        account = desk.sandbox.ledger.accounts[desk.name]
        payment = desk.sandbox.ledger.payment(account, refund.transaction.external_id)
        [made] = desk.sandbox.ledger.refunds_of(payment)
        made.amount_minor = 2_400
    refund = rule(refund, Verdict.DID_NOT)
    desk.show_late(0)
    sync_account(desk.account)
    refund.refresh_from_db()
    assert refund.status == Status.FAILED
    assert outside(refund.transaction) == [2_400]
    assert_agreement(desk, refund.transaction, 2_400)
    assert cases_of(refund.transaction) == {AttentionKind.PAID_AFTER_ALL}


@one_shot
def test_what_is_sent_again_is_looked_up_before_it_leaves(desk: Desk, rule):
    refund = rule(make_unseen(desk), Verdict.SEND_AGAIN)
    assert refund.status == Status.QUEUED
    desk.show_late(0)
    assert sent(refund).status == Status.SUCCEEDED
    assert_agreement(desk, refund.transaction, 2_500)
    assert cases_of(refund.transaction) == {AttentionKind.PAID_AFTER_ALL}


@one_shot
def test_what_a_sync_saw_before_it_was_sent_again_does_not_leave(desk: Desk, rule):
    refund = rule(make_unseen(desk), Verdict.SEND_AGAIN)
    desk.show_late(0)
    sync_account(desk.account)
    assert outside(refund.transaction) == [2_500]
    for _ in range(3):
        sent(refund)
    assert refund.status == Status.CANCELED
    assert_agreement(desk, refund.transaction, 2_500)
    assert AttentionKind.PAID_AFTER_ALL in cases_of(refund.transaction)
    with pytest.raises(WrongStatus, match="went back already"):
        services.retry_refund(refund, actor=refund.requested_by)


@one_shot
def test_what_shows_up_after_it_was_sent_again_is_shown_as_paid_twice(desk: Desk, rule):
    refund = rule(make_unseen(desk), Verdict.SEND_AGAIN)
    assert sent(refund).status == Status.SUCCEEDED
    assert desk.given_back(refund.transaction) == [2_500, 2_500]
    desk.show_late(0)
    sync_account(desk.account)
    assert_agreement(desk, refund.transaction, 2_500, 2_500)
    assert outside(refund.transaction) == [2_500]
    assert cases_of(refund.transaction) == {AttentionKind.PAID_AFTER_ALL}


@one_shot
def test_what_was_not_made_is_sent_again_once(desk: Desk, rule):
    refund = desk.ask(desk.pay(), 2_500)
    desk.arm("refund", "reset", "before")
    assert sent(refund).status == Status.UNKNOWN
    RefundAttempt.objects.update(last_sent_at=timezone.now() - timedelta(hours=10))
    looked_up(refund)
    RefundAttempt.objects.update(first_absent_at=timezone.now() - timedelta(hours=1))
    looked_up(refund)
    refund = sent(rule(refund, Verdict.SEND_AGAIN))
    assert refund.status == Status.SUCCEEDED
    assert [each.state for each in refund.attempts.all()] == ["ruled_out", "accepted"]
    assert_agreement(desk, refund.transaction, 2_500)
    assert cases_of(refund.transaction) == set()


def test_what_happened_is_what_a_sync_finds(desk: Desk, agent, approver):
    refund = desk.ask(desk.pay(), 2_500)
    desk.arm("refund", "reset", "after")
    assert sent(refund).status == Status.UNKNOWN
    with desk.sandbox.ledger.lock:
        account = desk.sandbox.ledger.accounts[desk.name]
        payment = desk.sandbox.ledger.payment(account, refund.transaction.external_id)
        [made] = desk.sandbox.ledger.refunds_of(payment)
    ruling = propose(
        refund, verdict=Verdict.HAPPENED, evidence="", processor_refund_id=made.id, actor=agent
    )
    confirm(ruling, actor=approver)
    sync_account(desk.account)
    assert_agreement(desk, refund.transaction, 2_500)
    assert cases_of(refund.transaction) == set()


# Two at the same time.


def unknown(ask, transaction: Transaction) -> Refund:
    refund = ask(transaction, 100)
    order = {"amount_minor": 100, "currency": "USD", "reference": f"{refund.pk.hex[:18].upper()}1"}
    looked_for = missed(timedelta(hours=3), timedelta(hours=1))
    return leave_unknown(refund, order=order, **looked_for)


def attempt_to(act: Callable[[], object]) -> bool:
    """Whether it was allowed."""
    try:
        act()
    except WrongStatus:
        return False
    return True


def report(refund: Refund) -> ReportedRefund:
    return ReportedRefund(
        external_id=f"re_{refund.pk.hex[:10]}",
        payment_id=refund.transaction.external_id,
        amount=refund.amount,
        state=RefundState.SUCCEEDED,
        created_at=timezone.now(),
        reference=refund.attempts.get().reference,
    )


@pytest.fixture
def payment(make_transaction, make_account) -> Transaction:
    return make_transaction(make_account("nmi"))


def test_two_people_confirm_in_parallel_and_one_of_them_has(payment, ask, agent, make_user):
    people = [make_user("refunds.approve_refund") for _ in range(4)]
    for _ in range(5):
        refund = unknown(ask, payment)
        ruling = propose(refund, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)

        def act(number: int, ruling: Ruling = ruling) -> bool:
            return attempt_to(lambda: confirm(ruling, actor=people[number]))

        assert sorted(in_parallel(4, act)) == [False, False, False, True]
        assert refund.events.filter(kind="ruled_did_not").count() == 1
    payment.refresh_from_db()
    assert (payment.reserved_minor, payment.refunded_minor) == (0, 0)


def test_two_people_propose_in_parallel_and_one_of_them_has(payment, ask, make_user):
    people = [make_user("refunds.approve_refund") for _ in range(4)]
    refund = unknown(ask, payment)

    def act(number: int) -> bool:
        said = {"verdict": Verdict.DID_NOT, "evidence": EVIDENCE}
        return attempt_to(lambda: propose(refund, **said, actor=people[number]))

    assert sorted(in_parallel(4, act)) == [False, False, False, True]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_proof_and_the_second_person_at_the_same_time(payment, ask, agent, approver, verdict):
    """Whoever is first: the money is counted once, and what was ruled wrongly is shown."""
    for round_ in range(20):
        refund = unknown(ask, payment)
        proof = report(refund)
        said = {"evidence": EVIDENCE, "processor_refund_id": proof.external_id}
        ruling = propose(refund, verdict=verdict, **said, actor=agent)

        def act(
            number: int,
            refund: Refund = refund,
            ruling: Ruling = ruling,
            proof: ReportedRefund = proof,
        ) -> bool:
            if number:
                return attempt_to(lambda: confirm(ruling, actor=approver))
            return bool(resolution.apply_reported(refund.pk, proof))

        _proof, ruled = in_parallel(2, act)
        refund.refresh_from_db()
        ruling.refresh_from_db()
        assert ruling.state == ("confirmed" if ruled else "superseded"), round_
        wrong = ruled and verdict == Verdict.DID_NOT
        if ruled and verdict == Verdict.SEND_AGAIN:
            assert refund.status == Status.QUEUED
            services.cancel_refund(refund, actor=agent)
        else:
            assert refund.status == Status.SUCCEEDED
        assert cases_of_refund(refund) == ({AttentionKind.PAID_AFTER_ALL} if wrong else set())
    succeeded = Refund.objects.filter(transaction=payment, status=Status.SUCCEEDED).count()
    payment.refresh_from_db()
    assert (payment.reserved_minor, payment.refunded_minor) == (0, 100 * succeeded)


def cases_of_refund(refund: Refund) -> set[str]:
    return set(refund.cases.filter(closed_at__isnull=True).values_list("kind", flat=True))


@pytest.mark.parametrize("desk", ["nmi"], indirect=True)
def test_an_id_that_is_not_among_those_listed_is_refused(desk: Desk, agent):
    """Nothing bears our reference, and what may be it has an id of its own."""
    desk.post("accounts", account=desk.name, refund_keeps_order_id=False)
    refund = make_unseen(desk)
    desk.show_late(0)
    named = {"verdict": Verdict.HAPPENED, "evidence": EVIDENCE, "actor": agent}
    with pytest.raises(InvalidRuling, match="and not 999") as refusal:
        propose(refund, processor_refund_id="999", **named)
    with pytest.raises(InvalidRuling, match="Look up its id"):
        propose(refund, processor_refund_id=refund.transaction.external_id, **named)
    [listed] = re.findall(r"lists (\S+) as", str(refusal.value))
    assert propose(refund, processor_refund_id=listed, **named).processor_refund_id == listed
