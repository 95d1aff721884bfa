"""What is above its limit waits for another person: asked for by form, API or trying again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connections
from django.db import transaction as database

from gateways.money import Money
from refunds import approvals, services
from refunds.cases import Action, accept, actions
from refunds.invariants import INVARIANTS, broken_rows
from refunds.models import ApprovalRule, Attention, AttentionKind, Refund, RuleKind
from refunds.rules import limits_for
from refunds.services import NotAllowed, WrongStatus
from refunds.states import Status
from refunds.sweeps import flag_overdue
from tests.audit.lines import told
from tests.decisions import decide
from tests.pages import client_of, visible
from tests.rest import make_account, make_person, make_transaction

from .raw import age_awaiting
from .states import bring

pytestmark = pytest.mark.django_db

LIMITS = "/admin/refunds/approvalrule/"
QUEUE = "/admin/refunds/refund/approvals/"
UNAPPROVED = "A refund that nobody approves or rejects is before a person within a day"


def limit_for(account, currency: str, person: User) -> Money | None:
    minor = limits_for(account, currency, person).get(RuleKind.PAYMENT)
    return None if minor is None else Money(minor, currency)


@pytest.fixture
def manager() -> User:
    return make_person("manager", first_name="Ion", last_name="Rusu", email="ion@example.com")


@pytest.fixture
def limit(manager):
    """Limit what goes back of one payment without another person; None takes the limit back."""

    def limit(minor: int | None, account=None, currency: str = "USD") -> ApprovalRule:
        return ApprovalRule.objects.create(
            account=account, currency=currency, value=minor, made_by=manager
        )

    return limit


def asked_two_days_ago() -> None:
    age_awaiting(timedelta(days=2))


class TestLimits:
    def test_without_any_nobody_is_asked(self, agent):
        assert limit_for(make_account(), "USD", agent) is None

    def test_an_account_has_its_own_or_that_of_all(self, limit, agent):
        own, other = make_account("stripe-own"), make_account("stripe-other")
        limit(50_000)
        limit(70_000, own)
        limit(1_000, own, "EUR")
        assert limit_for(own, "USD", agent) == Money(70_000, "USD")
        assert limit_for(other, "USD", agent) == Money(50_000, "USD")
        assert limit_for(other, "EUR", agent) is None

    def test_the_newest_counts_and_one_without_an_amount_takes_it_back(self, limit, agent):
        own = make_account()
        limit(50_000)
        limit(20_000, own)
        limit(90_000, own)
        assert limit_for(own, "USD", agent) == Money(90_000, "USD")
        limit(None, own)
        assert limit_for(own, "USD", agent) == Money(50_000, "USD")
        limit(None)
        assert limit_for(own, "USD", agent) is None

    @pytest.mark.parametrize("raised", [100_000, None])
    def test_who_raises_it_raises_it_for_others(self, limit, manager, agent, raised):
        account = make_account()
        limit(10_000, account)
        limit(raised, account)
        assert limit_for(account, "USD", manager) == Money(10_000, "USD")
        assert limit_for(account, "USD", agent) == (raised and Money(raised, "USD"))

    def test_also_not_under_another_account_of_theirs(self, limit, manager):
        account = make_account()
        limit(10_000, account)
        limit(100_000, account)
        twin = make_person("manager", email="ION@example.com")
        assert limit_for(account, "USD", twin) == Money(10_000, "USD")

    def test_nor_by_one_of_the_account_beside_that_of_all(self, limit, manager):
        account = make_account()
        limit(10_000)
        limit(100_000, account)
        assert limit_for(account, "USD", manager) == Money(10_000, "USD")

    def test_what_somebody_else_sets_counts_for_them(self, limit, manager):
        account = make_account()
        limit(10_000, account)
        other = make_person("manager", email="other@example.com")
        ApprovalRule.objects.create(account=account, currency="USD", value=30_000, made_by=other)
        assert limit_for(account, "USD", manager) == Money(30_000, "USD")

    @pytest.mark.parametrize("change", ["update", "delete"])
    def test_a_limit_is_never_changed_afterwards(self, limit, change):
        row = limit(50_000)
        rows = ApprovalRule.objects.filter(pk=row.pk)
        with pytest.raises(IntegrityError, match="never changed or removed"), database.atomic():
            rows.update(value=1) if change == "update" else rows.delete()


class TestRequests:
    def test_above_the_limit_it_waits_and_says_why(self, ask, limit, approver):
        limit(5_000)
        payment = make_transaction()
        refund = ask(payment, 5_001)
        assert (refund.status, refund.needs_approval) == (Status.AWAITING_APPROVAL, True)
        assert refund.next_action_at is None
        payment.refresh_from_db()
        assert payment.reserved_minor == 5_001
        why = refund.events.get(kind="requested").data["why"]
        assert why == "Another person has to approve it, because it is more than 50.00 USD."
        approved = approvals.approve_refund(refund, actor=approver)
        assert (approved.status, approved.approved_by) == (Status.QUEUED, approver)
        assert approved.next_action_at is not None

    def test_up_to_the_limit_it_goes_out(self, ask, limit):
        limit(5_000)
        refund = ask(make_transaction(), 5_000)
        assert (refund.status, refund.needs_approval) == (Status.QUEUED, False)

    def test_many_small_ones_of_a_payment_are_one_large_one(self, ask, limit):
        limit(5_000)
        payment = make_transaction()
        bring(ask(payment, 2_000), Status.SUCCEEDED)
        assert ask(payment, 2_000).status == Status.QUEUED
        last = ask(payment, 1_001)
        assert last.status == Status.AWAITING_APPROVAL
        assert "50.01 USD of this payment" in last.events.get(kind="requested").data["why"]

    def test_nobody_who_asked_approves(self, ask, limit, make_user):
        limit(0)
        both = make_user("refunds.request_refund", "refunds.approve_refund")
        refund = ask(make_transaction(), 1_000, requested_by=both)
        with pytest.raises(NotAllowed, match="Another person"):
            approvals.approve_refund(refund, actor=both)

    def test_what_is_approved_is_not_rejected_by_who_looks_at_an_old_page(
        self, ask, limit, approver
    ):
        limit(0)
        refund = ask(make_transaction(), 1_000)
        seen = Refund.objects.get(pk=refund.pk)
        approvals.approve_refund(refund, actor=approver)
        with pytest.raises(WrongStatus, match="does not await approval any more"):
            approvals.reject_refund(seen, actor=approver)
        assert Refund.objects.get().status == Status.QUEUED

    def test_trying_again_asks_again(self, ask, limit, agent):
        limit(5_000)
        refund = bring(ask(make_transaction(), 4_000), Status.FAILED)
        limit(3_000)
        again = services.retry_refund(refund, actor=agent)
        assert again.status == Status.AWAITING_APPROVAL

    def test_what_waits_for_approval_cannot_be_hurried(self, ask, limit, agent):
        limit(0)
        with pytest.raises(WrongStatus):
            services.hurry_refund(ask(make_transaction(), 1_000), actor=agent)

    def test_what_waits_for_a_day_is_before_a_person_until_it_is_decided(
        self, ask, limit, manager, approver
    ):
        limit(0)
        refund = ask(make_transaction(), 1_000, requested_by=manager)
        assert flag_overdue() == 0
        asked_two_days_ago()
        assert [each.name for each in INVARIANTS if broken_rows(each)] == [UNAPPROVED]
        assert (flag_overdue(), flag_overdue()) == (1, 0)
        assert [each.name for each in INVARIANTS if broken_rows(each)] == []
        case = Attention.objects.open().get()
        assert (case.kind, case.owner) == (AttentionKind.NOT_APPROVED, manager)
        assert Action.CANCEL in actions(case, manager)
        with pytest.raises(WrongStatus, match="approved, rejected or canceled"):
            accept(case, approver)
        approvals.approve_refund(refund, actor=approver)
        case.refresh_from_db()
        assert (case.outcome, case.closed_by) == ("Queued", None)

    @pytest.mark.parametrize("end", [approvals.reject_refund, services.cancel_refund])
    def test_what_is_called_off_needs_nobody_any_more(self, ask, limit, approver, end):
        limit(0)
        refund = ask(make_transaction(), 1_000)
        asked_two_days_ago()
        flag_overdue()
        end(refund, actor=approver)
        assert not Attention.objects.open().exists()

    def test_what_is_approved_already_is_not_asked_about(self, ask, limit, approver):
        limit(0)
        refund = ask(make_transaction(), 1_000, approved_by=approver)
        assert refund.status == Status.QUEUED

    @pytest.mark.django_db(transaction=True)
    def test_of_two_at_once_that_go_above_it_together_one_waits(self, ask, limit, agent):
        limit(5_000)
        payment, start = make_transaction(), Barrier(2)

        def request(key: str) -> str:
            try:
                start.wait(10)
                return ask(payment, 3_000, idempotency_key=key).status
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            found = sorted(pool.map(request, ["one", "other"]))
        assert found == [Status.AWAITING_APPROVAL, Status.QUEUED]


class TestPages:
    def test_the_dialog_says_it_before_the_click(self, limit):
        limit(5_000)
        payment = make_transaction()
        browser = client_of(make_person("agent"))
        address = f"/admin/transactions/transaction/{payment.pk}/refund/"
        headers = {"HX-Request": "true", "HX-Target": "refund-preview"}
        small = visible(browser.get(address, {"amount": "50.00"}, headers=headers))
        assert "Another person" not in small
        large = visible(browser.get(address, {"amount": "50.01"}, headers=headers))
        assert "Another person has to approve it, because it is more than 50.00 USD." in large

    def test_the_desk_leads_an_approver_to_what_waits(self, ask, limit):
        limit(0)
        refund = ask(make_transaction(), 1_000)
        approver = client_of(make_person("approver", email="approver@example.com"))
        home = visible(approver.get("/admin/"))
        assert "Refunds that wait for your approval 1" in home
        queue = visible(approver.get(QUEUE))
        assert "because it is more than 0.00 USD" in queue
        page = visible(approver.get(f"/admin/refunds/refund/{refund.pk}/change/"))
        assert "because it is more than 0.00 USD" in page
        answer = decide(approver, refund, "approve")
        assert "It is approved." in visible(answer)
        assert Refund.objects.get().status == Status.QUEUED

    def test_what_is_approved_for_a_held_account_says_both(self, ask, limit):
        limit(0)
        refund = ask(make_transaction(make_account(held_reason="Restored.")), 1_000)
        browser = client_of(make_person("approver", email="approver@example.com"))
        answer = decide(browser, refund, "approve")
        assert "It is approved. It waits, and goes out by itself" in visible(answer)

    def test_its_line_says_that_it_waits(self, ask, limit):
        limit(0)
        ask(make_transaction(), 1_000)
        browser = client_of(make_person("viewer"))
        assert "Awaiting approval" in visible(browser.get("/admin/transactions/transaction/"))

    def test_the_dialog_does_not_promise_now_what_waits(self, limit):
        limit(0)
        address = f"/admin/transactions/transaction/{make_transaction().pk}/refund/"
        text = visible(client_of(make_person("agent")).get(address))
        assert "Another person has to approve it" in text
        assert "It is refunded now" not in text

    def test_nothing_of_one_s_own_waits_for_one_s_approval(self, ask, limit, manager):
        limit(0)
        ask(make_transaction(), 1_000, requested_by=manager)
        for person in (manager, make_person("approver", email=manager.email.upper())):
            assert "wait for your approval" not in visible(client_of(person).get("/admin/"))
        queue = client_of(manager).get("/admin/refunds/refund/?status=awaiting_approval")
        assert "that is you" in visible(queue)


class TestList:
    def test_it_says_for_whom_a_looser_rule_does_not_count(self, manager, limit):
        limit(5_000)
        text = visible(client_of(manager).get(LIMITS))
        assert "Who makes a rule looser makes it looser for others only." in text
        assert "the stricter rule counts, although theirs is shown as in force." in text

    def test_an_empty_one_says_what_that_means(self, manager):
        text = visible(client_of(manager).get(LIMITS))
        assert "No approval rules yet" in text
        assert "only what goes back to customers marked as risky needs another person" in text
        assert "yielded into no results" not in text
        assert "looser" not in text


class TestForm:
    def add(self, person: User, **typed: str):
        fields = {"kind": "payment", "account": "", "currency": "USD", "above": "500.00"} | typed
        return client_of(person).post(f"{LIMITS}add/", fields, follow=True)

    def test_a_manager_sets_a_limit(self, manager):
        account = make_account()
        text = visible(self.add(manager, account=str(account.pk), currency="usd"))
        assert "Amount of one payment, Everybody · stripe-1: set to 500.00 USD." in text.replace(
            account.slug, "stripe-1"
        )
        assert "In force" in text
        row = ApprovalRule.objects.get()
        assert (row.account, row.above, row.made_by) == (account, Money(50_000, "USD"), manager)
        text = visible(self.add(manager, account=str(account.pk), above=""))
        assert "every account: the rule is taken back" not in text
        assert "the rule is taken back" in text
        assert ["Replaced" in text, "Taken back" in text, "In force" in text] == [True, True, False]
        assert limit_for(account, "USD", make_person("agent")) is None
        rule = f"Amount of one payment, Everybody · {account.slug}"
        assert [(kind, by, name, data["changed"]) for kind, by, name, data in told()] == [
            ("rule.set", manager.username, rule, {"above": [None, "500.00 USD"]}),
            ("rule.set", manager.username, rule, {"above": ["500.00 USD", None]}),
        ]

    def test_zero_asks_about_every_refund(self, manager):
        self.add(manager, above="0")
        assert ApprovalRule.objects.get().value == 0

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ({"above": "-1"}, "Enter the amount with digits"),
            ({"above": "1e3"}, "Enter the amount with digits"),
            ({"above": "12.345"}, "USD has 2 decimals here"),
            ({"above": "9" * 12}, "larger than any payment"),
            ({"currency": "XXX"}, "Enter the code of a currency"),
            ({"currency": ""}, "Enter the code of a currency"),
            ({"kind": ""}, "This field is required"),
            ({"kind": "mood"}, "Select a valid choice"),
            ({"kind": "age"}, "This rule is about a number"),
            ({"kind": "age", "currency": "", "above": "-1"}, "Enter a whole number from 0"),
            ({"kind": "age", "currency": "", "above": "1.5"}, "Enter a whole number from 0"),
            ({"kind": "age", "currency": "", "above": "٣"}, "Enter a whole number from 0"),
            ({"kind": "age", "currency": "", "above": "9999999"}, "Enter a whole number from 0"),
            ({"account": "999999"}, "Select a valid choice"),
        ],
    )
    def test_what_cannot_be_a_limit_is_refused(self, manager, typed, said):
        assert said in visible(self.add(manager, **typed))
        assert not ApprovalRule.objects.exists()

    @pytest.mark.parametrize("role", ["viewer", "agent", "approver"])
    def test_nobody_else_sets_one(self, role, limit):
        person = make_person(role)
        assert self.add(person).status_code == 403
        limit(50_000)
        assert "500.00 USD" in visible(client_of(person).get(LIMITS))

    def test_nobody_edits_or_deletes_one(self, manager, limit):
        row = limit(50_000)
        browser = client_of(manager)
        browser.post(f"{LIMITS}{row.pk}/change/", {"currency": "USD", "above": "1.00"})
        assert browser.post(f"{LIMITS}{row.pk}/delete/", {"post": "yes"}).status_code == 403
        assert ApprovalRule.objects.get().value == 50_000
