"""What may be said of a refund whose outcome is not proven, and from when on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from refunds import schedule
from refunds.attention import flag
from refunds.models import AttentionKind, Refund, Verdict
from refunds.recording import live_attempt
from refunds.verdicts import why_not

from .states import ago, leave_unknown, missed

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
# Sent so long ago that every processor has forgotten its key, and missed twice.
LONG_GONE = ago(timedelta(days=50)) | missed(3 * HOUR, HOUR)


@pytest.fixture
def make_unknown(make_transaction, make_account, ask) -> Callable[..., Refund]:
    def make(processor: str = "nmi", account: object = None, **attempt: object) -> Refund:
        transaction = make_transaction(account or make_account(processor))
        return leave_unknown(ask(transaction, 4_000), **attempt)

    return make


def why_now(refund: Refund) -> dict[Verdict, str]:
    return {verdict: why_not(refund, live_attempt(refund), verdict) for verdict in Verdict}


def test_a_fresh_refund_without_keys_may_only_be_said_to_have_happened(make_unknown):
    refund = make_unknown("nmi", **ago(timedelta(minutes=5)))
    why = why_now(refund)
    assert why[Verdict.HAPPENED] == ""
    assert "can be said from" in why[Verdict.DID_NOT]
    assert "Two complete look-ups at NMI, 30 minutes apart" in why[Verdict.SEND_AGAIN]


def test_a_key_that_lives_is_left_to_the_system(make_unknown):
    why = why_now(make_unknown("stripe", **ago(6 * HOUR)))
    assert why[Verdict.DID_NOT] == ""
    assert "Stripe knows its key until" in why[Verdict.SEND_AGAIN]
    assert "Until then Refund Desk itself sends the same request again" in why[Verdict.SEND_AGAIN]


@pytest.mark.parametrize(
    "spent", [{"sends": 6}, {"processor_code": schedule.REPLAYED}, ago(21 * HOUR)]
)
def test_of_a_key_that_is_used_up_it_is_not_said_that_it_is_sent_again(make_unknown, spent):
    why = why_now(make_unknown("stripe", **(ago(6 * HOUR) | spent)))[Verdict.SEND_AGAIN]
    assert "Stripe knows its key until" in why
    assert "Until then only look-ups tell" in why


@pytest.mark.parametrize(
    ("processor", "quiet_after"),
    [
        ("stripe", timedelta(hours=2, minutes=5)),
        ("paypal", timedelta(hours=5)),
        ("authorizenet", timedelta(hours=2, minutes=10)),
        ("nmi", timedelta(hours=2, minutes=15)),
    ],
)
def test_that_it_was_not_made_can_be_said_after_the_quarantine(
    make_unknown, processor, quiet_after
):
    minute = timedelta(minutes=1)
    early = make_unknown(processor, **ago(quiet_after - minute))
    assert why_now(early)[Verdict.DID_NOT]
    late = make_unknown(processor, **ago(quiet_after + minute))
    assert why_now(late)[Verdict.DID_NOT] == ""


def test_an_attempt_that_was_never_sent_has_its_quarantine_too(make_unknown):
    never = {"first_sent_at": None, "last_sent_at": None, "sends": 0}
    now = timezone.now()
    assert why_now(make_unknown(**never, started_at=now - HOUR))[Verdict.DID_NOT]
    assert why_now(make_unknown(**never, started_at=now - 3 * HOUR))[Verdict.DID_NOT] == ""


def test_sending_again_needs_two_look_ups_that_miss_it(make_unknown):
    once = make_unknown("nmi", **missed(HOUR / 4, HOUR / 4))
    assert "A second one has to say the same. That counts from" in why_now(once)[Verdict.SEND_AGAIN]
    due = why_now(make_unknown("nmi", **missed(HOUR, HOUR)))[Verdict.SEND_AGAIN]
    assert "A second one has to say the same. Ask the processor now." in due
    none = why_now(make_unknown("nmi"))[Verdict.SEND_AGAIN]
    assert none.endswith("have to miss it first. Ask the processor now.")
    close = make_unknown("nmi", **missed(HOUR, HOUR * 0.6))
    assert why_now(close)[Verdict.SEND_AGAIN]
    twice = make_unknown("nmi", **missed(2 * HOUR, HOUR))
    assert why_now(twice)[Verdict.SEND_AGAIN] == ""


@pytest.mark.parametrize("processor", ["stripe", "paypal", "authorizenet", "nmi"])
def test_once_the_key_is_dead_everyone_is_alike(make_unknown, processor):
    assert why_now(make_unknown(processor, **LONG_GONE)) == dict.fromkeys(Verdict, "")


def test_another_credential_has_another_key(make_unknown, make_account):
    looked_for = missed(3 * HOUR, HOUR)
    account = make_account("stripe", credential_fingerprint="new")
    refund = make_unknown(account=account, **looked_for, credential_fingerprint="old")
    assert why_now(refund)[Verdict.SEND_AGAIN] == ""


def test_a_refund_that_was_tried_five_times_is_not_sent_again(make_unknown):
    refund = make_unknown("nmi", number=5, **LONG_GONE)
    assert "tried 5 times" in why_now(refund)[Verdict.SEND_AGAIN]


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        (AttentionKind.AMOUNT_DIFFERS, {Verdict.HAPPENED, Verdict.SEND_AGAIN}),
        (AttentionKind.FOUND_SEVERAL, {Verdict.SEND_AGAIN}),
    ],
)
def test_what_the_processor_reports_stands_against_a_verdict(make_unknown, kind, refused):
    refund = make_unknown("nmi", **LONG_GONE)
    flag(refund, kind, "Look.")
    assert {verdict for verdict, why in why_now(refund).items() if why} == refused
