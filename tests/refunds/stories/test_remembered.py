"""What a processor without references has listed once stops a refund, whoever read it, and when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from gateways.errors import OutcomeUnknown
from gateways.nmi import NmiGateway
from gateways.sandbox.records import LedgerRefund
from refunds import execution, outside, services
from refunds.cases import accept
from refunds.models import Attention, AttentionKind, Doubt, Refund, RefundAttempt, Verdict
from refunds.reconciliation import reconcile
from refunds.rulings import InvalidRuling, confirm, propose, reject
from refunds.states import Origin, Status
from refunds.sync import sync_account
from tests.refunds.desk import Desk
from tests.refunds.faults.play import looked_up, sent
from tests.refunds.raw import triggers_off
from tests.refunds.test_execution import forget
from tests.refunds.unreferenced import (
    LONG,
    make_unreferenced,
    miss,
    only_nmi,
    record_listed,
    show_before_claim,
)
from transactions.models import Transaction

pytestmark = pytest.mark.django_db(transaction=True)


def assert_it_waits(desk: Desk, refund: Refund, payment: Transaction) -> None:
    """Nothing leaves a second time, though the processor lists nothing any more."""
    desk.show_late(LONG)
    for _ in range(2):
        assert sent(refund).status == Status.QUEUED
    assert desk.given_back(payment) == [2_500]


@pytest.fixture
def beside_another(desk: Desk, rule):
    """Made and ruled out, while an equal refund of another payment still has no answer."""
    other = desk.ask(desk.pay(), 2_500)
    desk.arm("refund", "silence", "before", seconds=0.1)
    assert sent(other).status == Status.UNKNOWN
    first = rule(make_unreferenced(desk, shape="A"), Verdict.DID_NOT)
    other.refresh_from_db()
    assert other.status == Status.UNKNOWN
    return first


@only_nmi
def test_what_another_refund_may_be_as_well_is_not_its_alone(desk: Desk, beside_another, agent):
    desk.show_late(0)
    sync_account(desk.account)
    again = services.retry_refund(beside_another, actor=agent)
    assert_it_waits(desk, again, beside_another.transaction)


@only_nmi
def test_nor_is_it_in_the_moment_before_a_claim(desk: Desk, beside_another, agent, monkeypatch):
    again = services.retry_refund(beside_another, actor=agent)
    show_before_claim(desk, monkeypatch)
    assert_it_waits(desk, again, beside_another.transaction)


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
@pytest.mark.parametrize("verdict", [Verdict.DID_NOT, Verdict.SEND_AGAIN])
def test_what_a_look_up_reads_counts_though_people_rule_meanwhile(
    desk: Desk, rule, agent, monkeypatch, shape, verdict
):
    first = make_unreferenced(desk, shape=shape)
    find = NmiGateway.find_refund
    seen = []

    def find_slowly(gateway, order):
        found = find(gateway, order)
        if not seen:
            seen.extend(found.likely)
            rule(first, verdict)
        return found

    desk.show_late(0)
    monkeypatch.setattr(NmiGateway, "find_refund", find_slowly)
    looked_up(first)
    assert seen
    again = first if verdict == Verdict.SEND_AGAIN else services.retry_refund(first, actor=agent)
    assert_it_waits(desk, again, first.transaction)


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
def test_a_worker_whose_clock_is_hours_behind_sees_it(desk: Desk, rule, agent, monkeypatch, shape):
    first = rule(make_unreferenced(desk, shape=shape), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.QUEUED
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() - timedelta(hours=3))
    Refund.objects.filter(pk=again.pk).update(next_action_at=now())
    execution.send_refund(again.pk)
    assert desk.given_back(first.transaction) == [2_500]


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
def test_what_a_person_is_told_who_names_a_wrong_id_counts(desk: Desk, rule, agent, shape):
    first = make_unreferenced(desk, shape=shape)
    desk.show_late(0)
    named = {"verdict": Verdict.HAPPENED, "evidence": "", "processor_refund_id": "999"}
    if shape == "A":
        with pytest.raises(InvalidRuling, match="and not 999"):
            propose(first, **named, actor=agent)
    else:  # refunds without ids of their own say nothing against it
        reject(propose(first, **named, actor=agent), actor=agent)
    desk.show_late(LONG)
    first = rule(first, Verdict.DID_NOT)
    assert_it_waits(desk, services.retry_refund(first, actor=agent), first.transaction)


@only_nmi
def test_a_look_back_that_breaks_off_forgets_nothing(desk: Desk, rule, monkeypatch):
    first = rule(make_unreferenced(desk, shape="A"), Verdict.SEND_AGAIN)
    second = make_unreferenced(desk, shape="A", when="before", payment=first.transaction)
    rule(second, Verdict.DID_NOT)
    find = NmiGateway.find_refund
    seen = []

    def find_once(gateway, order):
        if seen:
            monkeypatch.setattr(NmiGateway, "find_refund", find)
            raise OutcomeUnknown("NMI answered with HTTP status 500.")
        found = find(gateway, order)
        seen.extend(found.likely)
        return found

    desk.show_late(0)
    monkeypatch.setattr(NmiGateway, "find_refund", find_once)
    sent(first)
    assert seen
    assert_it_waits(desk, first, first.transaction)


@only_nmi
def test_that_not_even_the_payment_is_shown_says_nothing(desk: Desk, rule, agent, monkeypatch):
    first = rule(make_unreferenced(desk, shape="A"), Verdict.DID_NOT)
    desk.show_late(0)
    again = services.retry_refund(first, actor=agent)
    find, read = NmiGateway._find_by_likeness, NmiGateway._transaction

    def find_blindly(gateway, order):
        monkeypatch.setattr(NmiGateway, "_transaction", lambda *_: None)
        try:
            return find(gateway, order)
        finally:
            monkeypatch.setattr(NmiGateway, "_transaction", read)

    monkeypatch.setattr(NmiGateway, "_find_by_likeness", find_blindly)
    assert_it_waits(desk, again, first.transaction)


@only_nmi
def test_a_payment_that_is_never_shown_is_put_before_a_person(desk: Desk, rule, agent, monkeypatch):
    first = rule(make_unreferenced(desk, shape="A", when="before"), Verdict.DID_NOT)
    again = services.retry_refund(first, actor=agent)
    with monkeypatch.context() as patch:
        patch.setattr(NmiGateway, "_transaction", lambda *_: None)
        assert sent(again).status == Status.QUEUED
        cases = Attention.objects.open().filter(refund=again, kind=AttentionKind.NOT_SENT)
        assert not cases.exists()
        with triggers_off():  # as an hour later
            again.events.update(at=timezone.now() - timedelta(hours=1))
        assert sent(again).status == Status.QUEUED
        assert "does not show everything about payment" in cases.get().reason
    assert sent(again).status == Status.SUCCEEDED
    assert not cases.exists()


@only_nmi
@pytest.mark.parametrize("is_accepted", [True, False])
def test_what_was_accepted_while_ours_counted_as_made_is_asked_about_anew(
    desk: Desk, rule, agent, approver, is_accepted
):
    first = miss(desk, make_unreferenced(desk, shape="A"), agent, approver)
    desk.show_late(0)
    sync_account(desk.account)
    if is_accepted:
        accept(Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE), approver)
    first = rule(first, Verdict.DID_NOT)
    assert first.status == Status.RETURNED
    assert_it_waits(desk, services.retry_refund(first, actor=agent), first.transaction)


def made_of(desk: Desk, refund: Refund) -> LedgerRefund:
    """What the processor made of a refund, in its books."""
    ledger = desk.sandbox.ledger
    with ledger.lock:
        payment = ledger.payment(ledger.accounts[desk.name], refund.transaction.external_id)
        [made] = ledger.refunds_of(payment)
    return made


@only_nmi
def test_what_a_person_names_counts_though_it_is_withdrawn(desk: Desk, rule, agent):
    first = make_unreferenced(desk, shape="A")
    desk.show_late(0)
    named = {"verdict": Verdict.HAPPENED, "evidence": "", "actor": agent}
    reject(propose(first, **named, processor_refund_id=made_of(desk, first).id), actor=agent)
    desk.show_late(LONG)
    first = rule(first, Verdict.DID_NOT)
    assert_it_waits(desk, services.retry_refund(first, actor=agent), first.transaction)


@only_nmi
def test_what_a_list_has_confirmed_counts_though_people_take_it_back(
    desk: Desk, rule, agent, approver
):
    first = make_unreferenced(desk, shape="A")
    desk.show_late(0)
    named = {"verdict": Verdict.HAPPENED, "evidence": "", "actor": agent}
    ruling = propose(first, **named, processor_refund_id=made_of(desk, first).id)
    first = confirm(ruling, actor=approver)
    sync_account(desk.account)
    assert Refund.objects.get(pk=first.pk).confirmed_at
    Doubt.objects.all().delete()  # what was asked before may be ours, and has its id now
    desk.show_late(LONG)
    with triggers_off():  # as an hour later
        RefundAttempt.objects.update(first_sent_at=timezone.now() - timedelta(hours=3))
    reconcile(desk.account)
    first = rule(first, Verdict.DID_NOT)
    assert_it_waits(desk, services.retry_refund(first, actor=agent), first.transaction)


@only_nmi
def test_what_is_placed_on_another_payment_while_ours_is_taken_back_counts(
    desk: Desk, rule, agent, approver, monkeypatch
):
    desk.pay()
    first = make_unreferenced(desk, shape="A", payment=desk.pay(2_500))
    first = miss(desk, first, agent, approver)
    find = outside.find_payment

    def find_slowly(account, reported):
        found = find(account, reported)
        rule(first, Verdict.DID_NOT)
        return found

    monkeypatch.setattr(outside, "find_payment", find_slowly)
    desk.show_late(0)
    sync_account(desk.account)
    first.refresh_from_db()
    assert first.status == Status.RETURNED
    assert_it_waits(desk, services.retry_refund(first, actor=agent), first.transaction)


@only_nmi
def test_what_was_placed_on_another_payment_by_its_looks_is_asked_about(
    desk: Desk, rule, agent, approver
):
    other = desk.pay()
    first = make_unreferenced(desk, shape="A", payment=desk.pay(2_500))
    first = miss(desk, first, agent, approver)
    desk.show_late(0)
    sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE)
    assert case.transaction == other
    first = rule(first, Verdict.DID_NOT)
    assert_it_waits(desk, services.retry_refund(first, actor=agent), first.transaction)
    assert Doubt.objects.get().transaction == first.transaction


@only_nmi
def test_payments_that_are_not_shown_do_not_break_a_comparison_off(desk: Desk, monkeypatch):
    for _ in range(4):
        assert sent(desk.ask(desk.pay(), 2_500)).status == Status.SUCCEEDED
    with triggers_off():  # as an hour later
        RefundAttempt.objects.update(first_sent_at=timezone.now() - timedelta(hours=3))
    desk.show_late(LONG)
    monkeypatch.setattr(NmiGateway, "_transaction", lambda *_: None)
    assert reconcile(desk.account).unclear == 4


@only_nmi
def test_what_failed_since_keeps_nothing_waiting(desk: Desk, agent, rule):
    first = rule(make_unreferenced(desk, shape="A", is_kept=True), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.CANCELED
    assert Doubt.objects.filter(transaction=first.transaction).exists()
    made = made_of(desk, first)
    with desk.sandbox.ledger.lock:
        made.status = "canceled"
    sync_account(desk.account)
    assert sent(services.retry_refund(again, actor=agent)).status == Status.SUCCEEDED


@only_nmi
def test_the_id_of_another_card_named_by_mistake_keeps_nothing_waiting(desk: Desk, agent, rule):
    first = make_unreferenced(desk, shape="A", when="before")
    other = desk.pay(last4="1111")
    made = desk.post("refunds", payment_id=other.external_id, amount_minor=2_500)["refund"]
    desk.show_late(0)
    named = {"verdict": Verdict.HAPPENED, "evidence": "", "actor": agent}
    with pytest.raises(InvalidRuling, match="to card 1111"):
        propose(first, **named, processor_refund_id=made["id"])
    again = services.retry_refund(rule(first, Verdict.DID_NOT), actor=agent)
    assert sent(again).status == Status.SUCCEEDED


@only_nmi
def test_what_left_before_a_restore_is_not_older_than_ours(desk: Desk, agent, approver):
    desk.post("accounts", account=desk.name, refund_shape="A", refund_keeps_order_id=False)
    first = sent(desk.ask(desk.pay(), 2_500))
    _age_by_hours(desk, first)
    forget(first)
    record_listed(desk)
    first.refresh_from_db()
    assert sent(first).status == Status.QUEUED
    services.let_go(first, actor=approver)
    desk.arm("refund", "refusal", code="301")
    assert sent(first).status == Status.QUEUED
    services.cancel_refund(first, actor=approver)  # it was the one listed after all
    record_listed(desk)
    assert Refund.objects.filter(origin=Origin.EXTERNAL).exists()
    first.refresh_from_db()
    assert sent(services.retry_refund(first, actor=agent)).status == Status.QUEUED
    assert desk.given_back(first.transaction) == [2_500]


def _age_by_hours(desk: Desk, refund: Refund) -> None:
    """Paid five hours ago, asked for two hours ago and made one hour ago."""
    ledger = desk.sandbox.ledger
    with ledger.lock:
        payment = ledger.payment(ledger.accounts[desk.name], refund.transaction.external_id)
        [made] = ledger.refunds_of(payment)
        made.created_at -= timedelta(hours=1)
        payment.created_at -= timedelta(hours=5)
    with triggers_off():
        Refund.objects.update(created_at=F("created_at") - timedelta(hours=2))
        Transaction.objects.update(created_at=F("created_at") - timedelta(hours=5))
