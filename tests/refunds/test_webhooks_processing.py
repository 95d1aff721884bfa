"""What becomes of a stored webhook: a look, another try, or a person."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from itertools import permutations
from threading import Barrier, Event

import pytest

from gateways.base import Capabilities
from gateways.registry import gateway_class
from refunds import circuits, webhooks
from refunds.models import Attention, Refund, WebhookEvent, WebhookState
from refunds.states import Origin
from tests.rest import make_person
from tests.scripts import run_script
from transactions.models import Transaction

from .hooks import (
    again,
    asked,
    due,
    in_threads,
    late,
    pass_time,
    seconds_left,
    states,
    work,
)

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)


class TestProcessing:
    def test_a_refund_in_the_dashboard_is_recorded_once(self, desk, hooks):
        transaction = desk.pay()
        refund_id = hooks.refund(transaction, 1_500)
        for event in hooks.events(refund_id):
            assert hooks.deliver(event).status_code == 200
            work()
        assert {state for state, _ in states()} == {"processed"}
        refund = Refund.objects.get()
        assert (refund.origin, refund.amount_minor) == (Origin.EXTERNAL, 1_500)
        assert sum(desk.sums(transaction)) == 1_500

    def test_a_payment_that_we_have_not_seen_is_read(self, desk, hooks):
        made = desk.post("payments", account=desk.name, amount_minor=700, currency="USD",
                         status="captured", last4="4242", brand="visa")  # fmt: skip
        event = hooks.events(made["payment"]["id"])[0]
        assert hooks.deliver(event).status_code == 200
        work()
        assert Transaction.objects.get().amount_minor == 700
        assert states() == [("processed", 1)]

    @pytest.mark.parametrize("desk", ["stripe", "nmi"], indirect=True)
    def test_in_any_order_the_end_is_the_same(self, desk, hooks):
        ends = set()
        for number, order in enumerate(permutations(range(4))):
            transaction = desk.pay(last4=f"{1000 + number}")  # NMI's refunds are told by the card
            ids = [hooks.refund(transaction, minor) for minor in (100, 200, 300)]
            records = [transaction.external_id, *ids]
            for place in order:
                hooks.deliver(hooks.events(records[place])[0])
            work()
            refunds = Refund.objects.filter(transaction=transaction).order_by("amount_minor")
            ends.add((desk.sums(transaction), *refunds.values_list("amount_minor", "status")))
        assert len(ends) == 1
        assert len(ends.pop()) == 4
        assert {state for state, _ in states()} == {"processed"}

    def test_two_workers_at_once_ask_once(self, desk, told):
        _transaction, event = told
        before = asked(desk)
        start = Barrier(2)

        def take():
            start.wait()
            webhooks.process(event.pk)

        in_threads(take, take)
        once = asked(desk) - before
        assert again(event).tries == 1
        webhooks.process_again(event, actor=make_person("manager"))
        work()
        assert asked(desk) - before == 2 * once
        assert Refund.objects.count() == 1

    @pytest.mark.parametrize("desk", ["stripe", "nmi"], indirect=True)
    def test_a_kill_between_payments_and_refunds_is_made_good(self, desk, told):
        transaction, event = told
        script = f"from refunds import webhooks; webhooks.process({event.pk})"
        with pytest.raises(subprocess.CalledProcessError):
            run_script(script, CRASH_AT="in-webhook-apply")
        assert not Refund.objects.exists()
        assert again(event).state == WebhookState.RECEIVED
        assert not due().exists()  # nobody takes it while its worker may live
        pass_time()
        work()
        assert Refund.objects.count() == 1
        assert sum(desk.sums(transaction)) == 1_500
        assert again(event).state == WebhookState.PROCESSED

    @only_stripe
    def test_who_lost_the_claim_writes_no_end(self, desk, told, settings):
        _transaction, event = told
        arrived, go_on = Event(), Event()

        class Gateway(gateway_class("stripe")):
            def read_again(self, notice):
                reread = super().read_again(notice)
                arrived.set()
                assert go_on.wait(10)
                return reread

        def overtake():
            assert arrived.wait(10)
            pass_time()
            WebhookEvent.objects.update(problem="Somebody else has it.")
            go_on.set()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateways.stripe.StripeGateway", Gateway)
            in_threads(lambda: webhooks.process(event.pk), overtake)
        assert again(event).problem == ""
        assert event.state == WebhookState.PROCESSED  # taken up again, being due

    @only_stripe
    def test_a_worker_goes_on_with_what_else_is_due(self, desk, hooks):
        transaction = desk.pay()
        for minor in (100, 200, 300):
            hooks.deliver(hooks.events(hooks.refund(transaction, minor))[0])
        webhooks.process(WebhookEvent.objects.order_by("pk").last().pk)
        assert states() == [("processed", 1)] * 3

    @only_stripe
    def test_a_processor_that_is_busy_with_us_is_not_pressed(self, desk, told, settings):
        settings.PROVIDER_CONCURRENCY = 1
        before = asked(desk)

        def take():
            webhooks.process(told[1].pk)

        with circuits.slot(desk.account.pk, "webhook") as is_free:
            assert is_free
            in_threads(take)
        assert asked(desk) == before
        assert list(due()) == [told[1]]

    @only_stripe
    def test_what_is_gone_is_no_mistake(self, desk, told):
        webhooks.process(told[1].pk + 1)
        assert list(due()) == [told[1]]


class TestFailing:
    @pytest.fixture
    def unreachable(self, desk):
        desk.account.base_url = "http://127.0.0.1:9/nothing"
        desk.account.save()

        def repair():
            desk.account.base_url = f"{desk.sandbox.url}/{desk.processor}"
            desk.account.save()

        return repair

    @only_stripe
    def test_it_is_tried_again_ever_more_seldom_and_then_a_person_is_told(
        self, desk, told, unreachable, approver
    ):
        waits = []
        for number in range(1, 12):
            work()
            event = again(told[1])
            assert (event.state, event.tries) == (WebhookState.FAILED, number)
            assert event.problem
            waits.append(seconds_left(event))
            assert Attention.objects.count() == (number >= 10)
            pass_time()
        assert waits == [15, 60, 300, 1800, *[3600] * 7]
        case = Attention.objects.get()
        assert (case.kind, case.subject) == ("webhook_failed", f"webhook:{event.pk}")
        assert (case.webhook, case.account, case.owner) == (event, desk.account, approver)
        unreachable()
        work()
        assert again(event).state == WebhookState.PROCESSED
        case.refresh_from_db()
        assert (bool(case.closed_at), case.outcome) == (True, "Processed")

    @only_stripe
    def test_one_that_kills_its_workers_is_put_before_a_person(self, desk, told):
        WebhookEvent.objects.update(tries=10)
        work()
        case = Attention.objects.get(kind="webhook_failed")
        assert case.reason.startswith("It failed 11 times")
        assert case.outcome == "Processed"  # this worker lived

    @only_stripe
    def test_a_broken_answer_is_no_end(self, desk, told):
        desk.arm("get_refund", "malformed", times=5)
        desk.arm("get_charge", "malformed", times=5)
        desk.arm("*", "malformed", times=5)
        work()
        event = again(told[1])
        assert event.state == WebhookState.FAILED
        assert not Refund.objects.exists()
        desk.sandbox.faults.clear()
        pass_time()
        work()
        assert again(event).state == WebhookState.PROCESSED

    def test_what_the_processor_does_not_show_yet_is_asked_for_again(self, desk, told):
        _transaction, event = told
        WebhookEvent.objects.update(payment_id="1234567890", refund_id="")
        work()
        assert again(event).state == WebhookState.RECEIVED
        assert "does not show yet" in event.problem
        assert (event.tries, seconds_left(event)) == (0, 15)
        late(event, minutes=2)
        pass_time()
        work()
        assert 115 <= seconds_left(again(event)) <= 125
        late(event, seconds=lag_of(desk).total_seconds() + 1)
        pass_time()
        work()
        assert again(event).state == WebhookState.IGNORED
        assert "does not know" in event.problem

    @pytest.mark.parametrize("desk", ["nmi"], indirect=True)
    def test_what_a_person_has_to_place_is_not_asked_for_again(self, desk, hooks):
        """A refund by hand names no payment there, and two payments of the card fit."""
        transaction = desk.pay()
        desk.pay()
        refund_id = hooks.refund(transaction, 1_500)
        event = hooks.events(refund_id)[-1]
        hooks.deliver(event)
        work()
        stored = WebhookEvent.objects.get()
        unplaced = Attention.objects.filter(kind="unplaced", closed_at__isnull=True)
        assert (stored.state, stored.problem) == (WebhookState.PROCESSED, unplaced.get().reason)
        assert not Refund.objects.exists()


def lag_of(desk) -> timedelta:
    capabilities: Capabilities = gateway_class(desk.processor).capabilities
    return capabilities.lookup_lag
