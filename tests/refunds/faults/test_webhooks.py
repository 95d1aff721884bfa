"""Faults of webhooks: twice, out of order, too early, forged, of kinds that nobody knows."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import pytest

from refunds.models import Refund, WebhookEvent, WebhookState
from refunds.states import Status
from tests.refunds.hooks import pass_time, rejections, states, work
from tests.waiting import wait_until

from .play import assert_agreement, in_parallel, looked_up, sent

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


def test_f20_a_webhook_that_comes_fifty_times_has_one_effect(desk, hooks):
    transaction = desk.pay()
    refund_id = hooks.refund(transaction, 2_500)
    event = hooks.events(refund_id)[-1]
    answers: list[int] = []

    def deliver_until_taken(_number: int) -> None:
        """As processors do: a database with fifty new guests may say that it is busy."""

        def is_taken() -> bool:
            answers.append(hooks.deliver(event).status_code)
            return answers[-1] != 503

        wait_until(is_taken, 60)

    in_parallel(50, deliver_until_taken)
    taken = [answer for answer in answers if answer != 503]
    assert taken == [200] * 50
    [(_state, deliveries)] = states()
    assert deliveries == 50
    work()
    work()
    assert WebhookEvent.objects.get().state == WebhookState.PROCESSED
    assert_agreement(desk, transaction, 2_500)


@only_stripe
def test_f21_the_order_of_webhooks_does_not_matter(desk, hooks):
    for order in permutations(range(4)):
        transaction = desk.pay()
        refund_id = hooks.refund(transaction, 2_500)
        desk.post("refunds", refund_id=refund_id, status="failed")
        events = hooks.events(refund_id)[:4]
        for place in order:
            if place < len(events):
                assert hooks.deliver(events[place]).status_code == 200
                work()
        [refund] = Refund.objects.filter(transaction=transaction)
        assert refund.status in {Status.FAILED, Status.RETURNED}
        assert desk.sums(transaction) == (0, 0)


@pytest.mark.parametrize("desk", ["stripe", "paypal"], indirect=True)
def test_f21_a_webhook_that_comes_days_later_returns_the_money(desk, hooks):
    transaction = desk.pay()
    refund = sent(desk.ask(transaction, 2_500))
    desk.post("refunds", refund_id=refund.processor_refund_id, status="failed")
    for event in reversed(hooks.events(refund.processor_refund_id)):
        hooks.deliver(event)
    work()
    refund.refresh_from_db()
    assert refund.status == Status.RETURNED
    assert refund.attention_reason
    assert desk.sums(transaction) == (0, 0)


def test_f22_a_webhook_before_the_answer_makes_no_second_row(desk, hooks, settings):
    settings.PROVIDER_TIMEOUT_SECONDS = 1
    transaction = desk.pay()
    refund = desk.ask(transaction, 2_500)
    desk.arm("refund", "silence", "after", seconds=30)
    in_parallel(2, lambda number: sent(refund) if number else _deliver_early(desk, hooks))
    refund.refresh_from_db()
    assert Refund.objects.filter(transaction=transaction).count() == 1
    pass_time()
    work()
    refund.refresh_from_db()
    if refund.status == Status.UNKNOWN:
        looked_up(refund)
    pass_time()
    work()
    assert_agreement(desk, transaction, 2_500)
    assert Refund.objects.filter(transaction=transaction).count() == 1


def _deliver_early(desk, hooks) -> None:
    """What the processor reports of a refund while it keeps us waiting for the answer."""
    rows = desk.sandbox.ledger.refunds
    wait_until(lambda: any(hooks.events(row_id) for row_id in list(rows)))
    for row_id in list(rows):
        for event in hooks.events(row_id):
            assert hooks.deliver(event).status_code == 200
    work()


@pytest.mark.parametrize("forge", ["signature", "unsigned", "body", "old", "mode"])
def test_f23_a_forged_webhook_changes_nothing_and_asks_nobody(desk, hooks, forge):
    transaction = desk.pay()
    refund_id = hooks.refund(transaction, 2_500)
    before = len(desk.sandbox.ledger.requests)
    answer = hooks.deliver(hooks.events(refund_id)[-1], forge)
    if answer.status_code == 200:  # where a signature has no time, or a body names no mode
        assert (desk.processor, forge) in {
            ("authorizenet", "old"),
            ("authorizenet", "mode"),
            ("nmi", "old"),
            ("paypal", "mode"),
        }
        return
    assert answer.status_code == 400
    assert len(rejections()) == 1
    work()
    assert len(desk.sandbox.ledger.requests) - before <= 1  # PayPal's certificate
    assert not Refund.objects.exists()


def test_f23_the_secret_of_another_account_opens_nothing(desk, hooks):
    others = [
        account.name
        for account in desk.sandbox.ledger.accounts.values()
        if account.dialect == desk.processor and account.name != desk.name
    ]
    transaction = desk.pay()
    refund_id = hooks.refund(transaction, 2_500)
    for other in others:
        assert hooks.deliver(hooks.events(refund_id)[-1], account=other).status_code == 400
    assert not Refund.objects.exists()


def test_f23_a_replayed_webhook_only_makes_us_look(desk, hooks):
    transaction = desk.pay()
    refund = sent(desk.ask(transaction, 2_500))
    for event in hooks.events(refund.processor_refund_id):
        for _ in range(3):
            hooks.deliver(event)
        work()
    assert_agreement(desk, transaction, 2_500)
    assert Refund.objects.count() == 1


def test_f24_an_unknown_kind_of_event_is_stored_and_ignored(desk, hooks):
    transaction = desk.pay()
    event = hooks.events(hooks.refund(transaction, 2_500))[-1]
    body = json.loads(event.body)
    name = next(name for name in ("type", "event_type", "eventType") if name in body)
    body[name] = "something.of.next.year"
    body["a_field_of_next_year"] = {"deep": [1, None]}
    answer = hooks.deliver(replace(event, body=json.dumps(body)))
    assert answer.status_code == 200
    work()
    assert WebhookEvent.objects.get().state in {WebhookState.IGNORED, WebhookState.PROCESSED}
