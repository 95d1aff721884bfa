"""The row that updates itself, a payment's story, its buttons, and the refunds table."""

import json
import uuid
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from refunds.attention import flag, raise_case
from refunds.models import Attention, AttentionKind, Refund
from refunds.services import RequestConflict, retry_refund
from refunds.states import Status
from refunds.story import BUTTONS
from tests.audit.lines import told
from tests.pages import client_of, explain_list, visible
from tests.rest import make_account, make_person, make_refund, make_transaction
from transactions.models import Transaction

from .raw import triggers_off
from .states import add_attempt, bring, bring_back

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"
REFUNDS = "/admin/refunds/refund/"
HTMX = {"HX-Request": "true"}


def dialog_of(transaction):
    return f"{LIST}{transaction.pk}/refund/"


def page_of(transaction):
    return f"{LIST}{transaction.pk}/change/"


@pytest.fixture
def person():
    return make_person("agent", first_name="Ana", last_name="Lup")


@pytest.fixture
def browser(person):
    return client_of(person)


@pytest.fixture
def transaction():
    return make_transaction(customer_name="Ana Popescu")


class TestRow:
    def row(self, browser, transaction):
        return browser.get(f"{page_of(transaction)}?fragment=row")

    def test_it_asks_again_while_a_refund_moves(self, browser, transaction, person):
        refund = make_refund(transaction, 1000, person)
        html = self.row(browser, transaction).content.decode()
        assert "load delay:1500ms" in html
        assert f"{REFUNDS}{refund.pk}/cancel/" in html
        bring(refund, Status.SUCCEEDED)
        response = self.row(browser, transaction)
        assert "load delay" not in response.content.decode()
        assert "Partly refunded" in visible(response)
        assert "90.00 USD" in visible(response)

    def test_a_failed_refund_is_marked_until_another_one_works(self, browser, transaction):
        bring(make_refund(transaction, 1000), Status.FAILED, failure_message="Too old.")
        assert "Refund failed" in visible(self.row(browser, transaction))
        bring(make_refund(transaction, 1000), Status.SUCCEEDED)
        assert "Refund failed" not in visible(self.row(browser, transaction))

    def test_what_needs_a_person_is_marked(self, browser, transaction):
        refund = bring(make_refund(transaction, 1000), Status.UNKNOWN)
        flag(refund, AttentionKind.UNKNOWN_OUTCOME, "Nobody knows.")
        html = self.row(browser, transaction).content.decode()
        assert "Needs attention" in html
        assert "Nobody knows." in html

    def test_several_refunds_that_need_a_person_are_one_mark(self, browser, transaction):
        for reason in ("Nobody knows.", "Who made it?"):
            refund = bring(make_refund(transaction, 1000), Status.UNKNOWN)
            flag(refund, AttentionKind.UNKNOWN_OUTCOME, reason)
        assert visible(self.row(browser, transaction)).count("Needs attention") == 1
        html = self.row(browser, transaction).content.decode()
        assert "Nobody knows. Who made it?" in html

    def test_it_offers_a_refund_while_something_is_left(self, browser, transaction):
        def offers():
            shown = [browser.get(page_of(transaction)), self.row(browser, transaction)]
            [offered] = {dialog_of(transaction) in page.content.decode() for page in shown}
            return offered

        assert offers()
        refund = make_refund(transaction, transaction.amount_minor - 1)
        assert offers()
        make_refund(transaction, 1)
        assert not offers()
        bring(refund, Status.FAILED)
        assert offers()
        bring(make_refund(transaction, transaction.amount_minor - 1), Status.SUCCEEDED)
        assert not offers()
        dialog = visible(browser.get(dialog_of(transaction)))
        assert "Everything that is left is already on its way back" in dialog

    @pytest.mark.parametrize("status", ["authorized", "voided", "failed"])
    def test_nor_where_no_money_was_taken(self, browser, status):
        transaction = make_transaction(status=status)
        assert dialog_of(transaction) not in self.row(browser, transaction).content.decode()
        assert dialog_of(transaction) not in browser.get(page_of(transaction)).content.decode()
        assert browser.get(dialog_of(transaction)).status_code == 200

    def test_filters_for_what_happened(self, browser):
        failed, flagged, quiet = (make_transaction() for _ in range(3))
        bring(make_refund(failed, 1000), Status.FAILED)
        unknown = bring(make_refund(flagged, 1000), Status.UNKNOWN)
        flag(unknown, AttentionKind.UNKNOWN_OUTCOME, "Nobody knows.")
        assert self.found(browser, "refund_failed=true") == [failed.pk]
        assert self.found(browser, "needs_attention=true") == [flagged.pk]
        assert self.found(browser, "refund_state=in_progress") == [flagged.pk]
        assert quiet.pk in self.found(browser, "refund_state=none")

    @staticmethod
    def found(browser, query):
        rows = browser.get(f"{LIST}?{query}").context["cl"].rows
        return [row.transaction.pk for row in rows]


class TestStory:
    def test_a_refused_refund_is_explained(self, browser, transaction):
        refund = make_refund(transaction, 1000)
        add_attempt(
            refund,
            "declined",
            processor_code="charge_expired",
            processor_message="Too old <b>",
            exchanges=[
                {
                    "at": "2026-03-01T12:00:00+00:00",
                    "method": "POST",
                    "url": "https://api.example.com/refunds",
                    "request": "amount=1000",
                    "status": 400,
                    "response": '{"error": "<script>"}',
                    "request_id": "req_1",
                    "error": "",
                    "milliseconds": 12,
                }
            ],
        )
        bring(
            refund,
            Status.FAILED,
            "refused",
            failure_code="too_old",
            failure_processor_code="charge_expired",
            failure_message="Too old <b>",
        )
        response = browser.get(page_of(transaction))
        text = visible(response)
        for expected in (
            "older than the processor's limit", "Pay the customer back another way",
            "Stripe said:", "charge_expired", "Attempt 1", "Refused", "sent once",
            "POST https://api.example.com/refunds", "HTTP 400", "12 ms", "req_1", "amount=1000",
            "Write a note", "Refused by the processor",
        ):  # fmt: skip
            assert expected in text, expected
        assert "Try again" not in text
        assert "<script>" not in response.content.decode().split('id="story"')[1].split("<aside")[0]

    def test_why_what_was_called_off_is_owed_again_stands_beside_its_case(
        self, browser, transaction, person
    ):
        failed = bring(make_refund(transaction, 1000, person), Status.FAILED)
        again = retry_refund(failed, actor=person)
        made = bring(make_refund(transaction, 1000), Status.SUCCEEDED)
        Refund.objects.filter(pk=failed.pk).update(made_as=made)
        bring(again, Status.CANCELED, "made_before")
        flag(again, AttentionKind.PAID_AFTER_ALL, "It was made after all, so this was not sent.")
        bring_back(made)
        text = visible(browser.get(page_of(transaction)))
        assert "so this was not sent." in text
        assert "its money had gone back, and that has failed or come back since" in text

    def test_every_status_has_its_page(self, browser, person):
        for status in Status:
            if status == Status.AWAITING_APPROVAL:
                continue
            refund = make_refund(make_transaction(), 1000, person)
            if status != Status.QUEUED:
                bring(refund, status)
            for address in (page_of(refund.transaction), f"{REFUNDS}{refund.pk}/change/"):
                response = browser.get(address)
                assert response.status_code == 200
                assert str(status.label) in visible(response)

    def test_what_it_costs_does_not_depend_on_the_refunds(self, browser, transaction, person):
        def queries():
            browser.get(page_of(transaction))
            with CaptureQueriesContext(connection) as captured:
                browser.get(page_of(transaction))
            return len(captured)

        add_attempt(make_refund(transaction, 100, person), "accepted")
        one = queries()
        for _ in range(6):
            add_attempt(make_refund(transaction, 100, person), "accepted")
        assert queries() == one <= 18

    def test_a_part_of_a_refunds_page(self, browser, transaction):
        refund = make_refund(transaction, 1000)
        html = browser.get(f"{REFUNDS}{refund.pk}/change/?fragment=story").content.decode().strip()
        assert html.startswith('<section id="story"')

    @pytest.mark.parametrize("number", ["abc", "0", str(uuid.UUID(int=7)), "%00"])
    def test_a_refund_that_is_none_is_not_found(self, browser, number):
        assert browser.get(f"{REFUNDS}{number}/change/").status_code == 404


class TestButtons:
    def press(self, browser, refund, name, **headers):
        return browser.post(f"{REFUNDS}{refund.pk}/{name}/", headers=headers)

    def test_undo(self, browser, transaction, person):
        refund = make_refund(transaction, 1000, person)
        response = self.press(browser, refund, "cancel", **HTMX)
        assert response.status_code == 204
        event = json.loads(response["HX-Trigger"])["transaction-changed"]
        assert event == {
            "transaction": transaction.pk,
            "say": "Canceled; nothing was refunded.",
            "failed": False,
            "undo": "",
        }
        assert Transaction.objects.get(pk=transaction.pk).refundable_minor == 10_000

    def test_without_htmx_it_leads_to_the_page(self, browser, transaction, person):
        refund = make_refund(transaction, 1000, person)
        response = self.press(browser, refund, "cancel")
        assert response["Location"] == page_of(transaction)

    def test_what_the_status_does_not_allow_is_said(self, browser, transaction, person):
        refund = bring(make_refund(transaction, 1000, person), Status.SUCCEEDED)
        response = self.press(browser, refund, "cancel", **HTMX)
        event = json.loads(response["HX-Trigger"])["transaction-changed"]
        assert event["failed"]
        assert "can no longer be canceled" in event["say"]

    def test_try_again_makes_one_new_refund(self, browser, transaction, person):
        refund = bring(make_refund(transaction, 1000, person), Status.FAILED)
        for _ in range(2):
            assert self.press(browser, refund, "retry", **HTMX).status_code == 204
        assert Refund.objects.filter(retry_of=refund).count() == 1

    def test_a_key_that_stands_for_another_request_is_said(
        self, browser, transaction, person, monkeypatch
    ):
        def refuse(refund, *, actor):
            raise RequestConflict("This idempotency key was already used.")

        monkeypatch.setitem(BUTTONS, "retry", replace(BUTTONS["retry"], service=refuse))
        refund = bring(make_refund(transaction, 1000, person), Status.FAILED)
        response = self.press(browser, refund, "retry", **HTMX)
        event = json.loads(response["HX-Trigger"])["transaction-changed"]
        assert (event["failed"], event["say"]) == (True, "This idempotency key was already used.")

    def test_check_now(self, browser, transaction, person):
        refund = bring(make_refund(transaction, 1000, person), Status.PENDING)
        response = self.press(browser, refund, "check", **HTMX)
        assert "The processor is being asked." in response["HX-Trigger"]

    @pytest.mark.parametrize("name", ["cancel", "retry", "approve", "reject"])
    def test_who_may_not_is_refused(self, transaction, name):
        refund = make_refund(transaction, 1000)
        viewer = client_of(make_person("viewer"))
        assert self.press(viewer, refund, name).status_code == 403
        assert Refund.objects.get(pk=refund.pk).status == Status.QUEUED

    def test_only_by_post_and_only_what_exists(self, browser, transaction):
        refund = make_refund(transaction, 1000)
        # So it comes back from a login that was needed in between.
        answer = browser.get(f"{REFUNDS}{refund.pk}/cancel/", follow=True)
        assert answer.redirect_chain == [(f"{REFUNDS}{refund.pk}/change/", 302)]
        assert "Nothing was done" in visible(answer)
        assert Refund.objects.get(pk=refund.pk).status == Status.QUEUED
        assert browser.put(f"{REFUNDS}{refund.pk}/cancel/").status_code == 405
        assert browser.post(f"{REFUNDS}{uuid.uuid4()}/cancel/").status_code == 404


class TestAttention:
    def test_a_payment_leads_to_its_cases(self, browser, transaction):
        refund = bring(make_refund(transaction, 1000), Status.UNKNOWN)
        flag(refund, AttentionKind.UNKNOWN_OUTCOME, "Nobody knows.")
        raise_case(
            AttentionKind.DISPUTED, f"transaction:{transaction.pk}", "The bank disputes it.",
            account=transaction.account, transaction=transaction,
        )  # fmt: skip
        response = browser.get(page_of(transaction))
        text = visible(response)
        assert "Disputed: The bank disputes it." in text
        assert "Outcome unknown: Nobody knows." in text
        for case in Attention.objects.all():
            assert f"/admin/refunds/attention/{case.pk}/change/" in response.content.decode()

    def test_a_refund_says_what_it_needs_in_one_box(self, browser, transaction):
        refund = bring(make_refund(transaction, 1000), Status.UNKNOWN)
        add_attempt(refund, "ambiguous")
        flag(refund, AttentionKind.UNKNOWN_OUTCOME, "Nobody knows.")
        html = browser.get(page_of(transaction)).content.decode().split('id="story"')[1]
        assert html.count('class="callout') == 1
        assert f"/admin/refunds/attention/{Attention.objects.get().pk}/change/" in html
        assert "Refund Desk asks until it is known" in html
        assert "There was no answer that proves anything" not in html

    def test_reading_a_payment_again_asks_a_worker(self, transaction, valkey):
        manager = client_of(make_person("manager"))
        answer = manager.post(f"{LIST}{transaction.pk}/reread/", headers=HTMX)
        event = json.loads(answer["HX-Trigger"])["transaction-changed"]
        assert event["say"].startswith(f"A worker reads account {transaction.account.slug}.")
        assert valkey.dbsize() > 0

    def test_who_may_not_pull_does_not_read_again(self, browser, transaction):
        address = f"{LIST}{transaction.pk}/reread/"
        assert browser.post(address).status_code == 403
        answer = client_of(make_person("manager")).get(address)
        assert answer["Location"] == page_of(transaction)


class TestRefundsTable:
    def found(self, browser, query=""):
        rows = browser.get(f"{REFUNDS}{query}").context["cl"].rows
        return {refund.pk for refund, _badge in rows}

    def test_it_lists_them_with_who_and_why(self, browser, person):
        transaction = make_transaction(
            make_account("nmi-us", "nmi"), customer_name="Jan Kowalski", external_id="77"
        )
        make_refund(transaction, 1000, person)
        text = visible(browser.get(REFUNDS))
        for expected in ("Jan Kowalski", "77", "NMI", "nmi-us", "10.00 USD", "Queued", "Ana Lup"):
            assert expected in text

    def test_its_filters_and_its_search(self, browser):
        one = make_refund(make_transaction(make_account("stripe-one"), customer_name="Żółć"), 1000)
        two = bring(make_refund(make_transaction(make_account("stripe-two")), 1000), Status.FAILED)
        assert self.found(browser, "?status=failed") == {two.pk}
        assert self.found(browser, "?account=stripe-one") == {one.pk}
        assert self.found(browser, "?origin=staff") == {one.pk, two.pk}
        assert self.found(browser, "?origin=external") == set()
        assert self.found(browser, "?needs_attention=true") == set()
        assert self.found(browser, "?q=żół") == {one.pk}
        assert self.found(browser, "?created_before=2001-01-01") == set()

    def test_it_pages_by_key(self, browser, person):
        transaction = make_transaction()
        every = [make_refund(transaction, 100, person).pk for _ in range(60)]
        first = browser.get(REFUNDS)
        second = browser.get(REFUNDS + first.context["cl"].older_url)
        shown = [
            refund.pk for page in (first, second) for refund, _badge in page.context["cl"].rows
        ]
        assert shown == every[::-1]

    def test_it_says_what_to_do_when_it_is_empty(self, browser):
        assert "No refunds yet" in visible(browser.get(REFUNDS))
        assert "Nothing matches" in visible(browser.get(f"{REFUNDS}?status=failed"))


class TestReasons:
    def test_staff_add_their_own(self):
        manager = client_of(make_person("manager"))
        address = "/admin/refunds/refundreason/add/"
        values = {"code": "storm", "label": "Storm", "position": "50", "is_active": "on"}
        assert manager.post(address, values).status_code == 302
        transaction = make_transaction()
        dialog = manager.get(dialog_of(transaction), headers=HTMX)
        assert "Storm" in dialog.content.decode()
        admin, page = client_of(make_person("admin")), "/admin/refunds/refundreason/storm/"
        changed = {"label": "Storm", "position": "7"}
        assert admin.post(f"{page}change/", changed).status_code == 302
        assert admin.post(f"{page}delete/", {"post": "yes"}).status_code == 302
        facts = {"label": "Storm", "position": 50, "is_active": True}
        new = {name: [None, value] for name, value in facts.items()}
        changed = {"position": [50, 7], "is_active": [True, False]}
        assert [(kind, name, data) for kind, _by, name, data in told()] == [
            ("reason.added", "Storm", {"changed": new}),
            ("reason.changed", "Storm", {"changed": changed}),
            ("reason.deleted", "Storm", facts | {"position": 7, "is_active": False}),
        ]

    def test_an_agent_does_not(self, browser):
        assert browser.get("/admin/refunds/refundreason/add/").status_code == 403


_MANY = """
INSERT INTO refunds_refund (id, transaction_id, account_id, mode, currency, amount_minor, operation,
  origin, status, note, needs_approval, idem_scope, idem_key, request_hash, failure_code,
  failure_processor_code, failure_message, fence, claims, unfinished, look_up_first, lookups, created_at,
  requested_by_id, attention_reason, attention_since)
SELECT gen_random_uuid(), %s, %s, 'test', 'USD', 1, 'refund', 'staff',
  CASE WHEN n %% 50 = 0 THEN 'failed' ELSE 'canceled' END, '', false, 'many', n::text,
  decode(repeat('00', 32), 'hex'), '', '', '', 0, 0, 0, false, 0,
  timestamptz '2026-03-01 12:00Z' - n * interval '1 minute', %s,
  CASE WHEN n %% 100 = 0 THEN 'Look.' END, CASE WHEN n %% 100 = 0 THEN now() END
FROM generate_series(1, 10000) AS n
"""


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", "refund_newest"),
        ("?p=older.1772107200000000.00000000-0000-0000-0000-000000000007", "refund_newest"),
        ("?status=failed", "refund_"),
        ("?needs_attention=true", "refund_"),
    ],
)
def test_every_list_of_refunds_walks_an_index(browser, person, transaction, query, index):
    with triggers_off(), connection.cursor() as cursor:  # one check of the sums per row is slow
        cursor.execute(_MANY, [transaction.pk, transaction.account_id, person.pk])
        cursor.execute("ANALYZE refunds_refund")
    plan = explain_list(browser, REFUNDS + query)
    assert index in plan, plan
    assert "Seq Scan on refunds_refund " not in plan, plan
