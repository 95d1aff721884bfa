"""The dry run: how much of which payments, and why others are left out."""

import pytest

from campaigns import preparing, running, services
from campaigns.models import Campaign, CampaignState, ItemState
from campaigns.services import Named
from tests.refunds.raw import triggers_off
from tests.rest import make_account, make_refund, make_transaction
from transactions.models import Transaction

pytestmark = pytest.mark.django_db


def told(campaign):
    """Of each payment what is done, and why not."""
    return {
        (each.transaction.external_id if each.transaction else each.named): (
            each.state, each.amount_minor, each.why,
        )
        for each in campaign.items.select_related("transaction")
    }  # fmt: skip


def test_what_the_table_shows_is_looked_at(payments, campaign_of):
    make_transaction()  # of another account
    assert told(campaign_of()) == {f"ch_{n}": ("included", 10_000, "") for n in range(4)}


def test_each_that_is_left_out_has_its_reason(payments, campaign_of):
    voided, disputed, refunded, partly = payments
    with triggers_off():
        change = Transaction.objects.filter
        change(pk=voided.pk).update(status="voided")
        change(pk=disputed.pk).update(disputed=True)
        change(pk=refunded.pk).update(refunded_minor=10_000)
        change(pk=partly.pk).update(refunded_minor=4_000)
    found = told(campaign_of())
    assert found[partly.external_id] == ("included", 6_000, "")
    assert found[voided.external_id][0] == "excluded"
    assert "was cancelled before it settled" in found[voided.external_id][2]
    assert "disputed this payment" in found[disputed.external_id][2]
    assert "fully refunded" in found[refunded.external_id][2]


@pytest.mark.parametrize(("percent", "minor"), [(1, 100), (33, 3_300), (50, 5_000), (100, 10_000)])
def test_a_percentage_is_of_what_was_paid(payments, campaign_of, percent, minor):
    assert {item[1] for item in told(campaign_of(percent=percent)).values()} == {minor}


def test_a_percentage_is_never_more_than_what_is_left(payments, campaign_of):
    make_refund(payments[0], 7_000)
    found = told(campaign_of(percent=50))
    assert found[payments[0].external_id][1] == 3_000
    assert found[payments[1].external_id][1] == 5_000


def test_a_percentage_is_rounded_down_to_what_the_processor_takes(campaign_of, account):
    make_transaction(account, external_id="odd", amount_minor=99)
    make_transaction(
        make_account("paypal-hu", "paypal"), external_id="huf", currency="HUF", amount_minor=12_345
    )
    assert told(campaign_of(percent=10))["odd"][1] == 9
    assert told(campaign_of(query="account=paypal-hu", percent=10))["huf"][1] == 1_200


def test_a_percentage_of_next_to_nothing_is_left_out(campaign_of, account):
    make_transaction(account, external_id="tiny", amount_minor=3)
    assert told(campaign_of(percent=10))["tiny"] == ("excluded", 0, "That would be nothing.")


def test_a_file_names_payments_and_amounts(payments, campaign_of, account):
    other = make_account("other")
    for one in (account, other):
        make_transaction(one, external_id="both")
    lines = [
        Named("ch_0"), Named("ch_1", "12.50"), Named("ch_2", "100.01"), Named("ch_3", "12,5"),
        Named("ch_0", "1"), Named("no such"), Named("both"),
    ]  # fmt: skip
    campaign = campaign_of(lines)
    items = list(campaign.items.order_by("pk"))
    assert [(item.named, item.state, item.amount_minor) for item in items] == [
        ("ch_0", "included", 10_000), ("ch_1", "included", 1_250), ("ch_2", "excluded", 10_001),
        ("ch_3", "excluded", 0), ("ch_0", "excluded", 0), ("no such", "excluded", 0),
        ("both", "excluded", 0),
    ]  # fmt: skip
    whys = [item.why for item in items]
    assert whys[:2] == ["", ""]
    assert "more than the 100.00 USD" in whys[2]
    assert whys[3]
    assert whys[4:] == [
        "The file names this payment twice.", "No payment has this id.",
        "Several accounts have a payment of this id.",
    ]  # fmt: skip


def test_it_goes_on_where_another_worker_was_killed(payments, campaign_of, monkeypatch):
    monkeypatch.setattr(preparing, "_PAGE", 2)
    campaign = campaign_of(is_prepared=False)
    turns = iter([True, False])
    preparing.prepare(campaign, lambda: next(turns))
    assert campaign.items.count() == 2
    running.work(campaign.pk)
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.READY
    assert campaign.items.count() == 4


def test_lines_of_a_file_are_gone_on_with_as_well(payments, campaign_of, monkeypatch):
    monkeypatch.setattr(preparing, "_PAGE", 2)
    lines = [Named("ch_0"), Named("ch_1"), Named("ch_0"), Named("ch_2")]
    campaign = campaign_of(lines, is_prepared=False)
    turns = iter([True, False])
    preparing.prepare(campaign, lambda: next(turns))
    assert campaign.items.filter(state=ItemState.NAMED).count() == 2
    running.work(campaign.pk)
    states = campaign.items.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["included", "included", "excluded", "included"]


def test_too_many_are_no_campaign(payments, campaign_of, monkeypatch):
    monkeypatch.setattr(preparing, "MOST_ITEMS", 3)
    campaign = campaign_of()
    assert campaign.state == CampaignState.READY
    assert "more than 3 payments" in campaign.problem


@pytest.mark.parametrize(
    "query", ["account=gone", "status=odd&account=shop", "amount_min=x", "nonsense=1"]
)
def test_a_filter_that_makes_no_sense_makes_no_campaign_of_everything(payments, campaign_of, query):
    campaign = campaign_of(query=query)
    assert campaign.state == CampaignState.READY
    assert "asks for what is not known" in campaign.problem
    assert not campaign.items.exists()


def test_a_day_is_one_of_who_made_it(account, campaign_of, maker):
    from access.models import Profile

    Profile.objects.create(user=maker, time_zone="Europe/Chisinau")
    for name, at in (("late", "2026-03-01T22:30:00Z"), ("early", "2026-03-01T21:30:00Z")):
        make_transaction(account, external_id=name, created_at=at)
    campaign = campaign_of(query="created_after=2026-03-02&created_before=2026-03-02")
    assert set(told(campaign)) == {"late"}


def test_who_slept_through_the_start_adds_nothing(payments, campaign_of, second):
    campaign = campaign_of(is_prepared=False)
    stale = Campaign.objects.select_related("created_by").get(pk=campaign.pk)
    running.work(campaign.pk)
    services.start(Campaign.objects.get(pk=campaign.pk), actor=second)
    make_transaction(payments[0].account)
    preparing.prepare(stale, lambda: True)
    assert campaign.items.count() == 4
