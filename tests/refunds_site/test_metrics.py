"""Who may read ``/metrics``, and that its numbers are those of the rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import yaml
from celery import current_app
from django.db import connection
from django.test import Client, override_settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from campaigns.models import Campaign, CampaignItem
from refunds import circuits
from refunds.attention import raise_case
from refunds.models import (
    AttentionKind,
    Reconciliation,
    Refund,
    RefundEvent,
    RefundReason,
    WebhookEvent,
)
from refunds.publishing import hand_out
from refunds.states import RESERVING, Status
from refunds_site import collectors, embedded, facts, processes
from refunds_site.supervisor import Supervisor
from tests.refunds.desk import Desk
from tests.refunds.states import bring
from tests.rest import make_account, make_person, make_refund, make_transaction
from tests.waiting import wait_until
from transactions.models import SyncState

from .production import production_environment

PROJECT = Path(__file__).parents[2]
TOKEN = "a-random-word-of-20-characters"
Numbers = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Numbers:
    return {
        (sample.name.removeprefix("refund_desk_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def scrape(settings) -> Callable[[], str]:
    settings.METRICS_TOKEN = TOKEN
    client = Client(headers={"Authorization": f"Bearer {TOKEN}"})

    def scrape() -> str:
        response = client.get("/metrics")
        assert response.status_code == 200
        assert response["Cache-Control"] == "no-store"
        assert response["Content-Type"].startswith("text/plain; version=")
        return response.content.decode()

    return scrape


@pytest.fixture
def read(scrape, monkeypatch) -> Callable[..., float | None]:
    """One number, as it is now; None where there is none."""
    monkeypatch.setattr(collectors, "_KEPT_SECONDS", 0)

    def read(name: str, **labels: str) -> float | None:
        return parse(scrape()).get((name, frozenset(labels.items())))

    return read


# --- who may read ----------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "debug", "sent", "address", "status"),
    [
        ("", False, {}, "127.0.0.1", 404),
        ("", False, {"Authorization": "Bearer "}, "127.0.0.1", 404),
        ("", True, {}, "127.0.0.1", 200),
        ("", True, {}, "::1", 200),
        ("", True, {}, "10.0.0.1", 404),
        ("", True, {}, "", 404),
        ("", True, {"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1", 404),
        (TOKEN, False, {}, "127.0.0.1", 401),
        (TOKEN, True, {}, "127.0.0.1", 401),
        (TOKEN, False, {"Authorization": f"Token {TOKEN}"}, "127.0.0.1", 401),
        (TOKEN, False, {"Authorization": f"Bearer {TOKEN}x"}, "127.0.0.1", 401),
        (TOKEN, False, {"Authorization": "Bearer é"}, "127.0.0.1", 401),
        (TOKEN, False, {"Authorization": f"Bearer {TOKEN}"}, "10.0.0.1", 200),
    ],
)
def test_only_who_has_the_token_reads_it(token, debug, sent, address, status):
    with override_settings(METRICS_TOKEN=token, DEBUG=debug, ALLOWED_HOSTS=["desk.example.com"]):
        client = Client(headers={"Host": "10.1.2.3:8000"} | sent, REMOTE_ADDR=address)
        response = client.get("/metrics")
        assert response.status_code == status
        assert (b"refund_desk_" in response.content) is (status == 200)
        assert client.post("/metrics").status_code == (405 if status == 200 else status)


# --- the numbers -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_open_refunds_are_counted_by_account_and_status(read):
    account, other = make_account("shop"), make_account("quiet", "nmi")
    ours = {"account": "shop", "processor": "stripe"}
    for status in (Status.QUEUED, Status.UNKNOWN, Status.UNKNOWN, Status.SUCCEEDED):
        refund = make_refund(make_transaction(account), 1_000)
        if status != Status.QUEUED:
            bring(refund, status)
    ago = timezone.now() - timedelta(minutes=10)
    Refund.objects.filter(status=Status.UNKNOWN).update(unknown_since=ago, next_action_at=ago)
    Refund.objects.filter(status=Status.QUEUED).update(next_action_at=ago, is_held=True)

    assert read("refunds_open", **ours, status="queued") == 1
    assert read("refunds_open", **ours, status="unknown") == 2
    assert read("refunds_open", **ours, status="sending") == 0
    assert read("refunds_open", **ours, status="succeeded") is None
    assert read("refunds_open", account=other.slug, processor="nmi", status="unknown") == 0
    assert read("refund_oldest_seconds", **ours, status="unknown") == pytest.approx(600, abs=60)
    assert read("refund_overdue_seconds", **ours, status="unknown") == pytest.approx(600, abs=60)
    assert read("refund_overdue_seconds", **ours, status="queued") == 0  # somebody holds it
    of_hour = ours | {"currency": "USD"}
    assert read("refunds_last_hour", **of_hour, status="unknown") == 2
    assert read("refunds_last_hour", **of_hour, status="failed") == 0
    made = Refund.objects.get(status=Status.SUCCEEDED)
    assert read("refunds_last_hour_minor", **of_hour, status="succeeded") == made.amount_minor
    assert read("audit_sequence") == RefundEvent.objects.latest("sequence").sequence
    with connection.cursor() as cursor:  # a trigger keeps this from being changed
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE refunds_refund SET created_at = created_at - interval '2 hours'")
    assert read("refunds_last_hour", **of_hour, status="unknown") is None


@pytest.mark.django_db
def test_what_needs_a_person_and_what_came_in(read):
    account = make_account("shop")
    ours = {"account": "shop", "processor": "stripe"}
    raise_case(AttentionKind.DISPUTED, "one", "Disputed.", account=account)
    raise_case(AttentionKind.DISPUTED, "two", "Disputed.", account=account)
    states = ("received", "failed", "failed", "processed", "rejected")
    for number, state in enumerate(states):
        WebhookEvent.objects.create(
            account=account,
            mode="test",
            event_id=None if state == "rejected" else f"evt_{number}",
            body_sha256=bytes(32),
            state=state,
        )
    assert read("cases_open", **ours, kind="disputed") == 2
    assert read("case_oldest_seconds", **ours, kind="disputed") < 60
    assert read("webhooks_open", **ours, state="failed") == 2
    assert read("webhooks_open", **ours, state="received") == 1
    assert read("webhook_oldest_seconds", **ours, state="received") < 60
    assert read("webhooks_rejected_last_hour", **ours) == 1


@pytest.mark.django_db
def test_how_accounts_stand(read):
    account = make_account("shop", paused_reason="no", held_reason="yes")
    make_account("gone", is_active=False)
    ours = {"account": "shop", "processor": "stripe"}
    gone = ours | {"account": "gone"}
    assert read("account_down_seconds", **ours) == 0
    for _ in range(circuits.SILENCES):
        circuits.note_silence(account.pk)
    ago = timezone.now() - timedelta(minutes=30)
    SyncState.objects.create(account=account, stream="payments", synced_until=ago, error="broke")
    Reconciliation.objects.create(account=account, since=ago, until=ago, finished_at=ago)
    Reconciliation.objects.create(account=account, since=ago, until=ago)  # under way
    account.circuit_breaker.down_since = ago
    account.circuit_breaker.save()
    assert read("account_held", **ours) == read("account_paused", **ours) == 1
    assert (read("account_off", **ours), read("account_off", **gone)) == (0, 1)
    assert read("account_down_seconds", **ours) == pytest.approx(1800, abs=60)
    assert read("account_failures", **ours) == circuits.SILENCES
    assert read("sync_age_seconds", **ours, stream="payments") == pytest.approx(1800, abs=60)
    assert read("sync_failed", **ours, stream="payments") == 1
    assert read("sync_age_seconds", **ours, stream="refunds") < 60  # added a moment ago
    assert read("sync_age_seconds", **gone, stream="refunds") is None
    assert read("reconciliation_age_seconds", **ours) == pytest.approx(1800, abs=60)


@pytest.mark.django_db
def test_campaigns_under_way(read):
    campaign = Campaign.objects.create(
        name="Recall",
        reason=RefundReason.objects.first(),
        most_refunds=10,
        most_money=10,
        created_by=make_person("manager"),
        state="running",
    )
    payment = make_transaction(make_account())
    CampaignItem.objects.create(campaign=campaign, transaction=payment, amount_minor=1)
    assert read("campaigns_open", state="running") == 1
    assert read("campaigns_open", state="paused") == 0
    assert read("campaign_items_open") == 1
    Campaign.objects.update(state="finished")
    assert read("campaigns_open", state="running") == read("campaign_items_open") == 0


@pytest.mark.django_db
def test_messages_that_wait(read):
    hand_out("refunds.tasks.send_refund", ["one", "two"])
    assert read("queue_messages", queue="submit") == 2
    assert read("queue_messages", queue="bulk") == 0
    assert read("broker_up") == 1


@pytest.mark.django_db
def test_a_broker_that_is_gone_leaves_the_rest(read):
    make_account("shop")
    with override_settings(REDIS_URL=f"redis://:hidden@127.0.0.1:{embedded.free_port()}/0"):
        assert read("broker_up") == 0
        assert read("queue_messages", queue="submit") is None
        assert read("account_off", account="shop", processor="stripe") == 0


def test_a_database_that_is_gone_is_said_too(read, django_db_blocker):
    port = connection.settings_dict["PORT"]
    with django_db_blocker.unblock():
        connection.close()
        connection.settings_dict["PORT"] = str(embedded.free_port())
        try:
            assert read("database_up") == 0
            assert read("broker_up") == 1
            assert read("audit_sequence") is None
        finally:
            connection.close()
            connection.settings_dict["PORT"] = port


@pytest.mark.django_db
def test_rows_are_asked_every_few_seconds_however_many_ask(django_assert_num_queries):
    collector = collectors.Facts()
    # A savepoint and its end, the limit, the accounts.
    with django_assert_num_queries(4 + len(facts.QUESTIONS)):
        first = collector.collect()
    with django_assert_num_queries(0):
        assert collector.collect() is first


@pytest.mark.django_db
def test_no_question_walks_a_table_that_grows():
    """With sequences of rows forbidden, PostgreSQL finds an index for each, or shows that none is."""
    growing = "refund|refundevent|attention|webhookevent|transaction|campaignitem"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for question in facts.QUESTIONS:
            cursor.execute(f"EXPLAIN {question.sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            walked = rf"Seq Scan on (refunds|transactions|campaigns)_({growing})\b"
            assert not re.search(walked, plan), plan


@pytest.mark.django_db
def test_every_status_that_is_open_is_counted(read):
    make_account("shop")
    for status in Status:
        number = read("refunds_open", account="shop", processor="stripe", status=status)
        assert number == (0 if status in RESERVING else None)
    (sql,) = [each.sql for each in facts.QUESTIONS if "refunds_open" in each.gauges]
    assert set(re.findall(r"'([a-z_]+)'", sql)) == RESERVING


@pytest.mark.django_db
def test_labels_are_few_and_name_nobody(client, scrape):
    account = make_account("shop")
    refund = make_refund(make_transaction(account), 1_000)
    client.get(f"/api/v1/refunds/{refund.pk}/")
    client.get("/nobody-has-this-page/")
    text = scrape()
    families = [each for each in text_string_to_metric_families(text) if "refund_desk" in each.name]
    labels = {name for each in families for sample in each.samples for name in sample.labels}
    assert labels <= {
        *("account", "processor", "currency", "status", "kind", "state", "stream", "queue"),
        *("route", "task", "outcome", "le"),
    }
    for secret in (
        str(refund.pk),
        refund.transaction.external_id,
        "nobody-has-this-page",
        refund.requested_by.username,
    ):
        assert secret not in text
    routes = {sample.labels.get("route") for each in families for sample in each.samples}
    assert {"none", "refund-detail"} <= routes


# --- several processes ------------------------------------------------------------------------


@pytest.mark.timeout(180)
def test_a_site_of_two_processes_and_two_workers_show_one_sum(sandbox, transactional_db, tmp_path):
    desk = Desk(sandbox, "stripe", lambda *_: None)
    port = embedded.free_port()
    environment = production_environment(METRICS_TOKEN=TOKEN, METRICS_DIR=str(tmp_path / "metrics"))
    supervisor = Supervisor(tmp_path / "logs")

    def numbers() -> Numbers:
        asked = Request(
            f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urlopen(asked, timeout=10) as answer:
            return parse(answer.read().decode())

    def count(name: str, **labels: str) -> float:
        return sum(
            value
            for (each, its), value in numbers().items()
            if each == f"{name}_count" and labels.items() <= dict(its).items()
        )

    try:
        supervisor.start(
            processes.web(environment, port),
            processes.worker(environment, queues=processes.SUBMIT, concurrency=2),
            processes.background(environment, threads=4),
        )
        for _ in range(20):
            with pytest.raises(OSError, match="401"):
                urlopen(f"http://127.0.0.1:{port}/api/v1/refunds/", timeout=10)
        assert count("request_seconds", route="refund-list", status="4xx") == 20
        refund = make_refund(desk.pay(), 1_000)
        current_app.send_task("refunds.tasks.publish_due")

        def is_made() -> bool:
            refund.refresh_from_db()
            return refund.status == Status.SUCCEEDED

        wait_until(is_made, 30)
        sent = {"task": "refunds.tasks.send_refund", "outcome": "success"}
        wait_until(lambda: count("task_seconds", **sent) == 1)
        assert count("task_seconds", task="refunds.tasks.publish_due") == 1  # of the threads
        assert count("processor_call_seconds", processor="stripe", status="2xx") >= 2
    finally:
        supervisor.stop()
    # Every worker of the site has answered some, and each left a file.
    assert len(list((tmp_path / "metrics" / "web").glob("histogram_*.db"))) >= 1


def test_compose_gives_each_service_a_folder_beside_the_others():
    """Every container has a process number 7."""
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    measuring = {
        name: service["environment"]["PROMETHEUS_MULTIPROC_DIR"]
        for name, service in services.items()
        if "PROMETHEUS_MULTIPROC_DIR" in service.get("environment", {})
    }
    assert measuring == {name: f"/metrics/{name}" for name in ("web", "worker", "background")}
    assert all("metrics:/metrics" in services[name]["volumes"] for name in measuring)
