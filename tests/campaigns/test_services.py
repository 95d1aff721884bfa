"""What people want of a campaign, and who may want it."""

import pytest

from campaigns import running, services
from campaigns.models import Campaign, CampaignState
from campaigns.services import cancel, go_on, pause, start
from gateways.money import Money
from refunds.models import ApprovalRule, Refund, RuleKind
from refunds.services import NotAllowed, WrongStatus
from tests.audit.lines import told
from tests.pages import client_of, visible
from tests.rest import make_person, make_transaction

pytestmark = pytest.mark.django_db


def test_nothing_is_refunded_before_a_second_person_has_started_it(payments, campaign_of, second):
    campaign = campaign_of()
    running.work(campaign.pk)
    assert campaign.state == CampaignState.READY
    assert not Refund.objects.exists()
    assert start(campaign, actor=second).state == CampaignState.RUNNING


def test_only_who_may_refund_many_makes_one(campaign_of, maker):
    maker.groups.clear()
    maker.groups.add(make_person("agent").groups.get())
    maker = type(maker).objects.get(pk=maker.pk)
    with pytest.raises(NotAllowed, match="You may not make campaigns"):
        services.make(Campaign(), [], actor=maker)
    assert not Campaign.objects.exists()


def test_who_made_it_does_not_start_it(payments, campaign_of, maker):
    campaign = campaign_of()
    twin = make_person("manager", email="ANA@example.com ")
    for person in (maker, twin):
        with pytest.raises(NotAllowed, match="Another person has to start"):
            start(campaign, actor=person)
    with pytest.raises(NotAllowed, match="You may not approve"):
        start(campaign, actor=make_person("agent"))
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.READY


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"most_refunds": 3}, "4 refunds, more than the 3"),
        ({"most_money": 399_999}, r"400\.00 USD, more than the campaign may give back"),
        ({"query": "account=shop&status=failed"}, "every payment was left out"),
    ],
)
def test_beyond_its_limits_it_does_not_start(payments, campaign_of, second, fields, why):
    campaign = campaign_of(**fields)
    with pytest.raises(WrongStatus, match=why):
        start(campaign, actor=second)
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.READY


def test_at_its_limits_it_does(payments, campaign_of, second):
    campaign = campaign_of(most_refunds=4, most_money=400_000)
    assert services.totals(campaign) == [(4, Money(40_000, "USD"))]
    assert start(campaign, actor=second).started_by == second


@pytest.mark.parametrize(("limit", "may"), [(39_999, False), (40_000, True)])
def test_one_press_is_for_all_of_them_together(payments, campaign_of, second, maker, limit, may):
    campaign = campaign_of()
    rule = {"kind": RuleKind.APPROVING, "currency": "USD", "person": second}
    ApprovalRule.objects.create(value=limit, made_by=maker, **rule)
    page = visible(client_of(second).get(f"/admin/campaigns/campaign/{campaign.pk}/change/"))
    sentence = "and together they would be 400.00 USD"
    assert (sentence in page) is not may
    if may:
        assert start(campaign, actor=second).started_by == second
        return
    with pytest.raises(NotAllowed, match=sentence):
        start(campaign, actor=second)


@pytest.mark.parametrize(
    ("money", "expected"),
    [(Money(1250, "USD"), 12_500), (Money(1250, "JPY"), 1_250_000), (Money(1250, "KWD"), 1_250)],
)
def test_limits_are_compared_on_one_scale(money, expected):
    assert services.thousandths(money) == expected


def test_what_cannot_be_wanted_now_is_said(payments, campaign_of, second, maker):
    campaign = campaign_of()
    for step in (pause, go_on):
        with pytest.raises(WrongStatus, match="Waits for a second person"):
            step(campaign, actor=second)
    start(campaign, actor=second)
    with pytest.raises(WrongStatus, match="Running"):
        start(campaign, actor=second)
    cancel(campaign, actor=maker)
    for step in (pause, go_on, cancel):
        with pytest.raises(WrongStatus, match="Canceled"):
            step(campaign, actor=maker)


def test_who_has_no_part_in_it_does_not_steer_it(payments, started):
    campaign = started()
    for step in (pause, go_on, cancel):
        with pytest.raises(NotAllowed, match="Only who made a campaign"):
            step(campaign, actor=make_person("agent"))


def test_a_worker_is_told_of_each_step(
    payments, started, valkey, django_capture_on_commit_callbacks
):
    campaign = started()
    with django_capture_on_commit_callbacks(execute=True):
        pause(campaign, actor=campaign.created_by)
    assert valkey.llen("bulk") == 1
    make_transaction()


def test_the_audit_log_tells_of_each_step(payments, campaign_of, maker, second):
    campaign = campaign_of(query="account=shop&q=ch_")
    with pytest.raises(NotAllowed):
        start(campaign, actor=maker)
    start(campaign, actor=second)
    pause(campaign, actor=second)
    go_on(campaign, actor=second)
    cancel(campaign, actor=maker)
    assert [(kind, by) for kind, by, _name, _data in told()] == [
        ("campaign.made", maker.username),
        ("campaign.started", second.username),
        ("campaign.paused", second.username),
        ("campaign.resumed", second.username),
        ("campaign.canceled", maker.username),
    ]
    made, started = (data for _kind, _by, _name, data in told()[:2])
    assert (made["query"], made["reason"]) == ("account=shop&q=%E2%80%A6", "service_issue")
    assert started == {"refunds": [[4, "400.00 USD"]]}


def test_the_audit_log_tells_of_a_campaign_that_pauses_itself(payments, started, second):
    campaign = started()
    second.groups.clear()
    running.work(campaign.pk)
    kind, by, name, data = told()[-1]
    assert (kind, by, name) == ("campaign.paused", "", campaign.name)
    assert "may no longer do so" in data["why"]
