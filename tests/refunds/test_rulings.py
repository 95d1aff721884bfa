"""What two people rule about a refund whose outcome is not proven, and what proof does to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from gateways.base import RefundState, ReportedRefund
from refunds import resolution
from refunds.attention import flag
from refunds.models import Attention, AttentionKind, Refund, RefundAttempt, Ruling, Verdict
from refunds.rulings import (
    InvalidRuling,
    allowed,
    confirm,
    may_confirm,
    may_propose,
    may_reject,
    propose,
    reject,
)
from refunds.services import NotAllowed, WrongStatus
from refunds.states import AttemptState, Status
from refunds.transitions import lock_refund, move
from transactions.models import Transaction

from .states import bring, leave_unknown, missed

pytestmark = pytest.mark.django_db

EVIDENCE = "The statement of Friday has no such refund."
HOUR = timedelta(hours=1)
MISSED = missed(3 * HOUR, HOUR)


@pytest.fixture
def make_unknown(make_transaction, make_account, ask) -> Callable[..., Refund]:
    def make(processor: str = "nmi", **attempt: object) -> Refund:
        return leave_unknown(ask(make_transaction(make_account(processor)), 4_000), **attempt)

    return make


@pytest.fixture
def unknown(make_unknown) -> Refund:
    return make_unknown()


@pytest.fixture
def settle(agent, approver):
    """Have two people rule; the refund as it is then."""

    def settle(refund, verdict, **said) -> Refund:
        said = {"evidence": EVIDENCE} | said
        ruling = propose(refund, verdict=verdict, actor=agent, **said)
        confirm(ruling, actor=approver)
        return Refund.objects.get(pk=refund.pk)

    return settle


def sums(refund: Refund) -> tuple[int, int]:
    row = Transaction.objects.get(pk=refund.transaction_id)
    return row.reserved_minor, row.refunded_minor


def said_of(refund: Refund, kind: str):
    return refund.events.get(kind=kind)


@pytest.mark.parametrize("status", sorted({*Status} - {Status.UNKNOWN, Status.AWAITING_APPROVAL}))
def test_only_an_unknown_outcome_is_ruled_about(make_transaction, ask, agent, status):
    refund = ask(make_transaction(), 4_000)
    if status != Status.QUEUED:
        refund = bring(refund, status)
    assert all(refund.get_status_display() in why for why in allowed(refund).values())
    with pytest.raises(WrongStatus):
        propose(refund, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    assert not Ruling.objects.exists()


# What it comes to.


def test_what_happened_counts_as_refunded(unknown, settle, agent, approver):
    flag(unknown, AttentionKind.UNKNOWN_OUTCOME, "Not known.")
    refund = settle(unknown, Verdict.HAPPENED, processor_refund_id=" 9001 ", evidence="")
    assert (refund.status, refund.processor_refund_id) == (Status.SUCCEEDED, "9001")
    attempt = refund.attempts.get()
    assert attempt.state == AttemptState.ACCEPTED
    assert str(agent) in attempt.processor_message  # who found so, not that no answer came
    assert sums(refund) == (0, 4_000)
    event = said_of(refund, "ruled_happened")
    assert event.actor == approver
    assert str(agent) in event.data["why"]
    assert str(approver) in event.data["why"]
    assert refund.attention_reason is None
    assert Attention.objects.get().closed_at


def test_what_did_not_happen_gives_the_money_back_to_the_balance(unknown, settle, agent, approver):
    flag(unknown, AttentionKind.UNKNOWN_OUTCOME, "Not known.")
    refund = settle(unknown, Verdict.DID_NOT)
    assert (refund.status, refund.failure_code) == (Status.FAILED, "not_made")
    assert str(agent) in refund.failure_message
    assert str(approver) in refund.failure_message
    assert refund.attempts.get().state == AttemptState.RULED_OUT
    assert sums(refund) == (0, 0)
    assert refund.attention_reason is None
    assert said_of(refund, "ruling_proposed").actor == agent
    assert said_of(refund, "ruled_did_not").actor == approver


def test_what_is_sent_again_is_queued_for_its_next_identity(make_unknown, settle):
    refund = settle(make_unknown(**MISSED), Verdict.SEND_AGAIN, evidence="")
    assert refund.status == Status.QUEUED
    assert (refund.unknown_since, refund.lookups) == (None, 0)
    assert refund.next_action_at <= timezone.now() + timedelta(seconds=1)
    assert refund.attempts.get().state == AttemptState.RULED_OUT
    assert sums(refund) == (4_000, 0)


@pytest.mark.django_db(transaction=True)
def test_a_worker_hears_of_what_is_sent_again(make_unknown, settle, valkey):
    refund = make_unknown(**MISSED)
    valkey.delete("submit")
    settle(refund, Verdict.SEND_AGAIN)
    assert valkey.llen("submit") == 1


def test_nothing_changes_before_a_second_person_confirms(unknown, agent):
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    unknown.refresh_from_db()
    assert unknown.status == Status.UNKNOWN
    assert unknown.attempts.get().state == AttemptState.AMBIGUOUS
    assert sums(unknown) == (4_000, 0)
    assert ruling.state == "open"
    assert "why" not in said_of(unknown, "ruling_proposed").data  # it stands on the ruling
    assert ruling.evidence == EVIDENCE


def test_what_waits_for_a_second_person_is_in_the_inbox(unknown, agent):
    """Even before the refund has been unknown for long enough to be there by itself."""
    propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    case = Attention.objects.get(refund=unknown)
    assert (case.kind, case.closed_at) == (AttentionKind.UNKNOWN_OUTCOME, None)
    unknown.refresh_from_db()
    assert unknown.attention_reason == case.reason


def test_what_was_proposed_in_vain_waits_for_nobody(unknown, agent):
    """The case stays when the proposal goes: it says what is true without it, too."""
    reject(propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent), actor=agent)
    unknown.refresh_from_db()
    assert unknown.attention_reason == "It is not known whether the processor made this refund."


def test_one_ruling_is_open_at_a_time(unknown, agent, make_user):
    propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    other = make_user("refunds.approve_refund")
    assert len(set(allowed(unknown).values())) == 1
    with pytest.raises(WrongStatus, match="waits for a second person"):
        propose(
            unknown, verdict=Verdict.HAPPENED, evidence="", processor_refund_id="1", actor=other
        )


# Who may.


def test_who_may_propose_confirm_and_reject(unknown, agent, approver, make_user):
    viewer = make_user("refunds.view_refund", "refunds.view_ruling")
    with pytest.raises(NotAllowed):
        propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=viewer)
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    for person in (viewer, agent, make_user("refunds.request_refund")):
        assert not may_confirm(ruling, person)
        with pytest.raises(NotAllowed):
            confirm(ruling, actor=person)
    assert not may_reject(ruling, viewer)
    with pytest.raises(NotAllowed):
        reject(ruling, actor=viewer)
    assert may_propose(unknown, approver)
    assert may_confirm(ruling, approver)
    assert may_reject(ruling, agent)


def test_nobody_confirms_what_they_proposed_themselves(unknown, approver):
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=approver)
    with pytest.raises(NotAllowed, match="Another person"):
        confirm(ruling, actor=approver)


def test_a_second_account_of_the_same_person_is_no_second_person(unknown, make_user):
    first = make_user("refunds.approve_refund", email="Ana@example.com")
    second = make_user("refunds.approve_refund", email=" ana@EXAMPLE.com")
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=first)
    with pytest.raises(NotAllowed, match="Another person"):
        confirm(ruling, actor=second)


def test_people_without_an_address_are_told_apart(unknown, make_user):
    first, second = (make_user("refunds.approve_refund", email="") for _ in range(2))
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=first)
    assert confirm(ruling, actor=second).status == Status.FAILED


@pytest.mark.parametrize("how", ["switched off", "without the right"])
def test_who_no_longer_may_has_proposed_nothing(unknown, agent, approver, how):
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    if how == "switched off":
        agent.is_active = False
        agent.save()
    else:
        agent.user_permissions.clear()
    assert not may_propose(unknown, User.objects.get(pk=agent.pk))
    with pytest.raises(WrongStatus, match="no longer may"):
        confirm(ruling, actor=approver)
    reject(ruling, actor=approver)
    assert allowed(unknown)[Verdict.DID_NOT] == ""


# The conditions hold when it counts.


def test_what_was_sent_meanwhile_has_a_new_quarantine(unknown, agent, approver):
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    RefundAttempt.objects.update(last_sent_at=timezone.now())
    with pytest.raises(WrongStatus, match="can be said from"):
        confirm(ruling, actor=approver)
    ruling.refresh_from_db()
    assert ruling.state == "open"
    assert sums(unknown) == (4_000, 0)


def test_what_is_being_sent_is_not_ruled_about(make_unknown, agent, approver):
    refund = make_unknown("stripe")
    ruling = propose(refund, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    bring_back = {"lease_owner": "w", "lease_until": timezone.now() + HOUR}
    move(lock_refund(refund.pk), Status.SENDING, "sent_again", changes=bring_back)
    with pytest.raises(WrongStatus, match="Sending"):
        confirm(ruling, actor=approver)
    ruling.refresh_from_db()
    assert ruling.state == "open"


def report(refund: Refund, state=RefundState.SUCCEEDED) -> ReportedRefund:
    return ReportedRefund(
        external_id=f"re_{refund.pk.hex[:10]}",
        payment_id=refund.transaction.external_id,
        amount=refund.amount,
        state=state,
        created_at=timezone.now(),
        reference=refund.attempts.last().reference,
    )


@pytest.mark.parametrize("state", list(RefundState))
def test_proof_closes_an_open_ruling(unknown, agent, approver, state):
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    refund = resolution.apply_reported(unknown.pk, report(unknown, state))
    assert refund.status == state.value
    ruling.refresh_from_db()
    assert ruling.state == "superseded"
    assert said_of(refund, "ruling_superseded").actor is None
    for decide in (confirm, reject):
        with pytest.raises(WrongStatus, match="proven meanwhile"):
            decide(ruling, actor=approver)
    assert Refund.objects.get(pk=refund.pk).status == refund.status


def test_a_ruling_that_was_rejected_or_withdrawn_changes_nothing(unknown, agent, approver):
    for actor, kind in ((approver, "ruling_rejected"), (agent, "ruling_withdrawn")):
        ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
        assert reject(ruling, actor=actor).status == Status.UNKNOWN
        ruling.refresh_from_db()
        assert ruling.state == "rejected"
        assert said_of(unknown, kind).actor == actor
        with pytest.raises(WrongStatus, match="has decided this already: Rejected"):
            confirm(ruling, actor=approver)
    assert sums(unknown) == (4_000, 0)


def test_a_ruling_is_confirmed_once(unknown, agent, approver, make_user):
    ruling = propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    confirm(ruling, actor=approver)
    with pytest.raises(WrongStatus, match="has decided this already: Confirmed"):
        confirm(ruling, actor=make_user("refunds.approve_refund"))
    assert sums(unknown) == (0, 0)


# The words.


@pytest.mark.parametrize("evidence", ["", "   ", "nothing there", "x" * 19 + "   "])
def test_that_it_was_not_made_needs_evidence(unknown, agent, evidence):
    with pytest.raises(InvalidRuling, match="at least 20 characters") as refused:
        propose(unknown, verdict=Verdict.DID_NOT, evidence=evidence, actor=agent)
    assert refused.value.field == "evidence"


@pytest.mark.parametrize("number", ["", "  ", "two words", "x" * 101, "é", "a\nb"])
def test_that_it_was_made_needs_the_processors_id(unknown, agent, number):
    with pytest.raises(InvalidRuling) as refused:
        propose(
            unknown,
            verdict=Verdict.HAPPENED,
            evidence=EVIDENCE,
            processor_refund_id=number,
            actor=agent,
        )
    assert refused.value.field == "processor_refund_id"


def test_the_id_of_another_refund_of_ours_is_no_proof(unknown, make_transaction, ask, agent):
    another = ask(make_transaction(unknown.account), 700)
    bring(another, Status.SUCCEEDED, processor_refund_id="9001")
    with pytest.raises(WrongStatus, match=r"9001 is another refund of ours, of 7\.00 USD"):
        propose(
            unknown, verdict=Verdict.HAPPENED, evidence="", processor_refund_id="9001", actor=agent
        )


def test_what_was_recorded_as_made_outside_counts_already(
    unknown, make_transaction, ask, agent, approver
):
    """Recorded between the two people: the second one is told what to do instead."""
    said = {"verdict": Verdict.HAPPENED, "evidence": "", "processor_refund_id": "9001"}
    ruling = propose(unknown, **said, actor=agent)
    from .raw import triggers_off

    outside = bring(ask(make_transaction(unknown.account), 700), Status.SUCCEEDED)
    with triggers_off():
        Refund.objects.filter(pk=outside.pk).update(origin="external", processor_refund_id="9001")
    with pytest.raises(WrongStatus, match="rule that this one was not made"):
        confirm(ruling, actor=approver)
    unknown.refresh_from_db()
    assert (unknown.status, unknown.processor_refund_id) == (Status.UNKNOWN, None)


def test_an_id_of_another_account_is_another_id(unknown, make_transaction, ask, settle):
    bring(ask(make_transaction(), 700), Status.SUCCEEDED, processor_refund_id="9001")
    refund = settle(unknown, Verdict.HAPPENED, processor_refund_id="9001")
    assert refund.status == Status.SUCCEEDED


# The database holds it, whoever writes.


def test_an_attempt_that_was_sent_is_ruled_out_by_a_ruling_only(unknown):
    with (
        pytest.raises(IntegrityError, match="only a confirmed ruling rules it out"),
        transaction.atomic(),
    ):
        RefundAttempt.objects.update(state=AttemptState.RULED_OUT)


def test_what_was_said_never_changes(unknown, settle):
    settle(unknown, Verdict.DID_NOT)
    for change in ({"evidence": "other"}, {"confirmed": False}, {"decided_by": None}):
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            Ruling.objects.update(**change)
    with pytest.raises(IntegrityError, match="never changed or removed"), transaction.atomic():
        Ruling.objects.all().delete()


def test_nobody_can_be_the_second_person_for_themselves_in_the_database(unknown, agent):
    propose(unknown, verdict=Verdict.DID_NOT, evidence=EVIDENCE, actor=agent)
    now = timezone.now()
    for confirmer in (agent, None):
        with pytest.raises(IntegrityError, match="ruling_is_confirmed_by"), transaction.atomic():
            Ruling.objects.update(decided_by=confirmer, decided_at=now, confirmed=True)
