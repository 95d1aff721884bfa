import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Celery
from django.db import connection

from refunds.models import Refund, RefundAttempt, RefundReason
from refunds_site.embedded import free_port
from tests.rest import (
    assert_problem,
    client_of,
    client_with,
    make_account,
    make_person,
    make_refund,
    make_token,
    make_transaction,
)
from transactions.models import Transaction

pytestmark = pytest.mark.django_db

BODY = {"amount": "12.50", "reason": "requested_by_customer", "note": "She called."}


def address_of(transaction):
    return f"/api/v1/transactions/{transaction.pk}/refunds/"


@pytest.fixture
def payment():
    return make_transaction()


@pytest.fixture
def client():
    return client_of("agent")


@pytest.fixture
def post(client, payment):
    """Ask for a refund of the payment; the body may be raw JSON."""

    def post(body=BODY, key="key 1", to=payment, **headers):
        if key is not None:
            headers["HTTP_IDEMPOTENCY_KEY"] = key
        data = body if isinstance(body, str) else json.dumps(body)
        return client.generic("POST", address_of(to), data, "application/json", **headers)

    return post


@pytest.fixture
def assert_untouched(payment, valkey):
    """Nothing was written, and nothing was handed to a worker."""

    def check():
        assert not Refund.objects.exists()
        assert not RefundAttempt.objects.exists()
        sums = Transaction.objects.values_list("reserved_minor", "refunded_minor")
        assert set(sums) == {(0, 0)}
        assert valkey.llen("submit") == 0

    return check


def test_a_refund_is_queued_and_its_money_reserved(post, client, payment):
    response = post()
    assert response.status_code == 202
    refund = Refund.objects.get()
    document = response.json()
    assert document == client.get(f"/api/v1/refunds/{refund.pk}/").json()
    assert document | {"id": None, "created_at": None} == {
        "id": None,
        "transaction": payment.pk,
        "account": payment.account.slug,
        "amount": "12.50",
        "currency": "USD",
        "operation": "refund",
        "origin": "api",
        "status": "queued",
        "reason": "requested_by_customer",
        "note": "She called.",
        "attention": None,
        "provider_refund_id": None,
        "failure": None,
        "attempts": [],
        "rulings": [],
        "requested_by": client.person.username,
        "approved_by": None,
        "created_at": None,
        "finished_at": None,
    }
    assert Transaction.objects.get().reserved_minor == 1250


@pytest.mark.django_db(transaction=True)
def test_a_worker_hears_of_it_once_it_is_committed(post, valkey):
    post()
    post()
    assert valkey.llen("submit") == 1


def test_the_same_key_and_body_again_is_the_same_refund(post, client, payment):
    first = post()
    again = post(dict(reversed(BODY.items())))
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert Refund.objects.count() == 1
    assert Transaction.objects.get().reserved_minor == 1250


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": "12.51"},
        {"reason": "other"},
        {"note": "Another."},
        {"expected_refundable": "100.00"},
    ],
)
def test_the_same_key_with_another_body_is_a_conflict(post, changed):
    post()
    assert_problem(post(BODY | changed), 409, "idempotency_key_reused")
    assert Refund.objects.count() == 1


def test_the_same_key_for_another_transaction_is_a_conflict(post):
    post()
    assert_problem(post(to=make_transaction()), 409, "idempotency_key_reused")


def test_keys_belong_to_their_person(post, payment):
    post()
    other = client_of("agent")
    response = other.post(address_of(payment), BODY, HTTP_IDEMPOTENCY_KEY="key 1")
    assert response.status_code == 202
    assert Refund.objects.count() == 2


@pytest.mark.parametrize("key", [None, "", " ", "x" * 256, "tab\there", "naïve", "\x00", "線"])
def test_a_key_that_is_none_is_400(post, assert_untouched, key):
    raw = key if key is None else key.encode().decode("latin-1")
    errors = assert_problem(post(key=raw), 400)["errors"]
    assert list(errors) == ["Idempotency-Key"]
    assert_untouched()


@pytest.mark.parametrize("key", ["x", "x" * 255, "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", "two words"])
def test_printable_ascii_is_a_key(post, key):
    assert post(key=key).status_code == 202
    assert post(key=key).status_code == 200


def test_more_than_is_left_is_a_conflict_that_says_what_is_left(post, client, payment):
    post(BODY | {"amount": "60.00"})
    refused = assert_problem(
        post(BODY | {"amount": "40.01"}, key="key 2"), 409, "exceeds_refundable"
    )
    assert refused["refundable"] == "40.00"
    assert "40.00" in refused["detail"]
    assert post(BODY | {"amount": "40.00"}, key="key 3").status_code == 202
    assert Refund.objects.count() == 2


def test_a_balance_that_changed_is_a_conflict_that_says_what_is_left(post, payment):
    make_refund(payment, 1000)
    stale = post(BODY | {"expected_refundable": "100.00"})
    assert assert_problem(stale, 409, "balance_changed")["refundable"] == "90.00"
    assert post(BODY | {"expected_refundable": "90.00"}, key="key 2").status_code == 202


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"disputed": True}, "disputed"),
        ({"status": "authorized"}, "not_captured"),
        ({"status": "voided"}, "not_captured"),
        ({"status": "failed"}, "not_captured"),
    ],
)
def test_what_cannot_be_refunded_is_a_conflict(post, state, code):
    transaction = make_transaction(**state)
    document = assert_problem(post(to=transaction), 409, code)
    assert "refundable" in document
    assert not Refund.objects.exists()


def test_a_paused_account_is_a_conflict(post):
    account = make_account(paused_reason="The key was revoked.")
    document = assert_problem(post(to=make_transaction(account)), 409, "paused")
    assert "The key was revoked." in document["detail"]


BAD_AMOUNTS = [
    '"0"', '"0.00"', '"-0"', '"-1"', '"NaN"', '"sNaN"', '"Infinity"', '"-Infinity"', '"1e309"',
    '"1e3"', '"1E-2"', '"1_000"', '"0x10"', '"١٢"', '"１２"', '"½"', '" 12,50"', '"12,50"',
    '"1,250.00"', '"1.250,00"', '"12.345"', '".5"', '"5."', '"+5"', '"−5"', '"$5"', '"5 USD"',
    '""', "null", "true", "false", "[]", "{}", '["5"]', f'"1{"0" * 20}"', f'"{"9" * 400}"',
    '"9007199254740993"', '"9223372036854775808"', '" 5"', '"5 "', '"5\\n"', '"5\\u0000"',
    '"\\u200b5"', '"\\u202e5"', '"00000000005"', '"5.00.00"', "5", "12.5", "5.0", "-1", "0",
    '"2147483648"', '"9999999999"', "1e2", "1e309", "12345678901234567890",
]  # fmt: skip


@pytest.mark.parametrize("amount", BAD_AMOUNTS)
def test_an_amount_that_is_none_is_400_with_a_sentence(post, assert_untouched, amount):
    errors = assert_problem(post(f'{{"amount": {amount}, "reason": "other"}}'), 400)["errors"]
    assert list(errors) == ["amount"]
    assert errors["amount"][0].endswith((".", '"'))
    assert_untouched()


@pytest.mark.parametrize("amount", BAD_AMOUNTS)
def test_an_expected_balance_that_is_none_is_400(post, assert_untouched, amount):
    body = f'{{"amount": "1.00", "reason": "other", "expected_refundable": {amount}}}'
    assert list(assert_problem(post(body), 400)["errors"]) == ["expected_refundable"]
    assert_untouched()


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "01", "0x10", "1_000", "'5'"])
def test_an_amount_that_is_no_json_is_400(post, assert_untouched, amount):
    assert_problem(post(f'{{"amount": {amount}, "reason": "other"}}'), 400, "parse_error")
    assert_untouched()


def test_an_amount_given_twice_is_400(post, assert_untouched):
    body = '{"amount": "1.00", "amount": "100.00", "reason": "other"}'
    assert_problem(post(body), 400, "parse_error")
    assert_untouched()


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("JPY", "100.5"), ("JPY", "100.0"), ("KWD", "1.2345"), ("EUR", "0.001")],
)
def test_decimals_that_the_currency_does_not_have_are_400(post, currency, amount):
    transaction = make_transaction(currency=currency, amount_minor=1_000_000)
    response = post(BODY | {"amount": amount}, to=transaction)
    assert currency in assert_problem(response, 400)["errors"]["amount"][0]
    assert not Refund.objects.exists()


def test_steps_that_the_processor_does_not_take_are_400(post):
    dinars = make_transaction(currency="KWD", amount_minor=10_000)  # Stripe: the last digit is 0
    errors = assert_problem(post(BODY | {"amount": "0.001"}, to=dinars), 400)["errors"]
    assert "steps of 0.010" in errors["amount"][0]
    assert not Refund.objects.exists()


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [("USD", "100.00", 10_000), ("USD", "100", 10_000), ("USD", "99.9", 9990), ("USD", "0.01", 1),
     ("JPY", "10000", 10_000), ("KWD", "10.000", 10_000), ("KWD", "0.010", 10)],
)  # fmt: skip
def test_exact_amounts_are_kept_to_the_minor_unit(post, currency, amount, minor):
    transaction = make_transaction(currency=currency, amount_minor=10_000)
    assert post(BODY | {"amount": amount}, to=transaction).status_code == 202
    assert Refund.objects.get().amount_minor == minor


@pytest.mark.parametrize("amount", ["100.01", "999999999.99"])
def test_beyond_the_balance_is_409_and_writes_nothing(post, assert_untouched, amount):
    assert_problem(post(BODY | {"amount": amount}), 409, "exceeds_refundable")
    assert_untouched()


@pytest.mark.parametrize("missing", ["amount", "reason"])
def test_what_is_missing_is_named(post, assert_untouched, missing):
    body = {name: value for name, value in BODY.items() if name != missing}
    assert list(assert_problem(post(body), 400)["errors"]) == [missing]
    assert_untouched()


def test_a_note_may_be_left_out(post):
    assert post({"amount": "1.00", "reason": "other"}).json()["note"] == ""


@pytest.mark.parametrize(
    "reason", ["", "no-such", "OTHER", None, 5, ["other"], "\u0000", "x" * 500]
)
def test_a_reason_that_is_none_is_400(post, assert_untouched, reason):
    assert list(assert_problem(post(BODY | {"reason": reason}), 400)["errors"]) == ["reason"]
    assert_untouched()


def test_a_reason_that_is_no_longer_offered_is_400(post, assert_untouched):
    RefundReason.objects.filter(code="other").update(is_active=False)
    errors = assert_problem(post(BODY | {"reason": "other"}), 400)["errors"]
    assert "goodwill" in errors["reason"][0]
    assert_untouched()


@pytest.mark.parametrize("note", ["4242 4242 4242 4242", "x" * 5001, 5, None, ["a"], "\u0000"])
def test_a_note_that_may_not_be_kept_is_400(post, assert_untouched, note):
    assert list(assert_problem(post(BODY | {"note": note}), 400)["errors"]) == ["note"]
    assert_untouched()


@pytest.mark.parametrize(
    "note", ["x" * 5000, "<script>", "{{7*7}}", "line\r\nline", "🎌", "\u202ex"]
)
def test_a_note_is_kept_as_it_was_written(post, note):
    assert post(BODY | {"note": note}).json()["note"] == note


def fields_of_a_refund():
    return sorted({field.attname for field in Refund._meta.get_fields() if hasattr(field, "attname")}
                  | {"currency", "state", "mode", "account", "approved_by", "transaction"}
                  - set(BODY))  # fmt: skip


@pytest.mark.parametrize("name", fields_of_a_refund())
def test_nobody_sets_what_is_ours_to_set(post, assert_untouched, name):
    if name in BODY:
        return
    assert list(assert_problem(post(BODY | {name: "x"}), 400)["errors"]) == [name]
    assert_untouched()


def test_who_may_not_refund_gets_403_before_anything_is_read(payment, assert_untouched):
    for role in ("viewer", "approver"):
        response = client_of(role).post(address_of(payment), BODY, HTTP_IDEMPOTENCY_KEY="key 1")
        assert_problem(response, 403, "permission_denied")
    assert_untouched()


def test_a_transaction_of_another_account_is_404(payment, assert_untouched):
    client = client_of("agent", accounts=[make_account()])
    response = client.post(address_of(payment), BODY, HTTP_IDEMPOTENCY_KEY="key 1")
    assert_problem(response, 404)
    assert_untouched()


@pytest.mark.django_db(transaction=True)
def test_forty_at_once_for_more_than_half_have_one_winner(payment):
    person = make_person("agent")
    key = make_token(person)[1]

    def ask(number):
        try:
            return (
                client_with(key)
                .post(
                    address_of(payment),
                    BODY | {"amount": "60.00"},
                    HTTP_IDEMPOTENCY_KEY=f"key {number}",
                )
                .status_code
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(ask, range(40)))
    assert statuses == [202] + [409] * 39
    assert Transaction.objects.get().reserved_minor == 6000


@pytest.mark.django_db(transaction=True)
def test_forty_at_once_with_one_key_are_one_refund(payment):
    key = make_token(make_person("agent"))[1]

    def ask(_number):
        try:
            client = client_with(key)
            return client.post(address_of(payment), BODY, HTTP_IDEMPOTENCY_KEY="one")
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(40)))
    assert sorted(answer.status_code for answer in answers) == [200] * 39 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Refund.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_refund_is_queued_while_the_broker_is_down(post, monkeypatch):
    down = Celery(broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    down.conf.task_publish_retry = False
    down.conf.broker_transport_options = {"max_retries": 1, "socket_connect_timeout": 1}
    monkeypatch.setattr("refunds.publishing.current_app", down)
    assert post().status_code == 202
    assert Refund.objects.get().enqueued_at is None  # the sweep will find it


def test_a_held_account_takes_the_request_and_it_waits(post):
    account = make_account(held_reason="Restored.")
    assert post(to=make_transaction(account)).status_code == 202
    assert Refund.objects.get().status == "queued"


@pytest.mark.parametrize("key", ["4242424242424242", "4242-4242-4242-4242", "#378282246310005"])
def test_a_card_number_is_no_key(payment, key):
    response = client_of("agent").post(address_of(payment), BODY, HTTP_IDEMPOTENCY_KEY=key)
    assert list(assert_problem(response, 400)["errors"]) == ["Idempotency-Key"]
    assert not Refund.objects.exists()


def test_a_random_key_may_look_like_one(payment):
    key = "f3b1c8a0-7d2e-4f10-ab04-242424242424"
    response = client_of("agent").post(address_of(payment), BODY, HTTP_IDEMPOTENCY_KEY=key)
    assert response.status_code == 202
