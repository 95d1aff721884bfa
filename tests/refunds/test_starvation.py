"""A processor that does not answer, with much to ask it, keeps nobody else waiting."""

import pytest
from django.utils import timezone

from bench.storm import make_unknowns
from refunds.models import Refund, WebhookEvent, WebhookState
from refunds.publishing import hand_out
from refunds.states import Status
from refunds_site import processes
from refunds_site.supervisor import Supervisor
from tests.gateways.raw_server import raw_server
from tests.scripts import environment_of_scripts
from tests.waiting import wait_until

from .desk import Desk

UNKNOWN = 50
SILENCE = 40  # seconds that each call to it lasts; what waited for one would be late
SOON = 30


@pytest.fixture
def workers(transactional_db, tmp_path):
    """The processes of a demo that serve queues, with little room: two sends at the same time."""
    environment = environment_of_scripts() | {
        "PROVIDER_TIMEOUT_SECONDS": str(SILENCE),
        "PROVIDER_CONCURRENCY": "1",
    }
    supervisor = Supervisor(tmp_path / "logs")
    try:
        supervisor.start(
            processes.worker(environment, queues=processes.SUBMIT, concurrency=2),
            processes.background(environment, threads=6),
            processes.beat(environment, tmp_path / "beat"),
        )
        yield supervisor
    finally:
        supervisor.stop()


@pytest.fixture
def silent(sandbox, ask, agent, workers):
    """A Stripe account whose processor accepts calls and says nothing, until the workers stop."""
    with raw_server() as server:
        server.plays = [server.silence]
        desk = Desk(sandbox, "stripe", ask)
        transaction = desk.pay()
        desk.account.base_url = server.url
        desk.account.save()
        make_unknowns(desk.account, agent, UNKNOWN)
        yield server, transaction


@pytest.mark.timeout(240)
def test_what_is_asked_elsewhere_is_done_soon(silent, sandbox, ask, agent):
    server, transaction = silent
    ask(transaction, 10_000)
    wait_until(lambda: len(server.requests) >= 2, SOON)  # a send and a look-up hang

    others = [Desk(sandbox, "stripe", ask, "stripe-japan"), Desk(sandbox, "nmi", ask)]
    for desk, currency in zip(others, ("JPY", "USD"), strict=True):
        paid = desk.pay(currency=currency)
        ask(paid, 5_000)
        sent = paid.refunds.filter(processor_refund_id__isnull=False)
        wait_until(sent.exists, SOON)

    desk = others[0]
    event = WebhookEvent.objects.create(
        account=desk.account,
        mode="test",
        event_id="evt_1",
        payment_id=desk.pay(currency="JPY").external_id,
        body_sha256=b"0" * 32,
        state=WebhookState.RECEIVED,
        next_try_at=timezone.now(),
    )
    hand_out("refunds.tasks.process_webhook", [event.pk])
    wait_until(lambda: _is_processed(event), SOON)

    make_unknowns(desk.account, agent, 1)
    unknown = Refund.objects.filter(account=desk.account, status=Status.UNKNOWN)
    wait_until(lambda: unknown.filter(lookups__gt=0).exists() or not unknown.exists(), SOON)
    assert Refund.objects.filter(account=transaction.account, status=Status.UNKNOWN).count() >= 50


def _is_processed(event: WebhookEvent) -> bool:
    event.refresh_from_db()
    return event.processed_at is not None
