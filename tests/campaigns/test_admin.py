"""Campaigns on the staff site."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from campaigns import running
from campaigns.models import Campaign, CampaignState, ItemState
from campaigns.services import Named
from refunds.models import Refund
from refunds.states import Status
from tests.audit.lines import told
from tests.pages import client_of, visible
from tests.refunds.states import bring
from tests.rest import make_person, make_transaction

from .test_forms import filled

pytestmark = pytest.mark.django_db

LIST = "/admin/campaigns/campaign/"
TABLE = "/admin/transactions/transaction/"


@pytest.fixture
def browser(maker):
    return client_of(maker)


@pytest.fixture
def other(second):
    return client_of(second)


def page_of(campaign):
    return f"{LIST}{campaign.pk}/change/"


def press(client, campaign, name, **options):
    return client.post(f"{LIST}{campaign.pk}/{name}/", **options)


class TestNew:
    def test_from_the_filtered_table_to_a_finished_campaign(self, browser, other, payments):
        link = f"{LIST}new/?account=shop"
        assert link in browser.get(f"{TABLE}?account=shop").content.decode()
        assert "Refund all of these" not in visible(browser.get(TABLE))
        answer = browser.post(link, filled(), follow=True)
        assert "Nothing is refunded yet." in visible(answer)
        campaign = Campaign.objects.get()
        assert campaign.query == "account=shop"
        running.work(campaign.pk)
        text = visible(browser.get(page_of(campaign)))
        assert "Waits for a second person" in text
        assert "400.00 USD" in text
        assert "Another person, who may approve refunds" in text
        assert "Started: the refunds go out." in visible(
            press(other, campaign, "start", follow=True)
        )
        running.work(campaign.pk)
        for refund in Refund.objects.all():
            bring(refund, Status.SUCCEEDED)
        running.work(campaign.pk)
        text = visible(browser.get(page_of(campaign)))
        assert "Finished" in text
        assert "Made 4" in text

    def test_from_a_file(self, browser, payments):
        upload = SimpleUploadedFile("some.csv", b"payment,amount\nch_0,12.50\nnone,1\n")
        browser.post(f"{LIST}new/", filled(file=upload))
        campaign = Campaign.objects.get()
        running.work(campaign.pk)
        text = visible(browser.get(page_of(campaign)))
        assert "12.50 USD" in text
        assert "No payment has this id." in text

    def test_what_was_filled_in_wrongly_comes_back(self, browser, payments):
        answer = browser.post(f"{LIST}new/?account=shop", filled(percent="0", most_money="x"))
        assert answer.status_code == 200
        assert "Enter an amount such as 5000.00." in visible(answer)
        assert not Campaign.objects.exists()

    @pytest.mark.parametrize("query", ["account=gone", "amount_min=x", "odd=1"])
    def test_a_filter_that_makes_no_sense_is_told_and_makes_nothing(self, browser, payments, query):
        for answer in (
            browser.get(f"{LIST}new/?{query}", follow=True),
            browser.post(f"{LIST}new/?{query}", filled(), follow=True),
        ):
            assert "asks for what is not known" in visible(answer)
        assert not Campaign.objects.exists()

    @pytest.mark.parametrize("query", ["p=1", "o=1", "_facets=1", "_to_field=id", "q=%20&p=2"])
    def test_an_address_that_asks_for_nothing_wants_a_file(self, browser, payments, query):
        answer = browser.post(f"{LIST}new/?{query}", filled(), follow=True)
        assert not Campaign.objects.exists()
        assert answer.status_code == 200

    @pytest.mark.parametrize("query", ["q=" + "x" * 2100, "q=%00", "q=a%00b&account=shop"])
    def test_what_cannot_be_read_is_told(self, browser, payments, query):
        answer = browser.get(f"{LIST}new/?{query}", follow=True)
        assert "too long or cannot be read" in visible(answer)

    def test_who_may_not_is_refused(self, payments):
        agent = client_of(make_person("agent"))
        assert agent.get(f"{LIST}new/?account=shop").status_code == 403
        assert agent.post(f"{LIST}new/?account=shop", filled()).status_code == 403
        assert "Refund all of these" not in visible(agent.get(f"{TABLE}?account=shop"))
        assert "New campaign" not in visible(agent.get(LIST))


class TestPage:
    def test_who_made_it_cannot_start_it(self, browser, payments, campaign_of):
        campaign = campaign_of()
        assert press(browser, campaign, "start").status_code == 403
        assert f"/{campaign.pk}/start/" not in browser.get(page_of(campaign)).content.decode()

    def test_what_stands_against_starting_is_told(self, other, payments, campaign_of):
        campaign = campaign_of(most_refunds=1)
        assert "more than the 1 that the campaign may make" in visible(other.get(page_of(campaign)))
        answer = press(other, campaign, "start", follow=True)
        assert "more than the 1" in visible(answer)
        campaign.refresh_from_db()
        assert campaign.state == CampaignState.READY

    def test_pause_go_on_and_cancel(self, browser, payments, started):
        campaign = started()
        running.work(campaign.pk)
        for name, said in (
            ("pause", "Paused: what has not been sent waits."),
            ("go_on", "It goes on."),
            ("cancel", "Canceled: what has not been sent is called off."),
        ):
            assert said in visible(press(browser, campaign, name, follow=True))
        assert "The campaign is “Canceled” by now" in visible(
            press(browser, campaign, "pause", follow=True)
        )

    def test_a_press_in_htmx_shows_the_page_anew(self, browser, payments, started):
        campaign = started()
        answer = press(browser, campaign, "pause", headers={"HX-Request": "true"})
        assert answer["HX-Redirect"] == page_of(campaign)

    def test_its_payments_by_state_a_page_at_a_time(self, browser, account, campaign_of):
        for number in range(55):
            make_transaction(account, external_id=f"ch_{number}")
        campaign = campaign_of([Named(f"ch_{number}") for number in range(55)] + [Named("no such")])
        page = browser.get(page_of(campaign))
        assert len(page.context["items"]) == 50
        rest = browser.get(f"{page_of(campaign)}?items=&after={page.context['next_after']}")
        assert len(rest.context["items"]) == 6
        left_out = browser.get(f"{page_of(campaign)}?items=excluded").context["items"]
        assert [item.named for item in left_out] == ["no such"]

    @pytest.mark.parametrize("query", ["items=odd", "after=x", "after=-1", "after=" + "9" * 40])
    def test_nonsense_in_the_address_is_ignored(self, browser, payments, campaign_of, query):
        response = browser.get(f"{page_of(campaign_of())}?{query}")
        assert len(response.context["items"]) == 4

    @pytest.mark.parametrize("key", ["0", "x", "9" * 30])
    def test_one_that_is_none_is_not_found(self, browser, key):
        assert browser.get(f"{LIST}{key}/result.csv").status_code == 404

    def test_it_asks_again_while_it_moves(self, browser, payments, campaign_of, started):
        part = f"{page_of(started())}?fragment=campaign"
        assert "load delay:2000ms" in browser.get(part).content.decode()
        Campaign.objects.all().delete()
        part = f"{page_of(campaign_of())}?fragment=campaign"
        assert "load delay" not in browser.get(part).content.decode()

    def test_it_costs_as_much_for_many_as_for_one(self, browser, account, campaign_of):
        def queries(campaign):
            browser.get(page_of(campaign))
            with CaptureQueriesContext(connection) as captured:
                browser.get(page_of(campaign))
            return len(captured)

        make_transaction(account)
        one = queries(campaign_of())
        for _ in range(20):
            make_transaction(account)
        assert queries(campaign_of()) == one

    def test_who_may_not_see_campaigns_sees_none(self, payments, campaign_of):
        from django.contrib.auth.models import User

        someone = client_of(User.objects.create_user("someone", is_staff=True))
        campaign = campaign_of()
        for address in (LIST, page_of(campaign), f"{LIST}{campaign.pk}/result.csv"):
            assert someone.get(address).status_code == 403


class TestList:
    def test_newest_first_with_its_state_and_number(self, browser, payments, campaign_of, started):
        campaign_of(name="First")
        started(name="Second")
        text = visible(browser.get(LIST))
        assert text.index("Second") < text.index("First")
        assert [number for _campaign, _badge, number in browser.get(LIST).context["cl"].rows] == [
            4,
            4,
        ]

    def test_found_by_name_and_state(self, browser, payments, campaign_of):
        campaign_of(name="Outage")
        campaign_of(name="Wrong price")
        rows = browser.get(f"{LIST}?q=price").context["cl"].rows
        assert [campaign.name for campaign, _badge, _number in rows] == ["Wrong price"]
        assert not browser.get(f"{LIST}?state=running").context["cl"].rows


def test_the_result_file_tells_what_became_of_each(browser, payments, started):
    campaign = started([Named("ch_0"), Named("ch_1"), Named("=evil()"), Named("ch_2")])
    running.work(campaign.pk)
    refunds = list(Refund.objects.order_by("pk"))
    first = campaign.items.get(named="ch_0").refund
    bring(first, Status.FAILED, failure_message="Too old.")
    campaign.items.filter(named="ch_2").update(state=ItemState.REFUSED, refund=None, why="Changed.")
    content = b"".join(browser.get(f"{LIST}{campaign.pk}/result.csv").streaming_content).decode()
    lines = content.lstrip("\ufeff").splitlines()
    assert lines[0].startswith('"Payment","Account","Customer"')
    assert len(lines) == 5
    kind, _by, name, data = told()[-1]
    assert (kind, name) == ("export.made", campaign.name)
    assert data == {"what": "campaign", "format": "csv", "rows": 4}
    assert lines[1].startswith('"ch_0","shop"')
    assert lines[1].endswith(f'"{first.pk}","Failed","","Too old."')
    assert '"\'=evil()"' in lines[3]
    assert '"Refused","Changed."' in lines[4]
    assert len(refunds) == 3


def test_the_result_file_is_for_who_may_export(payments, campaign_of):
    campaign = campaign_of()
    viewer = client_of(make_person("viewer"))
    assert viewer.get(f"{LIST}{campaign.pk}/result.csv").status_code == 403
    assert "Result file" not in visible(viewer.get(page_of(campaign)))
