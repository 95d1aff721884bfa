"""Requests that are no requests: their methods, types, bodies and headers."""

import gzip
import json
import socket
import uuid
from urllib.parse import urlsplit

import pytest

from refunds.models import Refund
from tests.pages import client_of
from tests.rest import assert_problem, make_refund

from .items import KEYS
from .refusing import assert_money_refused, assert_refused

BODY = json.dumps({"amount": "1.00", "reason": "other"})
LIST = "/admin/transactions/transaction/"


@pytest.fixture
def ask(doors):
    """Ask for a refund of 1.00 with this body, these headers and this type."""

    def ask(body=BODY, **headers):
        return doors.say(f"transactions/{doors.payment.pk}/refunds", body, **headers)

    return ask


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "text/html", "application/xml", "application/x-www-form-urlencoded", "x",
        "multipart/form-data; boundary=x", "multipart/form-data", "application/octet-stream", "",
        "application/json; charset=utf-16", "application/json; charset=nothing", "*/*",
        "application/json, text/plain", "application/json; charset=\u20ac",
    ],
)  # fmt: skip
def test_another_type_of_body(ask, untouched, kind):
    assert_money_refused(ask(content_type=kind), untouched)


@pytest.mark.parametrize(
    "body",
    [
        "", "null", "[]", '"text"', "5", "{", "{}", '{"amount": "1.00",}', "\ufeff" + BODY, BODY * 2,
        BODY + "\x00", BODY.replace(":", "="), BODY.encode("utf-16"), BODY.encode("utf-32"),
        b"\xff" + BODY.encode(), b'{"amount": "\xff1.00", "reason": "other"}', f"[{BODY}]",
        '{"a":' * 10_000, "[" * 10_000, '{"a":' * 5_000 + "1" + "}" * 5_000,
        BODY.replace('"1.00"', "1" * 5_000), BODY.replace('"1.00"', "NaN"),
        gzip.compress(BODY.encode(), mtime=0), "amount=1.00&reason=other",
    ],
    ids=lambda body: repr(body[:40]),
)  # fmt: skip
def test_a_body_that_is_not_one_object(ask, untouched, body):
    assert_money_refused(ask(body), untouched)


def test_a_body_larger_than_any(ask, untouched):
    large = json.dumps({"amount": "1.00", "reason": "other", "note": "x" * 3_000_000})
    assert_problem(ask(large), 413, "body_too_large")
    untouched.check()


def test_a_packed_body_is_never_unpacked(ask, untouched):
    bomb = gzip.compress(b"0" * 50_000_000)
    for headers in ({"HTTP_CONTENT_ENCODING": "gzip"}, {"HTTP_TRANSFER_ENCODING": "gzip"}):
        assert_money_refused(ask(bomb, **headers), untouched)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_an_idempotency_key_that_is_none(doors, untouched, key):
    headers = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    address = f"/api/v1/transactions/{doors.payment.pk}/refunds/"
    response = doors.api.generic("POST", address, BODY, "application/json", **headers)
    assert "Idempotency-Key" in assert_money_refused(response, untouched)


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "patch", "delete", "trace"])
def test_another_method_on_an_action_of_the_api(doors, method):
    refund = make_refund(doors.payment, 100)
    untouched = doors.untouched()
    addresses = [f"transactions/{doors.payment.pk}/refunds"]
    addresses += [f"refunds/{refund.pk}/{verb}" for verb in ("cancel", "retry", "check", "approve")]
    for address in addresses:
        response = getattr(doors.api, method)(f"/api/v1/{address}/")
        assert response.status_code == 405
        untouched.check()


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "patch", "delete", "trace"])
def test_another_method_on_a_button_of_the_staff_site(doors, method):
    refund = make_refund(doors.payment, 100)
    untouched = doors.untouched()
    addresses = [f"refunds/refund/{refund.pk}/{verb}/" for verb in ("cancel", "retry", "check")]
    addresses += [f"transactions/transaction/{doors.payment.pk}/{each}/" for each in ("note",)]
    for address in addresses:
        response = getattr(doors.browser, method)(f"/admin/{address}")
        assert response.status_code in {302, 403, 405}
        untouched.check()
    refund.refresh_from_db()
    assert refund.status == "queued"


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "head", "get"])
def test_another_method_on_the_dialog_asks_for_nothing(doors, untouched, method):
    address = f"{LIST}{doors.payment.pk}/refund/"
    response = getattr(doors.browser, method)(address, {"amount": "1.00", "reason": "other"})
    assert response.status_code < 500
    untouched.check()


@pytest.mark.parametrize("header", ["HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE"])
def test_no_header_and_no_field_makes_another_method_of_it(doors, untouched, header):
    refund = f"/api/v1/transactions/{doors.payment.pk}/refunds/"
    values = {"HTTP_IDEMPOTENCY_KEY": "key 1", header: "POST"}
    assert doors.api.generic("GET", refund, BODY, "application/json", **values).status_code == 405
    dialog = f"{LIST}{doors.payment.pk}/refund/?_method=POST&amount=1.00&reason=other"
    doors.browser.get(dialog, **{header: "POST"})
    untouched.check()


def test_a_form_without_its_token_or_with_an_old_one(doors, untouched):
    careful = client_of(doors.api.person, enforce_csrf_checks=True)
    address = f"{LIST}{doors.payment.pk}/refund/"
    values = {
        "amount": "1.00", "reason": "other", "token": str(uuid.uuid4()),
        "expected_refundable": "100.00",
    }  # fmt: skip
    careful.get(address)
    old = careful.cookies["csrftoken"].value
    careful.cookies["csrftoken"] = "x" * 32
    for token in ("", "wrong", old, "x" * 64, "y" * 32):
        response = careful.post(address, values | {"csrfmiddlewaretoken": token})
        assert response.status_code == 403
        assert_refused(response, untouched)  # nobody knows whether a person wanted it


@pytest.mark.parametrize("value", ["yesterday", "Wed, 21 Oct 2015 07:28:00 GMT", '"abc"', "\x01"])
@pytest.mark.parametrize("name", ["HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE"])
def test_what_somebody_has_seen_long_ago_does_not_matter(doors, name, value):
    for client, address in (
        (doors.api, f"/api/v1/transactions/{doors.payment.pk}/"),
        (doors.browser, f"{LIST}{doors.payment.pk}/change/"),
    ):
        response = client.get(address, **{name: value})
        assert response.status_code == 200
        assert str(doors.payment.external_id) in response.content.decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_ACCEPT", "nothing/at-all"), ("HTTP_ACCEPT", "x" * 10_000),
        ("HTTP_ACCEPT_LANGUAGE", "x" * 10_000), ("HTTP_ACCEPT_LANGUAGE", "de;q=9,../../etc"),
        ("HTTP_AUTHORIZATION", "Token " + "x" * 10_000), ("HTTP_AUTHORIZATION", "Token a b c"),
        ("HTTP_AUTHORIZATION", "Token \xe9\xff"), ("HTTP_AUTHORIZATION", "Basic Og=="),
        ("HTTP_AUTHORIZATION", "Token"), ("HTTP_COOKIE", "sessionid=" + "x" * 5_000),
        ("HTTP_COOKIE", "sessionid=\x00; csrftoken=\xff"), ("HTTP_X_REQUEST_ID", "a\r\nb: c"),
        ("HTTP_X_FORWARDED_FOR", "'; DROP TABLE"), ("HTTP_REFERER", "javascript:alert(1)"),
    ],
)  # fmt: skip
def test_no_header_breaks_an_answer(doors, name, value):
    from django.test import Client

    stranger = Client()
    for address in ("/api/v1/transactions/", "/admin/", "/admin/login/", "/healthz", "/"):
        response = stranger.get(address, **{name: value})
        assert response.status_code in {200, 302, 401, 406}, address


def test_a_query_of_ten_thousand_fields(doors, untouched):
    query = "&".join(f"f{number}=1" for number in range(10_000))
    assert doors.browser.get(f"{LIST}?{query}").status_code in {200, 400}
    assert doors.api.get(f"/api/v1/transactions/?{query}").status_code == 400
    values = {f"f{number}": "1" for number in range(2_000)}
    assert doors.browser.post(f"{LIST}{doors.payment.pk}/note/", values).status_code == 400
    untouched.check()


def test_the_same_key_for_another_refund_is_a_conflict(doors, ask):
    assert ask().status_code == 202
    assert_problem(ask(BODY.replace("1.00", "2.00")), 409, "idempotency_key_reused")
    assert Refund.objects.count() == 1


class TestOverASocket:
    """What a client of Django's own never sends."""

    @pytest.fixture
    def send(self, live_server, sandbox, transactional_db):
        from tests.rest import make_person, make_token, make_transaction

        _token, key = make_token(make_person("admin"))
        payment = make_transaction()
        host, port = urlsplit(live_server.url).netloc.split(":")

        def send(*headers: str, body: bytes = b"") -> bytes:
            head = (
                f"POST /api/v1/transactions/{payment.pk}/refunds/ HTTP/1.1",
                f"Host: {host}:{port}", f"Authorization: Token {key}", "Connection: close",
                "Content-Type: application/json", *headers,
            )  # fmt: skip
            with socket.create_connection((host, int(port)), timeout=10) as line:
                line.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
                line.shutdown(socket.SHUT_WR)
                with line.makefile("rb") as answer:
                    return answer.read()

        return send

    @pytest.mark.parametrize(
        ("headers", "body"),
        [
            (["Transfer-Encoding: chunked", "Idempotency-Key: a"], b'5\r\n{"amo'),
            (["Transfer-Encoding: chunked", "Idempotency-Key: a"], b"zz\r\n\r\n"),
            (["Content-Length: 500", "Idempotency-Key: a"], BODY[:20].encode()),
            (["Content-Length: -1", "Idempotency-Key: a"], BODY.encode()),
            (["Content-Length: many", "Idempotency-Key: a"], BODY.encode()),
            ([f"Content-Length: {len(BODY)}", "Idempotency-Key: a\x0bb"], BODY.encode()),
        ],
        ids=["unfinished", "no size", "too short", "negative", "no number", "control"],
    )
    def test_it_asks_for_nothing(self, send, headers, body):
        answer = send(*headers, body=body)
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
        assert not Refund.objects.exists()

    def test_two_keys_are_one_key_as_servers_join_them(self, send):
        headers = [f"Content-Length: {len(BODY)}", "Idempotency-Key: a", "Idempotency-Key: b"]
        first, again = (send(*headers, body=BODY.encode()) for _ in range(2))
        assert (first.split()[1], again.split()[1]) == (b"202", b"200")
        assert Refund.objects.count() == 1
