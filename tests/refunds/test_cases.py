"""What people do with the cases that need them, and what keeps them tidy."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from refunds import cases
from refunds.attention import flag, raise_case
from refunds.cases import (
    Action,
    accept,
    actions,
    count_as_ours,
    hand_over,
    reassign_orphans,
    take,
)  # fmt: skip
from refunds.models import Attention, AttentionKind, Refund, Verdict, WebhookEvent
from refunds.rulings import propose
from refunds.services import NotAllowed, WrongStatus
from refunds.states import Status

from .states import add_attempt, ago, bring, bring_back, leave_unknown

pytestmark = pytest.mark.django_db

K = AttentionKind
BY_PROOF = sorted(cases.ANSWERED_BY_PROOF)
BY_PEOPLE = sorted({*K} - cases.ANSWERED_BY_PROOF - {K.ACCOUNT_PAUSED})


@pytest.fixture
def refund(make_transaction, make_account, ask) -> Refund:
    return ask(make_transaction(make_account("nmi")), 4_000)


@pytest.fixture
def raised(refund):
    """An open case about the refund."""

    def make(kind=K.MADE_OUTSIDE) -> Attention:
        if kind == K.NOT_SENT:
            bring(refund, Status.CANCELED)
            refund.refresh_from_db()
        flag(refund, kind, "Somebody has to look.")
        return Attention.objects.get(refund=refund, kind=kind)

    return make


@pytest.fixture
def paused(make_account) -> Attention:
    account = make_account("stripe", paused_reason="The key was rejected.")
    raise_case(K.ACCOUNT_PAUSED, f"account:{account.pk}", "The account is paused.", account=account)
    return Attention.objects.get(account=account)


def said(refund: Refund, kind: str):
    return refund.events.get(kind=kind)


# Owners.


def test_a_case_is_taken(raised, refund, agent, approver):
    case = raised()
    assert case.owner == agent
    assert take(case, approver).owner == approver
    case.refresh_from_db()
    assert case.owner == approver
    event = said(refund, "case_given")
    assert event.actor == approver
    assert (event.data["from"], event.data["to"]) == (agent.username, approver.username)
    take(case, approver)
    assert refund.events.filter(kind="case_given").count() == 1


def test_who_can_do_nothing_about_a_case_does_not_own_it(raised, agent, make_user):
    case, viewer = raised(), make_user("refunds.view_attention")
    with pytest.raises(NotAllowed):
        take(case, viewer)
    with pytest.raises(WrongStatus, match="neither request nor approve"):
        hand_over(case, viewer, agent)
    case.refresh_from_db()
    assert case.owner == agent


def test_a_case_is_handed_over_by_its_owner_or_who_approves(raised, agent, approver, make_user):
    case, other = raised(), make_user("refunds.request_refund")
    with pytest.raises(NotAllowed):
        hand_over(case, other, other)
    assert hand_over(case, other, agent).owner == other
    with pytest.raises(NotAllowed):
        hand_over(case, agent, agent)
    assert hand_over(case, agent, approver).owner == agent


def test_the_cases_of_who_is_switched_off_get_a_new_owner(raised, refund, agent, approver):
    case = raised()
    assert reassign_orphans() == 0
    agent.is_active = False
    agent.save()
    assert reassign_orphans() == 1
    case.refresh_from_db()
    assert case.owner == approver
    assert said(refund, "case_given").actor is None
    assert reassign_orphans() == 0


def test_cases_that_nobody_owns_find_an_owner_once_there_is_one(paused, make_user):
    assert paused.owner is None
    assert reassign_orphans() == 0
    boss = make_user("refunds.approve_refund")
    assert reassign_orphans() == 1
    paused.refresh_from_db()
    assert paused.owner == boss


def test_closed_cases_keep_their_owner(raised, agent, approver):
    case = accept(raised(), approver)
    agent.is_active = False
    agent.save()
    assert reassign_orphans() == 0
    case.refresh_from_db()
    assert case.owner == agent


# Whether it is ours.


@pytest.fixture
def ours(refund, ask) -> Refund:
    """It counted as not made, and nothing was asked for in its stead."""
    bring(refund, Status.SUCCEEDED)
    failed = bring(ask(refund.transaction, refund.amount_minor), Status.FAILED)
    add_attempt(failed, "ruled_out", first_sent_at=timezone.now())
    return failed


@pytest.fixture
def alike(refund, ours) -> Attention:
    flag(refund, K.MADE_OUTSIDE, "It may be ours.", {"may_be": str(ours.pk)})
    return Attention.objects.get(refund=refund)


def test_who_may_approve_says_that_it_is_ours(alike, ours, refund, approver):
    assert actions(alike, approver)[0] == Action.COUNT_AS_OURS
    case = count_as_ours(alike, approver, "On the statement.")
    sentence = "It is the refund of ours that counted as not made. On the statement."
    assert (case.closed_by, case.outcome) == (approver, sentence)
    assert said(ours, "made_after_all").actor == approver
    ours.refresh_from_db()
    assert ours.made_as == refund
    with pytest.raises(WrongStatus, match="closed already"):
        count_as_ours(case, approver)


def test_who_may_not_approve_does_not_say_that_it_is_ours(alike, agent):
    assert Action.COUNT_AS_OURS not in actions(alike, agent)
    with pytest.raises(NotAllowed):
        count_as_ours(alike, agent)


def test_what_is_like_no_refund_of_ours_is_none(raised, approver):
    case = raised(K.MADE_OUTSIDE)
    assert Action.COUNT_AS_OURS not in actions(case, approver)
    with pytest.raises(WrongStatus, match="No refund of ours"):
        count_as_ours(case, approver)


def test_what_came_back_is_no_refund_of_ours(alike, refund, approver):
    bring_back(refund)
    assert Action.COUNT_AS_OURS not in actions(alike, approver)
    with pytest.raises(WrongStatus, match="No refund of ours"):
        count_as_ours(alike, approver)


def test_what_counts_as_another_one_is_not_this_one(alike, ours, refund, ask, approver):
    other = bring(ask(refund.transaction, 100), Status.SUCCEEDED)
    Refund.objects.filter(pk=ours.pk).update(made_as=other)
    with pytest.raises(WrongStatus, match="No refund of ours"):
        count_as_ours(alike, approver)
    alike.refresh_from_db()
    assert alike.closed_at is None


# Accepting.


@pytest.mark.parametrize("kind", BY_PEOPLE)
def test_who_may_approve_accepts(raised, refund, approver, kind):
    case = accept(raised(kind), approver, "  Looked at the statement. ")
    assert case.closed_at
    assert (case.closed_by, case.outcome) == (approver, "Looked at the statement.")
    refund.refresh_from_db()
    assert refund.attention_reason is None
    assert said(refund, "attention_closed").actor == approver


@pytest.mark.parametrize("kind", BY_PROOF)
def test_what_is_not_proven_is_not_accepted_away(raised, refund, approver, kind):
    case = raised(kind)
    with pytest.raises(WrongStatus, match="closes by itself when"):
        accept(case, approver)
    assert Action.ACCEPT not in actions(case, approver)
    refund.refresh_from_db()
    assert refund.attention_reason


@pytest.mark.parametrize("kind", [K.STUCK, K.NOT_SENT])
def test_what_would_be_raised_again_at_once_is_not_accepted(refund, approver, kind):
    flag(refund, kind, "Something like it is listed.")
    case = Attention.objects.get(refund=refund)
    with pytest.raises(WrongStatus, match="when the refund is made or canceled"):
        accept(case, approver)
    assert Action.TRY_NOW in actions(case, refund.requested_by)


@pytest.mark.parametrize("kind", BY_PEOPLE)
def test_the_owner_accepts_what_only_they_have_to_know(raised, agent, kind):
    case = raised(kind)
    if kind in {K.RETURNED, K.NOT_SENT}:
        assert Action.ACCEPT in actions(case, agent)
        assert accept(case, agent).outcome == "Accepted"
    else:
        assert Action.ACCEPT not in actions(case, agent)
        with pytest.raises(NotAllowed):
            accept(case, agent)


def test_another_agent_accepts_nothing(raised, make_user):
    with pytest.raises(NotAllowed):
        accept(raised(K.RETURNED), make_user("refunds.request_refund"))


def test_a_case_is_closed_once(raised, approver, agent):
    case = raised()
    accept(case, approver, "Known.")
    for act in (accept, take):
        with pytest.raises(WrongStatus, match=r"closed already: Known\."):
            act(case, approver)
    with pytest.raises(WrongStatus):
        hand_over(case, agent, approver)
    assert actions(Attention.objects.get(), approver) == [Action.OPEN]


def test_the_next_case_of_the_kind_is_a_new_one(raised, refund, approver):
    first = accept(raised(), approver)
    refund.refresh_from_db()
    flag(refund, K.MADE_OUTSIDE, "Again.")
    again = Attention.objects.get(closed_at__isnull=True)
    assert again.pk != first.pk
    refund.refresh_from_db()
    assert refund.attention_reason == "Again."


def test_a_refund_shows_its_next_case_when_one_is_accepted(raised, refund, approver):
    first = raised(K.RETURNED)
    refund.refresh_from_db()
    flag(refund, K.MISSING, "Where is it?")
    accept(first, approver)
    refund.refresh_from_db()
    assert refund.attention_reason == "Where is it?"


# Accounts.


def test_the_case_of_a_paused_account_closes_when_it_works_again(paused, approver):
    with pytest.raises(WrongStatus, match="credentials that Stripe accepts"):
        accept(paused, approver)
    assert cases.close_resumed_accounts() == 0
    paused.account.paused_reason = ""
    paused.account.save()
    assert cases.close_resumed_accounts() == 1
    paused.refresh_from_db()
    assert paused.closed_at
    assert paused.closed_by is None
    assert paused.outcome == "The account works again"


def test_who_may_approve_closes_it_too_when_it_works_again(paused, approver):
    paused.account.paused_reason = ""
    paused.account.save()
    paused.refresh_from_db()
    assert accept(paused, approver).closed_by == approver
    assert cases.close_resumed_accounts() == 0


# What may be done.


def test_what_may_be_done_about_an_unknown_outcome(raised, refund, agent, approver, make_user):
    leave_unknown(refund)
    refund.refresh_from_db()
    case = raised(K.UNKNOWN_OUTCOME)
    rule = [Action.ASK_NOW, Action.CONFIRM_HAPPENED, Action.CONFIRM_DID_NOT]
    assert actions(case, agent) == [*rule, Action.HAND_OVER, Action.OPEN]
    assert actions(case, approver) == [*rule, Action.TAKE, Action.HAND_OVER, Action.OPEN]
    assert actions(case, make_user("refunds.view_refund")) == [Action.OPEN]
    propose(refund, verdict=Verdict.DID_NOT, evidence="Nothing on the statement.", actor=agent)
    assert actions(case, agent)[:2] == [Action.ASK_NOW, Action.REJECT_RULING]
    assert actions(case, approver)[:3] == [
        Action.ASK_NOW,
        Action.CONFIRM_RULING,
        Action.REJECT_RULING,
    ]


def test_a_verdict_is_offered_when_it_is_possible(raised, refund, approver):
    leave_unknown(refund, **ago(timedelta(minutes=1)))
    refund.refresh_from_db()
    offered = actions(raised(K.UNKNOWN_OUTCOME), approver)
    assert Action.CONFIRM_HAPPENED in offered
    assert Action.CONFIRM_DID_NOT not in offered
    assert Action.SEND_AGAIN not in offered


def test_what_waits_may_be_tried_now(raised, agent, approver):
    case = raised(K.STUCK)
    assert actions(case, agent)[0] == Action.TRY_NOW
    assert Action.TRY_NOW not in actions(case, approver)


def test_what_waits_may_be_canceled_by_its_requester_or_who_may_approve(
    raised, refund, agent, approver, make_user
):
    case = raised(K.STUCK)
    for person in (agent, approver):
        assert Action.CANCEL in actions(case, person)
    assert Action.CANCEL not in actions(case, make_user("refunds.request_refund"))
    bring(refund, Status.SUCCEEDED)
    assert Action.CANCEL not in actions(Attention.objects.get(), approver)


def test_what_may_be_done_about_an_account(paused, approver, make_user):
    admin = make_user("refunds.approve_refund", "gateways.change_processoraccount")
    assert actions(paused, admin)[0] == Action.CHECK_ACCOUNT
    assert Action.CHECK_ACCOUNT not in actions(paused, approver)


def test_what_may_be_done_about_a_webhook(make_account, approver, make_user):
    account = make_account()
    event = WebhookEvent.objects.create(
        account=account, mode="test", event_id="evt_1", body_sha256=b"x" * 32, state="failed"
    )
    raise_case(K.WEBHOOK_FAILED, f"webhook:{event.pk}", "Failed.", account=account, webhook=event)
    case = Attention.objects.get()
    manager = make_user("refunds.approve_refund", "refunds.process_webhook")
    assert actions(case, manager)[0] == Action.PROCESS_WEBHOOK
    assert Action.PROCESS_WEBHOOK not in actions(case, approver)
    assert accept(case, approver, "Compared by hand.").closed_by == approver


def test_who_was_switched_off_may_do_nothing(raised, approver):
    case = raised()
    approver.is_active = False
    approver.save()
    assert actions(case, approver) == [Action.OPEN]
    for act in (take, accept):
        with pytest.raises(NotAllowed):
            act(case, approver)


def test_a_case_that_closed_meanwhile_is_not_given_away(raised, refund, agent, approver):
    """The facts are faster than the sweep."""
    case = raised(K.STUCK)
    bring(refund, Status.SUCCEEDED)
    with pytest.raises(WrongStatus, match="Succeeded"):
        take(case, approver)
