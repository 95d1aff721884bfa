"""What became of a refund, and what can be done with it over REST."""

from datetime import timedelta

import pytest
from django.utils import timezone

from gateways.base import FailureCode
from refunds.models import ApprovalRule, Refund, RefundAttempt
from refunds.states import AttemptState, Status
from tests.refunds.raw import triggers_off
from tests.refunds.states import bring
from tests.rest import (
    assert_problem,
    client_of,
    make_case,
    make_person,
    make_refund,
    make_transaction,
)
from transactions.models import Transaction

pytestmark = pytest.mark.django_db


@pytest.fixture
def payment():
    return make_transaction()


@pytest.fixture
def client():
    return client_of("agent")


def force(refund, **fields):
    """Put a refund into a state that only workers and policies bring about."""
    with triggers_off():
        Refund.objects.filter(pk=refund.pk).update(**fields)


def test_a_failure_is_explained_and_attempts_are_told(client, payment):
    refund = make_refund(payment, 1250)
    now = timezone.now()
    RefundAttempt.objects.create(
        refund=refund,
        account=refund.account,
        mode=refund.mode,
        credential_fingerprint="f" * 16,
        number=1,
        operation="refund",
        reference="REF00000000000000001",
        order={"secret": "inside"},
        order_hash=b"x" * 32,
        state=AttemptState.DECLINED,
        sends=1,
        fence=1,
        started_at=now,
        ended_at=now + timedelta(seconds=1),
        processor_code="charge_disputed",
        processor_message="Charge ch_1 has been charged back",
        exchanges=[{"request": "evidence"}],
    )
    since = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    force(
        refund,
        failure_code=FailureCode.DISPUTED.value,
        failure_processor_code="charge_disputed",
        failure_message="Charge ch_1 has been charged back",
    )
    case = make_case(refund, "returned", "Somebody has to look at it.")
    document = client.get(f"/api/v1/refunds/{refund.pk}/").json()
    failure = document["failure"]
    assert failure["code"] == "disputed"
    assert failure["provider_code"] == "charge_disputed"
    assert failure["provider_message"] == "Charge ch_1 has been charged back"
    assert failure["explanation"]
    assert failure["next_step"]
    raised = case.raised_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert document["attention"] == {"reason": "Somebody has to look at it.", "since": raised}
    [attempt] = document["attempts"]
    assert attempt == {
        "number": 1,
        "operation": "refund",
        "state": "declined",
        "sends": 1,
        "started_at": since,
        "ended_at": (now + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "provider_code": "charge_disputed",
        "provider_message": "Charge ch_1 has been charged back",
    }
    assert "evidence" not in str(document)


def test_a_refund_from_outside_has_nobody_who_asked(client, payment):
    refund = make_refund(payment, 100)
    force(refund, origin="external", requested_by=None, reason=None)
    document = client.get(f"/api/v1/refunds/{refund.pk}/").json()
    assert document["requested_by"] is None
    assert document["reason"] is None


def test_cancel_gives_the_money_back_to_the_balance(client, payment):
    refund = make_refund(payment, 1250, client.person)
    document = client.post(f"/api/v1/refunds/{refund.pk}/cancel/").json()
    assert document["status"] == "canceled"
    assert document["finished_at"]
    assert Transaction.objects.get().reserved_minor == 0
    again = client.post(f"/api/v1/refunds/{refund.pk}/cancel/")
    assert_problem(again, 409, "wrong_status")


def test_an_agent_cancels_only_their_own(client, payment):
    refund = make_refund(payment, 1250)
    assert_problem(client.post(f"/api/v1/refunds/{refund.pk}/cancel/"), 403)
    assert Refund.objects.get().status == Status.QUEUED


def test_retry_makes_one_new_refund_however_often_it_is_called(client, payment):
    refund = make_refund(payment, 1250, client.person)
    client.post(f"/api/v1/refunds/{refund.pk}/cancel/")
    first = client.post(f"/api/v1/refunds/{refund.pk}/retry/").json()
    second = client.post(f"/api/v1/refunds/{refund.pk}/retry/").json()
    assert first["id"] == second["id"] != str(refund.pk)
    assert (first["status"], first["origin"]) == ("queued", "api")
    assert Refund.objects.count() == 2


def test_retry_of_what_was_paid_all_the_same_is_a_conflict(client, payment):
    refund = bring(make_refund(payment, 1250, client.person), Status.CANCELED, "made_before")
    response = client.post(f"/api/v1/refunds/{refund.pk}/retry/")
    assert "the money had gone back" in assert_problem(response, 409, "wrong_status")["detail"]
    assert Refund.objects.count() == 1


def test_retry_of_a_queued_refund_hurries_it(client, payment):
    refund = make_refund(payment, 1250, client.person)
    force(refund, next_action_at=timezone.now() + timedelta(hours=1))
    response = client.post(f"/api/v1/refunds/{refund.pk}/retry/")
    assert (response.status_code, response.json()["id"]) == (200, str(refund.pk))
    refund.refresh_from_db()
    assert refund.next_action_at <= timezone.now()
    assert Refund.objects.count() == 1


def test_retry_of_what_has_left_is_a_conflict(client, payment):
    refund = make_refund(payment, 1250, client.person)
    force(refund, status=Status.PENDING)
    assert_problem(client.post(f"/api/v1/refunds/{refund.pk}/retry/"), 409, "wrong_status")


def test_retry_of_more_than_is_left_is_a_conflict(client, payment):
    refund = make_refund(payment, 6000, client.person)
    client.post(f"/api/v1/refunds/{refund.pk}/cancel/")
    make_refund(payment, 6100)
    response = client.post(f"/api/v1/refunds/{refund.pk}/retry/")
    assert assert_problem(response, 409, "exceeds_refundable")["refundable"] == "39.00"


def awaiting(payment, person):
    """A refund that awaits approval, asked for by the person."""
    refund = make_refund(payment, 1250, person)
    force(refund, status=Status.AWAITING_APPROVAL, needs_approval=True, next_action_at=None)
    return refund


def test_another_person_approves(client, payment):
    refund = awaiting(payment, client.person)
    approver = client_of("approver")
    document = approver.post(f"/api/v1/refunds/{refund.pk}/approve/").json()
    assert document["status"] == "queued"
    assert document["approved_by"] == approver.person.username
    assert_problem(approver.post(f"/api/v1/refunds/{refund.pk}/approve/"), 409, "wrong_status")


def test_nobody_approves_their_own(payment):
    manager = client_of("manager")
    refund = awaiting(payment, manager.person)
    assert_problem(manager.post(f"/api/v1/refunds/{refund.pk}/approve/"), 403)
    assert Refund.objects.get().status == Status.AWAITING_APPROVAL


def test_with_what_was_seen_nothing_else_is_approved(client, payment):
    ApprovalRule.objects.create(currency="USD", value=0, made_by=make_person("manager"))
    refund = make_refund(payment, 1250, client.person)
    approver = client_of("approver")
    address = f"/api/v1/refunds/{refund.pk}/approval/"
    decision = approver.get(address).json()
    assert decision["reasons"] == [
        "Another person has to approve it, because it is more than 0.00 USD."
    ]
    assert decision["may_not"] is None
    assert "that you requested" in client.get(address).json()["may_not"]
    make_refund(payment, 100, client.person)
    approve = f"/api/v1/refunds/{refund.pk}/approve/"
    assert_problem(approver.post(approve, {"seen": decision["seen"]}), 409, "wrong_status")
    now = approver.get(address).json()["seen"]
    assert approver.post(approve, {"seen": now}).json()["status"] == "queued"
    assert_problem(approver.get(address), 409, "wrong_status")


@pytest.mark.parametrize("body", [{"seen": 5}, {"seen": "x" * 65}, {"amount": "1.00"}, []])
def test_an_approval_that_cannot_be_read_approves_nothing(client, payment, body):
    refund = awaiting(payment, client.person)
    assert_problem(client_of("approver").post(f"/api/v1/refunds/{refund.pk}/approve/", body), 400)
    assert Refund.objects.get().status == Status.AWAITING_APPROVAL


def test_reject_calls_it_off(client, payment):
    refund = awaiting(payment, client.person)
    document = client_of("approver").post(f"/api/v1/refunds/{refund.pk}/reject/").json()
    assert document["status"] == "canceled"
    assert Transaction.objects.get().reserved_minor == 0


def test_who_may_only_look_does_not_have_the_processor_asked(client, payment):
    refund = make_refund(payment, 1250, client.person)
    force(refund, status=Status.UNKNOWN, unknown_since=timezone.now())
    address = f"/api/v1/refunds/{refund.pk}/check/"
    assert_problem(client_of("viewer").post(address), 403)
    assert client.post(address).status_code == 200
