"""Payments from the four processors, over sockets, and from lists that no processor would send."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest
from django.db import connection, connections
from django.db import transaction as database
from django.utils import timezone

from gateways.base import BadRecord, Payer, PaymentMethod, PaymentStatus
from gateways.errors import NotSent, OutcomeUnknown
from gateways.models import ProcessorAccount
from gateways.money import Money
from gateways.registry import open_gateway
from gateways.sandbox.records import LedgerPayment
from gateways.sandbox.server import SandboxServer
from tests.refunds.desk import ACCOUNTS, Desk
from transactions.models import Customer, SyncState, Transaction
from transactions.streams import SyncBusy, SyncFailed, single_flight
from transactions.sync import fetch_details, refresh_payment, sync_payments
from transactions.upsert import KEPT_REJECTED, SyncCounts, store_payments

from .scripted import PAID_AT, ScriptedGateway, page, payment

pytestmark = pytest.mark.django_db
with_commits = pytest.mark.django_db(transaction=True)

LONG_AGO = timezone.now() - timedelta(days=500)


class Killed(BaseException):
    """What a worker that is killed between two pages looks like from within."""


@pytest.fixture
def account():
    return ProcessorAccount.objects.create(slug="shop", processor="stripe", mode="test")


@pytest.fixture(params=ACCOUNTS)
def desk(request, sandbox, transactional_db):
    return Desk(sandbox, request.param, ask=None)


def counted(counts: SyncCounts) -> tuple[int, int, int, int]:
    return counts.new, counts.changed, counts.unchanged, counts.refused


def in_ledger(desk: Desk) -> dict[str, tuple[int, str]]:
    with desk.sandbox.ledger.lock:
        return {
            each.id: (each.amount_minor, each.currency)
            for each in desk.sandbox.ledger.payments.values()
            if each.account == desk.name and is_listed(desk, each)
        }


def is_listed(desk: Desk, payment: LedgerPayment) -> bool:
    """PayPal knows captures only: what was never captured is not among its payments."""
    return desk.processor != "paypal" or payment.status not in ("authorized", "voided")


def stored(account: ProcessorAccount) -> dict[str, tuple[int, str]]:
    rows = Transaction.objects.filter(account=account)
    return {row.external_id: (row.amount_minor, row.currency) for row in rows}


# --- the four processors -----------------------------------------------------------------------


def test_every_payment_is_stored_once_with_its_amount(desk):
    desk.sandbox.reset(seed=3, payments=300)
    gateway = open_gateway(desk.account)
    counts = sync_payments(desk.account, gateway)
    fetch_details(desk.account, gateway)
    assert stored(desk.account) == in_ledger(desk)
    assert counts.new == len(in_ledger(desk))
    assert counts.refused == 0
    assert not Transaction.objects.filter(has_details=False).exists()


def test_a_second_look_at_everything_changes_nothing(desk):
    desk.sandbox.reset(seed=3, payments=300)
    gateway = open_gateway(desk.account)
    sync_payments(desk.account, gateway)
    fetch_details(desk.account, gateway)
    before = list(Transaction.objects.order_by("pk").values())
    again = sync_payments(desk.account, gateway, since=LONG_AGO)
    assert (again.new, again.changed, again.refused) == (0, 0, 0)
    assert again.unchanged >= len(before)
    assert list(Transaction.objects.order_by("pk").values()) == before


def test_names_cards_and_references_arrive_as_the_processor_has_them(desk):
    made = desk.post(
        "payments",
        account=desk.name,
        amount_minor=12_345,
        currency="USD",
        payer_name="Ștefan Ионов 王",
        payer_email="Stefan@Example.com",
        order_reference="ORDER-17",
        brand="mastercard",
        last4="4444",
        status="settled",
    )["payment"]
    gateway = open_gateway(desk.account)
    sync_payments(desk.account, gateway)
    fetch_details(desk.account, gateway)
    row = Transaction.objects.get(external_id=made["id"])
    assert row.amount == Money(12_345, "USD")
    assert (row.processor, row.mode, row.status) == (desk.processor, "test", "settled")
    assert (row.customer_name, row.order_reference) == ("Ștefan Ионов 王", "ORDER-17")
    assert row.customer_email.lower() == "stefan@example.com"
    assert row.customer == Customer.objects.get(email="stefan@example.com")
    assert (row.method_type, row.brand, row.last4) == ("card", "mastercard", "4444")
    assert row.created_at.isoformat()[:16] == made["created_at"][:16]


def test_what_changed_at_the_processor_is_counted_as_changed(desk):
    made = desk.post("payments", account=desk.name, amount_minor=500, status="captured")["payment"]
    gateway = open_gateway(desk.account)
    assert sync_payments(desk.account, gateway).new == 1
    fetch_details(desk.account, gateway)
    desk.post("payments", payment_id=made["id"], status="settled")
    again = sync_payments(desk.account, gateway)
    assert (again.new, again.changed) == (0, 1)
    assert Transaction.objects.get().status == "settled"


def test_a_payment_that_settles_at_night_is_followed(transactional_db):
    with SandboxServer() as server:
        for processor in ("authorizenet", "nmi"):
            desk = Desk(server, processor, ask=None)
            desk.post("payments", account=desk.name, amount_minor=500)
            gateway = open_gateway(desk.account)
            sync_payments(desk.account, gateway)
            rows = Transaction.objects.filter(account=desk.account)
            assert rows.get().status == "captured"
            desk.post("clock", advance_seconds=24 * 3600)
            sync_payments(desk.account, gateway)
            assert rows.get().status == "settled"
            assert rows.get().settled_at


@pytest.mark.parametrize("desk", ["paypal", "authorizenet", "nmi"], indirect=True)
def test_what_a_processor_lists_late_is_found_by_the_next_run(desk):
    desk.post("accounts", account=desk.name, lookup_lag_seconds=600)
    desk.post("payments", account=desk.name, amount_minor=500)
    gateway = open_gateway(desk.account)
    assert sync_payments(desk.account, gateway).new == 0
    desk.post("accounts", account=desk.name, lookup_lag_seconds=0)
    assert sync_payments(desk.account, gateway).new == 1


@pytest.mark.parametrize("desk", ["stripe", "authorizenet"], indirect=True)
def test_a_run_that_breaks_off_goes_on_after_the_last_stored_page(desk):
    desk.sandbox.reset(seed=3, payments=600)
    gateway = open_gateway(desk.account)

    def break_the_next_page(counts: SyncCounts, _share: float) -> None:
        if counts.new and not desk.sandbox.faults.as_json():
            desk.arm("", "reset", times=2)

    with pytest.raises(SyncFailed):
        sync_payments(desk.account, gateway, on_page=break_the_next_page)
    desk.sandbox.faults.clear()
    state = SyncState.objects.get()
    first = Transaction.objects.count()
    assert 0 < first < len(in_ledger(desk))
    assert state.error
    assert state.counts["new"] == first
    rest = sync_payments(desk.account, gateway)
    assert rest.new == len(in_ledger(desk)) - first
    assert stored(desk.account) == in_ledger(desk)
    state.refresh_from_db()
    assert (state.cursor, state.error) == ("", "")


@with_commits
def test_details_once_read_are_not_lost_to_the_next_list(sandbox):
    for processor in ("authorizenet", "paypal"):
        desk = Desk(sandbox, processor, ask=None)
        desk.post(
            "payments",
            account=desk.name,
            amount_minor=500,
            payer_email="jane@example.com",
            description="A lamp",
        )
        gateway = open_gateway(desk.account)
        sync_payments(desk.account, gateway)
        assert fetch_details(desk.account, gateway).changed == 1
        rows = Transaction.objects.filter(account=desk.account)
        before = rows.values().get()
        assert (before["customer_email"], before["description"]) == ("jane@example.com", "A lamp")
        assert sync_payments(desk.account, gateway).unchanged == 1
        assert rows.values().get() == before


def test_wrong_credentials_end_the_run_with_a_sentence(desk):
    desk.account.set_credentials(
        dict.fromkeys(desk.sandbox.ledger.accounts[desk.name].credentials, "sk_test_wrong")
    )
    desk.account.save()
    with pytest.raises(SyncFailed) as failed:
        sync_payments(desk.account, open_gateway(desk.account))
    state = SyncState.objects.get()
    assert state.error == str(failed.value)
    assert state.finished_at
    assert "sk_test_wrong" not in state.error
    assert state.synced_until is None


def test_a_processor_that_cannot_be_reached_ends_the_run_with_a_sentence(desk):
    desk.account.base_url = "http://127.0.0.1:9"
    desk.account.save()
    with pytest.raises(SyncFailed, match=r"127\.0\.0\.1"):
        sync_payments(desk.account, open_gateway(desk.account))


# --- windows and cursors -----------------------------------------------------------------------


def test_the_first_run_goes_back_far_and_the_next_only_a_little(account):
    gateway = ScriptedGateway(page())
    started = timezone.now()
    sync_payments(account, gateway)
    (first, *_rest), last = gateway.asked, gateway.asked[-1]
    assert timedelta(days=499) < started - first[0] < timedelta(days=501)
    assert last[1] >= started
    for (_since, until, _), (since, _until, _) in zip(
        gateway.asked, gateway.asked[1:], strict=False
    ):
        assert until == since
    gateway.asked.clear()
    sync_payments(account, gateway)
    ((since, until, _cursor),) = gateway.asked
    assert since == last[1] - timedelta(hours=3)
    assert until > last[1]


def test_an_explicit_start_reads_again_but_leaves_no_gap(account):
    gateway = ScriptedGateway(page())
    sync_payments(account, gateway, until=PAID_AT)
    gateway.asked.clear()
    sync_payments(
        account, gateway, since=PAID_AT + timedelta(days=9), until=PAID_AT + timedelta(days=10)
    )
    assert gateway.asked[0][0] == PAID_AT - timedelta(hours=3)
    gateway.asked.clear()
    sync_payments(account, gateway, since=PAID_AT - timedelta(days=5), until=PAID_AT)
    assert gateway.asked[0][0] == PAID_AT - timedelta(days=5)


@with_commits
def test_a_killed_run_repeats_no_page_and_loses_none(account):
    pages = [page(payment(f"ch_{number}")) for number in range(4)]
    with pytest.raises(Killed):
        sync_payments(
            account,
            ScriptedGateway(*pages[:2], Killed(), pages[3]),
            since=PAID_AT,
            until=PAID_AT + timedelta(days=1),
        )
    assert sorted(stored(account)) == ["ch_0", "ch_1"]
    state = SyncState.objects.get()
    assert (state.cursor, state.synced_until) == ("2", None)
    assert state.error == "The run was stopped. The next one goes on from there."
    gateway = ScriptedGateway(*pages)
    counts = sync_payments(account, gateway, until=PAID_AT + timedelta(days=1))
    assert gateway.asked[0] == (PAID_AT, PAID_AT + timedelta(days=1), "2")
    assert counts.new == 2
    assert len(stored(account)) == 4


@with_commits
@pytest.mark.parametrize("since", [PAID_AT - timedelta(days=1), PAID_AT + timedelta(hours=1)])
def test_reading_again_from_a_moment_includes_what_a_killed_run_left(account, since):
    broken = ScriptedGateway(page(payment("ch_1")), Killed())
    with pytest.raises(Killed):
        sync_payments(account, broken, since=PAID_AT, until=PAID_AT + timedelta(days=1))
    gateway = ScriptedGateway(page(payment("ch_1")), page(payment("ch_2")))
    sync_payments(account, gateway, since=since, until=PAID_AT + timedelta(days=1))
    assert gateway.asked[0] == (min(since, PAID_AT), PAID_AT + timedelta(days=1), "")
    assert len(stored(account)) == 2


@with_commits
def test_a_row_that_stays_locked_ends_the_run_and_loses_nothing(account):
    store_payments(account, [payment("ch_2")])
    locked, done = Event(), Event()

    def hold() -> None:
        try:
            with database.atomic():
                Transaction.objects.select_for_update().get()
                locked.set()
                done.wait(10)
        finally:
            connections.close_all()

    pages = [page(payment("ch_1")), page(payment("ch_2", 5)), page(payment("ch_3"))]
    with connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        other = pool.submit(hold)
        assert locked.wait(10)
        cursor.execute("SET lock_timeout = '50ms'")
        with pytest.raises(SyncFailed, match="did not answer in time"):
            sync_payments(
                account, ScriptedGateway(*pages), since=PAID_AT, until=PAID_AT + timedelta(days=1)
            )
        cursor.execute("SET lock_timeout = '3s'")
        done.set()
        other.result()
    assert SyncState.objects.get().cursor == "1"
    sync_payments(account, ScriptedGateway(*pages), until=PAID_AT + timedelta(days=1))
    assert stored(account)["ch_2"] == (5, "USD")
    assert len(stored(account)) == 3


@with_commits
def test_a_page_and_its_cursor_are_committed_together(account):
    gateway = ScriptedGateway(page(payment("ch_1")), page(payment("ch_2")))

    def die(_counts: SyncCounts, _share: float) -> None:
        assert SyncState.objects.get().cursor == "1"
        assert stored(account) == {"ch_1": (1_000, "USD")}
        raise Killed

    with pytest.raises(Killed):
        sync_payments(
            account, gateway, since=PAID_AT, until=PAID_AT + timedelta(days=1), on_page=die
        )


@with_commits
def test_two_runs_of_one_account_do_not_meet(account):
    entered, done = Event(), Event()

    def hold() -> None:
        try:
            with single_flight(account):
                entered.set()
                done.wait(10)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(hold)
        assert entered.wait(10)
        with pytest.raises(SyncBusy):
            sync_payments(account, ScriptedGateway(page()))
        done.set()
        other.result()
    assert sync_payments(account, ScriptedGateway(page())).read == 0


def test_progress_goes_from_nothing_to_all(account):
    shares: list[float] = []
    gateway = ScriptedGateway(page(payment("ch_1")), page(payment("ch_2")))
    sync_payments(account, gateway, on_page=lambda _counts, share: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


@with_commits
def test_no_processor_is_called_inside_a_database_transaction(account):
    inside: list[bool] = []

    class Watching(ScriptedGateway):
        def list_payments(self, since, until, cursor=""):
            for each in super().list_payments(since, until, cursor):
                inside.append(connection.in_atomic_block)
                yield each

    sync_payments(account, Watching(page(payment("ch_1")), page(payment("ch_2"))))
    assert inside
    assert not any(inside)


# --- records -----------------------------------------------------------------------------------


def test_a_bad_record_stops_no_other(account):
    rejected = [BadRecord("ch_odd", "Its currency is not known.")]
    negative = payment("ch_negative", -5)
    gateway = ScriptedGateway(
        page(
            payment("ch_1"),
            negative,
            payment("x" * 101),
            payment(""),
            payment("ch_2"),
            rejected=rejected,
        )
    )
    counts = sync_payments(account, gateway, since=PAID_AT, until=PAID_AT + timedelta(days=1))
    assert counted(counts) == (2, 0, 0, 4)
    assert sorted(stored(account)) == ["ch_1", "ch_2"]
    reasons = {each.external_id: each.reason for each in counts.rejected}
    assert reasons["ch_odd"] == "Its currency is not known."
    assert reasons["ch_negative"] == "The database refuses it: transaction is not over refunded."
    assert "1 to 100" in reasons["x" * 100]
    state = SyncState.objects.get()
    assert len(state.rejected) == 4
    assert state.counts == {"new": 2, "changed": 0, "unchanged": 0, "refused": 4}


def test_reasons_are_kept_for_the_first_refused_records_only(account):
    rejected = [BadRecord(f"ch_{number}", "odd") for number in range(KEPT_REJECTED + 50)]
    counts = sync_payments(
        account,
        ScriptedGateway(page(rejected=rejected)),
        since=PAID_AT,
        until=PAID_AT + timedelta(days=1),
    )
    assert (counts.refused, len(counts.rejected)) == (KEPT_REJECTED + 50, KEPT_REJECTED)


def test_one_payment_twice_on_a_page_is_one_row(account):
    counts = store_payments(account, [payment("ch_1", 5), payment("ch_1", 7)])
    assert counted(counts) == (1, 0, 1, 0)
    assert stored(account) == {"ch_1": (7, "USD")}


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("amount_minor", {"amount": Money(999, "USD")}),
        ("status", {"status": PaymentStatus.FAILED}),
        ("disputed", {"disputed": True}),
        ("settled_at", {"settled_at": PAID_AT}),
        ("created_at", {"created_at": PAID_AT + timedelta(seconds=1)}),
        ("description", {"description": "A lamp"}),
        ("order_reference", {"order_reference": "ORDER-1"}),
        ("customer_name", {"payer": Payer("John Doe", "jane@example.com")}),
        ("customer_id", {"payer": Payer("Jane Doe", "joan@example.com")}),
        ("last4", {"method": PaymentMethod("card", "visa", "4242")}),
        ("related_ids", {"related_ids": ("pi_1", "ORDER")}),
    ],
)
def test_every_fact_that_changes_is_written(account, column, change):
    store_payments(account, [payment("ch_1")])
    before = Transaction.objects.values().get()
    counts = store_payments(account, [payment("ch_1", **change)])
    assert counted(counts) == (0, 1, 0, 0)
    assert Transaction.objects.values().get()[column] != before[column]
    assert counted(store_payments(account, [payment("ch_1", **change)])) == (0, 0, 1, 0)


def test_a_list_without_details_changes_what_it_tells_and_nothing_else(account):
    full = payment(
        "ch_1",
        description="A lamp",
        disputed=True,
        settled_at=PAID_AT,
        method=PaymentMethod("card", "visa", "4242"),
    )
    store_payments(account, [full])
    summary = payment("ch_1", payer=Payer(), has_details=False, status=PaymentStatus.CAPTURED)
    assert store_payments(account, [summary]).changed == 1
    row = Transaction.objects.get()
    assert (row.status, row.disputed, row.settled_at) == ("captured", False, PAID_AT)
    assert (row.description, row.last4, row.customer_email) == (
        "A lamp",
        "4242",
        "jane@example.com",
    )
    assert row.has_details


def test_only_details_lift_a_dispute_where_lists_do_not_tell():
    account = ProcessorAccount.objects.create(slug="pp", processor="paypal", mode="test")
    store_payments(account, [payment("CAPTURE", disputed=True)])
    assert store_payments(account, [payment("CAPTURE", has_details=False)]).unchanged == 1
    assert Transaction.objects.get().disputed
    assert store_payments(account, [payment("CAPTURE")]).changed == 1
    assert not Transaction.objects.get().disputed


def test_text_is_made_fit_for_its_column(account):
    odd = payment(
        "ch_1",
        payer=Payer("Ja\x00ne\r\nDoe\u202e\ud800", "Jane@Example.com"),
        description="x" * 2_000,
        order_reference="o" * 400,
        method=PaymentMethod("card" * 10, "visa" * 10, "42424", "apple_pay" * 9),
        related_ids=("pi_1", "with space", "\x00"),
    )
    assert store_payments(account, [odd]).new == 1
    row = Transaction.objects.get()
    assert row.customer_name == "Jane Doe"
    assert row.customer_email == "Jane@Example.com"
    assert (len(row.description), len(row.order_reference)) == (1_000, 300)
    assert (len(row.method_type), len(row.brand), row.last4, len(row.wallet)) == (
        20,
        30,
        "4242",
        30,
    )
    assert row.related_ids == "pi_1"


@pytest.mark.parametrize(
    "text", ["4242 4242 4242 4242", "4242-4242-4242-4242", "4242424242424242", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"]
)
def test_card_numbers_are_not_stored(account, text):
    store_payments(account, [payment("ch_1", description=f"paid with {text}, thanks")])
    description = Transaction.objects.get().description
    assert description.startswith("paid with [card ")
    assert description.endswith("], thanks")
    assert text not in description


def test_no_text_of_a_payment_keeps_a_card_number_and_ids_stay(account):
    card = "4242424242424242"
    payer = Payer(f"Jane {card}", f"{card}@example.com")
    store_payments(account, [payment(card, payer=payer, order_reference=f"A {card}")])
    row = Transaction.objects.get()
    texts = (row.customer_name, row.customer_email, row.order_reference)
    assert not any(card in text for text in texts)
    assert row.order_reference == "A [card 4242]"
    assert row.external_id == card  # it is what the processor is asked by
    assert not Customer.objects.filter(email__contains=card).exists()


def test_customers_are_known_by_their_address_in_any_case(account):
    other = ProcessorAccount.objects.create(slug="other", processor="nmi", mode="test")
    store_payments(
        account,
        [
            payment("1", payer=Payer("", "JANE@example.com")),
            payment("2", payer=Payer("Jane", "Jane@Example.com")),
        ],
    )
    store_payments(
        other,
        [
            payment("3", payer=Payer("J. Doe", "jane@example.com")),
            payment("4", payer=Payer("Nobody", "")),
        ],
    )
    assert list(Customer.objects.values_list("email", "name")) == [("jane@example.com", "Jane")]
    assert Customer.objects.get().transactions.count() == 3


def test_a_customers_name_is_filled_in_once_it_is_known(account):
    store_payments(account, [payment("1", payer=Payer("", "jane@example.com"))])
    store_payments(account, [payment("2", payer=Payer("Jane", "jane@example.com"))])
    store_payments(account, [payment("3", payer=Payer("Joan", "jane@example.com"))])
    assert Customer.objects.get().name == "Jane"


def test_a_page_costs_a_few_queries_however_long_it_is(account, django_assert_max_num_queries):
    with django_assert_max_num_queries(
        5
    ):  # customers, payments, twins, and a savepoint where there is one
        store_payments(account, [payment(f"ch_{number}") for number in range(500)])


# --- details -----------------------------------------------------------------------------------


def summaries(account: ProcessorAccount, count: int) -> list[str]:
    ids = [f"ch_{number}" for number in range(count)]
    store_payments(account, [payment(each, has_details=False, payer=Payer()) for each in ids])
    return ids


def test_details_are_read_newest_first_and_once(account):
    ids = summaries(account, 5)
    gateway = ScriptedGateway(details={each: payment(each) for each in ids})
    assert fetch_details(account, gateway, limit=2).changed == 2
    assert gateway.asked == ["ch_4", "ch_3"]
    assert fetch_details(account, gateway).changed == 3
    assert fetch_details(account, gateway).read == 0
    assert Transaction.objects.filter(customer_email="jane@example.com").count() == 5


def test_a_payment_whose_details_cannot_be_read_is_reported(account):
    summaries(account, 3)
    gateway = ScriptedGateway(
        details={"ch_0": payment("ch_0"), "ch_1": OutcomeUnknown("The answer is half an answer.")}
    )
    counts = fetch_details(account, gateway)
    assert counted(counts) == (0, 1, 0, 2)
    assert {each.external_id: each.reason for each in counts.rejected} == {
        "ch_1": "The answer is half an answer.",
        "ch_2": "Stripe lists this payment, without details.",
    }
    gateway.asked.clear()
    fetch_details(account, gateway)
    assert gateway.asked == ["ch_1"]


def test_a_processor_that_stops_answering_ends_the_details_and_keeps_what_was_read(account):
    ids = summaries(account, 6)
    answers = {each: OutcomeUnknown("No answer in 25 seconds.") for each in ids}
    gateway = ScriptedGateway(details=answers | {"ch_5": payment("ch_5")})
    with pytest.raises(SyncFailed, match="No answer"):
        fetch_details(account, gateway)
    assert gateway.asked == ["ch_5", "ch_4", "ch_3", "ch_2"]
    assert Transaction.objects.get(has_details=True).external_id == "ch_5"


def test_details_end_at_once_where_nothing_is_let_in(account):
    summaries(account, 3)
    refused = NotSent("Stripe did not accept our key.", reason="credentials")
    gateway = ScriptedGateway(details={"ch_2": refused})
    with pytest.raises(SyncFailed, match="did not accept our key"):
        fetch_details(account, gateway)
    assert gateway.asked == ["ch_2"]


def test_one_payment_is_read_again_into_its_row_and_the_object(account):
    store_payments(account, [payment("ch_1")])
    row = Transaction.objects.get()
    gateway = ScriptedGateway(details={"ch_1": payment("ch_1", disputed=True)})
    refresh_payment(row, gateway)
    assert row.disputed
    assert Transaction.objects.get().disputed


def test_a_payment_that_is_not_known_any_more_stays_as_it_is(account):
    store_payments(account, [payment("ch_1")])
    before = Transaction.objects.values().get()
    refresh_payment(Transaction.objects.get(), ScriptedGateway(details={"ch_1": None}))
    assert Transaction.objects.values().get() == before


def test_a_payment_that_cannot_be_taken_in_again_is_certainly_not_refunded(account):
    store_payments(account, [payment("ch_1")])
    gateway = ScriptedGateway(details={"ch_1": payment("ch_1", -5)})
    with pytest.raises(NotSent) as error:
        refresh_payment(Transaction.objects.get(), gateway)
    assert error.value.reason == "refused_locally"
