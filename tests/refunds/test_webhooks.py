"""Webhooks of all four processors: each one leads to a look, and none of them to anything else."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from threading import Barrier, Event

import pytest
from django.db import connections
from django.db.models import F
from django.db.models.functions import Now

from gateways.base import Capabilities
from gateways.registry import gateway_class
from refunds import circuits, webhooks
from refunds.execution import send_refund
from refunds.models import Attention, Refund, RefundAttempt, WebhookEvent, WebhookState
from refunds.resolution import look_up_refund
from refunds.services import NotAllowed
from refunds.states import Origin, Status
from tests.scripts import NO_BROKER, run_script
from tests.waiting import wait_until
from transactions.models import Transaction

from .desk import Desk
from .hooks import Hooks, due, pass_time, rejections, states, work

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)
FORGED = {
    "signature": "signature does not hold",
    "account": "signature does not hold",
    "body": "signature does not hold",
    "unsigned": "lacks the header",
    "old": "",
    "mode": "",
}


@pytest.fixture
def hooks(desk: Desk) -> Hooks:
    return Hooks(desk)


@pytest.fixture
def told(desk, hooks):
    """A refund made in the dashboard and delivered, not processed: its transaction and event."""
    transaction = desk.pay()
    event = hooks.events(hooks.refund(transaction, 1_500))[0]
    assert hooks.deliver(event).status_code == 200
    return transaction, WebhookEvent.objects.get()


def asked(desk):
    """How often the processor was asked about payments and refunds."""
    ledger = desk.sandbox.ledger
    with ledger.lock:
        return sum("cert" not in each.path and each.dialect == desk.processor
                   for each in ledger.requests)  # fmt: skip


def again(event):
    event.refresh_from_db()
    return event


def late(event, **age):
    """Let the event have come that long ago."""
    WebhookEvent.objects.filter(pk=event.pk).update(received_at=Now() - timedelta(**age))


def in_two_threads(*jobs):
    def run(job):
        try:
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [done.result() for done in [pool.submit(run, job) for job in jobs]]


class TestStoring:
    def test_what_is_told_is_stored_and_not_believed(self, desk, told):
        transaction, event = told
        assert event.state == WebhookState.RECEIVED
        assert event.event_type
        assert event.mode == "test"
        assert len(event.body_sha256) == 32
        assert event.refund_id or event.payment_id
        assert list(due()) == [event]
        assert not Refund.objects.exists()
        assert desk.sums(transaction) == (0, 0)

    def test_its_request_asks_nobody(self, desk, hooks):
        event = hooks.events(hooks.refund(desk.pay(), 1_500))[0]
        before = asked(desk)
        hooks.deliver(event)
        hooks.deliver(event)
        assert asked(desk) == before
        assert states() == [("received", 2)]

    def test_again_after_it_was_processed_it_only_counts(self, desk, hooks, told):
        work()
        before = asked(desk)
        [event] = hooks.events(WebhookEvent.objects.get().refund_id)[:1]
        assert hooks.deliver(event).status_code == 200
        work()
        assert asked(desk) == before
        assert states() == [("processed", 2)]
        [(first, last)] = WebhookEvent.objects.values_list("received_at", "last_received_at")
        assert first < last

    def test_the_same_event_of_two_accounts_is_two_events(self, sandbox, ask, transactional_db):
        desks = [Desk(sandbox, "stripe", ask, name) for name in ("stripe-main", "stripe-japan")]
        event = Hooks(desks[0]).events(desks[0].pay().external_id)[0]
        for desk in desks:
            notice = Hooks(desk).sign(event, account=desk.name)
            assert Hooks(desk).post(notice).status_code == 200
        assert states() == [("received", 1), ("received", 1)]

    def test_of_an_unknown_kind_it_is_kept_and_nothing_is_done(self, desk, hooks, told):
        before = asked(desk)
        assert (
            hooks.deliver(replace_id(hooks.events(told[1].refund_id)[0]), "type").status_code == 200
        )
        assert states()[1] == ("ignored", 1)
        assert due().count() == 1
        assert asked(desk) == before

    @only_stripe
    def test_a_kill_while_it_is_stored_leaves_nothing(self, desk, hooks):
        event = hooks.events(desk.pay().external_id)[0]
        with pytest.raises(subprocess.CalledProcessError):
            run_script(deliver_in_a_script(hooks, event), CRASH_AT="in-webhook-store")
        assert states() == []
        assert hooks.deliver(event).status_code == 200
        assert states() == [("received", 1)]

    @only_stripe
    def test_without_a_broker_it_is_stored_and_handed_out_later(self, desk, hooks, valkey):
        event = hooks.events(desk.pay().external_id)[0]
        script = deliver_in_a_script(hooks, event)
        assert run_script(script, REDIS_URL=NO_BROKER).endswith("200")
        assert states() == [("received", 1)]
        assert valkey.llen("webhook") == 0
        assert webhooks.publish_due() == 1
        assert valkey.llen("webhook") == 1


def replace_id(event):
    """The event as one that comes for the first time."""
    body = event.body.replace(event.id, event.id[:-4] + "0000")
    return replace(event, body=body, id=event.id[:-4] + "0000")


def deliver_in_a_script(hooks, event):
    notice = hooks.sign(event)
    return (
        "from django.test import Client\n"
        f"answer = Client().post({hooks.address!r}, {notice.body!r}, HTTP_HOST='localhost',"
        f" content_type='application/json', headers={notice.headers!r})\n"
        "print(answer.status_code)"
    )


class TestRejecting:
    @pytest.mark.parametrize("forge", FORGED)
    def test_a_forged_one_changes_nothing_and_asks_nobody(self, desk, hooks, forge):
        transaction = desk.pay()
        event = hooks.events(hooks.refund(transaction, 1_500))[0]
        before = asked(desk)
        answer = hooks.deliver(event, forge)
        if desk.processor in ("authorizenet", "nmi") and forge == "old":
            assert answer.status_code == 200  # they sign no time: ids tell what was sent before
            return
        assert answer.status_code == 400
        [why] = rejections()
        assert FORGED[forge] in why
        work()
        assert asked(desk) == before
        assert not Refund.objects.exists()
        row = WebhookEvent.objects.get()
        assert (row.event_id, row.payment_id, row.refund_id, row.next_try_at) == (
            None,
            "",
            "",
            None,
        )

    def test_what_names_another_accounts_payment_changes_nothing(self, desk, hooks):
        event = hooks.events(hooks.refund(desk.pay(), 1_500))[0]
        assert hooks.deliver(event, "foreign").status_code == 200
        work()
        row = WebhookEvent.objects.get()
        assert row.state in (WebhookState.RECEIVED, WebhookState.FAILED)
        assert row.problem
        late(row, days=1)
        pass_time()
        work()
        assert again(row).state in (WebhookState.IGNORED, WebhookState.FAILED)
        assert Transaction.objects.count() == 1
        assert not Refund.objects.exists()

    def test_without_a_secret_the_address_is_off(self, desk, hooks):
        event = hooks.events(hooks.refund(desk.pay(), 1_500))[0]
        names = gateway_class(desk.processor).credential_names
        values = desk.sandbox.ledger.accounts[desk.name].credentials
        desk.account.set_credentials({name: values[name] for name in names})
        desk.account.save()
        assert hooks.deliver(event).status_code == 400
        [why] = rejections()
        assert "Enter the webhook secret" in why

    @only_stripe
    def test_only_so_many_are_kept_in_a_minute(self, desk, hooks):
        event = hooks.events(desk.pay().external_id)[0]

        def flood():
            for _ in range(20):
                hooks.deliver(event, "signature")

        in_two_threads(*[flood] * 4)
        assert len(rejections()) == webhooks.REJECTIONS_PER_MINUTE
        WebhookEvent.objects.update(received_at=Now() - timedelta(seconds=61))
        hooks.deliver(event, "signature")
        assert len(rejections()) == webhooks.REJECTIONS_PER_MINUTE + 1
        assert hooks.deliver(event).status_code == 200

    @only_stripe
    def test_old_ones_are_forgotten_and_verified_ones_never(self, desk, hooks, told):
        event = hooks.events(told[1].refund_id)[0]
        for _ in range(2):
            hooks.deliver(event, "signature")
        old = WebhookEvent.objects.filter(state="rejected").order_by("pk")[:1]
        WebhookEvent.objects.filter(pk__in=[told[1].pk, old[0].pk]).update(
            received_at=Now() - timedelta(days=91)
        )
        webhooks.publish_due()
        assert states() == [("received", 1), ("rejected", 1)]


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

        in_two_threads(take, take)
        once = asked(desk) - before
        assert again(event).tries == 1
        webhooks.process_again(event, actor=anybody_who_may())
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
            in_two_threads(lambda: webhooks.process(event.pk), overtake)
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
            in_two_threads(take)
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


def seconds_left(event):
    left = WebhookEvent.objects.annotate(left=F("next_try_at") - Now()).get(pk=event.pk)
    return round(left.left.total_seconds())


class TestBeforeTheAnswer:
    """A webhook may be faster than the answer to our own refund, or all that there is of it."""

    def ours(self, desk, transaction, minor=1_500):
        refund = desk.ask(transaction, minor)
        Refund.objects.filter(pk=refund.pk).update(next_action_at=Now())
        return refund

    def reported(self, desk, hooks, transaction):
        """The event of the first refund that the processor made of the payment."""
        wait_until(lambda: desk.given_back(transaction))
        with hooks.ledger.lock:
            payment = hooks.ledger.payments[transaction.external_id]
            [made] = hooks.ledger.refunds_of(payment)
        wait_until(lambda: hooks.events(made.id))
        return hooks.events(made.id)[0]

    def test_it_waits_until_the_answer_is_there(self, desk, hooks):
        transaction = desk.pay()
        refund = self.ours(desk, transaction)
        desk.arm("refund", "slow", "after", seconds=20)

        def hear():
            hooks.deliver(self.reported(desk, hooks, transaction))
            assert Refund.objects.get().status == Status.SENDING
            work()
            heard = WebhookEvent.objects.get(), Refund.objects.get().status
            desk.sandbox.faults.clear()  # now it may answer
            return heard

        _sent, (parked, status) = in_two_threads(lambda: send_refund(refund.pk), hear)
        assert status == Status.SENDING
        assert (parked.state, parked.tries) == (WebhookState.RECEIVED, 0)
        assert "answer is awaited" in parked.problem
        refund.refresh_from_db()
        assert refund.status in (Status.SUCCEEDED, Status.PENDING)
        pass_time()
        work()
        assert states() == [("processed", 1)]
        assert Refund.objects.get() == refund
        assert sum(desk.sums(transaction)) == 1_500 == sum(desk.given_back(transaction))

    def test_it_brings_an_answer_that_was_lost(self, desk, hooks):
        transaction = desk.pay()
        refund = self.ours(desk, transaction)
        desk.arm("refund", "reset", "after")
        send_refund(refund.pk)
        refund.refresh_from_db()
        assert refund.status == Status.UNKNOWN
        hooks.deliver(self.reported(desk, hooks, transaction))
        work()
        refund.refresh_from_db()
        assert refund.status in (Status.SUCCEEDED, Status.PENDING)
        assert Refund.objects.get() == refund
        assert states() == [("processed", 1)]
        assert desk.given_back(transaction) == [1_500]

    @only_stripe
    def test_what_could_be_ours_waits_and_hurries_ours(self, desk, hooks):
        """Somebody refunds the same amount by hand while the outcome of ours is unknown."""
        transaction = desk.pay()
        refund = self.ours(desk, transaction)
        desk.arm("refund", "reset", "before")
        send_refund(refund.pk)
        Refund.objects.update(next_action_at=Now() + timedelta(minutes=5))
        RefundAttempt.objects.update(last_sent_at=Now() - timedelta(minutes=1))
        hooks.deliver(hooks.events(hooks.refund(transaction, 1_500))[0])
        work()
        assert Refund.objects.get() == refund
        event = WebhookEvent.objects.get()
        assert event.state == WebhookState.RECEIVED
        assert Refund.objects.filter(next_action_at__lte=Now()).exists()
        look_up_refund(refund.pk)
        refund.refresh_from_db()
        assert refund.status == Status.SUCCEEDED
        pass_time()
        work()
        assert again(event).state == WebhookState.PROCESSED
        origins = Refund.objects.order_by("origin").values_list("origin", "status")
        assert list(origins) == [("external", "succeeded"), ("staff", "succeeded")]
        assert desk.sums(transaction) == (0, 3_000)

    @only_stripe
    def test_a_wait_of_hours_hurries_nobody(self, desk, hooks):
        transaction = desk.pay()
        refund = self.ours(desk, transaction)
        desk.arm("refund", "reset", "before")
        send_refund(refund.pk)
        Refund.objects.update(next_action_at=Now() + timedelta(minutes=5))
        hooks.deliver(hooks.events(hooks.refund(transaction, 1_500))[0])
        event = WebhookEvent.objects.get()
        late(event, hours=3)
        work()
        assert not Refund.objects.filter(next_action_at__lte=Now()).exists()
        assert seconds_left(event) == 3600


def anybody_who_may():
    from tests.rest import make_person

    return make_person("manager")


class TestAgain:
    @only_stripe
    def test_a_processed_one_is_read_once_more(self, desk, told):
        work()
        event = told[1]
        before = asked(desk)
        webhooks.process_again(event, actor=anybody_who_may())
        assert again(event).state == WebhookState.RECEIVED
        work()
        assert asked(desk) > before
        assert again(event).state == WebhookState.PROCESSED
        assert Refund.objects.count() == 1

    @only_stripe
    def test_who_may_not_may_not(self, desk, told, agent):
        work()
        with pytest.raises(NotAllowed, match="may not"):
            webhooks.process_again(told[1], actor=agent)
        assert again(told[1]).state == WebhookState.PROCESSED

    @only_stripe
    def test_a_rejected_one_stays_rejected(self, desk, hooks):
        hooks.deliver(hooks.events(desk.pay().external_id)[0], "signature")
        event = WebhookEvent.objects.get()
        with pytest.raises(webhooks.NotProcessable, match="not be verified"):
            webhooks.process_again(event, actor=anybody_who_may())
        assert again(event).state == WebhookState.REJECTED


@only_stripe
def test_from_the_dashboard_to_the_row_by_real_processes(
    desk, hooks, live_server, celery_worker_process
):
    desk.post("webhooks", subscribe=f"{live_server.url}{hooks.address}", account=desk.name)
    transaction = desk.pay()
    hooks.refund(transaction, 1_500)
    wait_until(lambda: Refund.objects.filter(status=Status.SUCCEEDED).exists(), 20)
    wait_until(lambda: not due().exists() and {s for s, _ in states()} == {"processed"}, 20)
    assert desk.sums(transaction) == (0, 1_500)
