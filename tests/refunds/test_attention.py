"""Raising and closing cases, and whose they are."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from refunds.attention import choose_owner, close_cases, flag, raise_case
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import Attention, AttentionKind, Refund
from refunds.states import Status

from .faults.play import in_parallel
from .states import bring

pytestmark = pytest.mark.django_db

K = AttentionKind


@pytest.fixture
def refund(make_transaction, ask) -> Refund:
    return ask(make_transaction(), 4_000)


def open_kinds(refund: Refund) -> set[str]:
    return set(refund.cases.filter(closed_at__isnull=True).values_list("kind", flat=True))


def test_a_case_is_raised_once_with_its_evidence_and_an_owner(refund, agent):
    for reason in ("First.", "Second."):
        flag(refund, K.MISSING, reason, {"asked": "twice"})
    case = Attention.objects.get()
    assert (case.reason, case.evidence, case.owner) == ("First.", {"asked": "twice"}, agent)
    assert (case.account, case.transaction) == (refund.account, refund.transaction)
    refund.refresh_from_db()
    assert (refund.attention_reason, refund.attention_since) == ("First.", case.raised_at)
    event = refund.events.get(kind="needs_attention")
    assert event.data == {"kind": "missing", "reason": "First."}


def test_a_refund_repeats_its_oldest_case(refund):
    for kind in (K.MISSING, K.RETURNED):
        flag(refund, kind, str(kind.label))
    assert refund.attention_reason == str(K.MISSING.label)
    assert close_cases(refund, {K.MISSING}, "Found.") == 1
    assert refund.attention_reason == str(K.RETURNED.label)
    assert close_cases(refund, {K.MISSING}, "Found.") == 0
    assert close_cases(refund, {K.RETURNED}, "Known.") == 1
    assert (refund.attention_reason, refund.attention_since) == (None, None)
    assert refund.events.filter(kind="attention_closed").count() == 2


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        (
            Status.SUCCEEDED,
            {K.UNKNOWN_OUTCOME, K.PENDING_LONG, K.STUCK, K.NOT_SENT, K.AMOUNT_DIFFERS, K.MISSING},
        ),
        (Status.FAILED, {K.UNKNOWN_OUTCOME, K.PENDING_LONG, K.STUCK, K.NOT_SENT}),
        (Status.CANCELED, {K.NOT_APPROVED, K.STUCK, K.NOT_SENT}),
        (Status.PENDING, {K.UNKNOWN_OUTCOME, K.NOT_SENT}),
        (Status.UNKNOWN, {K.NOT_SENT}),
        (Status.SENDING, set()),
    ],
)
def test_a_new_status_closes_the_cases_that_it_answers(refund, status, settled):
    for kind in K:
        flag(refund, kind, "Look.")
    refund = bring(refund, status)
    assert open_kinds(refund) == {*K} - settled
    outcomes = refund.cases.exclude(closed_at=None).values_list("outcome", "closed_by")
    assert set(outcomes) <= {(refund.get_status_display(), None)}
    assert [each.name for each in INVARIANTS if broken_rows(each) and "oldest" in each.name] == []


def test_who_asked_for_a_refund_owns_its_cases_while_they_may(refund, agent, approver):
    assert choose_owner(refund) == agent
    agent.user_permissions.clear()
    assert choose_owner(Refund.objects.get(pk=refund.pk)) == approver
    approver.is_active = False
    approver.save()
    assert choose_owner(Refund.objects.get(pk=refund.pk)) is None


def test_who_may_approve_and_has_the_fewest_cases_gets_the_next(make_user, make_account):
    account = make_account()
    people = {make_user("refunds.approve_refund") for _ in range(3)}
    make_user("refunds.request_refund")
    make_user("refunds.approve_refund", is_active=False)
    for number in range(6):
        assert raise_case(K.UNPLACED, f"refund:{number}", "Whose?", account=account)
    assert {person: person.attention_cases.count() for person in people} == dict.fromkeys(people, 2)


def test_a_long_reason_is_cut_and_a_case_without_a_refund_is_raised_once(make_account):
    account = make_account()
    assert raise_case(K.UNPLACED, "x" * 500, "y" * 500, account=account)
    assert not raise_case(K.UNPLACED, "x" * 200, "again", account=account)
    case = Attention.objects.get()
    assert (len(case.subject), len(case.reason)) == (200, 300)


@pytest.mark.django_db(transaction=True)
def test_two_workers_raise_one_case(make_account, approver):
    account = make_account()

    def act(_number: int) -> bool:
        return raise_case(K.UNPLACED, "refund:1", "Whose?", account=account)

    in_parallel(8, act)
    assert Attention.objects.count() == 1


@pytest.mark.parametrize(
    "fields",
    [{"outcome": "done"}, {"kind": "odd"}],
)
def test_the_database_refuses_a_case_that_contradicts_itself(refund, fields):
    flag(refund, K.MISSING, "Look.")
    with pytest.raises(IntegrityError), transaction.atomic():
        Attention.objects.update(**fields)
