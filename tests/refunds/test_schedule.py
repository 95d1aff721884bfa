"""When questions are asked, when a key is good, and when it counts that nothing was found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateways.nmi import NmiGateway
from gateways.paypal import PayPalGateway
from gateways.stripe import StripeGateway
from refunds import schedule
from refunds.models import RefundAttempt
from refunds.states import Status

SENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
STRIPE, PAYPAL, NMI = (each.capabilities for each in (StripeGateway, PayPalGateway, NmiGateway))


def attempt(**fields: object) -> RefundAttempt:
    return RefundAttempt(**{"sends": 1, "first_sent_at": SENT, "last_sent_at": SENT} | fields)


def questions(status: Status, count: int) -> list[timedelta]:
    """How long after the send each question comes, when none of them finds anything."""
    asked, now = [], schedule.first_question(SENT)
    tried = attempt()
    for number in range(1, count + 1):
        asked.append(now - SENT)
        if now >= SENT + schedule.QUARANTINE + NMI.lookup_lag:
            tried.first_absent_at = tried.first_absent_at or now
            tried.last_absent_at = now
        now = schedule.next_question(status, number, tried, NMI, now)
    return asked


def test_an_unknown_outcome_is_asked_about_ever_more_seldom_and_twice_after_the_quarantine():
    minutes = [each.total_seconds() / 60 for each in questions(Status.UNKNOWN, 9)]
    assert [round(each, 1) for each in minutes] == [
        0.2, 1.2, 4.2, 14.2, 44.2, 135, 165, 525, 885,
    ]  # fmt: skip


def test_a_pending_refund_is_polled_up_to_every_six_hours():
    asked = questions(Status.PENDING, 9)
    waits = [later - earlier for earlier, later in zip(asked, asked[1:], strict=False)]
    assert waits[:3] == [timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15)]
    assert waits[-2:] == [timedelta(hours=6), timedelta(hours=6)]


@pytest.mark.parametrize(
    ("first", "last", "absent"),
    [
        (None, None, False),
        (timedelta(hours=2, minutes=14), timedelta(hours=3), False),  # the lists were late
        (timedelta(hours=2, minutes=15), timedelta(hours=2, minutes=44), False),
        (timedelta(hours=2, minutes=15), timedelta(hours=2, minutes=45), True),
    ],
)
def test_two_absences_after_the_quarantine_half_an_hour_apart(first, last, absent):
    tried = attempt(first_absent_at=first and SENT + first, last_absent_at=last and SENT + last)
    assert schedule.is_absent(tried, NMI) is absent
    assert not schedule.is_absent(tried, replace(NMI, lookup_lag=timedelta(hours=1)))


def test_what_was_never_sent_is_not_absent():
    never = attempt(last_sent_at=None, first_absent_at=SENT, last_absent_at=SENT + timedelta(1))
    assert not schedule.is_absent(never, NMI)


@pytest.mark.parametrize(
    ("fields", "capabilities", "age", "good"),
    [
        ({}, STRIPE, timedelta(hours=19, minutes=59), True),
        ({}, STRIPE, timedelta(hours=20), False),
        ({}, PAYPAL, timedelta(days=39), True),
        ({}, PAYPAL, timedelta(days=40), False),
        ({}, NMI, timedelta(0), False),
        ({"sends": 5}, STRIPE, timedelta(0), True),
        ({"sends": 6}, STRIPE, timedelta(0), False),
        ({"processor_code": schedule.REPLAYED}, STRIPE, timedelta(0), False),
        ({"sends": 0, "first_sent_at": None}, STRIPE, timedelta(days=9), True),
    ],
)
def test_when_a_key_is_good(fields, capabilities, age, good):
    assert schedule.key_is_good(attempt(**fields), capabilities, SENT + age) is good


@pytest.mark.parametrize(
    ("sends", "rest"),
    [
        (1, timedelta(seconds=10)),
        (2, timedelta(minutes=1)),
        (3, timedelta(minutes=5)),
        (4, timedelta(minutes=30)),
        (5, timedelta(hours=2)),
    ],
)
def test_an_attempt_rests_longer_after_each_send(sends, rest):
    tried = attempt(sends=sends)
    assert not schedule.may_resend(tried, STRIPE, SENT + rest - timedelta(milliseconds=1))
    assert schedule.may_resend(tried, STRIPE, SENT + rest)
    asked = schedule.next_question(Status.UNKNOWN, 9, tried, STRIPE, SENT + timedelta(seconds=1))
    assert asked == SENT + rest  # however often it was asked for


def test_what_was_never_sent_has_nothing_to_rest_from():
    assert schedule.may_resend(
        attempt(sends=0, first_sent_at=None, last_sent_at=None), STRIPE, SENT
    )


def test_nothing_waits_for_a_send_that_will_not_come():
    now = SENT + timedelta(seconds=1)
    for tried, capabilities in ((attempt(), NMI), (attempt(sends=6), STRIPE)):
        asked = schedule.next_question(Status.UNKNOWN, 9, tried, capabilities, now)
        assert asked > SENT + timedelta(hours=2)
