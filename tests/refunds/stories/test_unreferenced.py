"""What only a person can tell, because the processor keeps no references, is never paid twice."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.base import RefundState
from refunds import services
from refunds.cases import accept, count_as_ours, is_paid_twice, let_go, like_ours, take
from refunds.doubts import raise_doubts
from refunds.models import Attention, AttentionKind, Doubt, Refund, RefundAttempt, Verdict
from refunds.placing import doubt_unless_referenced
from refunds.services import cancel_refund
from refunds.states import AttemptState, Status
from refunds.sync import sync_account
from tests.refunds.desk import Desk
from tests.refunds.faults.play import assert_agreement, looked_up, run_before_claim, sent
from tests.refunds.raw import triggers_off
from tests.refunds.reports import now_reported
from tests.refunds.states import bring, bring_back, leave_unknown
from tests.refunds.unreferenced import (
    LONG,
    list_unplaced,
    make_unreferenced,
    only_nmi,
    show_before_claim,
)
from transactions.models import Transaction

pytestmark = pytest.mark.django_db(transaction=True)


@only_nmi
def test_what_may_be_an_earlier_attempt_waits_for_a_person(desk: Desk, rule, make_user):
    refund = rule(make_unreferenced(desk), Verdict.SEND_AGAIN)
    desk.show_late(0)
    for _ in range(2):
        assert sent(refund).status == Status.QUEUED
        assert desk.given_back(refund.transaction) == [2_500]
        assert "let a second person let it go" in refund.attention_reason
        sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE)
    accept(case, make_user("refunds.approve_refund"), "Made there for another order.")
    assert sent(refund).status == Status.SUCCEEDED
    assert desk.given_back(refund.transaction) == [2_500, 2_500]


@only_nmi
def test_what_may_be_a_refund_that_was_ruled_out_stops_the_one_asked_for_instead(
    desk: Desk, rule, agent
):
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.QUEUED
    assert "may be one that counted as not made" in again.attention_reason
    assert desk.given_back(first.transaction) == [2_500]


@pytest.fixture
def listed(desk: Desk, rule):
    """Ruled out or to be sent again, and listed since as if it had been made outside."""

    def listed(verdict: Verdict) -> tuple[Refund, Attention]:
        refund = rule(make_unreferenced(desk), verdict)
        desk.show_late(0)
        sync_account(desk.account)
        return refund, Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE)

    return listed


@only_nmi
def test_a_refund_made_outside_says_what_it_may_be(desk: Desk, listed):
    refund, case = listed(Verdict.DID_NOT)
    assert "It may be what was asked for here" in case.reason
    assert case.evidence == {"may_be": str(refund.pk)}
    desk.post("refunds", payment_id=refund.transaction.external_id, amount_minor=1_200)
    sync_account(desk.account)
    other = Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE, evidence={})
    assert "accept it or find out who did it" in other.reason


@only_nmi
@pytest.mark.parametrize("how", ["tried again", "asked for anew"])
def test_what_was_made_after_all_as_a_person_says_is_not_sent_again(
    desk: Desk, listed, agent, approver, how
):
    refund, case = listed(Verdict.DID_NOT)
    if how == "tried again":
        again = services.retry_refund(refund, actor=agent)
    else:
        again = desk.ask(refund.transaction, 2_500)
    assert sent(again).status == Status.QUEUED
    count_as_ours(case, approver)
    assert sent(again).status == Status.CANCELED
    for each in (refund, again):
        each.refresh_from_db()
        with pytest.raises(services.WrongStatus, match="went back already"):
            services.retry_refund(each, actor=agent)
    assert_agreement(desk, refund.transaction, 2_500)
    other = desk.ask(refund.transaction, 2_500)  # by somebody who sees what went back
    assert sent(other).status == Status.SUCCEEDED


@only_nmi
def test_another_amount_than_what_may_be_ours_asks_nobody(desk: Desk, listed):
    refund, case = listed(Verdict.DID_NOT)
    assert sent(desk.ask(refund.transaction, 1_700)).status == Status.SUCCEEDED
    case.refresh_from_db()
    assert case.closed_at is None


@only_nmi
def test_what_is_ours_and_was_sent_since_may_have_been_paid_twice(desk: Desk, rule, approver):
    """Nothing shows what was made, so that somebody asks for it in its stead, and gets it."""
    refund = rule(make_unreferenced(desk), Verdict.DID_NOT)
    again = desk.ask(refund.transaction, 2_500)
    desk.show_late(100_000)
    assert sent(again).status == Status.SUCCEEDED
    desk.show_late(0)
    sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE)
    assert "it may have gone back twice" in case.reason
    third = desk.ask(refund.transaction, 2_500)
    assert sent(third).status == Status.QUEUED
    count_as_ours(case, approver)
    assert sent(third).status == Status.CANCELED
    twice = Attention.objects.open().get(kind=AttentionKind.FOUND_SEVERAL)
    assert twice.refund == refund
    assert_agreement(desk, refund.transaction, 2_500, 2_500)


@only_nmi
def test_refunds_without_ids_are_told_by_how_many_there_are(desk: Desk, rule):
    first = rule(make_unreferenced(desk, when="before"), Verdict.DID_NOT)
    desk.show_late(0)
    for _ in range(2):
        assert sent(desk.ask(first.transaction, 2_500)).status == Status.SUCCEEDED
    assert_agreement(desk, first.transaction, 2_500, 2_500)


@only_nmi
def test_what_fits_no_payment_waits_for_a_second_person(desk: Desk, rule, agent, approver):
    first, _case = list_unplaced(desk, rule)
    again = sent(services.retry_refund(first, actor=agent))
    accept(Attention.objects.open().get(kind=AttentionKind.UNPLACED), approver)
    assert sent(again).status == Status.QUEUED
    with pytest.raises(services.NotAllowed):
        services.let_go(again, actor=agent)
    services.let_go(again, actor=approver)
    assert sent(again).status == Status.SUCCEEDED


@only_nmi
def test_what_is_listed_later_than_it_was_let_go_asks_again(desk: Desk, rule, agent, approver):
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    services.let_go(again, actor=approver)
    desk.post("clock", advance_seconds=600)
    desk.post("refunds", payment_id=first.transaction.external_id, amount_minor=2_500)
    assert sent(again).status == Status.QUEUED


@only_nmi
def test_an_equal_refund_from_before_is_not_what_is_listed(desk: Desk, rule, agent):
    payment = desk.pay()
    assert sent(desk.ask(payment, 2_500)).status == Status.SUCCEEDED
    desk.post("clock", advance_seconds=86_400)
    first = rule(make_unreferenced(desk, payment=payment), Verdict.DID_NOT)
    desk.show_late(0)
    assert sent(services.retry_refund(first, actor=agent)).status == Status.QUEUED


@only_nmi
@pytest.mark.parametrize("answer", ["accepted as another one", "ours"])
def test_an_open_case_stops_it_while_the_list_lags_behind_again(
    desk: Desk, listed, agent, approver, answer
):
    refund, case = listed(Verdict.DID_NOT)
    again = services.retry_refund(refund, actor=agent)
    desk.show_late(200_000)
    assert sent(again).status == Status.QUEUED
    assert "let a second person let it go" in again.attention_reason
    if answer == "ours":
        count_as_ours(case, approver)
        assert sent(again).status == Status.CANCELED
    else:
        accept(case, approver)
        assert sent(again).status == Status.SUCCEEDED


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
@pytest.mark.parametrize("is_recorded", [True, False])
def test_what_waits_for_a_person_waits_on_while_the_list_lags_behind_again(
    desk: Desk, rule, agent, approver, shape, is_recorded
):
    first = rule(make_unreferenced(desk, shape=shape), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    [listed] = Attention.objects.open().get(kind=AttentionKind.NOT_SENT).evidence["listed"]
    if is_recorded:
        sync_account(desk.account)
    desk.show_late(LONG)
    for _ in range(2):
        assert sent(again).status == Status.QUEUED
    waits = Attention.objects.open().get(kind=AttentionKind.NOT_SENT)
    assert waits.evidence["listed"] == [listed]
    assert desk.given_back(first.transaction) == [2_500]
    services.let_go(again, actor=approver)
    assert sent(again).status == Status.SUCCEEDED


@only_nmi
@pytest.mark.parametrize("how", ["tried again", "asked for anew"])
def test_what_fits_no_payment_stops_what_it_may_be_while_the_list_lags_behind_again(
    desk: Desk, rule, agent, approver, how
):
    first, unplaced = list_unplaced(desk, rule)
    desk.show_late(LONG)
    if how == "tried again":
        again = services.retry_refund(first, actor=agent)
    else:
        again = desk.ask(first.transaction, 2_500)
    assert sent(again).status == Status.QUEUED
    waits = Attention.objects.open().get(kind=AttentionKind.NOT_SENT)
    assert waits.evidence["listed"] == [unplaced.evidence["refund"]]
    assert sent(desk.ask(first.transaction, 1_700)).status == Status.SUCCEEDED
    accept(unplaced, approver)
    assert sent(again).status == Status.QUEUED  # its own case asks the same
    services.let_go(again, actor=approver)
    assert sent(again).status == Status.SUCCEEDED


@only_nmi
@pytest.mark.parametrize("lag", [0, LONG])
@pytest.mark.parametrize("when", ["before", "after"])
def test_who_asked_for_it_lets_nothing_go_by_accepting(
    desk: Desk, listed, approver, make_user, lag, when
):
    """That it is another one is said by somebody else than who wants the money to leave."""
    refund, case = listed(Verdict.DID_NOT)
    boss = make_user("refunds.request_refund", "refunds.approve_refund", email="b@example.com")
    if when == "before":
        accept(case, boss)
    again = services.retry_refund(refund, actor=boss)
    desk.show_late(lag)
    assert sent(again).status == Status.QUEUED
    if when == "after":
        accept(case, make_user("refunds.approve_refund", email="B@example.com"))
        assert sent(again).status == Status.QUEUED
    services.let_go(again, actor=approver)
    assert sent(again).status == Status.SUCCEEDED


@pytest.fixture
def waiting(desk: Desk, rule, agent):
    """What was made and ruled out is listed; what tries it again waits; then the list lags again."""

    def waiting(shape: str) -> tuple[Refund, Refund]:
        first = rule(make_unreferenced(desk, shape=shape), Verdict.DID_NOT)
        desk.show_late(0)
        again = sent(services.retry_refund(first, actor=agent))
        assert again.status == Status.QUEUED
        desk.show_late(LONG)
        return first, again

    return waiting


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
@pytest.mark.parametrize("how", ["canceled and tried again", "asked for anew"])
def test_what_was_listed_stands_whatever_row_it_is_asked_for_under(
    desk: Desk, waiting, agent, approver, shape, how
):
    first, again = waiting(shape)
    if how == "asked for anew":
        newer = desk.ask(first.transaction, 2_500)
    else:
        newer = services.retry_refund(cancel_refund(again, actor=agent), actor=agent)
    assert sent(newer).status == Status.QUEUED
    assert desk.given_back(first.transaction) == [2_500]
    services.let_go(newer, actor=approver)
    assert sent(newer).status == Status.SUCCEEDED


@only_nmi
def test_looks_that_fail_use_up_no_tries_of_what_waits_for_a_person(desk: Desk, waiting):
    first, again = waiting("A")
    desk.arm("get_payment", "500", times=20)
    for _ in range(6):
        assert sent(again).status == Status.QUEUED
    again.refresh_from_db()
    assert again.attempts.count() == 0
    assert Attention.objects.open().filter(refund=again, kind=AttentionKind.NOT_SENT).exists()
    assert desk.given_back(first.transaction) == [2_500]


@only_nmi
def test_a_second_person_who_cancels_has_not_said_that_it_is_another(
    desk: Desk, listed, agent, approver, make_user
):
    first, case = listed(Verdict.DID_NOT)
    boss = make_user("refunds.request_refund", "refunds.approve_refund")
    accept(case, boss)
    again = sent(services.retry_refund(first, actor=boss))
    assert again.status == Status.QUEUED
    third = services.retry_refund(cancel_refund(again, actor=approver), actor=agent)
    for lag in (0, LONG):
        desk.show_late(lag)
        assert sent(third).status == Status.QUEUED
    assert desk.given_back(first.transaction) == [2_500]


@only_nmi
def test_what_fits_no_payment_stops_what_counted_as_made_when_it_was_listed(
    desk: Desk, rule, agent, approver
):
    desk.pay()  # with the same card
    first = make_unreferenced(desk, shape="A")
    made = bring(first, Status.SUCCEEDED)
    desk.show_late(0)
    sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.UNPLACED)
    assert "may_be" not in case.evidence
    assert like_ours(case) is None
    bring_back(made)
    with triggers_off():  # as two people rule
        RefundAttempt.objects.filter(refund=made).update(state=AttemptState.RULED_OUT)
    desk.show_late(LONG)
    again = desk.ask(first.transaction, 2_500)
    assert sent(again).status == Status.QUEUED
    assert like_ours(case) == made


@only_nmi
def test_what_is_counted_by_now_cannot_be_ours_as_well(desk: Desk, rule, approver):
    other = desk.pay()  # with the same card
    rule(make_unreferenced(desk, shape="A"), Verdict.DID_NOT)
    desk.show_late(0)
    sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.UNPLACED)
    second = leave_unknown(desk.ask(other, 2_500))
    Refund.objects.filter(pk=second.pk).update(processor_refund_id=case.evidence["refund"])
    assert like_ours(case) is None
    with pytest.raises(services.WrongStatus, match="No refund of ours"):
        count_as_ours(case, approver)


@only_nmi
def test_what_fits_no_payment_and_failed_stops_nothing(desk: Desk, rule, agent):
    first, _case = list_unplaced(desk, rule)
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.QUEUED
    case = Attention.objects.open().get(kind=AttentionKind.UNPLACED)
    desk.post("refunds", refund_id=case.evidence["refund"], status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    case.refresh_from_db()
    assert (case.closed_by, case.outcome) == (None, "The processor reports that it failed.")
    assert sent(again).status == Status.SUCCEEDED


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
def test_who_said_that_it_is_ours_may_ask_for_another_one(desk: Desk, rule, make_user, shape):
    first = rule(make_unreferenced(desk, shape=shape), Verdict.DID_NOT)
    desk.show_late(0)
    sync_account(desk.account)
    boss = make_user("refunds.request_refund", "refunds.approve_refund")
    count_as_ours(Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE), boss)
    newer = desk.ask(first.transaction, 2_500, requested_by=boss)
    assert sent(newer).status == Status.SUCCEEDED


@only_nmi
def test_who_let_it_go_does_not_let_their_own_go(desk: Desk, waiting, make_user):
    first, again = waiting("A")
    boss = make_user("refunds.request_refund", "refunds.approve_refund")
    services.let_go(again, actor=boss)
    assert sent(again).status == Status.SUCCEEDED
    own = desk.ask(first.transaction, 2_500, requested_by=boss)
    assert sent(own).status == Status.QUEUED


@only_nmi
def test_a_doubt_that_is_raised_just_before_a_claim_keeps_it_from_leaving(
    desk: Desk, rule, agent, monkeypatch
):
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    again = services.retry_refund(first, actor=agent)
    show_before_claim(desk, monkeypatch)
    assert sent(again).status == Status.QUEUED
    assert sent(again).status == Status.QUEUED
    assert desk.given_back(first.transaction) == [2_500]


@only_nmi
def test_what_came_back_answers_only_what_is_owed_again(desk: Desk, rule, agent, approver):
    """Two were made and ruled out; what tries one again was called off, and one of them fails."""
    first = rule(make_unreferenced(desk, shape="A"), Verdict.DID_NOT)
    rule(make_unreferenced(desk, shape="A", payment=first.transaction), Verdict.DID_NOT)
    desk.show_late(0)
    again = services.retry_refund(first, actor=agent)
    sync_account(desk.account)
    for case in Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE).order_by("pk"):
        count_as_ours(case, approver)
    assert sent(again).status == Status.CANCELED
    made = Refund.objects.get(counts_for=first)
    desk.post("refunds", refund_id=made.processor_refund_id, status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    assert "or ask for a new refund" in made.cases.get(kind="returned").reason
    still = Attention.objects.open().filter(refund=again, kind=AttentionKind.PAID_AFTER_ALL)
    assert still.exists() != services.is_owed_again(Refund.objects.get(pk=again.pk))


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
@pytest.mark.parametrize("seen", ["by a look-up", "by a sync"])
@pytest.mark.parametrize("verdict", [Verdict.SEND_AGAIN, Verdict.DID_NOT])
def test_what_was_listed_before_people_ruled_stands(
    desk: Desk, rule, agent, approver, shape, seen, verdict
):
    """It was shown for a moment; then the list lagged, and two people ruled that it was not made."""
    refund = make_unreferenced(desk, shape=shape)
    desk.show_late(0)
    if seen == "by a sync":
        sync_account(desk.account)
    else:
        looked_up(refund)
    desk.show_late(LONG)
    RefundAttempt.objects.update(first_absent_at=timezone.now() - timedelta(hours=1))
    looked_up(refund)
    refund = rule(refund, verdict)
    if verdict == Verdict.DID_NOT:
        refund = services.retry_refund(refund, actor=agent)
    assert sent(refund).status == Status.QUEUED
    assert desk.given_back(refund.transaction) == [2_500]
    services.let_go(refund, actor=approver)
    assert sent(refund).status == Status.SUCCEEDED


@only_nmi
def test_what_fits_no_payment_is_seen_just_before_a_claim(desk: Desk, rule, agent, monkeypatch):
    desk.pay()  # with the same card
    first = rule(make_unreferenced(desk, shape="A"), Verdict.DID_NOT)
    again = services.retry_refund(first, actor=agent)
    show_before_claim(desk, monkeypatch)
    assert sent(again).status == Status.QUEUED
    assert desk.given_back(first.transaction) == [2_500]


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
def test_who_lets_it_go_and_cancels_it_has_taken_that_back(
    desk: Desk, waiting, agent, approver, shape
):
    first, again = waiting(shape)
    services.let_go(again, actor=approver)
    newer = services.retry_refund(cancel_refund(again, actor=approver), actor=agent)
    assert sent(newer).status == Status.QUEUED
    assert desk.given_back(first.transaction) == [2_500]


@only_nmi
def test_what_somebody_answered_who_may_nothing_any_more_is_in_question_again(
    desk: Desk, listed, agent, make_user
):
    first, case = listed(Verdict.DID_NOT)
    boss = make_user("refunds.request_refund", "refunds.approve_refund")
    accept(case, boss)
    again = services.retry_refund(first, actor=boss)
    assert sent(again).status == Status.QUEUED
    boss.is_active = False
    boss.save()
    canceled = sent(again)
    assert canceled.status == Status.CANCELED
    assert sent(services.retry_refund(canceled, actor=agent)).status == Status.QUEUED


@only_nmi
def test_what_failed_and_was_accepted_before_stops_nothing(desk: Desk, rule, agent, approver):
    first, case = list_unplaced(desk, rule)
    accept(case, approver)
    again = sent(services.retry_refund(first, actor=agent))
    assert again.status == Status.QUEUED
    desk.post("refunds", refund_id=case.evidence["refund"], status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    assert sent(again).status == Status.SUCCEEDED


@only_nmi
def test_what_failed_after_it_was_let_go_stops_nobody(desk: Desk, rule, agent, make_user):
    first, case = list_unplaced(desk, rule)
    boss = make_user("refunds.request_refund", "refunds.approve_refund")
    services.let_go(sent(services.retry_refund(first, actor=agent)), actor=boss)
    desk.post("refunds", refund_id=case.evidence["refund"], status="failed")
    sync_account(desk.account, since=timezone.now() - timedelta(days=1))
    own = desk.ask(first.transaction, 2_500, requested_by=boss)
    assert sent(own).status == Status.SUCCEEDED


@only_nmi
def test_who_cannot_look_says_that_a_person_is_waited_for(desk: Desk, listed, approver, make_user):
    first, case = listed(Verdict.DID_NOT)
    boss = make_user("refunds.request_refund", "refunds.approve_refund")
    accept(case, boss)
    again = services.retry_refund(first, actor=boss)
    desk.arm("get_payment", "500", times=20)
    assert sent(again).status == Status.QUEUED
    assert Attention.objects.open().filter(refund=again, kind=AttentionKind.NOT_SENT).exists()
    services.let_go(again, actor=approver)


@only_nmi
def test_undoing_another_one_puts_nothing_in_question(desk: Desk, listed, agent, make_user):
    first, case = listed(Verdict.DID_NOT)
    boss = make_user("refunds.request_refund", "refunds.approve_refund")
    accept(case, boss)
    assert sent(desk.ask(first.transaction, 2_500)).status == Status.SUCCEEDED
    cancel_refund(desk.ask(first.transaction, 2_500, requested_by=boss), actor=boss)
    assert sent(desk.ask(first.transaction, 2_500)).status == Status.SUCCEEDED


@only_nmi
def test_what_is_another_payments_by_now_stops_nothing(desk: Desk, waiting):
    payment = desk.pay(last4="1111")
    first, again = waiting("A")
    [listed] = Attention.objects.open().get(kind=AttentionKind.NOT_SENT).evidence["listed"]
    other = bring(desk.ask(payment, 2_500), Status.SUCCEEDED, processor_refund_id=listed)
    assert other.transaction != first.transaction
    assert sent(again).status == Status.SUCCEEDED


@only_nmi
def test_both_of_two_that_are_listed_say_what_they_may_be(desk: Desk, rule, agent, approver):
    first = rule(make_unreferenced(desk, shape="A"), Verdict.DID_NOT)
    desk.post("refunds", payment_id=first.transaction.external_id, amount_minor=2_500)
    desk.show_late(0)
    sync_account(desk.account)
    cases = Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE).order_by("pk")
    assert ["It may be what was asked for here" in case.reason for case in cases] == [True, True]
    one, other = cases
    assert (like_ours(one), like_ours(other)) == (first, None)
    accept(one, approver)
    assert like_ours(other) == first
    assert sent(services.retry_refund(first, actor=agent)).status == Status.QUEUED


@only_nmi
@pytest.mark.parametrize("verdict", [Verdict.DID_NOT, Verdict.SEND_AGAIN])
@pytest.mark.parametrize("lag", [0, LONG])
def test_what_was_let_go_for_one_is_in_question_for_what_is_ruled_out_later(
    desk: Desk, rule, agent, approver, verdict, lag
):
    first = make_unreferenced(desk, shape="A")
    desk.show_late(0)
    sync_account(desk.account)
    second = desk.ask(first.transaction, 2_500)  # rightly owed, and nothing counts as not made yet
    assert sent(second).status == Status.SUCCEEDED
    desk.show_late(LONG)
    RefundAttempt.objects.filter(refund=first).update(
        first_absent_at=timezone.now() - timedelta(hours=1)
    )
    looked_up(first)
    first = rule(first, verdict)
    desk.show_late(lag)
    newer = first if verdict == Verdict.SEND_AGAIN else desk.ask(first.transaction, 2_500)
    assert sent(newer).status == Status.QUEUED
    assert desk.given_back(first.transaction) == [2_500, 2_500]


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
def test_where_nothing_counts_as_not_made_nobody_waits(desk: Desk, shape):
    """A sync while a refund is being sent, and an equal one after it."""
    desk.post("accounts", account=desk.name, refund_shape=shape, lookup_lag_seconds=0)
    first = desk.ask(desk.pay(), 2_500)
    raise_doubts(first, ["what a sync listed meanwhile"])
    assert sent(first).status == Status.SUCCEEDED
    assert sent(desk.ask(first.transaction, 2_500)).status == Status.SUCCEEDED


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
def test_what_is_listed_as_failed_raises_no_doubt(desk: Desk, agent, rule, shape):
    refund = make_unreferenced(desk, shape=shape)
    desk.show_late(0)
    report = now_reported(
        external_id="9001", amount=refund.amount, state=RefundState.FAILED,
    )  # fmt: skip
    doubt_unless_referenced(refund, report)
    assert not Doubt.objects.exists()


@only_nmi
@pytest.mark.parametrize("shape", ["A", "B"])
def test_who_accepted_and_calls_off_another_ones_takes_that_back(
    desk: Desk, rule, agent, approver, shape
):
    first = rule(make_unreferenced(desk, shape=shape), Verdict.DID_NOT)
    desk.show_late(0)
    sync_account(desk.account)
    accept(Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE), approver)
    again = cancel_refund(services.retry_refund(first, actor=agent), actor=approver)
    third = services.retry_refund(again, actor=agent)
    assert sent(third).status == Status.QUEUED
    assert desk.given_back(first.transaction) == [2_500]


@only_nmi
def test_what_was_let_go_leaves_though_the_case_is_open(desk: Desk, listed, agent, approver):
    refund, case = listed(Verdict.DID_NOT)
    again = sent(services.retry_refund(refund, actor=agent))
    waits = Attention.objects.open().get(kind=AttentionKind.NOT_SENT)
    services.let_go(again, actor=approver)
    waits.refresh_from_db()
    assert waits.closed_by == approver
    with pytest.raises(services.WrongStatus, match="Only what waits"):
        services.let_go(again, actor=approver)
    assert not is_paid_twice(case)
    assert sent(again).status == Status.SUCCEEDED
    assert is_paid_twice(case)


@only_nmi
@pytest.mark.parametrize("newest_first", [True, False])
def test_two_that_were_made_and_ruled_out_are_told_as_paid_twice(
    desk: Desk, rule, approver, newest_first
):
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    rule(make_unreferenced(desk, payment=first.transaction), Verdict.DID_NOT)
    desk.show_late(0)
    sync_account(desk.account)
    cases = Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE).order_by("pk")
    assert cases.count() == 2
    for case in cases if newest_first else cases.reverse():
        count_as_ours(case, approver)
    assert Attention.objects.open().get().kind == AttentionKind.FOUND_SEVERAL
    assert_agreement(desk, first.transaction, 2_500, 2_500)


@only_nmi
def test_what_is_ours_just_before_a_claim_is_not_paid_again(
    desk: Desk, listed, agent, approver, monkeypatch
):
    refund, case = listed(Verdict.DID_NOT)
    again = sent(services.retry_refund(refund, actor=agent))
    services.let_go(again, actor=approver)
    run_before_claim(monkeypatch, lambda: count_as_ours(case, approver))
    assert sent(again).status == Status.QUEUED
    assert sent(again).status == Status.CANCELED
    assert_agreement(desk, refund.transaction, 2_500)


@only_nmi
def test_letting_go_speaks_of_what_was_listed_only(desk: Desk, rule, agent, approver):
    """One was made elsewhere before; ours is listed after that one was let go, and before it left."""
    payment = desk.pay()
    desk.post("refunds", payment_id=payment.external_id, amount_minor=2_500)
    desk.post("clock", advance_seconds=120)
    first = rule(make_unreferenced(desk, payment=payment), Verdict.DID_NOT)
    desk.show_late(36_060)
    sync_account(desk.account)
    again = sent(services.retry_refund(first, actor=agent))
    assert len(Attention.objects.open().get(kind=AttentionKind.NOT_SENT).evidence["listed"]) == 1
    services.let_go(again, actor=approver)
    desk.show_late(0)
    sync_account(desk.account)
    desk.show_late(200_000)
    assert sent(again).status == Status.QUEUED


@only_nmi
@pytest.mark.parametrize("answer", ["ours", "accepted"])
def test_of_two_that_it_may_be_the_other_one_is_not_tried_again(
    desk: Desk, rule, agent, approver, answer
):
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    again = rule(make_unreferenced(desk, when="before", payment=first.transaction), Verdict.DID_NOT)
    desk.show_late(0)
    sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.MADE_OUTSIDE)
    assert " or " in case.reason
    assert like_ours(case) == again
    if answer == "ours":
        count_as_ours(case, approver)
        with pytest.raises(services.WrongStatus, match="As much was asked for since"):
            services.retry_refund(first, actor=agent)
    else:
        retried = sent(services.retry_refund(first, actor=agent))
        assert retried.status == Status.QUEUED
        accept(case, approver)
        retried.refresh_from_db()
        assert retried.next_action_at <= timezone.now()


@only_nmi
def test_what_fits_no_payment_and_may_be_ours_says_so(desk: Desk, rule):
    desk.pay()  # with the same card
    payment = desk.pay(5_000)
    first = rule(make_unreferenced(desk, shape="A", payment=payment), Verdict.DID_NOT)
    assert sent(desk.ask(first.transaction, 2_500)).status == Status.SUCCEEDED
    desk.show_late(0)
    sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.UNPLACED)
    assert case.reason.endswith("if as much was sent since, it has gone back twice.")
    assert case.evidence["may_be"] == str(first.pk)


@only_nmi
def test_an_old_page_lets_nothing_go_that_its_reader_has_not_seen(
    desk: Desk, rule, agent, approver
):
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    seen = Attention.objects.open().get(kind=AttentionKind.NOT_SENT)
    assert len(seen.evidence["listed"]) == 1
    let_go(seen, approver)
    desk.post("refunds", payment_id=first.transaction.external_id, amount_minor=2_500)
    assert sent(again).status == Status.QUEUED
    with pytest.raises(services.WrongStatus, match="closed already"):
        let_go(seen, approver)
    now = Attention.objects.open().get(kind=AttentionKind.NOT_SENT)
    assert set(now.evidence["listed"]).isdisjoint(seen.evidence["listed"])


@only_nmi
def test_what_is_listed_by_now_is_another_case_of_the_same_owner(desk: Desk, rule, agent, approver):
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    read = take(Attention.objects.open().get(kind=AttentionKind.NOT_SENT), approver)
    assert sent(again).status == Status.QUEUED
    assert Attention.objects.open().get(kind=AttentionKind.NOT_SENT) == read
    desk.post("refunds", payment_id=first.transaction.external_id, amount_minor=2_500)
    sent(again)
    case = Attention.objects.open().get(kind=AttentionKind.NOT_SENT)
    assert (len(case.evidence["listed"]), case.owner) == (2, approver)
    with pytest.raises(services.WrongStatus, match="closed already"):
        let_go(read, approver)


@only_nmi
def test_what_was_let_go_explains_no_later_one_without_an_id(desk: Desk, rule, agent, approver):
    payment = desk.pay()
    assert sent(desk.ask(payment, 2_500)).status == Status.SUCCEEDED
    first = rule(make_unreferenced(desk, payment=payment), Verdict.DID_NOT)
    desk.show_late(0)
    again = sent(services.retry_refund(first, actor=agent))
    services.let_go(again, actor=approver)
    sync_account(desk.account)
    for case in Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE):
        accept(case, approver)
    desk.post("refunds", payment_id=payment.external_id, amount_minor=2_500)
    assert sent(again).status == Status.QUEUED


@only_nmi
def test_a_later_refund_of_ours_does_not_hide_one_without_an_id(desk: Desk, rule):
    """What was ruled out is listed late; a refund of the same amount left hours after it."""
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    later = sent(desk.ask(first.transaction, 2_500))
    assert later.status == Status.SUCCEEDED
    # The processor's clock is ahead of ours by now.
    with triggers_off():
        later.attempts.update(first_sent_at=timezone.now() + timedelta(hours=10))
    desk.show_late(3_600)
    again = sent(desk.ask(first.transaction, 2_500))
    assert again.status == Status.QUEUED
    sync_account(desk.account)
    assert Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE).count() == 1
    assert sent(again).status == Status.QUEUED


@only_nmi
def test_a_case_about_what_came_back_names_nobody_any_more(desk: Desk, listed, approver):
    refund, case = listed(Verdict.DID_NOT)
    bring_back(case.refund)
    desk.post("refunds", payment_id=refund.transaction.external_id, amount_minor=2_500)
    sync_account(desk.account)
    other = Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE).exclude(pk=case.pk)
    assert other.get().evidence == {"may_be": str(refund.pk)}


@only_nmi
def test_it_is_the_one_that_people_were_told_of(desk: Desk, rule, agent, approver):
    first = rule(make_unreferenced(desk), Verdict.DID_NOT)
    second = rule(make_unreferenced(desk, payment=first.transaction), Verdict.DID_NOT)
    desk.show_late(0)
    sync_account(desk.account)
    for each in (first, second):
        case = Attention.objects.open().get(evidence__may_be=str(each.pk))
        assert like_ours(case) == each


@only_nmi
def test_what_went_back_already_is_not_let_go(desk: Desk, listed, agent, approver):
    refund, case = listed(Verdict.DID_NOT)
    again = sent(services.retry_refund(refund, actor=agent))
    count_as_ours(case, approver)
    again.refresh_from_db()
    assert again.next_action_at <= timezone.now()
    with pytest.raises(services.WrongStatus, match="went back already"):
        services.let_go(again, actor=approver)
    assert sent(again).status == Status.CANCELED


@only_nmi
def test_nobody_is_asked_twice_about_one_refund_of_ours(desk: Desk, listed):
    refund, case = listed(Verdict.DID_NOT)
    desk.post("refunds", payment_id=refund.transaction.external_id, amount_minor=2_500)
    sync_account(desk.account)
    others = Attention.objects.open().filter(kind=AttentionKind.MADE_OUTSIDE).exclude(pk=case.pk)
    assert others.get().evidence == {}


@only_nmi
def test_what_was_to_be_sent_again_is_called_off_when_a_person_finds_it(
    desk: Desk, listed, approver
):
    refund, case = listed(Verdict.SEND_AGAIN)
    count_as_ours(case, approver)
    assert sent(refund).status == Status.CANCELED
    assert_agreement(desk, refund.transaction, 2_500)


@only_nmi
def test_what_fits_no_payment_can_be_ours(desk: Desk, rule, agent, approver):
    other = desk.pay()  # with the same card
    first = rule(make_unreferenced(desk, shape="A"), Verdict.DID_NOT)
    again = services.retry_refund(first, actor=agent)
    desk.show_late(0)
    sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.UNPLACED)
    assert like_ours(case) == first
    count_as_ours(case, approver, "By the statement.")
    case.refresh_from_db()
    assert case.outcome.endswith("By the statement.")
    made = Refund.objects.get(origin="external")
    assert (made.counts_for, made.transaction) == (first, first.transaction)
    assert sent(again).status == Status.CANCELED
    for account in (desk.account, desk.account):
        sync_account(account, since=timezone.now() - timedelta(days=1))
    assert_agreement(desk, first.transaction, 2_500)
    assert Transaction.objects.get(pk=other.pk).refunded_minor == 0
    with pytest.raises(services.WrongStatus, match="closed already"):
        count_as_ours(case, approver)


@only_nmi
def test_what_fits_no_payment_and_is_ours_may_be_paid_twice(desk: Desk, rule, agent, approver):
    desk.pay()  # with the same card
    first = rule(make_unreferenced(desk, shape="A"), Verdict.DID_NOT)
    assert sent(desk.ask(first.transaction, 2_500)).status == Status.SUCCEEDED
    desk.show_late(0)
    sync_account(desk.account)
    case = Attention.objects.open().get(kind=AttentionKind.UNPLACED)
    with pytest.raises(services.NotAllowed):
        count_as_ours(case, agent)
    assert is_paid_twice(case)
    count_as_ours(case, approver)
    assert Attention.objects.open().get(kind=AttentionKind.FOUND_SEVERAL).refund == first
    assert_agreement(desk, first.transaction, 2_500, 2_500)


@only_nmi
def test_what_fits_no_payment_is_not_ours_once_ours_counts_elsewhere(desk: Desk, rule, approver):
    first, case = list_unplaced(desk, rule)
    other = bring(desk.ask(first.transaction, 2_500), Status.SUCCEEDED)
    Refund.objects.filter(pk=first.pk).update(made_as=other)
    assert like_ours(case) is None
    with pytest.raises(services.WrongStatus, match="No refund of ours"):
        count_as_ours(case, approver)
