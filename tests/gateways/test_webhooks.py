"""Webhooks as the sandbox sends them over sockets, good and forged, at all four processors."""

import json

import pytest

from gateways.base import PaymentStatus, RefundState, WebhookNotice
from gateways.errors import InvalidWebhook, Misconfigured, OutcomeUnknown
from gateways.sandbox.signatures import FORGERIES

from .hooked import PROCESSORS, Hooked

UNTIMED = {"authorizenet", "nmi"}  # what they sign says nothing of when
SECRETS = {
    "stripe": "webhook_secret",
    "paypal": "webhook_id",
    "authorizenet": "signature_key",
    "nmi": "webhook_signing_key",
}
REFUND_CALLS = {"stripe": 3, "paypal": 4, "authorizenet": 2, "nmi": 1}
UNKNOWN_IDS = {"stripe": "re_0", "paypal": "0AB", "authorizenet": "999", "nmi": "999"}


@pytest.fixture(params=PROCESSORS)
def hooked(request, sandbox, inbox):
    return Hooked(sandbox, inbox, request.param)


@pytest.fixture(params=[*PROCESSORS, "paypal-api"])
def either(request, sandbox, inbox):
    """As ``hooked``, and once more with PayPal checking its own signatures."""
    processor, _, way = request.param.partition("-")
    return Hooked(sandbox, inbox, processor, way or "offline")


def parse(hooked, delivery, **more):
    headers, body = delivery
    return hooked.gateway.parse_webhook(headers, body, **more)


# Good ones


def test_a_refund_by_hand_is_told_of_and_read_again(either):
    payment = either.pay()
    refund = either.refund_by_hand(payment)
    notices = [parse(either, each) for each in either.deliver(refund_id=refund["id"])]
    notice = next(each for each in notices if each.refund_id)
    assert notice.refund_id == refund["id"]
    assert notice.payment_id in {"", payment["id"]}
    assert notice.reference == ""
    assert notice.occurred_at is not None
    assert len({each.event_id for each in notices}) == len(notices)
    before = either.calls()
    reread = either.gateway.read_again(notice)
    assert either.calls() - before <= REFUND_CALLS[either.processor] + 1
    assert [(each.external_id, each.state) for each in reread.refunds] == [
        (refund["id"], RefundState.SUCCEEDED)
    ]
    if either.processor != "nmi":  # whose refunds do not name their payment
        assert [each.external_id for each in reread.payments] == [payment["id"]]
        assert reread.refunds[0].payment_id == payment["id"]


def test_a_refund_of_ours_comes_with_its_reference(hooked):
    payment = hooked.pay()
    refund_id = hooked.refund(payment, reference="OURS0000001").refund_id
    notices = [parse(hooked, each) for each in hooked.deliver(refund_id=refund_id)]
    notice = next(each for each in notices if each.refund_id)
    assert notice.reference == "OURS0000001"
    (refund,) = hooked.gateway.read_again(notice).refunds
    assert (refund.external_id, refund.reference) == (refund_id, "OURS0000001")


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_header_names_come_in_any_case(hooked, case):
    payment = hooked.pay()
    headers, body = hooked.deliver(payment_id=payment["id"])[0]
    notice = parse(hooked, ({case(name): value for name, value in headers.items()}, body))
    assert notice.payment_id == payment["id"]


@pytest.mark.parametrize("processor", ["stripe", "paypal"])
def test_a_dispute_is_told_of_by_its_payment(sandbox, inbox, processor):
    hooked = Hooked(sandbox, inbox, processor)
    payment = hooked.pay()
    hooked.control("payments", payment_id=payment["id"], dispute="open")
    notices = [parse(hooked, each) for each in hooked.deliver(payment_id=payment["id"])]
    (notice,) = [each for each in notices if "DISPUTE" in each.event_type.upper()]
    (reread,) = hooked.gateway.read_again(notice).payments
    assert (reread.external_id, reread.disputed) == (payment["id"], True)


def test_a_void_is_told_of_by_its_payment(hooked):
    if hooked.processor == "paypal":
        return  # only authorisations are voided there, and those are no payments of ours
    payment = hooked.pay(status="authorized")
    hooked.refund_by_hand(payment, operation="void")
    notices = [parse(hooked, each) for each in hooked.deliver(payment_id=payment["id"])]
    words = ("void.created", "void.success", "intent.canceled")
    (notice,) = [each for each in notices if each.event_type.endswith(words)]
    (reread,) = hooked.gateway.read_again(notice).payments
    assert reread.status is PaymentStatus.VOIDED


def test_what_became_of_a_refund_meanwhile_counts(sandbox, inbox):
    hooked = Hooked(sandbox, inbox, "stripe")
    refund = hooked.refund_by_hand(hooked.pay())
    (first, _) = hooked.deliver(refund_id=refund["id"])
    hooked.control("refunds", refund_id=refund["id"], status="failed")
    (reread,) = hooked.gateway.read_again(parse(hooked, first)).refunds
    assert reread.state is RefundState.FAILED


def test_refunds_that_are_actions_of_their_payment_are_read_with_it(sandbox, inbox):
    hooked = Hooked(sandbox, inbox, "nmi")
    hooked.control("accounts", account=hooked.name, refund_shape="B")
    try:
        payment = hooked.pay()
        hooked.refund_by_hand(payment)
        reread = hooked.gateway.read_again(WebhookNotice("e", "t", refund_id=payment["id"]))
    finally:
        hooked.control("accounts", account=hooked.name, refund_shape="A")
    assert [each.external_id for each in reread.payments] == [payment["id"]]
    assert [each.payment_id for each in reread.refunds] == [payment["id"]]


def test_a_refund_that_was_voided_is_told_of_by_its_own_id(sandbox, inbox):
    hooked = Hooked(sandbox, inbox, "authorizenet")
    payment = hooked.pay()
    refund = hooked.refund_by_hand(payment)
    reread = hooked.gateway.read_again(WebhookNotice("e", "t", payment_id=refund["id"]))
    assert [each.external_id for each in reread.payments] == [payment["id"]]
    assert [each.external_id for each in reread.refunds] == [refund["id"]]


def test_a_refund_is_found_by_our_reference_where_its_id_is_not_known(sandbox, inbox):
    hooked = Hooked(sandbox, inbox, "nmi")
    refund_id = hooked.refund(hooked.pay(), reference="OURS0000002").refund_id
    notice = WebhookNotice("e", "t", refund_id="999", reference="OURS0000002")
    (refund,) = hooked.gateway.read_again(notice).refunds
    assert refund.external_id == refund_id


def test_what_the_processor_does_not_know_is_nothing(hooked):
    unknown = UNKNOWN_IDS[hooked.processor]
    for named in ({"refund_id": unknown}, {"payment_id": unknown}, {"reference": "REF1"}, {}):
        reread = hooked.gateway.read_again(WebhookNotice("e", "t", **named))
        assert (reread.payments, reread.refunds) == ((), ())


def test_an_answer_that_breaks_off_is_no_answer(hooked):
    payment = hooked.pay()
    hooked.control("faults", dialect=hooked.processor, what="truncated", when="after", times=9)
    with pytest.raises(OutcomeUnknown):
        hooked.gateway.read_again(WebhookNotice("e", "t", payment_id=payment["id"]))


# Forged ones


def rejection(processor, forge):
    """Words of the reason, or empty where it is let in."""
    if forge in {"foreign", "type"} or (forge == "old" and processor in UNTIMED):
        return ""
    if forge == "mode" and processor != "authorizenet":
        return "mode"
    return {"unsigned": "lacks the header", "old": "it is old"}.get(forge, "does not hold")


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forgery_is_refused_or_harmless(either, forge):
    payment = either.pay()
    refund = either.refund_by_hand(payment)
    for headers, body in either.deliver(refund_id=refund["id"], forge=forge):
        words = rejection(either.processor, forge)
        if not words:
            notice = parse(either, (headers, body))
            named = notice.refund_id or notice.payment_id
            assert bool(named) is (forge != "type")
            if forge == "foreign":
                assert named not in {refund["id"], payment["id"]}
                reread = either.gateway.read_again(notice)
                assert (reread.payments, reread.refunds) == ((), ())
            continue
        with pytest.raises(InvalidWebhook, match=words) as caught:
            parse(either, (headers, body))
        secret = either.gateway.account.credentials[SECRETS[either.processor]]
        assert secret not in str(caught.value)
        assert not [value for value in headers.values() if value[-20:] in str(caught.value)]


def test_another_account_of_the_same_processor(sandbox, inbox):
    hooked = Hooked(sandbox, inbox, "stripe")
    wish = {"account": "stripe-japan", "amount_minor": 500, "currency": "USD"}
    payment = hooked.control("payments", **wish)["payment"]
    (first, *_) = hooked.deliver(payment_id=payment["id"])
    with pytest.raises(InvalidWebhook, match="does not hold"):
        parse(hooked, first)


@pytest.mark.parametrize("processor", ["stripe", "paypal", "nmi"])
def test_a_live_account_takes_no_test_event(sandbox, inbox, processor):
    hooked = Hooked(sandbox, inbox, processor)
    payment = hooked.pay()
    (headers, body), *_ = hooked.deliver(payment_id=payment["id"])
    before = hooked.calls()
    with pytest.raises(InvalidWebhook, match="mode"):
        hooked.open(mode="live").parse_webhook(headers, body)
    assert hooked.calls() == before


def test_without_a_secret_nothing_is_let_in(hooked):
    name = SECRETS[hooked.processor]
    with pytest.raises(Misconfigured, match=f"Enter the webhook secret .{name}. of account"):
        hooked.open(**{name: ""}).parse_webhook({}, b"{}")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "not JSON"),
        ("<html>", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"id": NaN}', "not JSON"),
        ("\ufeff{}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"id": "a", "id": "b"}', "names a key twice"),
        ('{"data": {"a": 1, "a": 1}}', "names a key twice"),
        ("{}", "mode|is missing"),
    ],
)
def test_a_body_that_is_none(either, body, words):
    signed = either.signed(body)
    with pytest.raises(InvalidWebhook, match=words):
        parse(either, (signed.headers, signed.body))


def test_a_body_that_is_too_large_is_not_even_checked(hooked):
    body = json.dumps({"id": "x" * 1_000_000}).encode()
    with pytest.raises(InvalidWebhook, match="larger than 1000000 bytes"):
        parse(hooked, ({}, body))
