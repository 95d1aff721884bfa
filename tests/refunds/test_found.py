"""Which refunds our rows know to have been made, though they counted as not made."""

from __future__ import annotations

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from refunds.found import count_for, is_paid_besides, made_already
from refunds.models import Refund
from refunds.states import Status

from .raw import triggers_off
from .states import bring, bring_back, prove_made

pytestmark = pytest.mark.django_db


@pytest.fixture
def failed(make_transaction, ask) -> Refund:
    return bring(ask(make_transaction(), 2_500), Status.FAILED)


def test_what_was_asked_for_in_its_stead_is_not_owed(failed, ask):
    instead = ask(failed.transaction, 2_500)
    assert not made_already(instead)
    prove_made(failed)
    assert made_already(instead)
    bring_back(failed)
    assert not made_already(instead)


def test_who_asks_once_it_is_found_sees_what_went_back(failed, ask):
    prove_made(failed)
    assert not made_already(ask(failed.transaction, 2_500))


def test_another_amount_is_not_in_its_stead(failed, ask):
    other = ask(failed.transaction, 2_400)
    prove_made(failed)
    assert not made_already(other)


def test_what_was_asked_for_beside_it_is_not_in_its_stead(make_transaction, ask):
    payment = make_transaction()
    first, beside = ask(payment, 2_500), ask(payment, 2_500)
    prove_made(bring(first, Status.FAILED))
    assert not made_already(beside)


def test_a_part_of_it_counts_for_it_too(failed, ask):
    """Its reference tells that it is the same: whoever owes the rest asks for that."""
    part = bring(ask(failed.transaction, 1_000), Status.SUCCEEDED)
    assert count_for(part, failed, "It is.")
    assert made_already(failed)


def test_it_counts_once_and_anew_when_that_came_back(failed, ask):
    first, second = (bring(ask(failed.transaction, 2_500), Status.SUCCEEDED) for _ in range(2))
    assert count_for(first, failed, "It is.")
    assert not count_for(second, failed, "It is.")
    bring_back(first)
    assert count_for(second, failed, "It is.")
    failed.refresh_from_db()
    assert failed.made_as == second


def test_what_was_asked_for_beside_it_keeps_its_time(make_transaction, ask, settings):
    settings.UNDO_SECONDS = 600
    payment = make_transaction()
    first, beside = ask(payment, 2_500), ask(payment, 2_500)
    failed = bring(first, Status.FAILED)
    instead = ask(payment, 2_500)
    made = bring(ask(payment, 2_500), Status.SUCCEEDED)
    assert count_for(made, failed, "It is.")
    due = Refund.objects.filter(status=Status.QUEUED, next_action_at__lte=Now())
    assert list(due) == [instead]
    assert beside.next_action_at > timezone.now()


def test_another_one_that_was_made_was_paid_besides(failed, ask):
    assert not is_paid_besides(failed)
    instead = bring(ask(failed.transaction, 2_500), Status.SUCCEEDED)
    assert is_paid_besides(failed)
    bring_back(instead)
    assert not is_paid_besides(failed)


def test_what_counts_elsewhere_already_was_paid_besides(failed, ask):
    assert count_for(bring(ask(failed.transaction, 100), Status.SUCCEEDED), failed, "It is.")
    assert is_paid_besides(failed)


def test_what_stands_for_one_that_was_made_was_paid_besides(failed, ask):
    instead = bring(ask(failed.transaction, 2_500), Status.FAILED)
    prove_made(failed)
    assert is_paid_besides(instead)


def test_an_order_of_events_counts_and_no_clock(failed, ask):
    instead = bring(ask(failed.transaction, 2_500), Status.SUCCEEDED)
    with triggers_off():
        Refund.objects.filter(pk=instead.pk).update(created_at=failed.created_at)
    assert is_paid_besides(failed)
