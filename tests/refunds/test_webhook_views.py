"""The address that webhooks are posted to: what it answers, whatever it is sent."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from refunds.models import WebhookEvent
from refunds.webhook_views import MAX_BYTES, WebhookView
from tests.rest import assert_problem, make_account

from .hooks import in_threads, rejections, states

only_stripe = pytest.mark.parametrize("desk", ["stripe"], indirect=True)
only_paypal = pytest.mark.parametrize("desk", ["paypal"], indirect=True)


@pytest.fixture
def event(desk, hooks):
    return hooks.events(desk.pay().external_id)[0]


@only_stripe
def test_it_is_answered_in_short(hooks, event):
    for _ in range(2):
        answer = hooks.deliver(event)
        assert (answer.status_code, answer.json()) == (200, {"received": True})
        assert not answer.cookies


@pytest.mark.parametrize("desk", ["authorizenet"], indirect=True)
@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_signed_webhook_of_an_absurd_time_is_taken_in_without_it(hooks, event, time):
    body = json.dumps(json.loads(event.body) | {"eventDate": time})
    assert hooks.deliver(replace(event, body=body)).status_code == 200
    assert WebhookEvent.objects.get().occurred_at is None


@only_stripe
@pytest.mark.parametrize("accept", ["text/html", "application/xml;q=0.1", "nonsense", "*/*"])
def test_it_does_not_matter_what_a_processor_accepts(hooks, event, accept):
    notice = hooks.sign(event)
    answer = hooks.post(notice._replace(headers=notice.headers | {"Accept": accept}))
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"


@only_stripe
def test_what_is_not_verified_is_a_problem_document(hooks, event):
    document = assert_problem(hooks.deliver(event, "signature"), 400, "webhook_not_verified")
    assert document["detail"] == "This webhook could not be verified. Nothing was changed."


@only_stripe
def test_it_gives_away_nothing_of_a_set_up_that_is_not_whole(desk, hooks, event):
    desk.account.set_credentials({"api_key": "sk_test_only"})
    desk.account.save()
    document = assert_problem(hooks.deliver(event), 400, "webhook_not_verified")
    assert document["detail"].startswith("This address is switched off")
    assert "webhook_secret" in rejections()[0]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [
        "stripe/nobody/",
        "nobody/there/",
        "paypal/there/",
        "stripe/off/",
        "stripe/there",
        "stripe//",
        "stripe/",
        "",
        "stripe/there/more/",
        "stripe/th%00ere/",
        "stripe/%ff%fe/",
        "stripe/%ed%a0%80/",
        "stripe/ünicode/",
        "stripe/there%0d%0aX-A:b/",
        "../../stripe/there/",
        f"stripe/{'a' * 5_000}/",
    ],
)
def test_an_address_that_is_none(address):
    make_account("there")
    make_account("off", is_active=False)
    assert_problem(
        Client().post(f"/webhooks/{address}", b"{}", content_type="application/json"), 404
    )
    assert states() == []


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete", "options", "trace"])
def test_only_post(method):
    make_account("there")
    answer = getattr(Client(), method)("/webhooks/stripe/there/")
    assert answer.status_code == 405
    assert answer["Allow"] == "POST"


@only_stripe
class TestBodies:
    @pytest.mark.parametrize("size", [MAX_BYTES + 1, 10_000_000])
    def test_too_large(self, hooks, event, size):
        document = assert_problem(
            hooks.post(hooks.sign(event)._replace(body=b" " * size)), 413, "body_too_large"
        )
        assert "1 MB" in document["detail"]
        assert states() == []

    def test_just_not_too_large(self, hooks, event):
        padded = replace(event, body=event.body + " " * (MAX_BYTES - len(event.body.encode())))
        assert hooks.deliver(padded).status_code == 200

    def test_packed_ones_are_never_unpacked(self, hooks, event):
        headers = hooks.sign(event).headers | {"Content-Encoding": "gzip"}
        bomb = b"\x1f\x8b\x08" + b"\x00" * 50_000
        answer = hooks.post(hooks.sign(event)._replace(body=bomb, headers=headers))
        assert_problem(answer, 400, "webhook_not_verified")
        notice = hooks.sign(event)
        packed = notice._replace(headers=notice.headers | {"Content-Encoding": "gzip"})
        assert hooks.post(packed).status_code == 200  # only the bytes count

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\x00" * 100,
            b"\xff\xfe\xed\xa0\x80",
            b"null",
            b"[]",
            b"1e999",
            b'{"id": NaN}',
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b'{"id": "evt_1", "id": "evt_2"}',
        ],
    )
    @pytest.mark.parametrize("signed", [True, False])
    def test_what_is_no_event(self, hooks, event, body, signed):
        text = body.decode("latin-1")
        made = hooks.sign(replace(event, body=text) if signed else event)
        assert_problem(hooks.post(made if signed else made._replace(body=body)), 400)
        assert len(rejections()) == 1

    @pytest.mark.parametrize(
        "bad", ["", "\\u0000", "\\ud800", "a b", "x" * 5_000, "<script>", "%00", "١٢٣"]
    )
    @pytest.mark.parametrize("field", ["id", "type", "charge"])
    def test_odd_ids_in_a_signed_event(self, hooks, event, bad, field):
        names = {"id": event.id, "type": event.type, "charge": event.record_id}
        if names[field] not in event.body:
            pytest.skip("the event does not say that")
        body = event.body.replace(f'"{names[field]}"', f'"{bad}"')
        assert hooks.deliver(replace(event, body=body)).status_code in (200, 400)
        if not bad.isprintable() or not bad or len(bad) > 200 or " " in bad:
            assert not WebhookEvent.objects.filter(event_id=bad).exists()

    @pytest.mark.parametrize(
        "header", ["", "t=1,v1=", "t=x,v1=00", "v1=" + "a" * 9_000, "t=1" * 99]
    )
    def test_odd_signatures(self, hooks, event, header):
        notice = hooks.sign(event)._replace(headers={"Stripe-Signature": header})
        assert_problem(hooks.post(notice), 400, "webhook_not_verified")


@only_stripe
def test_without_a_length_it_has_to_come_again(hooks, event, live_server):
    head = (
        f"POST {hooks.address} HTTP/1.1\r\nHost: {urlsplit(live_server.url).netloc}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    )
    assert b"411 Length Required" in raw(live_server, head.encode())
    assert states() == []


@only_stripe
def test_a_body_that_ends_too_early(hooks, event, live_server):
    head = (
        f"POST {hooks.address} HTTP/1.1\r\nHost: {urlsplit(live_server.url).netloc}\r\n"
        "Content-Length: 500\r\nConnection: close\r\n\r\n{}"
    )
    assert b" 400 " in raw(live_server, head.encode()).partition(b"\r\n")[0]


def raw(live_server, request):
    address = urlsplit(live_server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connected:
        connected.sendall(request)
        connected.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connected.recv(65_536), b""))


@only_paypal
def test_a_processor_that_is_needed_and_silent_is_asked_to_come_again(desk, hooks, event):
    desk.account.base_url = "http://127.0.0.1:9/paypal"
    desk.account.save()
    notice = hooks.sign(event)
    address = notice.headers["PAYPAL-CERT-URL"]
    elsewhere = address.replace(desk.sandbox.url, "http://127.0.0.1:9")
    answer = hooks.post(notice._replace(headers=notice.headers | {"PAYPAL-CERT-URL": elsewhere}))
    assert_problem(answer, 503, "unavailable")
    assert answer["Retry-After"]
    assert states() == []


@only_stripe
@pytest.mark.parametrize("forge", ["", "signature"])
def test_a_database_that_cannot_answer_makes_it_come_again(hooks, event, forge):
    def deliver():
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        return hooks.deliver(event, forge)

    from django.db import transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE refunds_webhookevent IN EXCLUSIVE MODE")
        [answer] = in_threads(deliver)
    assert_problem(answer, 503, "unavailable")
    assert states() == []


@only_stripe
def test_no_token_of_a_form_is_needed(hooks, event):
    notice = hooks.sign(event)
    client = Client(enforce_csrf_checks=True)
    answer = client.post(
        hooks.address, notice.body, content_type="application/json", headers=notice.headers
    )
    assert answer.status_code == 200


def test_no_other_address_takes_what_comes_without_a_token_or_a_session():
    """Forms need their token everywhere else; the API checks it for sessions by itself."""
    exempt = {view for view in callbacks(get_resolver()) if getattr(view, "csrf_exempt", False)}
    views = {getattr(view, "cls", None) for view in exempt}
    assert all(view and issubclass(view, APIView) for view in views)
    assert WebhookView in views
    writing = {view for view in views if hasattr(view, "post")}
    assert {view for view in writing if not view.authentication_classes} == {WebhookView}


def callbacks(resolver):
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from callbacks(pattern)
        elif isinstance(pattern, URLPattern):
            yield pattern.callback
