"""What was placed on another payment by its looks may be ours all the same, by its row alone."""

from __future__ import annotations

from threading import Thread

import pytest
from django.db import OperationalError, connections

from gateways.base import RefundState
from gateways.errors import NotSent
from gateways.nmi import NmiGateway
from refunds import execution, external, outside, rulings, services
from refunds.cases import accept, let_go
from refunds.earlier import Earlier
from refunds.models import Attention, AttentionKind, Doubt, Refund, Verdict
from refunds.reconciliation import reconcile
from refunds.states import Origin, Status
from refunds.sync import sync_account
from tests.refunds.desk import Desk
from tests.refunds.faults.play import sent
from tests.refunds.unreferenced import LONG, make_unreferenced, only_nmi, record_listed
from transactions.streams import SyncFailed

pytestmark = pytest.mark.django_db(transaction=True)

PENDING, MADE, FAILED = RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED


def assert_asked_about(desk: Desk, again: Refund) -> None:
    outside = Refund.objects.get(origin=Origin.EXTERNAL)
    assert outside.transaction_id != again.transaction_id
    assert sent(again).status == Status.QUEUED
    case = Attention.objects.open().get(refund=again, kind=AttentionKind.NOT_SENT)
    assert case.evidence["listed"] == [outside.processor_refund_id]
    assert desk.given_back(again.transaction) == [2_500]


@only_nmi
def test_a_ruling_and_a_sync_that_do_not_see_each_other(
    desk: Desk, missed, rule, agent, monkeypatch
):
    reopen_all = rulings.reopen_all

    def reopen_while_a_sync_records(refund: Refund) -> None:
        reopen_all(refund)
        thread = Thread(target=lambda: (record_listed(desk), connections.close_all()))
        thread.start()
        thread.join()

    monkeypatch.setattr(rulings, "reopen_all", reopen_while_a_sync_records)
    first = rule(missed, Verdict.DID_NOT)
    assert not Doubt.objects.filter(transaction=first.transaction).exists()
    again = services.retry_refund(first, actor=agent)
    assert_asked_about(desk, again)


@only_nmi
def test_a_doubt_that_cannot_be_written_leaves_no_row(desk: Desk, missed, rule, agent, monkeypatch):
    find = outside.find_payment

    def find_while_people_rule(account, reported):
        found = find(account, reported)
        rule(missed, Verdict.DID_NOT)
        return found

    def is_locked(*_args):
        raise OperationalError("canceling statement due to lock timeout")

    with monkeypatch.context() as patch:
        patch.setattr(outside, "find_payment", find_while_people_rule)
        patch.setattr(external, "doubt_all_like", is_locked)
        with pytest.raises(SyncFailed):
            sync_account(desk.account)
    assert not Refund.objects.filter(origin=Origin.EXTERNAL).exists()
    sync_account(desk.account)
    reconcile(desk.account)
    missed.refresh_from_db()
    again = sent(services.retry_refund(missed, actor=agent))
    assert again.status == Status.QUEUED
    assert desk.given_back(missed.transaction) == [2_500]


@pytest.fixture
def placed(desk: Desk, missed, rule, agent) -> Refund:
    """A refund that is tried again, while what it made is placed elsewhere and no doubt is left."""
    sync_account(desk.account)
    first = rule(missed, Verdict.DID_NOT)
    Doubt.objects.all().delete()
    return services.retry_refund(first, actor=agent)


@only_nmi
def test_it_is_asked_about_by_its_row_alone(desk: Desk, placed):
    assert_asked_about(desk, placed)


@only_nmi
def test_also_in_the_commit_that_claims(desk: Desk, placed, monkeypatch):
    monkeypatch.setattr(execution, "look_back", _sees_nothing)
    assert sent(placed).status == Status.QUEUED
    assert not placed.attempts.exists()
    assert desk.given_back(placed.transaction) == [2_500]


def _sees_nothing(*_args):
    return Earlier(made=None, twin=None, others=(), alike=(), is_complete=True)


@only_nmi
def test_a_second_person_lets_it_go_also_where_the_payment_could_not_be_read(
    desk: Desk, placed, approver, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(NmiGateway, "get_payment", _unreachable)
        assert_asked_about(desk, placed)
    let_go(Attention.objects.open().get(refund=placed), approver)
    assert sent(placed).status == Status.SUCCEEDED


def _unreachable(*_args):
    raise NotSent("NMI cannot be reached.", reason="unreachable")


@pytest.fixture
def failed_and_listed(desk: Desk, missed) -> Refund:
    """Ours counts as made; what was placed on another payment has failed, and is listed again."""
    for state in (PENDING, FAILED, PENDING):
        record_listed(desk, state)
    outside = Refund.objects.get(origin=Origin.EXTERNAL)
    assert (outside.status, outside.transaction == missed.transaction) == (Status.FAILED, False)
    return missed


@only_nmi
def test_that_it_is_not_the_other_payments_does_not_say_that_it_is_not_ours(
    desk: Desk, failed_and_listed, rule, agent, approver
):
    accept(Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE), approver)
    first = rule(failed_and_listed, Verdict.DID_NOT)
    desk.show_late(LONG)
    assert_asked_about(desk, services.retry_refund(first, actor=agent))


@only_nmi
def test_nor_that_a_refund_of_the_other_payment_was_let_go(
    desk: Desk, failed_and_listed, rule, agent, approver
):
    outside = Refund.objects.get(origin=Origin.EXTERNAL)
    never = make_unreferenced(desk, shape="A", when="before", payment=outside.transaction)
    again = sent(services.retry_refund(rule(never, Verdict.DID_NOT), actor=agent))
    let_go(Attention.objects.open().get(refund=again, kind=AttentionKind.NOT_SENT), approver)
    assert sent(again).status == Status.SUCCEEDED
    desk.show_late(LONG)
    first = rule(failed_and_listed, Verdict.DID_NOT)
    assert_asked_about(desk, services.retry_refund(first, actor=agent))


@only_nmi
@pytest.mark.parametrize("is_ruled_out", [True, False])
def test_what_has_failed_elsewhere_names_this_payment_now(
    desk: Desk, missed, rule, agent, is_ruled_out
):
    record_listed(desk, PENDING)
    record_listed(desk, FAILED)
    first = rule(missed, Verdict.DID_NOT) if is_ruled_out else missed
    record_listed(desk, MADE, payment=first.transaction)
    first = first if is_ruled_out else rule(first, Verdict.DID_NOT)
    desk.show_late(LONG)
    assert_asked_about(desk, services.retry_refund(first, actor=agent))


@only_nmi
def test_what_bears_a_reference_of_ours_is_no_other_payments(desk: Desk, rule, agent):
    ours = sent(desk.ask(desk.pay(), 2_500))
    first = rule(make_unreferenced(desk, shape="A", when="before"), Verdict.DID_NOT)
    desk.post("accounts", account=desk.name, refund_keeps_order_id=True)
    desk.show_late(0)
    desk.post("refunds", payment_id=ours.transaction.external_id, amount_minor=2_500)
    ledger = desk.sandbox.ledger
    with ledger.lock:
        payment = ledger.payment(ledger.accounts[desk.name], ours.transaction.external_id)
        made, double = ledger.refunds_of(payment)
        double.reference = made.reference
    sync_account(desk.account)
    assert Refund.objects.get(origin=Origin.EXTERNAL).transaction == ours.transaction
    again = services.retry_refund(first, actor=agent)
    assert sent(again).status == Status.SUCCEEDED
