from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.db import transaction as database
from django.utils import timezone

from gateways.models import ProcessorAccount
from gateways.money import Money
from refunds import approvals, services
from refunds.models import Refund, RefundEvent
from refunds.services import NotAllowed, RefundRefused, RequestConflict, WrongStatus
from refunds.states import Origin, Status
from tests.waiting import wait_until
from transactions.models import Transaction

from .raw import triggers_off
from .states import bring, bring_back, leave_unknown, prove_made, take_back

pytestmark = pytest.mark.django_db


def balance(transaction: Transaction) -> tuple[int, int, int]:
    row = Transaction.objects.get(pk=transaction.pk)
    return row.reserved_minor, row.refunded_minor, row.refundable_minor


def test_a_request_reserves_the_amount_and_queues_it(make_transaction, ask, agent):
    transaction = make_transaction()
    refund = ask(transaction, 2_500, note="Box was damaged")
    assert refund.status == Status.QUEUED
    assert (refund.currency, refund.mode, refund.account_id) == (
        "USD",
        "test",
        transaction.account_id,
    )
    assert balance(transaction) == (2_500, 0, 7_500)
    event = RefundEvent.objects.get(refund=refund)
    assert (event.kind, event.to_status, event.actor) == ("requested", "queued", agent)


one_or_many = pytest.mark.parametrize("is_bulk", [False, True])


@one_or_many
def test_the_same_key_and_request_is_the_same_refund(make_transaction, ask, is_bulk):
    transaction = make_transaction()
    first = ask(transaction, 2_500, idempotency_key="k", is_bulk=is_bulk)
    assert ask(transaction, 2_500, idempotency_key="k", is_bulk=is_bulk) == first
    assert balance(transaction) == (2_500, 0, 7_500)


@one_or_many
def test_a_replay_is_answered_even_when_nothing_is_left(make_transaction, ask, is_bulk):
    transaction = make_transaction()
    first = ask(transaction, 10_000, idempotency_key="k", is_bulk=is_bulk)
    assert ask(transaction, 10_000, idempotency_key="k", is_bulk=is_bulk) == first
    assert balance(transaction) == (10_000, 0, 0)


@one_or_many
def test_the_same_key_for_another_request_is_a_conflict(make_transaction, ask, is_bulk):
    transaction = make_transaction()
    ask(transaction, 2_500, idempotency_key="k", is_bulk=is_bulk)
    with pytest.raises(RequestConflict):
        ask(transaction, 2_400, idempotency_key="k", is_bulk=is_bulk)
    assert balance(transaction) == (2_500, 0, 7_500)


@pytest.mark.parametrize(
    ("fields", "minor", "code"),
    [
        ({}, 10_001, "exceeds_refundable"),
        ({"status": "authorized"}, 100, "not_captured"),
        ({"status": "voided"}, 100, "not_captured"),
        ({"status": "failed"}, 100, "not_captured"),
        ({"disputed": True}, 100, "disputed"),
        ({"currency": "KWD"}, 101, "invalid_amount"),  # Stripe takes no single fils
    ],
)
def test_what_cannot_work_is_refused_up_front(make_transaction, ask, fields, minor, code):
    transaction = make_transaction(**fields)
    with pytest.raises(RefundRefused) as refused:
        ask(transaction, minor)
    assert refused.value.code == code
    assert not Refund.objects.exists()
    assert balance(transaction)[:2] == (0, 0)


def test_a_payment_beyond_the_age_limit_is_refused(make_transaction, make_account, ask):
    old = timezone.now() - timedelta(days=200)
    transaction = make_transaction(make_account("paypal"), created_at=old)
    with pytest.raises(RefundRefused, match="180 days") as refused:
        ask(transaction, 100)
    assert refused.value.code == "too_old"


@pytest.mark.parametrize("fields", [{"is_active": False}, {"paused_reason": "Key rejected."}])
def test_a_paused_account_refunds_nothing(make_transaction, make_account, ask, fields):
    transaction = make_transaction(make_account(**fields))
    with pytest.raises(RefundRefused) as refused:
        ask(transaction, 100)
    assert refused.value.code == "paused"


def test_a_stale_balance_is_refused_with_the_current_one(make_transaction, ask):
    transaction = make_transaction()
    ask(transaction, 1_000)
    with pytest.raises(RefundRefused) as refused:
        ask(transaction, 500, expected_refundable=Money(10_000, "USD"))
    assert (refused.value.code, refused.value.refundable) == (
        "balance_changed",
        Money(9_000, "USD"),
    )
    ask(transaction, 500, expected_refundable=Money(9_000, "USD"))


def test_another_currency_is_refused(make_transaction, agent, reason):
    transaction = make_transaction()
    with pytest.raises(RefundRefused) as refused:
        services.request_refund(
            transaction=transaction,
            amount=Money(100, "EUR"),
            reason=reason,
            note="",
            requested_by=agent,
            idempotency_key="k",
        )
    assert refused.value.code == "invalid_amount"


def test_who_lacks_the_right_refunds_nothing(make_transaction, ask, make_user):
    transaction = make_transaction()
    with pytest.raises(NotAllowed):
        ask(transaction, 100, requested_by=make_user("refunds.view_refund"))
    assert not Refund.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_forty_requests_for_sixty_percent_one_wins(make_transaction, agent, reason):
    transaction = make_transaction()
    start = Barrier(40)

    def attempt(number: int) -> str:
        try:
            start.wait()
            services.request_refund(
                transaction=Transaction.objects.get(pk=transaction.pk),
                amount=Money(6_000, "USD"),
                reason=reason,
                note="",
                requested_by=agent,
                idempotency_key=f"race-{number}",
            )
        except RefundRefused as refused:
            return refused.code
        else:
            return "won"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(40) as pool:
        results = list(pool.map(attempt, range(40)))
    assert sorted(results) == ["exceeds_refundable"] * 39 + ["won"]
    assert balance(transaction) == (6_000, 0, 4_000)


@pytest.mark.django_db(transaction=True)
def test_of_forty_equal_requests_all_get_the_one_refund(make_transaction, agent, reason):
    transaction = make_transaction()
    start = Barrier(40)

    def attempt(_number: int) -> tuple[str, bool]:
        try:
            start.wait()
            refund, created = services.request_refund(
                transaction=Transaction.objects.get(pk=transaction.pk),
                amount=Money(10_000, "USD"),
                reason=reason,
                note="",
                requested_by=agent,
                idempotency_key="double click",
            )
            return str(refund.pk), created
        finally:
            connections.close_all()

    with ThreadPoolExecutor(40) as pool:
        results = list(pool.map(attempt, range(40)))
    assert len({refund for refund, _created in results}) == 1
    assert sum(created for _refund, created in results) == 1
    assert balance(transaction) == (10_000, 0, 0)


def test_cancel_gives_the_money_back_to_the_balance(make_transaction, ask, agent):
    transaction = make_transaction()
    refund = ask(transaction, 2_500)
    canceled = services.cancel_refund(refund, actor=agent)
    assert canceled.status == Status.CANCELED
    assert canceled.finished_at
    assert balance(transaction) == (0, 0, 10_000)
    with pytest.raises(WrongStatus):
        services.cancel_refund(refund, actor=agent)


def test_only_the_requester_or_an_approver_cancels(make_transaction, ask, approver, make_user):
    refund = ask(make_transaction(), 2_500)
    with pytest.raises(NotAllowed):
        services.cancel_refund(refund, actor=make_user("refunds.request_refund"))
    assert services.cancel_refund(refund, actor=approver).status == Status.CANCELED


def test_a_canceled_refund_is_tried_again_once(make_transaction, ask, agent, make_user):
    transaction = make_transaction()
    refund = services.cancel_refund(ask(transaction, 2_500), actor=agent)
    again = services.retry_refund(refund, actor=agent)
    assert again != refund
    assert (again.status, again.retry_of, again.amount_minor) == (Status.QUEUED, refund, 2_500)
    assert services.retry_refund(refund, actor=agent) == again
    colleague = make_user("refunds.request_refund")
    assert services.retry_refund(refund, actor=colleague) == again
    assert balance(transaction) == (2_500, 0, 7_500)


def test_what_the_customer_may_read_comes_along(make_transaction, ask, agent):
    refund = services.cancel_refund(ask(make_transaction(), 2_500, words="Sorry."), actor=agent)
    assert services.retry_refund(refund, actor=agent).words == "Sorry."


@pytest.mark.django_db(transaction=True)
def test_of_ten_people_who_try_again_at_once_all_get_the_one_refund(
    make_transaction, ask, agent, make_user
):
    transaction = make_transaction()
    refund = services.cancel_refund(ask(transaction, 10_000), actor=agent)
    people = [make_user("refunds.request_refund") for _ in range(10)]
    start = Barrier(len(people))

    def attempt(person: User) -> Refund:
        try:
            start.wait()
            return services.retry_refund(Refund.objects.get(pk=refund.pk), actor=person)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(people)) as pool:
        again = set(pool.map(attempt, people))
    assert again == {Refund.objects.get(retry_of=refund)}
    assert balance(transaction) == (10_000, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_who_tries_again_while_as_much_is_being_asked_for_waits_and_is_told(
    make_transaction, ask, agent
):
    transaction = make_transaction()
    refund = services.cancel_refund(ask(transaction, 2_500), actor=agent)

    def try_again() -> Refund:
        try:
            return services.retry_refund(Refund.objects.get(pk=refund.pk), actor=agent)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with database.atomic():
            other = ask(transaction, 2_500)
            again = pool.submit(try_again)
            wait_until(somebody_waits_for_us)
        with pytest.raises(WrongStatus, match="As much was asked for since"):
            again.result()
    assert set(Refund.objects.all()) == {refund, other}
    assert balance(transaction) == (2_500, 0, 7_500)


def somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
            " AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
        )
        return cursor.fetchone() == (True,)


def test_who_tries_again_is_told_as_the_origin(make_transaction, ask, agent):
    refund = services.cancel_refund(ask(make_transaction(), 2_500, origin=Origin.API), actor=agent)
    assert services.retry_refund(refund, actor=agent).origin == Origin.STAFF


def test_no_key_of_a_client_stands_in_the_way_of_trying_again(make_transaction, ask, agent):
    transaction = make_transaction()
    refund = services.cancel_refund(ask(transaction, 2_500), actor=agent)
    other = ask(transaction, 1_000, idempotency_key=f"retry-{refund.pk}")
    again = services.retry_refund(refund, actor=agent)
    assert again != other
    assert (again.retry_of, again.amount_minor) == (refund, 2_500)


def test_what_was_called_off_because_it_was_paid_is_not_tried_again(make_transaction, ask, agent):
    transaction = make_transaction()
    refund = bring(ask(transaction, 2_500), Status.CANCELED, "made_before")
    with pytest.raises(WrongStatus, match="the money had gone back"):
        services.retry_refund(refund, actor=agent)
    assert Refund.objects.count() == 1
    assert balance(transaction) == (0, 0, 10_000)


def test_what_may_have_been_sent_before_a_restore_is_not_tried_again(make_transaction, ask, agent):
    refund = ask(make_transaction(), 2_500)
    Refund.objects.filter(pk=refund.pk).update(look_up_first=True)
    canceled = services.cancel_refund(refund, actor=agent)
    with pytest.raises(WrongStatus, match="before the restore"):
        services.retry_refund(canceled, actor=agent)


def test_what_tries_again_what_was_made_after_all_is_not_tried_again(make_transaction, ask, agent):
    failed = bring(ask(make_transaction(), 2_500), Status.FAILED)
    again = services.cancel_refund(services.retry_refund(failed, actor=agent), actor=agent)
    prove_made(failed)
    with pytest.raises(WrongStatus, match="went back already"):
        services.retry_refund(again, actor=agent)


def test_retry_of_a_queued_refund_makes_it_due_now(make_transaction, ask, agent, settings):
    settings.UNDO_SECONDS = 500
    refund = ask(make_transaction(), 2_500)
    assert refund.next_action_at > timezone.now() + timedelta(seconds=400)
    hurried = services.retry_refund(refund, actor=agent)
    hurried.refresh_from_db()
    assert hurried.next_action_at <= timezone.now()


def test_only_a_waiting_refund_is_hurried(make_transaction, ask, agent, approver):
    refund = ask(make_transaction(), 2_500)
    with pytest.raises(NotAllowed):
        services.hurry_refund(refund, actor=approver)
    canceled = services.cancel_refund(refund, actor=agent)
    with pytest.raises(WrongStatus):
        services.hurry_refund(canceled, actor=agent)
    assert Refund.objects.count() == 1


def test_only_open_questions_can_be_checked(make_transaction, ask, agent):
    refund = ask(make_transaction(), 2_500)
    with pytest.raises(WrongStatus):
        services.check_refund(refund, actor=agent)


def test_who_may_only_look_asks_no_processor(make_transaction, ask, approver, make_user):
    refund = leave_unknown(ask(make_transaction(), 2_500))
    refund.refresh_from_db()
    with pytest.raises(NotAllowed, match="request or approve"):
        services.check_refund(refund, actor=make_user("refunds.view_refund"))
    assert not refund.events.filter(kind="check_asked").exists()
    services.check_refund(refund, actor=approver)
    assert refund.events.filter(kind="check_asked", actor=approver).exists()


def test_approval_needs_a_refund_that_awaits_it(make_transaction, ask, approver):
    refund = ask(make_transaction(), 2_500)
    with pytest.raises(WrongStatus):
        approvals.approve_refund(refund, actor=approver)
    with pytest.raises(WrongStatus):
        approvals.reject_refund(refund, actor=approver)


def awaiting(refund: Refund) -> Refund:
    with triggers_off():
        Refund.objects.filter(pk=refund.pk).update(
            status=Status.AWAITING_APPROVAL, needs_approval=True
        )
    refund.refresh_from_db()
    return refund


def test_another_person_approves_and_it_is_queued(make_transaction, ask, approver, agent):
    refund = ask(make_transaction(), 2_500)
    refund = awaiting(refund)
    with pytest.raises(NotAllowed):
        approvals.approve_refund(refund, actor=agent)
    approved = approvals.approve_refund(refund, actor=approver)
    assert (approved.status, approved.approved_by) == (Status.QUEUED, approver)


def test_the_requester_never_approves_even_with_the_right(make_transaction, ask, make_user):
    both = make_user("refunds.request_refund", "refunds.approve_refund")
    refund = ask(make_transaction(), 2_500, requested_by=both)
    refund = awaiting(refund)
    with pytest.raises(NotAllowed):
        approvals.approve_refund(refund, actor=both)


def test_two_accounts_with_one_address_are_one_person(make_transaction, ask, agent, approver):
    refund = awaiting(ask(make_transaction(), 2_500))
    for person, email in ((agent, "Ana@example.com"), (approver, "ana@example.com ")):
        person.email = email
        person.save()
    refund.refresh_from_db()
    with pytest.raises(NotAllowed, match="Another person"):
        approvals.approve_refund(refund, actor=approver)


def test_a_rejected_refund_gives_the_money_back(make_transaction, ask, approver):
    transaction = make_transaction()
    refund = ask(transaction, 2_500)
    rejected = approvals.reject_refund(awaiting(refund), actor=approver)
    assert rejected.status == Status.CANCELED
    assert balance(transaction) == (0, 0, 10_000)


def test_a_refund_of_a_held_account_is_taken_and_says_that_it_waits(
    make_transaction, make_account, ask
):
    refund = ask(make_transaction(make_account(held_reason="Restored.")), 2_500)
    assert refund.status == Status.QUEUED
    plan = refund.events.get(kind="requested").data["plan"]
    assert plan.startswith("It waits")
    assert plan.endswith("Restored.")


def test_a_refund_of_a_held_account_says_that_it_cancels_the_payment(
    make_transaction, make_account
):
    account = make_account("nmi", held_reason="Restored.")
    payment = make_transaction(account, status="captured")
    assert "cancelled whole" in (plan := services.plan_in_words(payment, payment.amount))
    assert plan.endswith("Restored.")


@pytest.mark.parametrize(
    "fields", [{"held_reason": "Restored."}, {"paused_reason": "Revoked."}, {"is_active": False}]
)
def test_what_waits_for_its_account_is_not_hurried(make_transaction, ask, agent, fields):
    refund = ask(make_transaction(), 2_500)
    ProcessorAccount.objects.filter(pk=refund.account_id).update(**fields)
    fresh = Refund.objects.get(pk=refund.pk)
    with pytest.raises(WrongStatus, match="It waits, and goes out by itself"):
        services.retry_refund(fresh, actor=agent)
    assert not refund.events.filter(kind="hurried").exists()


def test_what_two_people_took_back_is_tried_again_once(make_transaction, ask, agent, approver):
    transaction = make_transaction()
    returned = take_back(ask(transaction, 2_500), agent, approver)
    again = services.retry_refund(returned, actor=agent)
    assert again.retry_of == returned
    assert services.retry_refund(returned, actor=agent) == again
    assert balance(transaction) == (2_500, 0, 7_500)


def test_what_came_back_by_itself_is_not_tried_again(make_transaction, ask, agent):
    returned = bring(ask(make_transaction(), 2_500), Status.RETURNED)
    with pytest.raises(WrongStatus, match="can be tried again"):
        services.retry_refund(returned, actor=agent)


def test_what_was_asked_for_anew_and_made_is_not_tried_again(paid, ask, agent):
    failed = bring(ask(paid, 300), Status.FAILED)
    instead = ask(paid, 300)
    with pytest.raises(WrongStatus, match="As much was asked for since"):
        services.retry_refund(failed, actor=agent)
    bring(instead, Status.SUCCEEDED)
    with pytest.raises(WrongStatus, match="As much was asked for since"):
        services.retry_refund(failed, actor=agent)
    bring_back(instead)
    assert services.retry_refund(failed, actor=agent).retry_of == failed


def test_another_amount_hinders_nobody_from_trying_again(paid, ask, agent):
    failed = bring(ask(paid, 300), Status.FAILED)
    bring(ask(paid, 200), Status.SUCCEEDED)
    assert services.retry_refund(failed, actor=agent).retry_of == failed
