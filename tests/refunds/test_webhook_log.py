"""The webhook log: found, paged along an index, told on a page, and processed again by a button."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from refunds.models import WebhookEvent, WebhookState
from tests.pages import client_of, explain_list, visible
from tests.rest import make_account, make_person, make_refund, make_transaction

from .states import bring

pytestmark = pytest.mark.django_db

LIST = "/admin/refunds/webhookevent/"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def browser():
    return client_of(make_person("viewer"))


@pytest.fixture
def manager():
    return client_of(make_person("manager"))


def make_event(account=None, **fields):
    account = account or make_account()
    number = WebhookEvent.objects.count() + 1
    values = {
        "event_id": f"evt_{number}",
        "event_type": "refund.created",
        "payment_id": f"ch_{number}",
        "refund_id": f"re_{number}",
        "body_sha256": bytes(32),
        "state": WebhookState.PROCESSED,
        "processed_at": NOON,
    }
    return WebhookEvent.objects.create(account=account, mode=account.mode, **values | fields)


def reject(why="The webhook's signature does not hold.", **fields):
    nothing = {"event_id": None, "event_type": "", "payment_id": "", "refund_id": ""}
    return make_event(state="rejected", problem=why, processed_at=None, **nothing | fields)


def shown(response):
    return [row.event.pk for row in response.context["cl"].rows]


def page_of(event):
    return f"{LIST}{event.pk}/change/"


class TestList:
    def test_newest_first_with_what_is_known_of_each(self, browser):
        account = make_account("stripe-main")
        paid = make_transaction(account, external_id="ch_known")
        refund = bring(make_refund(paid, 1000), "succeeded")
        old = make_event(account, received_at=NOON, payment_id="ch_known",
                         refund_id=refund.processor_refund_id, deliveries=3)  # fmt: skip
        new = reject(account=account, received_at=NOON + timedelta(minutes=1))
        response = browser.get(LIST)
        assert shown(response) == [new.pk, old.pk]
        text, html = visible(response), response.content.decode()
        for word in (
            "refund.created", old.event_id, "stripe-main", "Payment ch_known", "3 deliveries",
            "Processed", "Rejected webhook", "signature does not hold. Nothing was changed.",
        ):  # fmt: skip
            assert word in text, word
        assert f"/admin/transactions/transaction/{paid.pk}/change/" in html
        assert f"/admin/refunds/refund/{refund.pk}/change/" in html

    def test_ids_of_another_account_lead_nowhere(self, browser):
        make_transaction(make_account("theirs"), external_id="ch_1")
        make_event(make_account("ours"), payment_id="ch_1")
        assert "/admin/transactions/transaction/1" not in browser.get(LIST).content.decode()
        assert browser.get(LIST).context["cl"].rows[0].transaction_id is None

    def test_filters(self, browser):
        account = make_account("stripe-main")
        failed = make_event(account, state="failed", received_at=NOON)
        done = make_event(account, received_at=NOON + timedelta(days=1))
        other = make_event(received_at=NOON)
        for query, found in {
            "state=failed": [failed],
            "account=stripe-main": [done, failed],
            "account=stripe-main&state=failed": [failed],
            "created_after=2026-03-02": [done],
            "created_before=2026-03-01": [other, failed],
        }.items():
            assert shown(browser.get(f"{LIST}?{query}")) == [each.pk for each in found], query

    @pytest.mark.parametrize(
        "query", ["evt_find", "evt_findme", "ch_find", "re_findme", " re_findme "]
    )
    def test_ids_are_found_by_how_they_begin(self, browser, query):
        make_event()
        wanted = make_event(event_id="evt_findme", payment_id="ch_findme", refund_id="re_findme")
        assert shown(browser.get(LIST, {"q": query})) == [wanted.pk]

    @pytest.mark.parametrize("query", ["findme", "%", "_vt", "\\", "'", "EVT_1"])
    def test_what_is_no_beginning_finds_nothing(self, browser, query):
        make_event(event_id="evt_findme")
        response = browser.get(LIST, {"q": query})
        assert shown(response) == []
        assert "Nothing matches" in visible(response)

    @pytest.mark.parametrize("query", ["?q=%00", "?state=nonsense", "?created_after=x", "?p=x"])
    def test_nonsense_is_no_mistake_of_ours(self, browser, query):
        assert browser.get(LIST + query).status_code < 400

    def test_none_yet(self, browser):
        assert "No webhooks yet" in visible(browser.get(LIST))

    def test_it_pages_by_key(self, browser):
        account = make_account()
        events = [make_event(account, received_at=NOON) for _ in range(120)]
        response = browser.get(LIST)
        pages = [shown(response)]
        while older := response.context["cl"].older_url:
            response = browser.get(LIST + older)
            pages.append(shown(response))
        assert [len(page) for page in pages] == [50, 50, 20]
        assert [pk for page in pages for pk in page] == [each.pk for each in reversed(events)]

    def test_a_page_costs_the_same_however_many_there_are(self, browser):
        def queries():
            browser.get(LIST)
            with CaptureQueriesContext(connection) as captured:
                browser.get(LIST)
            return [each["sql"] for each in captured]

        make_event()
        few = queries()
        account = make_account()
        for _ in range(60):
            make_event(account)
        many = queries()
        assert len(many) == len(few) <= 10
        assert not [sql for sql in many if "COUNT(" in sql and "webhookevent" in sql]

    def test_what_a_processor_wrote_is_text(self, browser):
        event = make_event(event_type="<script>1</script>", problem="<b>", state="failed",
                           next_try_at=NOON)  # fmt: skip
        for address in (LIST, page_of(event)):
            html = browser.get(address).content.decode()
            assert "<script>1" not in html
            assert "&lt;script&gt;1" in html


INDEXED = {
    "": "webhook_newest",
    "?account=big-2": "webhook_by_account",
    "?state=failed": "webhook_by_state",
    "?p=older.1772107200000000.5": "webhook_newest",
    "?q=ch_777": "webhook_by_payment_id",
    "?q=evt_77": "BitmapOr",
    "?q=re_777": "webhook_by_refund_id",
}
_MANY = """
INSERT INTO refunds_webhookevent (account_id, mode, event_id, event_type, payment_id, refund_id,
  reference, body_sha256, state, deliveries, tries, problem, received_at)
SELECT %s, 'test', 'evt_' || md5(n::text), 'refund.created', 'ch_' || n, 're_' || n, '', ''::bytea,
  CASE WHEN n %% 50 = 0 THEN 'failed' ELSE 'processed' END, 1, 1, '',
  timestamptz '2026-03-01 12:00Z' - n * interval '1 minute'
FROM generate_series(1, 9000) AS n
"""


def test_every_list_walks_an_index(browser):
    with connection.cursor() as cursor:
        for number in range(3):
            cursor.execute(_MANY, [make_account(f"big-{number}").pk])
        cursor.execute("ANALYZE refunds_webhookevent")
    for query, index in INDEXED.items():
        plan = explain_list(browser, LIST + query, "refunds_webhookevent")
        assert index in plan, (query, plan)
        assert "Seq Scan on refunds_webhookevent" not in plan, (query, plan)


class TestPage:
    STATES = {
        "received": "The processor is asked what it is about.",
        "processed": "what it answered is recorded",
        "ignored": "It names neither a payment nor a refund.",
        "failed": "It was tried 3 times. The next try is on",
        "rejected": "Nothing was changed, and the processor was not asked.",
    }

    @pytest.mark.parametrize("state", STATES)
    def test_every_state_is_told(self, browser, state):
        waits = NOON if state in ("received", "failed") else None
        event = make_event(state=state, tries=3, next_try_at=waits, deliveries=2)
        response = browser.get(page_of(event))
        text = visible(response)
        for word in (self.STATES[state], "2 deliveries", "00" * 32, "Test", event.event_id):
            assert word in text, word
        assert ("load delay" in response.content.decode()) == (state == "received")
        fragment = browser.get(f"{page_of(event)}?fragment=story")
        assert self.STATES[state] in visible(fragment)
        assert "<html" not in fragment.content.decode()

    def test_why_it_waits(self, browser):
        event = make_event(state="received", next_try_at=NOON, problem="An answer is awaited.")
        assert "An answer is awaited. The next try is on 1 Mar, 12:00:00 UTC." in visible(
            browser.get(page_of(event))
        )

    @pytest.mark.parametrize("pk", ["0", "x", "9" * 30, "%00"])
    def test_what_is_not_there(self, browser, pk):
        response = browser.get(f"{LIST}{pk}/change/")
        assert response.status_code == 404


class TestAgain:
    def test_a_button_for_who_may(self, browser, manager):
        event = make_event()
        assert "Process again" in visible(manager.get(page_of(event)))
        assert "Process again" not in visible(browser.get(page_of(event)))
        response = manager.post(f"{LIST}{event.pk}/process/", follow=True)
        assert "asked again in a moment" in visible(response)
        event.refresh_from_db()
        assert (event.state, event.tries) == (WebhookState.RECEIVED, 0)
        assert event.next_try_at

    def test_who_may_not_is_refused(self, browser):
        event = make_event()
        assert browser.post(f"{LIST}{event.pk}/process/").status_code == 403
        event.refresh_from_db()
        assert event.state == WebhookState.PROCESSED

    def test_a_rejected_one_says_why_not(self, manager):
        event = reject()
        assert 'value="Process again"' not in manager.get(page_of(event)).content.decode()
        response = manager.post(f"{LIST}{event.pk}/process/", follow=True)
        assert "It could not be verified, so nothing in it is believed" in visible(response)
        event.refresh_from_db()
        assert event.state == WebhookState.REJECTED

    def test_only_by_post(self, manager):
        event = make_event()
        assert manager.get(f"{LIST}{event.pk}/process/")["Location"] == page_of(event)
        assert manager.put(f"{LIST}{event.pk}/process/").status_code == 405


def test_who_may_not_see_them_sees_nothing():
    event = make_event()
    nobody = client_of(make_person("viewer"))
    from django.contrib.auth.models import Group

    Group.objects.get(name="viewer").permissions.clear()
    for address in (LIST, page_of(event)):
        assert nobody.get(address).status_code == 403
    assert nobody.post(f"{LIST}{event.pk}/process/").status_code == 403


@pytest.mark.parametrize("address", ["add/", "{}/delete/"])
def test_nobody_edits_them(manager, address):
    event = make_event()
    for method in (manager.get, manager.post):
        assert method(LIST + address.format(event.pk)).status_code in (403, 404)
    assert manager.post(page_of(event), {"state": "ignored"}).status_code == 403
    assert WebhookEvent.objects.get().state == WebhookState.PROCESSED
