"""What a page does when the site does not answer it, or cannot read what it sent."""

import pytest
from playwright.sync_api import expect

from gateways.money import Money
from refunds.models import RefundReason
from refunds.services import cancel_refund, request_refund
from tests.refunds.desk import Desk
from tests.rest import make_person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/transactions/transaction/"


@pytest.fixture
def agent(transactional_db):
    return make_person("agent")


@pytest.fixture
def page(open_page, agent):
    """A tab that may report errors."""
    page = open_page(agent).context.new_page()
    page.set_default_timeout(15_000)
    return page


def lose_the_first(page, fragment, **answer):
    """The first answer to the page's questions about itself never comes, or comes as given."""
    lost = []

    def route(route):
        if lost:
            route.continue_()
            return
        lost.append(route)
        if answer:
            route.fulfill(**answer)
        else:
            route.abort()

    page.route(f"**/*fragment={fragment}*", route)
    return lost


@pytest.mark.parametrize("answer", [{}, {"status": 502, "body": "Bad Gateway"}])
@pytest.mark.parametrize(
    ("fragment", "place"), [("story", "{id}/change/"), ("row", "?q={external_id}")]
)
def test_a_page_follows_a_refund_past_a_lost_answer(page, sandbox, agent, answer, fragment, place):
    transaction = Desk(sandbox, "stripe", None).pay(10_000)
    refund, _created = request_refund(
        transaction=transaction,
        amount=Money(1_000, "USD"),
        reason=RefundReason.objects.get(code="goodwill"),
        note="",
        requested_by=agent,
        idempotency_key="one",
    )
    lost = lose_the_first(page, fragment, **answer)
    page.goto(LIST + place.format(id=transaction.pk, external_id=transaction.external_id))
    expect(page.locator("#announcer")).to_contain_text("before you try again")
    assert lost
    cancel_refund(refund, actor=agent)
    followed = page.locator("#story article" if fragment == "story" else "tr .state")
    expect(followed).to_contain_text("Canceled" if fragment == "story" else "Not refunded")


def test_a_search_that_no_address_can_hold(page, sandbox):
    Desk(sandbox, "stripe", None).pay(10_000)
    page.goto(LIST)
    page.route("**/*q=xxx*", lambda route: route.fulfill(status=414, body="URI Too Long"))
    page.get_by_label("Search").fill("x" * 400)
    expect(page.locator("#announcer")).to_contain_text("Nothing was done")
