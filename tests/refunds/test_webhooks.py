"""Webhooks of all four processors: each one leads to a look, and none of them to anything else."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from gateways.registry import gateway_class
from refunds import webhooks
from refunds.models import Refund, WebhookEvent, WebhookState
from refunds.services import NotAllowed
from refunds.states import Status
from tests.rest import make_person
from tests.scripts import NO_BROKER, run_script
from tests.waiting import wait_until
from transactions.models import Transaction

from .desk import Desk
from .hooks import Hooks, again, asked, due, in_threads, late, pass_time, rejections, states, work

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)
FORGED = {
    "signature": "signature does not hold",
    "account": "signature does not hold",
    "body": "signature does not hold",
    "unsigned": "lacks the header",
    "old": "",
    "mode": "",
}


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

        in_threads(*[flood] * 4)
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


class TestAgain:
    @only_stripe
    def test_a_processed_one_is_read_once_more(self, desk, told):
        work()
        event = told[1]
        before = asked(desk)
        webhooks.process_again(event, actor=make_person("manager"))
        assert again(event).state == WebhookState.RECEIVED
        work()
        assert asked(desk) > before
        assert again(event).state == WebhookState.PROCESSED
        assert Refund.objects.count() == 1

    @only_stripe
    def test_one_that_names_nothing_has_nothing_to_be_asked(self, desk):
        event = WebhookEvent.objects.create(
            account=desk.account, mode=desk.account.mode, event_id="evt_1", body_sha256=bytes(32),
            event_type="balance.available", state=WebhookState.IGNORED,
        )  # fmt: skip
        before = asked(desk)
        webhooks.process_again(event, actor=make_person("manager"))
        work()
        event = again(event)
        assert (event.state, event.problem) == (WebhookState.IGNORED, "")
        assert event.processed_at
        assert asked(desk) == before

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
            webhooks.process_again(event, actor=make_person("manager"))
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
