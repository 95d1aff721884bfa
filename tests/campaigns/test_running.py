"""A worker brings the refunds where people want them, whoever was killed before."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from campaigns import running, services
from campaigns.models import Campaign, CampaignState, ItemState
from refunds.models import Refund
from refunds.services import WrongStatus, hurry_refund
from refunds.states import Status
from refunds.sweeps import due_refunds
from refunds.turns import take_up
from tests.refunds.states import bring
from tests.rest import make_person, make_refund, make_transaction
from transactions.models import Transaction

pytestmark = pytest.mark.django_db


def work(campaign):
    running.work(campaign.pk)
    campaign.refresh_from_db()
    return campaign


def statuses(campaign):
    return sorted(
        Refund.objects.filter(campaign_item__campaign=campaign).values_list("status", flat=True)
    )


def test_each_payment_gets_its_refund(payments, started, second):
    campaign = work(started(note="Friday.", words="We are sorry.", percent=25))
    refunds = list(Refund.objects.order_by("pk"))
    assert len(refunds) == 4
    for refund in refunds:
        assert (refund.amount_minor, refund.note, refund.words) == (
            2_500,
            "Friday.",
            "We are sorry.",
        )
        assert (refund.requested_by, refund.approved_by) == (campaign.created_by, second)
        assert (refund.status, refund.is_bulk, refund.reason_id) == (
            Status.QUEUED, True, "service_issue",
        )  # fmt: skip
    assert (campaign.state, campaign.is_settled) == (CampaignState.RUNNING, False)
    assert set(campaign.items.values_list("state", flat=True)) == {ItemState.ASKED}


def test_it_is_finished_when_all_have_left(payments, started):
    campaign = work(started())
    refunds = list(Refund.objects.all())
    for refund in refunds[1:]:
        bring(refund, Status.SUCCEEDED)
    assert work(campaign).state == CampaignState.RUNNING
    bring(refunds[0], Status.UNKNOWN)  # it has left, and is everybody else's care
    assert work(campaign).state == CampaignState.FINISHED
    assert campaign.is_settled
    assert campaign.ended_at


def test_who_is_killed_leaves_no_refund_without_its_item(payments, started, monkeypatch):
    campaign = started()

    class Killed(BaseException):
        pass

    request = running.request_refund

    def request_and_die(**kwargs):
        request(**kwargs)
        raise Killed

    monkeypatch.setattr(running, "request_refund", request_and_die)
    with pytest.raises(Killed):
        running.work(campaign.pk)
    monkeypatch.undo()
    assert not Refund.objects.exists()
    assert campaign.items.filter(state=ItemState.INCLUDED).count() == 4
    work(campaign)
    refunded = sorted(Refund.objects.values_list("transaction", flat=True))
    assert refunded == sorted(each.pk for each in payments)


def test_while_one_worker_has_it_no_other_one_begins(payments, started):
    campaign = started()
    Campaign.objects.update(lease_until=timezone.now() + timedelta(seconds=60))
    work(campaign)
    assert not Refund.objects.exists()
    Campaign.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    work(campaign)
    assert Refund.objects.count() == 4


def test_a_balance_that_changed_since_the_dry_run_is_refused(payments, started):
    campaign = started(percent=10)
    make_refund(payments[0], 500)
    work(campaign)
    refused = campaign.items.get(transaction=payments[0])
    assert refused.state == ItemState.REFUSED
    assert "has changed to 95.00 USD" in refused.why
    assert campaign.items.filter(state=ItemState.ASKED).count() == 3


def test_a_pause_holds_back_what_has_not_been_sent(payments, started, maker):
    campaign = work(started())
    sent = Refund.objects.order_by("pk")[0]
    bring(sent, Status.SUCCEEDED)
    services.pause(campaign, actor=maker)
    work(campaign)
    assert (campaign.state, campaign.is_settled) == (CampaignState.PAUSED, True)
    assert not due_refunds(Status.QUEUED).exists()
    assert Refund.objects.filter(status=Status.QUEUED, is_held=True).count() == 3
    services.go_on(campaign, actor=maker)
    work(campaign)
    assert due_refunds(Status.QUEUED).count() == 3


@pytest.mark.parametrize("before", [Status.SENDING, Status.UNKNOWN])
def test_what_comes_back_from_a_worker_in_a_pause_does_not_leave(payments, started, maker, before):
    campaign = work(started())
    refund = bring(Refund.objects.order_by("pk")[0], before)
    services.pause(campaign, actor=maker)
    assert work(campaign).is_settled
    come_back(refund)
    assert not due_refunds(Status.QUEUED).exists()
    assert take_up(refund.pk, Status.QUEUED) is None
    with pytest.raises(WrongStatus, match="its campaign is paused"):
        hurry_refund(Refund.objects.get(pk=refund.pk), actor=maker)
    services.go_on(campaign, actor=maker)
    work(campaign)
    assert due_refunds(Status.QUEUED).count() == 4


def come_back(refund):
    """As a worker that sent nothing leaves it."""
    Refund.objects.filter(pk=refund.pk).update(
        status=Status.QUEUED, lease_owner=None, lease_until=None, unknown_since=None,
        next_action_at=timezone.now(),
    )  # fmt: skip


def test_a_pause_holds_what_a_worker_has_in_hand(payments, started, maker):
    from refunds.delivery import claim
    from refunds.models import Refund as Row

    campaign = work(started())
    refund = Row.objects.order_by("pk")[0]
    Row.objects.update(next_action_at=timezone.now() - timedelta(seconds=1))
    in_hand = take_up(refund.pk, Status.QUEUED)
    services.pause(campaign, actor=maker)
    assert claim(in_hand, in_hand.operation) is None


def test_a_pause_takes_hold_before_any_worker_hears_of_it(payments, started, maker):
    campaign = work(started())
    Campaign.objects.update(lease_until=timezone.now() + timedelta(seconds=60))
    services.pause(campaign, actor=maker)
    assert not due_refunds(Status.QUEUED).exists()


def test_who_wakes_up_after_it_was_canceled_asks_for_no_more(payments, started, maker):
    """A worker that slept through its lease has a batch in hand."""
    campaign = started()
    items = list(campaign.items.select_related("transaction__account"))
    services.cancel(campaign, actor=maker)
    work(campaign)
    assert [running._ask(campaign, item) for item in items] == [""] * 4
    assert not Refund.objects.exists()


def test_who_canceled_it_may_lose_their_right(payments, started, maker, second):
    campaign = work(started())
    services.cancel(campaign, actor=second)
    second.groups.clear()
    work(campaign)
    assert statuses(campaign) == ["canceled"] * 4
    assert campaign.is_settled


def test_an_account_that_is_paused_pauses_the_campaign(payments, started, account, maker):
    campaign = started()
    account.paused_reason = "The key was revoked."
    account.save()
    work(campaign)
    assert campaign.state == CampaignState.PAUSED
    assert "The key was revoked." in campaign.problem
    account.paused_reason = ""
    account.save()
    services.go_on(campaign, actor=maker)
    work(campaign)
    assert Refund.objects.count() == 4


def test_paused_in_the_middle_it_asks_for_no_more(payments, started, maker, monkeypatch):
    campaign = started()
    monkeypatch.setattr(running, "_BATCH", 1)
    ask = running._ask

    def ask_and_pause(*args):
        services.pause(campaign, actor=maker)
        return ask(*args)

    monkeypatch.setattr(running, "_ask", ask_and_pause)
    work(campaign)
    assert not Refund.objects.exists()
    assert campaign.items.filter(state=ItemState.INCLUDED).count() == 4


def test_canceled_it_calls_off_what_has_not_been_sent(payments, started, maker):
    campaign = work(started())
    made = Refund.objects.order_by("pk")[0]
    bring(made, Status.SUCCEEDED)
    services.cancel(campaign, actor=maker)
    work(campaign)
    assert statuses(campaign) == ["canceled", "canceled", "canceled", "succeeded"]
    assert (campaign.is_settled, campaign.state) == (True, CampaignState.CANCELED)
    left = Transaction.objects.values_list("refundable_minor", flat=True)
    assert sorted(left) == [0, 10_000, 10_000, 10_000]


def test_canceled_before_it_began_it_asks_for_nothing(payments, campaign_of, maker):
    campaign = campaign_of()
    services.cancel(campaign, actor=maker)
    work(campaign)
    assert set(campaign.items.values_list("state", flat=True)) == {ItemState.SKIPPED}
    assert not Refund.objects.exists()
    assert campaign.is_settled


def test_while_something_is_being_sent_a_canceled_one_is_not_settled(payments, started, maker):
    campaign = work(started())
    bring(Refund.objects.order_by("pk")[0], Status.SENDING, "claimed")
    services.cancel(campaign, actor=maker)
    assert not work(campaign).is_settled
    assert statuses(campaign) == ["canceled", "canceled", "canceled", "sending"]


@pytest.mark.parametrize("who", ["maker", "second"])
def test_who_may_no_longer_has_it_paused(payments, started, maker, second, who):
    campaign = started()
    {"maker": maker, "second": second}[who].groups.clear()
    work(campaign)
    assert campaign.state == CampaignState.PAUSED
    assert "may no longer do so" in campaign.problem
    assert not Refund.objects.exists()


def test_what_a_person_asked_for_by_itself_leaves_first(payments, started, account):
    work(started())
    own = make_refund(make_transaction(account), 1_000)
    assert due_refunds(Status.QUEUED).first() == own


def test_nobody_is_told_at_once_of_one_of_many(
    payments, started, valkey, settings, django_capture_on_commit_callbacks
):
    settings.UNDO_SECONDS = 0
    with django_capture_on_commit_callbacks(execute=True):
        work(started())
    assert valkey.llen("submit") == 0


def test_the_beat_finds_those_that_are_not_where_they_should_be(
    payments, campaign_of, started, valkey
):
    campaign_of()  # waits for a person
    started()
    valkey.flushdb()
    assert running.hand_out_open() == 1
    Campaign.objects.update(lease_until=timezone.now() + timedelta(seconds=60))
    assert running.hand_out_open() == 0


@pytest.mark.django_db(transaction=True)
def test_of_ten_workers_at_once_each_payment_is_refunded_once(payments, started):
    campaign = started()

    def turn(_number):
        try:
            running.work(campaign.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(turn, range(10)))
    work(campaign)
    assert Refund.objects.count() == 4


def test_a_turn_ends_in_time_and_another_one_is_asked_for(payments, started, monkeypatch, valkey):
    campaign = started()
    monkeypatch.setattr(running, "_TURN_SECONDS", 0)
    valkey.flushdb()
    work(campaign)
    assert not Refund.objects.exists()
    assert valkey.llen("bulk") == 1
    assert campaign.lease_until is None


def test_the_right_to_approve_is_asked_for_when_it_leaves(payments, started, second):
    from refunds.execution import has_authority

    work(started())
    refund = Refund.objects.select_related("requested_by").first()
    assert has_authority(refund)
    second.groups.clear()
    second.groups.add(make_person("agent").groups.get())
    assert not has_authority(refund)


def test_what_was_sent_back_to_be_approved_does_not_leave_in_a_pause(payments, started, maker):
    from refunds.approvals import approve_refund
    from refunds.models import RuleKind
    from refunds.policy import Reason
    from refunds.rules import ask_again
    from tests.rest import make_person

    campaign = work(started())
    refund = Refund.objects.order_by("pk")[0]
    ask_again(refund, [Reason(RuleKind.APPROVING, "The limit was lowered.")])
    services.pause(campaign, actor=maker)
    assert work(campaign).is_settled
    approve_refund(refund, actor=make_person("approver"))
    Refund.objects.filter(pk=refund.pk).update(next_action_at=timezone.now() - timedelta(seconds=1))
    assert take_up(refund.pk, Status.QUEUED) is None, "its campaign is paused"
