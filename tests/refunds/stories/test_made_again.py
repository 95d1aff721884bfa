"""What a processor without references lists as failed, and as made again, may be ours all along."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from gateways.base import RefundState
from gateways.registry import open_gateway
from refunds import services
from refunds.cases import Action, accept, actions, count_as_ours, let_go
from refunds.doubts import note_failure
from refunds.models import Attention, AttentionKind, Doubt, DoubtAnswer, Refund, Verdict
from refunds.outside import record_reported_refunds
from refunds.services import WrongStatus
from refunds.states import Origin, Status
from tests.refunds.desk import Desk
from tests.refunds.faults.play import sent
from tests.refunds.raw import triggers_off
from tests.refunds.unreferenced import LONG, make_unreferenced, miss, only_nmi, record_listed

pytestmark = pytest.mark.django_db(transaction=True)

PENDING, MADE, FAILED = RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED


@pytest.fixture
def own(desk: Desk, agent, approver) -> Refund:
    """Made, ruled so under a wrong id, and missed since: what is listed lands on its payment."""
    first = miss(desk, make_unreferenced(desk, shape="A"), agent, approver)
    desk.show_late(0)
    return first


@pytest.fixture(params=["own", "missed"])
def first(request) -> Refund:
    """The same, also where another payment takes what is listed."""
    found: Refund = request.getfixturevalue(request.param)
    return found


def assert_it_waits(desk: Desk, first: Refund, agent) -> Refund:
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.QUEUED
    assert desk.given_back(again.transaction) == [2_500]
    return again


@only_nmi
@pytest.mark.parametrize("listed", [PENDING, MADE])
@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize("is_late", [True, False])
def test_listed_as_failed_and_as_made_again(
    desk: Desk, first, rule, agent, listed, is_read, is_late
):
    record_listed(desk, listed)
    first = rule(first, Verdict.DID_NOT)
    record_listed(desk, FAILED)
    if is_read:
        record_listed(desk, MADE)
        desk.show_late(LONG if is_late else 0)
    assert_it_waits(desk, first, agent)


@only_nmi
@pytest.mark.parametrize(
    "listed", [(PENDING, FAILED, PENDING), (MADE, FAILED, MADE), (MADE, FAILED, PENDING)]
)
def test_listed_as_failed_and_again_before_it_is_ruled_out(desk: Desk, first, rule, agent, listed):
    for state in listed:
        record_listed(desk, state)
    first = rule(first, Verdict.DID_NOT)
    desk.show_late(LONG)
    assert_it_waits(desk, first, agent)


@pytest.fixture
def unplaced(desk: Desk, agent, approver) -> Refund:
    """The same, where two payments fit what is listed."""
    desk.pay()
    first = miss(desk, make_unreferenced(desk, shape="A", payment=desk.pay()), agent, approver)
    desk.show_late(0)
    return first


@only_nmi
@pytest.mark.parametrize("listed", [(MADE,), (MADE, FAILED, MADE)])
def test_what_no_payment_was_found_for_before_it_is_ruled_out(
    desk: Desk, unplaced, rule, agent, listed
):
    for state in listed:
        record_listed(desk, state)
    assert Attention.objects.open().filter(kind=AttentionKind.UNPLACED).exists()
    first = rule(unplaced, Verdict.DID_NOT)
    desk.show_late(LONG)
    assert_it_waits(desk, first, agent)


@only_nmi
def test_listed_as_failed_and_as_pending_again(desk: Desk, first, rule, agent):
    record_listed(desk, PENDING)
    first = rule(first, Verdict.DID_NOT)
    record_listed(desk, FAILED)
    record_listed(desk, PENDING)
    desk.show_late(LONG)
    assert_it_waits(desk, first, agent)


@only_nmi
def test_a_failure_that_only_a_look_has_seen(desk: Desk, first, rule, agent):
    record_listed(desk, PENDING)
    first = rule(first, Verdict.DID_NOT)
    row = Refund.objects.get(origin=Origin.EXTERNAL)
    note_failure(desk.account, row.processor_refund_id)
    record_listed(desk, MADE)
    desk.show_late(LONG)
    assert_it_waits(desk, first, agent)


@only_nmi
def test_failed_while_ours_was_unknown_and_made_while_it_counted(desk: Desk, rule, agent, approver):
    first = make_unreferenced(desk, shape="A")
    desk.show_late(0)
    record_listed(desk, PENDING)
    record_listed(desk, FAILED)
    assert Doubt.objects.get().answer == DoubtAnswer.FAILED
    desk.show_late(LONG)
    first = miss(desk, first, agent, approver)
    desk.show_late(0)
    record_listed(desk, MADE)
    first = rule(first, Verdict.DID_NOT)
    desk.show_late(LONG)
    assert_it_waits(desk, first, agent)


@only_nmi
def test_what_was_first_listed_as_failed_can_be_said_to_be_ours(
    desk: Desk, own, rule, agent, approver
):
    first = rule(own, Verdict.DID_NOT)
    record_listed(desk, FAILED)
    record_listed(desk, MADE)
    assert_it_waits(desk, first, agent)
    case = Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE)
    assert Action.COUNT_AS_OURS in actions(case, approver)


@only_nmi
@pytest.mark.parametrize("listed", [PENDING, MADE])
@pytest.mark.parametrize("again_as", [PENDING, MADE])
@pytest.mark.parametrize("is_late", [True, False])
def test_what_a_person_said_is_ours_failed_and_is_listed_again(
    desk: Desk, own, rule, agent, approver, listed, again_as, is_late
):
    record_listed(desk, listed)
    first = rule(own, Verdict.DID_NOT)
    count_as_ours(Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE), approver)
    record_listed(desk, FAILED)
    record_listed(desk, again_as)
    desk.show_late(LONG if is_late else 0)
    first.refresh_from_db()
    if first.counts_as_made:  # its row stands again
        with pytest.raises(WrongStatus):
            services.retry_refund(first, actor=agent)
    else:
        assert_it_waits(desk, first, agent)


@only_nmi
@pytest.mark.parametrize("listed", [PENDING, MADE])
def test_what_is_ours_by_its_reference_failed_and_is_listed_again(desk: Desk, rule, agent, listed):
    first = rule(make_unreferenced(desk, shape="A", is_kept=True), Verdict.SEND_AGAIN)
    services.cancel_refund(first, actor=first.requested_by)
    desk.show_late(0)
    for state in (listed, FAILED, listed):
        record_listed(desk, state)
    first.refresh_from_db()
    assert_it_waits(desk, first, agent)


@only_nmi
def test_what_was_made_by_hand_before_ours_was_asked_for_keeps_nothing_back(
    desk: Desk, rule, agent, approver
):
    payment = desk.pay()
    desk.post("accounts", account=desk.name, refund_keeps_order_id=False)
    desk.post("refunds", payment_id=payment.external_id, amount_minor=2_500)
    for state in (PENDING, FAILED, MADE):
        record_listed(desk, state)
    for case in Attention.objects.open():
        accept(case, approver)
    with triggers_off():
        days_ago = F("created_at") - timedelta(days=5)
        Refund.objects.filter(origin=Origin.EXTERNAL).update(created_at=days_ago)
    first = rule(
        make_unreferenced(desk, shape="A", when="before", payment=payment), Verdict.DID_NOT
    )
    desk.show_late(LONG)
    assert sent(services.retry_refund(first, actor=agent)).status == Status.SUCCEEDED


@pytest.mark.parametrize("desk", ["stripe"], indirect=True)
def test_a_double_that_failed_and_is_made_is_told_once(desk: Desk):
    sent(desk.ask(desk.pay(), 2_500))
    gateway = open_gateway(desk.account)
    now = timezone.now()
    [page] = gateway.list_refunds(now - timedelta(days=1), now + timedelta(days=1))
    double = replace(page.records[0], external_id="re_double")
    for state in (PENDING, FAILED, MADE):
        record_reported_refunds(desk.account, gateway, [replace(double, state=state)])
    kinds = set(Attention.objects.values_list("kind", flat=True))
    assert kinds == {AttentionKind.FOUND_SEVERAL, AttentionKind.PAID_AFTER_ALL}


@only_nmi
def test_a_second_person_lets_it_go_however_often_it_was_listed(
    desk: Desk, own, rule, agent, approver
):
    record_listed(desk, PENDING)
    first = rule(own, Verdict.DID_NOT)
    for _ in range(2):
        record_listed(desk, FAILED)
        record_listed(desk, MADE)
    again = assert_it_waits(desk, first, agent)
    assert Doubt.objects.count() == 1
    let_go(Attention.objects.open().get(refund=again, kind=AttentionKind.NOT_SENT), approver)
    assert sent(again).status == Status.SUCCEEDED


@only_nmi
def test_what_has_failed_in_the_end_keeps_nothing_back(desk: Desk, own, rule, agent):
    record_listed(desk, PENDING)
    first = rule(own, Verdict.DID_NOT)
    record_listed(desk, FAILED)
    record_listed(desk, MADE)
    again = assert_it_waits(desk, first, agent)
    record_listed(desk, FAILED)
    desk.show_late(LONG)
    assert sent(again).status == Status.SUCCEEDED
