"""The approval rules at work: for whom they count, at whose limit, and when the money leaves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connections
from django.db import transaction as database
from django.utils import timezone

from access.models import AccountRole
from gateways.money import Money
from refunds.approvals import (
    BeyondLimit,
    approve_refund,
    expire_unapproved,
    reject_refund,
    shown,
)
from refunds.execution import send_refund
from refunds.models import ApprovalRule, Refund, RefundEvent, RuleKind
from refunds.rules import Approver, limits_for, reasons_for
from refunds.services import NotAllowed, WrongStatus, cancel_refund
from refunds.states import Status
from refunds.story import tell
from tests.rest import make_account, make_person, make_transaction
from transactions.customers import mark
from transactions.models import Customer

from .desk import Desk
from .raw import triggers_off

pytestmark = pytest.mark.django_db

K = RuleKind
only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@pytest.fixture
def manager():
    return make_person("manager", email="ion@example.com")


@pytest.fixture
def rule_that(manager):
    """Set a rule, as a manager does."""

    def rule_that(kind: RuleKind, value: int | None, **scope) -> ApprovalRule:
        scope.setdefault("currency", "USD" if kind.is_money else "")
        return ApprovalRule.objects.create(kind=kind, value=value, made_by=manager, **scope)

    return rule_that


def why(refund: Refund) -> list[str]:
    last = refund.events.filter(to_status=Status.AWAITING_APPROVAL).last()
    return [kind for kind, _sentence in last.data["rules"]]


class TestScopes:
    def test_a_role_is_what_somebody_has_for_the_account(self, rule_that):
        person, account, other = make_person("viewer"), make_account(), make_account()
        agents = Group.objects.get(name="agent")
        rule_that(K.PAYMENT, 100)
        rule_that(K.PAYMENT, 700, role=agents)
        AccountRole.objects.create(user=person, role=agents, account=account)
        assert limits_for(account, "USD", person) == {K.PAYMENT: 700}
        assert limits_for(other, "USD", person) == {K.PAYMENT: 100}

    def test_a_rule_for_one_person_is_for_all_their_accounts(self, rule_that):
        ana = make_person("agent", email="ana@example.com")
        twin = make_person("agent", email="Ana@example.com")
        rule_that(K.PAYMENT, 5, person=ana)
        account = make_account()
        assert limits_for(account, "USD", ana) == limits_for(account, "USD", twin) == {K.PAYMENT: 5}
        assert limits_for(account, "USD", make_person("agent")) == {}

    def test_a_number_counts_in_every_currency(self, rule_that, agent):
        rule_that(K.AGE, 30)
        account = make_account()
        assert limits_for(account, "JPY", agent) == limits_for(account, "USD", agent) == {K.AGE: 30}

    def test_without_rules_a_request_costs_one_query(self, agent, django_assert_num_queries):
        payment = make_transaction()
        assert payment.account  # is read before
        with django_assert_num_queries(1):
            assert reasons_for(payment, payment.amount, agent) == []

    @pytest.mark.parametrize(
        ("fields", "constraint"),
        [
            ({"kind": "mood", "currency": ""}, "approval_rule_kind_is_known"),
            ({"kind": "age", "currency": "USD"}, "approval_rule_about_money_has_a_currency"),
            ({"kind": "day", "currency": ""}, "approval_rule_about_money_has_a_currency"),
            ({"value": -1}, "approval_rule_value_is_in_range"),
        ],
    )
    def test_what_makes_no_sense_is_refused_by_the_database(self, manager, fields, constraint):
        values = {"kind": "payment", "currency": "USD", "value": 1, "made_by": manager} | fields
        with pytest.raises(IntegrityError, match=constraint), database.atomic():
            ApprovalRule.objects.create(**values)

    def test_nor_one_for_a_role_and_a_person(self, rule_that, agent):
        both = {"role": Group.objects.get(name="agent"), "person": agent}
        with pytest.raises(IntegrityError, match="for_a_role_or_a_person"), database.atomic():
            rule_that(K.PAYMENT, 1, **both)


class TestDay:
    def test_small_ones_of_many_payments_are_one_large_one(self, ask, rule_that):
        rule_that(K.DAY, 1_000)
        assert ask(make_transaction(), 600).status == Status.QUEUED
        assert ask(make_transaction(), 400).status == Status.QUEUED
        last = ask(make_transaction(), 1)
        assert (last.status, why(last)) == (Status.AWAITING_APPROVAL, [K.DAY])

    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_once_that_go_above_it_together_one_waits(self, ask, rule_that):
        rule_that(K.DAY, 1_000)
        start, payments = Barrier(2), [make_transaction(), make_transaction()]

        def request(payment) -> str:
            try:
                start.wait(10)
                return ask(payment, 600).status
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            found = sorted(pool.map(request, payments))
        assert found == [Status.AWAITING_APPROVAL, Status.QUEUED]


class TestApproving:
    def test_what_is_shown_is_what_is_approved(self, ask, rule_that, approver):
        rule_that(K.PAYMENT, 0)
        payment = make_transaction()
        refund = ask(payment, 1_000)
        seen = shown(Refund.objects.get(pk=refund.pk))
        ask(payment, 500)
        with pytest.raises(WrongStatus, match="has changed since you looked"):
            approve_refund(refund, actor=approver, seen=seen)
        now = shown(Refund.objects.get(pk=refund.pk))
        assert approve_refund(refund, actor=approver, seen=now).status == Status.QUEUED

    def test_nobody_approves_beyond_their_own_limit(self, ask, rule_that, approver, make_user):
        rule_that(K.PAYMENT, 0)
        rule_that(K.APPROVING, 999, person=approver)
        refund = ask(make_transaction(), 1_000)
        with pytest.raises(BeyondLimit, match=r"You approve refunds up to 9\.99 USD"):
            approve_refund(refund, actor=approver)
        assert approve_refund(refund, actor=make_user("refunds.approve_refund")).status == "queued"

    def test_nor_in_parts(self, ask, rule_that, approver, make_user):
        rule_that(K.PAYMENT, 0)
        rule_that(K.APPROVING, 200, person=approver)
        payment = make_transaction()
        parts = [ask(payment, minor) for minor in (99, 98, 3, 1)]
        for part in parts[:3]:
            approve_refund(part, actor=approver)
        with pytest.raises(BeyondLimit, match=r"up to 2\.00 USD, and together .* 2\.01 USD"):
            approve_refund(parts[3], actor=approver)
        [*_, last] = tell(payment.refunds.order_by("created_at"), approver)
        assert "together they would be 2.01 USD" in last.decision.may_not
        assert approve_refund(parts[3], actor=make_user("refunds.approve_refund"))
        cancel_refund(parts[0], actor=parts[0].requested_by)
        assert approve_refund(ask(payment, 99), actor=approver)

    def test_parts_are_read_once_for_all(
        self, ask, rule_that, approver, django_assert_max_num_queries
    ):
        rule_that(K.PAYMENT, 0)
        rule_that(K.APPROVING, 200, person=approver)
        refunds = [ask(make_transaction(), 99) for _ in range(4)]
        waiting = list(
            Refund.objects.filter(pk__in=[each.pk for each in refunds]).select_related("account")
        )
        reader = Approver(approver, waiting)
        with django_assert_max_num_queries(5):  # the limits at each account, and the parts
            assert not any(reader.why_not(refund) for refund in waiting)

    def test_nor_under_another_account_of_who_asked(self, ask, rule_that, agent, make_user):
        rule_that(K.PAYMENT, 0)
        agent.email = "ana@example.com"
        agent.save()
        refund = ask(make_transaction(), 1_000)
        twin = make_user("refunds.approve_refund", email="ANA@example.com")
        with pytest.raises(NotAllowed, match="Another person"):
            approve_refund(refund, actor=twin)
        rows = Refund.objects.filter(pk=refund.pk)
        with pytest.raises(IntegrityError, match="is who asked for it"), database.atomic():
            rows.update(approved_by=twin)

    def test_who_asked_reads_why_not(self, ask, rule_that, approver):
        rule_that(K.PAYMENT, 0)
        rejected = reject_refund(ask(make_transaction(), 10), actor=approver, why="Not owed.")
        assert rejected.rejected_why == "Not owed."

    @pytest.mark.parametrize("change", [{"note": "x"}, {"words": "x"}, {"reason_id": None}])
    def test_what_was_read_does_not_change_before_it_leaves(self, ask, rule_that, approver, change):
        rule_that(K.PAYMENT, 0)
        refund = ask(make_transaction(), 1_000)
        for _ in range(2):
            with pytest.raises(IntegrityError, match="never changes"), database.atomic():
                Refund.objects.filter(pk=refund.pk).update(**change)
            if refund.status == Status.AWAITING_APPROVAL:
                refund = approve_refund(refund, actor=approver)

    @pytest.mark.parametrize("change", [{"approved_by": None}, {"needs_approval": False}])
    def test_what_was_approved_stays_approved_by_the_same(self, ask, rule_that, approver, change):
        rule_that(K.PAYMENT, 0)
        refund = approve_refund(ask(make_transaction(), 1_000), actor=approver)
        with pytest.raises(IntegrityError, match="never changes"), database.atomic():
            Refund.objects.filter(pk=refund.pk).update(**change)


class TestRiskyCustomers:
    @pytest.fixture
    def payment(self):
        customer = Customer.objects.create(email="maria@example.com")
        return make_transaction(customer=customer)

    def test_whoever_asks_for_them_waits_without_any_rule(self, ask, payment, manager):
        mark(payment.customer, is_risky=True, actor=manager)
        refund = ask(payment, 100)
        assert (refund.status, why(refund)) == (Status.AWAITING_APPROVAL, [K.RISKY])
        assert [each.kind for each in reasons_for(payment, refund.amount, manager)] == [K.RISKY]

    def test_who_takes_the_mark_back_does_so_for_others(self, ask, payment, manager, agent):
        mark(payment.customer, is_risky=True, actor=manager)
        mark(payment.customer, is_risky=False, actor=manager)
        assert ask(payment, 100).status == Status.QUEUED
        amount = Money(100, "USD")
        same = make_person("manager", email="Ion@example.com")
        for person in (manager, same):
            assert [each.kind for each in reasons_for(payment, amount, person)] == [K.RISKY]
        assert reasons_for(payment, amount, make_person("manager")) == []

    @only_stripe
    def test_what_is_queued_waits_once_they_are_marked(self, desk: Desk, manager, approver):
        payment = desk.pay(payer_email="maria@example.com")
        refund = desk.ask(payment, 100)
        mark(payment.customer, is_risky=True, actor=manager)
        send_refund(refund.pk)
        refund.refresh_from_db()
        assert (refund.status, why(refund)) == (Status.AWAITING_APPROVAL, [K.RISKY])
        approve_refund(refund, actor=approver)
        send_refund(refund.pk)
        refund.refresh_from_db()
        assert refund.status in {Status.PENDING, Status.SUCCEEDED}


class TestExpiry:
    def asked_for(self, refund: Refund, days: int) -> None:
        moment = timezone.now() - timedelta(days=days, minutes=1)
        with triggers_off():
            RefundEvent.objects.filter(refund=refund).update(at=moment)
            Refund.objects.filter(pk=refund.pk).update(created_at=moment)

    @pytest.mark.parametrize(("days", "told"), [(7, "7 days"), (1, "1 day")])
    def test_what_nobody_approves_is_called_off(self, ask, rule_that, settings, days, told):
        settings.APPROVAL_EXPIRES_DAYS = days
        rule_that(K.PAYMENT, 0)
        payment = make_transaction()
        late, fresh = ask(payment, 700), ask(payment, 200)
        self.asked_for(late, days)
        self.asked_for(fresh, days - 1)
        assert expire_unapproved() == 1
        late.refresh_from_db()
        payment.refresh_from_db()
        assert (late.status, payment.reserved_minor) == (Status.CANCELED, 200)
        event = late.events.get(kind="expired")
        assert event.data["why"].startswith(f"Nobody approved it in {told}.")
        assert expire_unapproved() == 0

    def test_what_is_decided_in_that_moment_stays_decided(
        self, ask, rule_that, approver, settings, monkeypatch
    ):
        from refunds import approvals

        rule_that(K.PAYMENT, 0)
        refund = ask(make_transaction(), 700)
        self.asked_for(refund, settings.APPROVAL_EXPIRES_DAYS)
        lock = approvals.lock_refund

        def lock_late(pk):
            monkeypatch.setattr(approvals, "lock_refund", lock)
            approve_refund(refund, actor=approver)
            return lock(pk)

        monkeypatch.setattr(approvals, "lock_refund", lock_late)
        assert expire_unapproved() == 0
        refund.refresh_from_db()
        assert refund.status == Status.QUEUED


@pytest.mark.django_db(transaction=True)
class TestWhenTheMoneyLeaves:
    @only_stripe
    def test_a_rule_that_was_set_meanwhile_asks_somebody(self, desk: Desk, rule_that, approver):
        refund = desk.ask(desk.pay(), 2_500)
        rule_that(K.PAYMENT, 2_000)
        send_refund(refund.pk)
        refund.refresh_from_db()
        assert (refund.status, refund.needs_approval) == (Status.AWAITING_APPROVAL, True)
        assert desk.calls("refund") == 0
        assert refund.events.get(kind="approval_needed").data["why"].endswith("than 20.00 USD.")
        approve_refund(refund, actor=approver)
        send_refund(refund.pk)
        refund.refresh_from_db()
        assert refund.status == Status.SUCCEEDED
        assert desk.given_back(refund.transaction) == [2_500]

    @only_stripe
    def test_an_approver_whose_limit_was_lowered_is_not_enough(
        self, desk: Desk, rule_that, approver, make_user
    ):
        rule_that(K.PAYMENT, 0)
        refund = approve_refund(desk.ask(desk.pay(), 2_500), actor=approver)
        rule_that(K.APPROVING, 1_000, person=approver)
        send_refund(refund.pk)
        refund.refresh_from_db()
        assert (refund.status, refund.approved_by) == (Status.AWAITING_APPROVAL, None)
        assert desk.calls("refund") == 0
        approve_refund(refund, actor=make_user("refunds.approve_refund"))
        send_refund(refund.pk)
        refund.refresh_from_db()
        assert refund.status == Status.SUCCEEDED

    @only_stripe
    def test_what_was_asked_for_later_holds_nothing_back(self, desk: Desk, rule_that):
        rule_that(K.DAY, 3_000)
        first = desk.ask(desk.pay(), 2_500)
        second = desk.ask(desk.pay(), 2_500)
        assert second.status == Status.AWAITING_APPROVAL
        send_refund(first.pk)
        first.refresh_from_db()
        assert first.status == Status.SUCCEEDED

    @only_stripe
    def test_what_waits_again_can_be_called_off(self, desk: Desk, rule_that, agent):
        refund = desk.ask(desk.pay(), 2_500)
        rule_that(K.PAYMENT, 0)
        send_refund(refund.pk)
        refund.refresh_from_db()
        assert cancel_refund(refund, actor=agent).status == Status.CANCELED


def test_nobody_exempts_themselves_from_a_rule_that_somebody_else_sets_later(ask, rule_that):
    thief = make_person("manager", email="thief@example.com")
    for kind in (K.PAYMENT, K.DAY):
        ApprovalRule.objects.create(
            kind=kind, value=99_999_999_999, currency="USD", person=thief, made_by=thief
        )
    rule_that(K.PAYMENT, 2_000)
    rule_that(K.DAY, 5_000)
    refund = ask(make_transaction(), 9_000, requested_by=thief)
    assert refund.status == Status.AWAITING_APPROVAL


def test_what_has_just_been_sent_back_is_not_said_to_have_waited_for_a_day(ask, rule_that):
    from refunds.policy import Reason
    from refunds.rules import ask_again
    from refunds.sweeps import flag_overdue

    refund = ask(make_transaction(), 700)
    with triggers_off():
        Refund.objects.update(created_at=timezone.now() - timedelta(days=2))
    ask_again(refund, [Reason(K.PAYMENT, "It is more than the limit of today.")])
    assert flag_overdue() == 0
