"""The first page: what needs the person, today, and the last thirty days."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import override

from refunds import home
from refunds.approvals import reject_refund
from refunds.attention import flag
from refunds.models import ApprovalRule, Attention, AttentionKind, Refund
from refunds.services import cancel_refund
from refunds.states import Status
from tests.pages import client_of, visible
from tests.rest import make_person, make_refund, make_transaction

from .raw import triggers_off
from .states import bring, bring_back

pytestmark = pytest.mark.django_db

HOME = "/admin/"


@pytest.fixture
def agent():
    return make_person("agent", first_name="Ana", last_name="Lup")


def text_of(person):
    return visible(client_of(person).get(HOME))


def test_an_empty_desk_is_calm(agent):
    text = text_of(agent)
    for words in ("Nothing needs you.", "The inbox is empty", "No refund failed in the last week."):
        assert words in text


def test_one_s_own_cases_come_first_oldest_on_top(agent):
    others = make_person("agent")
    refunds = [make_refund(make_transaction(), 1000 + n, agent) for n in range(7)]
    for number, refund in enumerate(refunds):
        flag(refund, AttentionKind.RETURNED, f"Case {number}.")
    Attention.objects.filter(refund=refunds[0]).update(owner=others)
    shown = home.describe(agent)
    assert [case.reason for case, _kind in shown.cases] == [f"Case {n}." for n in range(1, 6)]
    assert "All open cases: 7" in text_of(agent)


def test_today_has_what_was_asked_for_and_given_back(agent):
    dollars = [make_refund(make_transaction(), minor, agent) for minor in (1000, 250, 300)]
    bring(dollars[0], Status.SUCCEEDED)
    bring(dollars[1], Status.FAILED, failure_message="The card is closed.")
    bring(make_refund(make_transaction(currency="JPY"), 700, agent), Status.SUCCEEDED)
    shown = home.describe(agent)
    assert (shown.asked_today, shown.moving) == (4, 1)
    assert [str(money) for money in shown.given_back] == ["700 JPY", "10.00 USD"]
    assert shown.failed == [(dollars[1], "The card is closed.")]
    assert "The card is closed." in text_of(agent)


def test_every_day_has_its_bar(agent):
    made = [make_refund(make_transaction(), 100, agent) for _ in range(6)]
    for refund in made[:4]:
        bring(refund, Status.SUCCEEDED)
    bring_back(made[3])
    bring(made[4], Status.FAILED)
    with triggers_off():
        for days, refund in (
            (0, made[0]),
            (2, made[1]),
            (2, made[3]),
            (29, made[4]),
            (30, made[2]),
        ):
            moment = timezone.now() - timedelta(days=days)
            Refund.objects.filter(pk=refund.pk).update(created_at=moment)
    days = home.last_days(Refund.objects.all(), timezone.localdate())
    assert len(days) == 30
    assert [day.date for day in days] == sorted(day.date for day in days)
    told = {29 - n: (day.made, day.failed, day.made_share, day.failed_share)
            for n, day in enumerate(days) if day.made or day.failed}  # fmt: skip
    assert told == {0: (1, 0, 50, 0), 2: (1, 1, 50, 50), 29: (0, 1, 0, 50)}


def test_old_failures_are_no_news(agent):
    refund = bring(make_refund(make_transaction(), 100, agent), Status.FAILED)
    with triggers_off():
        Refund.objects.filter(pk=refund.pk).update(created_at=timezone.now() - timedelta(days=9))
    assert home.describe(agent).failed == []


@pytest.mark.parametrize(
    ("code", "why"),
    [("too_old", "Płatność jest starsza"), ("other", "Do not honor"), ("", "Do not honor")],
)
def test_why_one_failed_is_told_in_the_reader_s_language(agent, code, why):
    refund = make_refund(make_transaction(), 100, agent)
    bring(refund, Status.FAILED, failure_code=code, failure_message="Do not honor")
    with override("pl"):
        [(_refund, told)] = home.describe(agent).failed
    assert told.startswith(why)


def test_who_asked_reads_what_others_rejected(agent, ask):
    manager = make_person("manager")
    ApprovalRule.objects.create(currency="USD", value=0, made_by=manager)
    rejected, canceled = (ask(make_transaction(), minor, requested_by=agent) for minor in (70, 80))
    ask(make_transaction(), 90, requested_by=make_person("agent"))
    reject_refund(rejected, actor=manager, why="It is not owed.")
    cancel_refund(canceled, actor=agent)
    assert home.describe(agent).turned_down == [rejected]
    text = text_of(agent)
    assert "Not approved 0.70 USD" in text
    assert "It is not owed." in text
    assert "Nothing needs you." not in text
    assert home.describe(manager).turned_down == []


def test_it_costs_the_same_however_much_there_is(agent):
    browser = client_of(agent)

    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert browser.get(HOME).status_code == 200
        return len(captured)

    queries()
    few = queries()
    for _ in range(6):
        refund = make_refund(make_transaction(), 100, agent)
        flag(refund, AttentionKind.RETURNED, "It came back.")
        bring(make_refund(make_transaction(), 100, agent), Status.FAILED)
    assert queries() == few <= 14
