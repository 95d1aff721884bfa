"""Approving one's own refunds, and letting something else go out than what was approved."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import Group, User
from django.db import Error, connection
from django.db import transaction as database

from access.models import AccountRole
from audit.models import AuditEntry
from refunds.approvals import approve_refund, shown
from refunds.execution import send_refund
from refunds.models import ApprovalRule, Refund, RefundAttempt
from refunds.states import Status
from tests.pages import client_of, visible
from tests.refunds.desk import Desk
from tests.rest import client_with, make_account, make_person, make_token, make_transaction
from transactions.models import Customer, Transaction

pytestmark = pytest.mark.django_db

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


@pytest.fixture(autouse=True)
def always(db):
    """Every refund needs a second person."""
    ApprovalRule.objects.create(
        currency="USD", value=0, made_by=make_person("manager", email="rules@example.com")
    )


@pytest.fixture
def both() -> User:
    """Somebody whose role lets them ask and approve."""
    return make_person("manager", email="ana@example.com")


def refund_by_form(person: User) -> Refund:
    payment = make_transaction()
    values = {
        "amount": "12.50", "reason": "other", "note": "", "words": "", "token": str(uuid.uuid4()),
        "expected_refundable": "100.00",
    }  # fmt: skip
    answer = client_of(person).post(f"/admin/transactions/transaction/{payment.pk}/refund/", values)
    assert answer.status_code == 302
    return Refund.objects.get(transaction=payment)


def approve_by_page(person: User, refund: Refund, seen: str = ""):
    address = f"/admin/refunds/refund/{refund.pk}/approve/"
    values = {"seen": seen or shown(Refund.objects.get(pk=refund.pk))}
    return client_of(person).post(address, values, follow=True)


def approve_by_api(person: User, refund: Refund, **said: str):
    client = client_with(make_token(person)[1])
    return client.post(f"/api/v1/refunds/{refund.pk}/approve/", said, format="json")


def approve_by_session(person: User, refund: Refund, **said: str):
    address = f"/api/v1/refunds/{refund.pk}/approve/"
    return client_of(person).post(address, said, content_type="application/json")


def assert_waits(refund: Refund, *refused_to: User) -> None:
    """Nobody has approved it, and every try stands in the audit log."""
    refund.refresh_from_db()
    assert (refund.status, refund.approved_by) == (Status.AWAITING_APPROVAL, None)
    tries = AuditEntry.objects.filter(kind="refund.refused", about_id=str(refund.pk))
    assert [each.actor for each in tries] == list(refused_to)
    assert {each.data["action"] for each in tries} <= {"approve"}


doors = pytest.mark.parametrize("approve", [approve_by_page, approve_by_api, approve_by_session])


class TestSelfApproval:
    def test_in_a_second_tab(self, both):
        browser = client_of(both)
        refund = refund_by_form(both)
        for page in (
            f"/admin/refunds/refund/{refund.pk}/change/",
            "/admin/refunds/refund/approvals/",
        ):
            assert f"{refund.pk}/approve/" not in browser.get(page).content.decode()
        answer = approve_by_page(both, refund)
        assert answer.status_code == 403
        assert "Another person has to approve a refund that you requested." in visible(answer)
        assert_waits(refund, both)

    @doors
    def test_whatever_the_door(self, both, approve):
        refund = refund_by_form(both)
        assert approve(both, refund).status_code == 403
        assert_waits(refund, both)

    @doors
    @pytest.mark.parametrize(
        "email", ["ana@example.com", "ANA@Example.COM", " ana@example.com", "ana@example.com "]
    )
    def test_by_a_second_account_of_theirs(self, both, approve, email):
        refund = refund_by_form(both)
        twin = make_person("approver", email=email)
        assert approve(twin, refund).status_code == 403
        assert_waits(refund, twin)

    @doors
    def test_in_another_role_than_before(self, approve):
        person = make_person("agent", email="ana@example.com")
        refund = refund_by_form(person)
        person.groups.set([Group.objects.get(name="approver")])
        person = User.objects.get(pk=person.pk)
        assert approve(person, refund).status_code == 403
        assert_waits(refund, person)

    @doors
    def test_with_all_rights_there_are(self, both, approve):
        refund = refund_by_form(both)
        User.objects.filter(pk=both.pk).update(is_superuser=True)
        person = User.objects.get(pk=both.pk)
        assert approve(person, refund).status_code == 403
        assert_waits(refund, person)

    def test_nobody_puts_themselves_into_a_group(self, both):
        groups = [Group.objects.get(name="admin").pk]
        before = list(both.groups.values_list("pk", flat=True))
        for address in (f"/admin/auth/user/{both.pk}/change/", "/admin/profile/"):
            values = {"username": both.username, "groups": groups, "is_superuser": "on"}
            answer = client_of(both).post(address, values)
            assert answer.status_code in {200, 302, 403, 404}
        assert list(both.groups.values_list("pk", flat=True)) == before
        assert not User.objects.get(pk=both.pk).is_superuser
        assert not AccountRole.objects.exists()

    @doors
    def test_with_a_role_that_was_taken_since_the_page_was_drawn(self, both, approve):
        refund = refund_by_form(both)
        other = make_person("approver", email="zoe@example.com")
        address = f"/admin/refunds/refund/{refund.pk}/change/"
        assert "/approve/" in client_of(other).get(address).content.decode()
        other.groups.set([Group.objects.get(name="viewer")])
        other = User.objects.get(pk=other.pk)
        assert approve(other, refund).status_code == 403
        assert_waits(refund, other)

    def test_for_another_account_than_the_role_is_for(self, both):
        refund = refund_by_form(both)
        other = make_person("viewer", email="zoe@example.com")
        AccountRole.objects.create(
            user=other, account=make_account(), role=Group.objects.get(name="approver")
        )
        assert approve_by_api(other, refund).status_code == 403
        assert approve_by_page(other, refund).status_code == 403
        assert_waits(refund, other, other)


# What changes of a payment while somebody looks at a refund of it.
SINCE = {
    "customer": lambda: {"customer": Customer.objects.create(email="eve@example.com")},
    "status": lambda: {"status": "voided"},
    "disputed": lambda: {"disputed": True},
}


class TestApproveOneSendAnother:
    @pytest.fixture
    def zoe(self) -> User:
        return make_person("approver", email="zoe@example.com")

    @pytest.fixture
    def refund(self, both) -> Refund:
        return refund_by_form(both)

    def refused(self, zoe: User, refund: Refund, seen: str) -> None:
        """Neither the page nor the API takes what was shown of something else."""
        answer = approve_by_page(zoe, refund, seen)
        assert "has changed since you looked" in visible(answer)
        for approve in (approve_by_api, approve_by_session):
            answer = approve(zoe, refund, seen=seen)
            assert (answer.status_code, "has changed" in answer.json()["detail"]) == (409, True)
        assert_waits(refund, zoe, zoe, zoe)

    def test_what_was_shown_of_another_refund(self, zoe, both, refund):
        other = refund_by_form(both)
        assert other.amount_minor == refund.amount_minor
        self.refused(zoe, refund, shown(other))

    def test_what_was_shown_before_more_of_it_was_asked_for(self, zoe, ask, refund):
        seen = shown(refund)
        ask(refund.transaction, 100)
        self.refused(zoe, refund, seen)

    @pytest.mark.parametrize("what", SINCE)
    def test_what_was_shown_before_the_payment_changed(self, zoe, refund, what):
        seen = shown(refund)
        Transaction.objects.filter(pk=refund.transaction_id).update(**SINCE[what]())
        self.refused(zoe, refund, seen)

    @pytest.mark.parametrize("seen", ["0" * 32, "x", "{refund}", "{SEEN}", "{seen}0"])
    def test_what_was_made_up(self, zoe, refund, seen):
        written = shown(refund)
        said = seen.format(refund=refund.pk, SEEN=written.upper(), seen=written)
        answer = approve_by_session(zoe, refund, seen=said)
        assert answer.status_code in {400, 409}
        assert_waits(refund, zoe)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("amount_minor", 10_000), ("currency", "EUR"), ("mode", "live"), ("note", "other"),
            ("words", "other"), ("transaction_id", "{other}"), ("account_id", "{other_account}"),
            ("requested_by_id", "{zoe}"), ("approved_by_id", "{both}"), ("approved_by_id", None),
            ("needs_approval", False), ("reason_id", None), ("id", str(uuid.UUID(int=7))),
            ("created_at", "2020-01-01"), ("retry_of_id", None),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("of", ["refund", "moved with its payment"])
    def test_what_was_approved_is_not_written_over(self, zoe, both, refund, column, value, of):
        approve_refund(refund, actor=zoe)
        other = make_transaction()
        if isinstance(value, str):
            value = value.format(
                other=other.pk, other_account=other.account_id, zoe=zoe.pk, both=both.pk
            )
        before = Refund.objects.filter(pk=refund.pk).values().get()
        if column == "retry_of_id":
            value = refund_by_form(both).pk
        with pytest.raises(Error), database.atomic(), connection.cursor() as cursor:
            if of != "refund":
                moved = Transaction.objects.filter(pk=refund.transaction_id)
                moved.update(account=other.account, currency="EUR")
            cursor.execute(
                f"UPDATE refunds_refund SET {column} = %s WHERE id = %s", [value, refund.pk]
            )
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert Refund.objects.filter(pk=refund.pk).values().get() == before

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("external_id", "ch_of_somebody_else"), ("account_id", "{other_account}"),
            ("currency", "EUR"), ("mode", "live"), ("processor", "nmi"), ("id", 10**9),
        ],
    )  # fmt: skip
    def test_nor_is_the_payment_that_it_goes_back_to(self, zoe, refund, column, value):
        approve_refund(refund, actor=zoe)
        if isinstance(value, str):
            value = value.format(other_account=make_account().pk)
        before = Transaction.objects.filter(pk=refund.transaction_id).values().get()
        with pytest.raises(Error), database.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE transactions_transaction SET {column} = %s WHERE id = %s",
                [value, refund.transaction_id],
            )
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        assert Transaction.objects.filter(pk=refund.transaction_id).values().get() == before


@only_stripe
@pytest.mark.django_db(transaction=True)
class TestBeforeItLeaves:
    """What is approved is judged again when it leaves."""

    @pytest.fixture
    def zoe(self) -> User:
        return make_person("approver", email="zoe@example.com")

    @pytest.fixture
    def asker(self) -> User:
        return make_person("agent", email="ana@example.com")

    @pytest.fixture
    def approved(self, desk: Desk, asker, zoe) -> Refund:
        return approve_refund(desk.ask(desk.pay(), 2_500, requested_by=asker), actor=zoe)

    def test_as_it_is_it_goes_out(self, desk, approved):
        send_refund(approved.pk)
        assert desk.given_back(approved.transaction) == [2_500]

    @pytest.mark.parametrize(
        "change", ["switched off", "another role", "no role", "for others only"]
    )
    @pytest.mark.parametrize("who", ["asker", "zoe"])
    def test_of_who_may_no_more_nothing_goes_out(self, desk, approved, request, who, change):
        person = request.getfixturevalue(who)
        role = person.groups.get()
        if change == "switched off":
            User.objects.filter(pk=person.pk).update(is_active=False)
        else:
            viewer = Group.objects.get(name="viewer")
            person.groups.set([viewer] if change == "another role" else [])
        if change == "for others only":
            AccountRole.objects.create(user=person, account=make_account(), role=role)
        send_refund(approved.pk)
        approved.refresh_from_db()
        assert (approved.status, approved.attempts.count()) == (Status.CANCELED, 0)
        assert "no longer may" in approved.attention_reason
        assert desk.calls("refund") == 0
        assert desk.sums(approved.transaction) == (0, 0)

    def test_an_order_that_is_on_its_way_is_not_written_over(self, desk, approved):
        desk.arm("refund", "500")
        send_refund(approved.pk)
        attempt = RefundAttempt.objects.get()
        columns = {
            "order": '{"payment_id": "ch_other"}', "order_hash": b"x" * 32, "reference": "REF0",
            "refund_id": uuid.uuid4(), "operation": "void", "mode": "live",
        }  # fmt: skip
        for column, value in columns.items():
            with pytest.raises(Error), database.atomic(), connection.cursor() as cursor:
                cursor.execute(
                    f'UPDATE refunds_refundattempt SET "{column}" = %s WHERE id = %s',
                    [value, attempt.pk],
                )
        assert RefundAttempt.objects.get().order == attempt.order
