"""Campaigns of people whose roles are for single accounts."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User

from access.models import AccountRole
from campaigns import running, services
from campaigns.models import CampaignState, ItemState
from campaigns.services import Named
from refunds.services import NotAllowed
from tests.pages import client_of, visible
from tests.rest import make_account, make_person, make_transaction

from .conftest import make_campaign

pytestmark = pytest.mark.django_db


def give(person: User, role: str, *accounts) -> User:
    """The role for these accounts; it is the person as they are read anew."""
    for account in accounts:
        AccountRole.objects.create(user=person, role=Group.objects.get(name=role), account=account)
    return User.objects.get(pk=person.pk)


@pytest.fixture
def other():
    return make_account("other")


@pytest.fixture
def two_payments(account, other):
    return make_transaction(account, external_id="ch_shop"), make_transaction(
        other, external_id="ch_other"
    )


def test_what_the_maker_may_not_refund_is_left_out(account, other, two_payments, maker):
    maker.groups.set([Group.objects.get(name="viewer")])
    give(maker, "manager", account)
    campaign = make_campaign(User.objects.get(pk=maker.pk), query="currency=USD")
    items = {each.transaction.external_id: each for each in campaign.items.all()}
    assert items["ch_shop"].state == ItemState.INCLUDED
    assert items["ch_other"].state == ItemState.EXCLUDED
    assert items["ch_other"].why == "You may not make campaigns for this account."
    starter = give(make_person("viewer"), "approver", account)
    assert services.start(campaign, actor=starter).state == CampaignState.RUNNING
    running.work(campaign.pk)
    campaign.refresh_from_db()
    assert (campaign.state, services.refunds_of(campaign).count()) == (CampaignState.RUNNING, 1)


def test_a_file_finds_no_payment_that_its_maker_does_not_see(account, two_payments, maker):
    maker.groups.clear()
    give(maker, "manager", account)
    campaign = make_campaign(User.objects.get(pk=maker.pk), [Named("ch_shop"), Named("ch_other")])
    [found] = campaign.items.exclude(transaction=None)
    [unknown] = campaign.items.filter(transaction=None)
    assert found.transaction.external_id == "ch_shop"
    assert (unknown.named, unknown.why) == ("ch_other", "No payment has this id.")


class TestSecondPerson:
    @pytest.fixture
    def campaign(self, two_payments, campaign_of):
        return campaign_of(query="currency=USD")

    def test_who_may_approve_for_one_of_its_accounts_does_not_start_it(self, campaign, account):
        approver = give(make_person("viewer"), "approver", account)
        assert not services.may_start(campaign, approver)
        assert not services.to_start(approver).exists()
        with pytest.raises(NotAllowed, match="all these accounts"):
            services.start(campaign, actor=approver)

    def test_who_may_for_all_of_them_starts_it(self, campaign, account, other):
        approver = give(make_person("viewer"), "approver", account, other)
        assert list(services.to_start(approver)) == [campaign]
        assert services.start(campaign, actor=approver).state == CampaignState.RUNNING

    def test_who_does_not_see_all_payments_does_not_see_it(self, campaign, account):
        approver = make_person("approver")
        approver.groups.clear()
        browser = client_of(give(approver, "approver", account))
        assert campaign.name not in visible(browser.get("/admin/campaigns/campaign/"))
        page = browser.get(f"/admin/campaigns/campaign/{campaign.pk}/change/")
        assert page.status_code == 404

    def test_a_right_that_is_lost_for_one_account_stops_it(self, campaign, account, other):
        approver = give(make_person("viewer"), "approver", account, other)
        services.start(campaign, actor=approver)
        AccountRole.objects.filter(account=other).delete()
        running.work(campaign.pk)
        campaign.refresh_from_db()
        assert campaign.state == CampaignState.PAUSED
        assert "may no longer do so" in campaign.problem
        assert not services.refunds_of(campaign).exists()
