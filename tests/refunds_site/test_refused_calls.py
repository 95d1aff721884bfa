"""Who wanted money moved and was refused stands in the audit log, though nothing else was written."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import User

from access.models import AccountRole
from audit.models import AuditEntry
from refunds.models import Refund
from tests.pages import client_of
from tests.rest import (
    client_of as api_of,
)
from tests.rest import (
    make_account,
    make_case,
    make_person,
    make_refund,
    make_transaction,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("without_sign_ins")]


@pytest.fixture
def payment():
    return make_transaction(amount_minor=5_000)


def refusal() -> AuditEntry:
    """The one entry that there is."""
    entry = AuditEntry.objects.get()
    assert entry.kind == "refund.refused"
    return entry


def typed(payment, **values: str) -> dict[str, str]:
    return {
        "amount": "10.00", "reason": "other", "note": "", "words": "", "token": str(uuid.uuid4()),
        "expected_refundable": "50.00",
    } | values  # fmt: skip


def dialog_of(payment) -> str:
    return f"/admin/transactions/transaction/{payment.pk}/refund/"


class TestDialog:
    @pytest.mark.parametrize(
        ("values", "code", "amount"),
        [
            ({"amount": "50.01"}, "exceeds_refundable", "50.01"),
            ({"amount": "ten\r\n"}, "not_a_number", r"ten\r\n"),
            ({"amount": "-1"}, "not_a_number", "-1"),
            ({"amount": "0"}, "not_positive", "0"),
            ({"amount": ""}, "required", None),
            ({"reason": "nothing"}, "invalid_choice", "10.00"),
            ({"expected_refundable": "49.00"}, "balance_changed", "10.00"),
            ({"token": "x"}, "invalid", "10.00"),
        ],
    )
    def test_a_form_that_is_refused_is_told(self, payment, values, code, amount):
        agent = make_person("agent")
        answer = client_of(agent).post(dialog_of(payment), typed(payment, **values))
        assert answer.status_code == 200
        entry = refusal()
        assert (entry.actor, entry.account_id) == (agent, payment.account_id)
        assert (entry.about_type, entry.about_id) == ("transactions.transaction", str(payment.pk))
        assert (entry.data["action"], entry.data["code"]) == ("refund", code)
        assert entry.data.get("amount") == amount
        assert entry.data["why"]
        assert entry.address == "127.0.0.1"
        assert not Refund.objects.exists()

    def test_a_long_amount_is_cut(self, payment):
        values = typed(payment, amount="9" * 100_000)
        client_of(make_person("agent")).post(dialog_of(payment), values)
        assert len(refusal().data["amount"]) == 500

    def test_the_key_of_another_request_is_told(self, payment):
        client, values = client_of(make_person("agent")), typed(payment)
        client.post(dialog_of(payment), values)
        client.post(dialog_of(payment), values | {"amount": "11.00"})
        assert refusal().data["code"] == "conflict"

    def test_the_second_press_of_a_double_click_is_no_refusal(self, payment):
        client, values = client_of(make_person("agent")), typed(payment)
        for _press in range(2):
            client.post(dialog_of(payment), values)
        assert Refund.objects.count() == 1
        assert not AuditEntry.objects.exists()

    def test_who_may_not_is_told(self, payment):
        viewer = make_person("viewer")
        client = client_of(viewer)
        assert client.get(dialog_of(payment)).status_code == 403
        assert not AuditEntry.objects.exists()
        assert client.post(dialog_of(payment), typed(payment)).status_code == 403
        entry = refusal()
        assert (entry.actor, entry.about_id) == (viewer, str(payment.pk))
        assert (entry.data["code"], entry.data["amount"]) == ("not_allowed", "10.00")


def only_elsewhere(role: str) -> User:
    person = make_person(role)
    AccountRole.objects.create(user=person, role=person.groups.get(), account=make_account())
    person.groups.clear()
    return person


class TestButtons:
    def test_who_may_not_approve_is_told(self, payment):
        refund = make_refund(payment, 100)
        agent = make_person("agent")
        page = f"/admin/refunds/refund/{refund.pk}"
        assert client_of(agent).post(f"{page}/approve/").status_code == 403
        entry = refusal()
        assert (entry.about_type, entry.about_id) == ("refunds.refund", str(refund.pk))
        assert (entry.data["action"], entry.data["code"]) == ("approve", "not_allowed")

    def test_a_status_that_does_not_allow_it_is_told(self, payment):
        refund = make_refund(payment, 100)
        manager = make_person("manager")
        client_of(manager).post(f"/admin/refunds/refund/{refund.pk}/check/")
        entry = refusal()
        assert (entry.actor, entry.data["code"]) == (manager, "wrong_status")

    def test_a_refund_of_another_account_is_told_and_not_there(self, payment):
        refund = make_refund(payment, 100)
        stranger = only_elsewhere("manager")
        answer = client_of(stranger).post(f"/admin/refunds/refund/{refund.pk}/cancel/")
        assert answer.status_code == 404
        entry = refusal()
        assert (entry.account_id, entry.data["code"]) == (payment.account_id, "not_found")

    def test_what_does_not_exist_is_told_as_it_was_asked_for(self):
        key = uuid.uuid4()
        client_of(make_person("manager")).post(f"/admin/refunds/refund/{key}/cancel/")
        entry = refusal()
        assert (entry.account_id, entry.about_type) == (None, "")
        assert entry.data["asked_for"] == f"refunds.refund {key}"

    def test_a_step_of_a_case_is_told_with_its_refund(self, payment):
        case = make_case(make_refund(payment, 100), "made_outside")
        client_of(make_person("manager")).post(f"/admin/refunds/attention/{case.pk}/let_go/")
        entry = refusal()
        assert (entry.about_type, entry.about_id) == ("refunds.refund", str(case.refund_id))
        assert (entry.data["action"], entry.data["case"]) == ("let_go", case.pk)
        assert entry.data["code"] == "wrong_status"

    def test_what_moves_no_money_is_not_told(self, payment):
        address = f"/admin/transactions/transaction/{payment.pk}/note/"
        assert client_of(make_person("viewer")).post(address, {"text": "a"}).status_code == 403
        assert not AuditEntry.objects.exists()


class TestApi:
    def ask(self, client, payment, key="k", **values: object):
        body = {"amount": "10.00", "reason": "other"} | values
        address = f"/api/v1/transactions/{payment.pk}/refunds/"
        return client.post(address, body, headers={"Idempotency-Key": key})

    @pytest.mark.parametrize(
        ("values", "status", "code", "amount"),
        [
            ({"amount": "50.01"}, 409, "exceeds_refundable", "50.01"),
            ({"amount": "1e3"}, 400, "invalid", "1e3"),
            ({"amount": 12.5}, 400, "invalid", "12.5"),
            ({"amount": {"a": ["b\n"]}}, 400, "invalid", {"a": [r"b\n"]}),
            ({"reason": "nothing"}, 400, "invalid", "10.00"),
            ({"key": "é"}, 400, "invalid", "10.00"),
        ],
    )
    def test_a_request_that_is_refused_is_told(self, payment, values, status, code, amount):
        client = api_of("agent")
        assert self.ask(client, payment, **values).status_code == status
        entry = refusal()
        assert (entry.actor, entry.account_id) == (client.person, payment.account_id)
        assert (entry.about_type, entry.about_id) == ("transactions.transaction", str(payment.pk))
        assert (entry.data["action"], entry.data["code"]) == ("refunds", code)
        assert entry.data["amount"] == amount
        assert entry.data["token"].startswith("token ")
        assert entry.request_id

    def test_a_body_that_cannot_be_read_is_told(self, payment):
        address = f"/api/v1/transactions/{payment.pk}/refunds/"
        answer = api_of("agent").post(
            address, b"{", content_type="application/json", headers={"Idempotency-Key": "k"}
        )
        assert answer.status_code == 400
        assert "amount" not in refusal().data

    def test_a_repeated_request_is_no_refusal_and_another_one_is(self, payment):
        client = api_of("agent")
        assert self.ask(client, payment).status_code == 202
        assert self.ask(client, payment).status_code == 200
        assert not AuditEntry.objects.exists()
        assert self.ask(client, payment, amount="11.00").status_code == 409
        assert refusal().data["code"] == "idempotency_key_reused"

    def test_a_right_or_a_scope_that_lacks_is_told(self, payment):
        assert self.ask(api_of("viewer"), payment).status_code == 403
        assert self.ask(api_of("agent", scopes=["read"]), payment).status_code == 403
        told = AuditEntry.objects.values_list("data__code", "about_id")
        assert list(told) == [("permission_denied", str(payment.pk))] * 2

    def test_a_payment_of_another_account_is_told(self, payment):
        client = api_of("agent", accounts=[make_account()])
        assert self.ask(client, payment).status_code == 404
        entry = refusal()
        assert (entry.account_id, entry.data["code"]) == (payment.account_id, "not_found")

    def test_approving_one_s_own_is_told(self, payment):
        client = api_of("manager")
        refund = make_refund(payment, 100, client.person)
        assert client.post(f"/api/v1/refunds/{refund.pk}/approve/").status_code == 403
        assert refusal().data["action"] == "approve"

    @pytest.mark.parametrize("token", ["Token rd_wrong", ""])
    def test_who_is_not_known_is_not_told(self, payment, client, token):
        address = f"/api/v1/transactions/{payment.pk}/refunds/"
        answer = client.post(address, {}, headers={"Authorization": token})
        assert answer.status_code in {401, 403}
        assert not AuditEntry.objects.exists()

    def test_reading_is_not_told(self, payment):
        assert api_of("agent", accounts=[make_account()]).get(
            f"/api/v1/transactions/{payment.pk}/"
        ).status_code == 404  # fmt: skip
        assert not AuditEntry.objects.exists()


def test_a_log_that_cannot_be_written_refuses_all_the_same(payment):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditentry ADD CONSTRAINT no CHECK (kind = '') NOT VALID")
    client = client_of(make_person("agent"))
    assert client.post(dialog_of(payment), typed(payment, amount="x")).status_code == 200
    assert not AuditEntry.objects.exists()


PAN = "4111 1111 1111 1111"


def test_a_card_number_in_the_dialog_is_not_kept_for_ever(payment):
    client_of(make_person("agent")).post(dialog_of(payment), typed(payment, amount=PAN))
    assert "1111 1111 1111" not in str(AuditEntry.objects.get(kind="refund.refused").data)


def test_no_number_of_a_card_that_is_sent_to_the_api_is_either(payment):
    answer = api_of("agent").post(
        f"/api/v1/transactions/{payment.pk}/refunds/",
        {"amount": PAN, "reason": PAN},
        headers={"Idempotency-Key": "1"},
    )
    assert answer.status_code == 400
    assert "1111 1111 1111" not in str(AuditEntry.objects.get(kind="refund.refused").data)
