"""Webhooks that are forged, put together from true ones, or sent again, at all four processors.

What the sandbox can forge by itself is tried in tests/refunds/test_webhooks.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from gateways.sandbox.signatures import Notice, sign
from refunds.models import Refund, WebhookEvent
from refunds.states import Status
from tests.refunds.hooks import asked, late, rejections, states, work
from tests.rest import assert_problem

YEAR = timedelta(days=365)
TIMED = {"stripe", "paypal"}  # the others sign no time: ids tell what was sent before


@pytest.fixture
def event(desk, hooks):
    """What the processor tells of a refund that was made in its dashboard."""
    payment = desk.pay()
    return hooks.events(hooks.refund(payment, 1_500))[0]


def resent(hooks, event, ago: timedelta) -> Notice:
    """The event as it was signed some time ago."""
    return sign(event, hooks.ledger, timezone.now() - ago, hooks.desk.sandbox.url)


def assert_not_let_in(desk, hooks, notice: Notice) -> None:
    """It is kept as rejected, without what it names, and leads to nothing."""
    before, kept = asked(desk), len(rejections())
    assert_problem(hooks.post(notice), 400, "webhook_not_verified")
    assert len(rejections()) == kept + 1
    work()
    assert asked(desk) == before
    assert not Refund.objects.exists()
    assert not WebhookEvent.objects.exclude(event_id=None).exists()


WRITTEN_ANEW: dict[str, Callable[[dict], str]] = {
    "wide": lambda event: json.dumps(event, indent=2),
    "sorted": lambda event: json.dumps(event, sort_keys=True, separators=(", ", ":")),
    "in another order": lambda event: json.dumps(dict(reversed(event.items()))),
}


@pytest.mark.parametrize("how", WRITTEN_ANEW)
def test_the_same_facts_in_other_bytes(desk, hooks, event, how):
    notice = hooks.sign(event)
    body = WRITTEN_ANEW[how](json.loads(notice.body)).encode()
    assert body != notice.body
    assert_not_let_in(desk, hooks, notice._replace(body=body))


@pytest.mark.parametrize("change", [b" ", b"\n", b"\x00"])
def test_a_byte_more(desk, hooks, event, change):
    notice = hooks.sign(event)
    assert_not_let_in(desk, hooks, notice._replace(body=notice.body + change))


def test_the_signature_of_another_event(desk, hooks, event):
    other = hooks.sign(hooks.events(hooks.refund(desk.pay(), 900))[0])
    assert_not_let_in(desk, hooks, hooks.sign(event)._replace(headers=other.headers))


def test_the_signature_of_another_processor(desk, hooks, event):
    """Each header of each of them, beside none of its own."""
    body, headers = hooks.sign(event)
    names = ("Stripe-Signature", "X-ANET-Signature", "Webhook-Signature", "Paypal-Transmission-Sig")
    values = [value for name, value in headers.items() if name != "Content-Type"]
    foreign = {name: values[-1] for name in names if name.lower() not in map(str.lower, headers)}
    assert foreign
    assert_not_let_in(desk, hooks, Notice(body, foreign))


@pytest.mark.parametrize("account", ["another", "none"])
def test_a_secret_that_is_not_the_account_s(desk, hooks, event, account):
    notice = hooks.sign(event, "account" if account == "another" else "signature")
    assert_not_let_in(desk, hooks, notice)


def test_without_a_secret_what_is_signed_with_nothing(desk, hooks, event):
    """An empty key is a key, to those who do not look whether there is one."""
    names = ("webhook_secret", "webhook_id", "signature_key", "webhook_signing_key")
    values = dict(desk.sandbox.ledger.accounts[desk.name].credentials)
    ledger, found = hooks.ledger, desk.sandbox.ledger.accounts[desk.name]
    secret = next(name for name in names if name in values)
    desk.account.set_credentials({name: each for name, each in values.items() if name != secret})
    desk.account.save()
    with ledger.lock:
        kept, found.credentials[secret] = found.credentials[secret], ""
        try:
            notice = hooks.sign(event)
        finally:
            found.credentials[secret] = kept
    assert_not_let_in(desk, hooks, notice)


def doubled(first: str, second: str) -> str:
    """A header that came twice, as servers hand it on (RFC 9110, section 5.3)."""
    return f"{first},{second}"


def signature_headers(notice: Notice) -> list[str]:
    return [name for name in notice.headers if name != "Content-Type"]


def test_headers_that_come_twice_with_nothing_true(desk, hooks, event):
    forged = hooks.sign(event, "signature")
    twice = {name: doubled(value, value) for name, value in forged.headers.items()}
    assert_not_let_in(desk, hooks, forged._replace(headers=twice))


@pytest.mark.parametrize("true_first", [True, False])
def test_a_true_header_does_not_help_a_forged_one(desk, hooks, event, true_first):
    """Of a body that nobody signed. The true signature is one of another body."""
    true = hooks.sign(hooks.events(hooks.refund(desk.pay(), 900))[0])
    forged = hooks.sign(event, "signature")
    for name in signature_headers(true):
        values = [true.headers[name], forged.headers[name]]
        headers = forged.headers | {name: doubled(*(values if true_first else values[::-1]))}
        assert_not_let_in(desk, hooks, forged._replace(headers=headers))


def test_an_old_signature_does_not_get_a_new_time(desk, hooks, event):
    """The time of a fresh one beside what was signed a year ago, however it is put together."""
    old, fresh = resent(hooks, event, YEAR), resent(hooks, event, timedelta())
    if desk.processor == "paypal":
        name = "PAYPAL-TRANSMISSION-TIME"
        headers = old.headers | {name: fresh.headers[name]}
        assert_not_let_in(desk, hooks, old._replace(headers=headers))
        return
    if desk.processor == "authorizenet":
        assert old.headers == fresh.headers  # no time is signed at all
        return
    [name] = signature_headers(old)
    (old_time, old_sign), (new_time, _new_sign) = (
        each.headers[name].split(",") for each in (old, fresh)
    )
    for parts in ([new_time, old_sign], [new_time, old_time, old_sign], [old_sign, new_time]):
        if desk.processor == "nmi" and parts[1] == old_time:
            continue  # the last one counts there, and it is the one that was signed
        assert_not_let_in(desk, hooks, old._replace(headers={name: ",".join(parts)}))


def test_the_same_again_a_second_later(desk, hooks, event):
    notice = resent(hooks, event, timedelta(seconds=1))
    assert hooks.post(notice).status_code == 200
    work()
    [(state, _)] = states()
    before, refunds = asked(desk), list(Refund.objects.values("pk", "status", "amount_minor"))
    for _ in range(3):
        assert hooks.post(notice).status_code == 200
    work()
    assert states() == [(state, 4)]
    assert asked(desk) == before
    assert list(Refund.objects.values("pk", "status", "amount_minor")) == refunds
    assert refunds == [{"pk": refunds[0]["pk"], "status": Status.SUCCEEDED, "amount_minor": 1_500}]


def test_the_same_again_a_year_later(desk, hooks, event):
    notice = resent(hooks, event, YEAR)
    if desk.processor in TIMED:
        assert_not_let_in(desk, hooks, notice)
        return
    assert hooks.post(notice).status_code == 200
    work()
    late(WebhookEvent.objects.get(), days=365)
    before = asked(desk)
    assert hooks.post(notice).status_code == 200
    work()
    assert states() == [("processed", 2)]
    assert asked(desk) == before
    assert Refund.objects.get().amount_minor == 1_500


def test_the_same_event_in_other_words_of_who_has_the_secret(desk, hooks, event):
    """What was told of under an id is not told anew, nor believed: it is read at the processor."""
    assert hooks.deliver(event).status_code == 200
    work()
    body = event.body.replace("1500", "9900").replace("15.00", "99.00")
    before = asked(desk)
    assert hooks.deliver(replace(event, body=body)).status_code == 200
    work()
    assert asked(desk) == before
    assert [each.amount_minor for each in Refund.objects.all()] == [1_500]


def test_at_the_address_of_another_processor(desk, hooks, event):
    notice = hooks.sign(event)
    others = {"stripe", "paypal", "authorizenet", "nmi"} - {desk.processor}
    for other in others:
        address = hooks.address.replace(f"/{desk.processor}/", f"/{other}/")
        answer = Client().post(
            address, notice.body, content_type="application/json", headers=notice.headers
        )
        assert_problem(answer, 404)
    assert states() == []


def test_of_the_other_mode(desk, hooks, event):
    assert_not_let_in(desk, hooks, hooks.sign(event, "mode"))
