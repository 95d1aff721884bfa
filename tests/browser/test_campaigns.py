"""A campaign from the filtered table to its end, by two people in two browsers."""

import pytest
from playwright.sync_api import expect

from campaigns import running
from campaigns.models import Campaign
from refunds.models import Refund
from refunds.states import Status
from tests.refunds.states import bring
from tests.rest import make_account, make_person, make_transaction

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_outage_is_refunded_by_two_people(open_page):
    account = make_account("shop")
    for number in range(3):
        make_transaction(account, external_id=f"ch_{number}")
    make_transaction(account, status="voided")
    maker = make_person("manager", first_name="Ana", last_name="Lup", email="ana@example.com")
    second = make_person("manager", first_name="Ion", last_name="Rusu", email="ion@example.com")

    page = open_page(maker)
    page.goto("/admin/transactions/transaction/?account=shop")
    page.get_by_role("link", name="Refund all of these").click()
    page.get_by_label("Name").fill("Outage of Friday")
    page.get_by_label("Percent of what was paid").fill("50")
    page.get_by_label("Reason").select_option("service_issue")
    page.get_by_label("Words for the customers").fill("We are sorry.")
    page.get_by_label("At most so many refunds").fill("10")
    page.get_by_label("At most so much of each currency").fill("500.00")
    page.get_by_role("button", name="Begin the dry run").click()
    campaign = Campaign.objects.get()
    running.work(campaign.pk)
    expect(page.locator("#campaign")).to_contain_text("Waits for a second person")
    expect(page.locator("#campaign")).to_contain_text("150.00 USD")
    expect(page.get_by_role("button", name="Start")).to_have_count(0)

    other = open_page(second)
    other.goto(f"/admin/campaigns/campaign/{campaign.pk}/change/?items=excluded")
    expect(other.locator("table.items tbody tr")).to_have_count(1)
    expect(other.locator("table.items")).to_contain_text("was cancelled before it settled")
    other.get_by_role("button", name="Start").click()
    running.work(campaign.pk)
    for refund in Refund.objects.all():
        assert (refund.amount_minor, refund.words) == (5_000, "We are sorry.")
        bring(refund, Status.SUCCEEDED)
    expect(other.locator("#campaign .part-made")).to_contain_text("3")
    running.work(campaign.pk)
    expect(other.locator("#campaign")).to_contain_text("Finished")
    with other.expect_download() as download:
        other.get_by_role("link", name="Result file").click()
    assert download.value.path().read_text().count("Succeeded") == 3
