"""“Pull now”: who may, what the queue gets, and what the panel says meanwhile."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from refunds import pulling
from tests.pages import client_of, visible
from tests.rest import make_account, make_person
from tests.scripts import NO_BROKER, run_script
from transactions.models import Stream, SyncState

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
PULL = f"{LIST}pull/"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def manager():
    return client_of(make_person("manager"))


@pytest.fixture
def account():
    return make_account("stripe-main")


def read(account, stream, *, started=10, finished=5, error="", **counts):
    """A state whose run began and ended so many seconds ago (None: not yet)."""
    now = timezone.now()
    return SyncState.objects.create(
        account=account,
        stream=stream,
        started_at=now - timedelta(seconds=started),
        finished_at=None if finished is None else now - timedelta(seconds=finished),
        counts=counts,
        error=error,
    )


def queued(valkey):
    """The names of the tasks that wait for a worker."""
    import base64
    import json

    found = []
    for message in valkey.lrange("bulk", 0, -1):
        envelope = json.loads(message)
        arguments = json.loads(base64.b64decode(envelope["body"]))[0]
        found.append((envelope["headers"]["task"].rpartition(".")[2], arguments))
    return found


def test_the_button_asks_a_worker_for_all_accounts(manager, account, valkey):
    response = manager.post(PULL, headers=HTMX)
    assert queued(valkey) == [("sync_all_accounts", [])]
    assert "Waiting for a worker" in visible(response)
    assert "load delay:1500ms" in response.content.decode()


def test_or_for_one(manager, account, valkey):
    manager.post(PULL, {"account": "stripe-main"}, headers=HTMX)
    assert queued(valkey) == [("sync_account", [account.pk])]


def test_an_account_that_is_none_is_named(manager, valkey):
    response = manager.post(PULL, {"account": "nobody"}, headers=HTMX)
    assert "There is no account nobody." in visible(response)
    assert queued(valkey) == []


def test_without_htmx_it_leads_back_to_the_table(manager, account):
    assert manager.post(PULL)["Location"] == LIST


def test_who_may_not_has_no_button_and_is_refused(account, valkey):
    agent = client_of(make_person("agent"))
    assert "Pull now" not in visible(agent.get(LIST))
    assert agent.post(PULL).status_code == 403
    assert agent.get(PULL).status_code == 200
    assert queued(valkey) == []


def test_a_queue_that_is_gone_is_said():
    script = "from refunds.pulling import enqueue; print(enqueue())"
    assert run_script(script, REDIS_URL=NO_BROKER).endswith(
        "The queue cannot be reached. Nothing was asked for; try again in a minute."
    )


def test_the_panel_follows_a_run_to_its_end(manager, account):
    asked = int(time.time()) - 1
    address = f"{PULL}?asked={asked}"
    assert "Waiting for a worker" in visible(manager.get(address))
    payments = read(account, Stream.PAYMENTS, started=0, finished=None, new=7)
    response = manager.get(address)
    assert "stripe-main: 7 read" in visible(response)
    assert "HX-Trigger" not in response
    payments.finished_at = timezone.now()
    payments.save()
    assert "load delay" in manager.get(address).content.decode()  # refunds come after payments
    read(account, Stream.REFUNDS, started=0, finished=-1, unchanged=2)
    response = manager.get(address)
    assert "load delay" not in response.content.decode()
    assert response["HX-Trigger"] == "pulled"
    assert "7 new, 0 changed, 0 unchanged" in visible(response)


def test_a_run_that_failed_says_why(manager, account):
    state = read(account, Stream.PAYMENTS, error="The key was revoked.", refused=1)
    state.rejected = [{"external_id": "ch_9", "reason": "Its amount is no number."}]
    state.save()
    text = visible(manager.get(PULL))
    for expected in ("A pull failed", "The key was revoked.", "1 refused", "ch_9", "no number"):
        assert expected in text


def test_nobody_waits_for_ever(manager, account):
    long_ago = int(time.time()) - 3600
    assert "load delay" not in manager.get(f"{PULL}?asked={long_ago}").content.decode()


def test_a_run_that_was_lost_is_not_shown_as_reading(account):
    state = read(account, Stream.PAYMENTS, started=2 * 3600, finished=None)
    assert not pulling.AccountSync(state.account).is_reading


def test_a_paused_account_is_not_waited_for(manager, account):
    read(account, Stream.PAYMENTS, started=0, finished=0)
    read(account, Stream.REFUNDS, started=0, finished=0)
    make_account("nmi-us", "nmi", paused_reason="Its key was revoked.")
    response = manager.get(f"{PULL}?asked={int(time.time()) - 5}")
    assert "load delay" not in response.content.decode()
    assert "Its key was revoked." in visible(response)


@pytest.mark.parametrize("asked", ["abc", "-1", "1" * 30, "١٢", ""])
def test_a_time_that_is_none(manager, account, asked):
    assert manager.get(PULL, {"asked": asked}).status_code == 200
