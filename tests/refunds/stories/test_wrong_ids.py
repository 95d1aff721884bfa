"""Ids of other refunds that people take for the one they rule about, and how that is put right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.db import transaction as database
from django.utils import timezone

from gateways.models import ProcessorAccount
from refunds import cases
from refunds.attention import flag
from refunds.cases import Action
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import Attention, AttentionKind, Refund, RefundAttempt, Ruling, Verdict
from refunds.reconciliation import reconcile
from refunds.rulings import InvalidRuling, allowed, confirm, propose
from refunds.services import WrongStatus
from refunds.states import Status
from refunds.transitions import lock_refund, move
from tests.pages import client_of, visible
from tests.refunds.desk import ONE_SHOT, Desk
from tests.refunds.faults.play import sent
from tests.refunds.reports import now_reported, open_kinds, record
from tests.refunds.states import leave_unknown
from tests.rest import make_person
from transactions.models import Transaction

pytestmark = pytest.mark.django_db

K = AttentionKind
EVIDENCE = "The statement of Friday has no such refund."
SECOND_LOOK = "It is a refund of the payment of somebody else."


@pytest.fixture
def say(agent) -> Callable[..., Ruling]:
    def say(refund: Refund, refund_id: str = "", evidence: str = EVIDENCE) -> Ruling:
        verdict = Verdict.HAPPENED if refund_id else Verdict.DID_NOT
        said = {"processor_refund_id": refund_id, "evidence": evidence}
        return propose(refund, verdict=verdict, actor=agent, **said)

    return say


@pytest.fixture
def rule(say, approver) -> Callable[..., Refund]:
    def rule(refund: Refund, refund_id: str = "") -> Refund:
        confirm(say(refund, refund_id), actor=approver)
        return Refund.objects.get(pk=refund.pk)

    return rule


def lose(desk: Desk) -> Refund:
    """A refund that never came to be, and of which nobody knows that."""
    desk.arm("refund", "silence", "before", seconds=0.1)
    refund = sent(desk.ask(desk.pay(last4="1881"), 2_500))
    assert refund.status == Status.UNKNOWN
    RefundAttempt.objects.update(last_sent_at=timezone.now() - timedelta(hours=10))
    return refund


def refund_outside(desk: Desk, payment: Transaction, minor: int = 2_500) -> str:
    made = desk.post("refunds", payment_id=payment.external_id, amount_minor=minor)
    return made["refund"]["id"]


def cut_off(desk: Desk) -> None:
    ProcessorAccount.objects.update(base_url="http://127.0.0.1:9")


def connect(desk: Desk) -> None:
    ProcessorAccount.objects.update(base_url=desk.account.base_url)


def assert_promises() -> None:
    assert [row for each in INVARIANTS for row in broken_rows(each)] == []


# Before it counts: the processor is asked.


def test_the_id_of_another_payments_refund_is_refused(desk: Desk, say):
    refund, other = lose(desk), desk.pay(last4="4444")
    named = refund_outside(desk, other)
    with pytest.raises(InvalidRuling, match=f"The processor reports {named} as a refund") as wrong:
        say(refund, named)
    assert wrong.value.field == "processor_refund_id"
    assert not Ruling.objects.exists()


def test_an_id_of_another_amount_is_refused(desk: Desk, say):
    refund = lose(desk)
    named = refund_outside(desk, refund.transaction, 1_000)
    with pytest.raises(InvalidRuling, match=r"10\.00 USD, and this refund is of 25\.00 USD"):
        say(refund, named)


def test_an_id_that_the_processor_does_not_know_is_refused(desk: Desk, say):
    with pytest.raises(InvalidRuling, match="knows no refund 777000111"):
        say(lose(desk), "777000111")


def test_the_id_of_this_refund_counts(desk: Desk, rule):
    refund = lose(desk)
    named = refund_outside(desk, refund.transaction)
    ruling = rule(refund, named).rulings.get()
    assert (ruling.refund.status, ruling.evidence) == (Status.SUCCEEDED, EVIDENCE)
    assert reconcile(desk.account).equal == 1
    assert open_kinds(desk.account) == []


def test_a_processor_that_cannot_be_asked_is_no_hindrance_and_that_is_noted(desk: Desk, say):
    refund = lose(desk)
    cut_off(desk)
    ruling = say(refund, "777000111")
    assert "The processor could not be asked about 777000111" in ruling.evidence
    event = refund.events.get(kind="ruling_proposed")
    assert event.data["note"].startswith("The processor could not be asked")


def test_the_processor_is_asked_again_when_it_is_to_count(desk: Desk, say, approver):
    refund = lose(desk)
    cut_off(desk)
    ruling = say(refund, "777000111")
    connect(desk)
    with pytest.raises(WrongStatus, match=r"knows no refund 777000111.*Reject what was proposed"):
        confirm(ruling, actor=approver)
    refund.refresh_from_db()
    assert (refund.status, refund.processor_refund_id) == (Status.UNKNOWN, None)


def test_what_could_be_asked_neither_time_is_told_in_the_history(desk: Desk, rule):
    refund = lose(desk)
    cut_off(desk)
    refund = rule(refund, "777000111")
    assert refund.status == Status.SUCCEEDED
    event = refund.events.get(kind="ruling_unchecked")
    assert "could not be asked about 777000111" in event.data["why"]


@pytest.mark.parametrize("desk", ONE_SHOT, indirect=True)
def test_the_id_of_another_refund_of_ours_that_is_not_known_here_is_refused(desk: Desk, say):
    payment = desk.pay()
    desk.arm("refund", "silence", "after", seconds=0.1)
    made = sent(desk.ask(payment, 2_500))
    desk.arm("refund", "silence", "before", seconds=0.1)
    lost = sent(desk.ask(payment, 2_500))
    assert {made.status, lost.status} == {Status.UNKNOWN}
    (named,) = (each.id for each in desk.sandbox.ledger.refunds.values())
    with pytest.raises(InvalidRuling, match=f"{made.attempts.get().reference} of another refund"):
        say(lost, named)


# After it counted: two people take it back.


@pytest.fixture
def misnamed(desk: Desk, rule) -> tuple[Refund, Transaction]:
    """A refund that counts under the id of the refund of another payment, and that payment."""
    refund, other = lose(desk), desk.pay(last4="4444")
    named = refund_outside(desk, other)
    cut_off(desk)
    refund = rule(refund, named)
    connect(desk)
    assert (refund.status, refund.processor_refund_id) == (Status.SUCCEEDED, named)
    return refund, other


def test_a_refund_under_an_id_of_another_payment_is_told_by_reconciliation(desk: Desk, misnamed):
    refund, other = misnamed
    for _ in range(2):
        tally = reconcile(desk.account)
        assert (tally.equal, tally.differing) == (0, 1)
        refund.refresh_from_db()
        assert refund.confirmed_at is None
        assert refund.attention_reason.startswith(
            f"The processor reports {refund.processor_refund_id} as a refund"
        )
        assert open_kinds(desk.account) == [K.MISSING]
    assert desk.sums(other) == (0, 0)


def test_what_two_people_took_back_counts_where_it_was_made(desk: Desk, misnamed, rule, approver):
    refund, other = misnamed
    reconcile(desk.account)
    (case,) = Attention.objects.filter(refund=refund, kind=K.MISSING)
    assert Action.CONFIRM_DID_NOT in cases.actions(case, approver)
    assert Action.CONFIRM_HAPPENED not in cases.actions(case, approver)
    named = refund.processor_refund_id
    refund = rule(refund)
    assert (refund.status, refund.processor_refund_id) == (Status.RETURNED, None)
    assert (refund.failure_code, refund.attention_reason) == ("not_made", None)
    assert desk.sums(refund.transaction) == (0, 0)
    event = refund.events.get(kind="ruled_did_not")
    assert (event.actor, event.data["freed"]) == (approver, named)
    assert "found, and" in event.data["why"]
    assert_promises()
    assert reconcile(desk.account).recorded == 1
    assert desk.sums(other) == (0, 2_500)
    assert Refund.objects.get(processor_refund_id=named).transaction == other
    assert reconcile(desk.account).equal == 1
    assert_promises()


# The rules of taking back, without a processor.


@pytest.fixture
def counted(paid, ask, rule) -> Refund:
    """A refund that people ruled made; nobody could ask about it."""
    return rule(leave_unknown(ask(paid, 500)), "re_9")


def miss(refund: Refund) -> None:
    with database.atomic():
        flag(lock_refund(refund.pk), K.MISSING, "Not there.")


def test_what_nobody_misses_is_not_taken_back(counted, say):
    assert all("This one is “Succeeded”" in why for why in allowed(counted).values())
    with pytest.raises(WrongStatus):
        say(counted)


def test_only_that_it_was_not_made_can_be_said_of_what_is_missed(counted):
    miss(counted)
    assert [verdict for verdict, why in allowed(counted).items() if not why] == [Verdict.DID_NOT]


def test_what_the_processor_itself_answered_is_not_taken_back(paid, ask):
    refund = leave_unknown(ask(paid, 500))
    RefundAttempt.objects.update(state="accepted")
    with database.atomic():
        changes = {"processor_refund_id": "re_1"}
        move(lock_refund(refund.pk), Status.SUCCEEDED, "succeeded", changes=changes)
    miss(refund)
    refund.refresh_from_db()
    assert all(allowed(refund).values())


def test_a_report_closes_the_case_and_the_ruling_that_rests_on_it(counted, say, approver):
    miss(counted)
    ruling = say(counted, evidence=SECOND_LOOK)
    assert_promises()
    record(counted.account, now_reported("re_9"))
    ruling.refresh_from_db()
    assert ruling.state == "superseded"
    with pytest.raises(WrongStatus, match="proven meanwhile"):
        confirm(ruling, actor=approver)
    assert_promises()


def test_what_was_taken_back_and_shows_up_all_the_same_is_counted(counted, rule):
    miss(counted)
    refund = rule(counted)
    reference = refund.attempts.get().reference
    for _ in range(2):
        record(refund.account, now_reported("re_10", reference=reference))
        outside = Refund.objects.get(processor_refund_id="re_10")
        assert outside.origin == "external"
        assert open_kinds(refund.account) == [K.PAID_AFTER_ALL]
        assert Transaction.objects.get().refunded_minor == 500
    assert_promises()


def test_the_database_gives_no_id_free_without_two_people(counted):
    missed = {"status": Status.RETURNED, "processor_refund_id": None, "failure_code": "not_made"}
    with pytest.raises(IntegrityError, match="never changes"), database.atomic():
        Refund.objects.update(**missed)


def test_it_is_taken_back_from_the_page_of_its_case(counted):
    miss(counted)
    page = f"/admin/refunds/attention/{Attention.objects.get(kind=K.MISSING).pk}"
    first, second = (client_of(make_person("manager")) for _ in range(2))
    html = first.get(f"{page}/change/").content.decode()
    assert f"{page}/confirm_did_not/" in html
    assert f"{page}/confirm_happened/" not in html
    first.post(f"{page}/confirm_did_not/", {"evidence": SECOND_LOOK})
    ruling = Ruling.objects.get(verdict=Verdict.DID_NOT)
    answer = second.post(f"{page}/confirm_ruling/", {"ruling": ruling.pk}, follow=True)
    assert "the refund of 5.00 USD counts as not made" in visible(answer)
    counted.refresh_from_db()
    assert counted.status == Status.RETURNED
