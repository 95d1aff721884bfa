"""The webhook log on a desk and on a phone, light and dark; an event that is processed again."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from refunds.models import WebhookEvent, WebhookState
from tests.refunds.test_webhook_log import LIST, make_event, page_of, reject
from tests.rest import make_account, make_person

from .test_pictures import SCREENS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def events():
    """One in each state, with ids as long as processors make them."""
    account = make_account("authorizenet-us", "authorizenet")
    waits = {"next_try_at": timezone.now() + timedelta(minutes=5), "processed_at": None}
    long = {
        "event_id": "d0e8e7fe-c3e7-4add-a480-27bc5ce28a18",
        "event_type": "net.authorize.payment.priorAuthCapture.created",
        "payment_id": "ch_" + "3QZ8ab2eZvKYlo2C1hVqk9Yt" * 4,
        "problem": "Authorize.net could not be reached: connection refused.",
    }
    return [
        make_event(account, state="received", deliveries=12, **waits),
        make_event(account, state="failed", tries=4, **waits, **long),
        make_event(account, state="ignored", payment_id="", refund_id=""),
        make_event(account),
        reject("The webhook's signature does not hold. " * 5, account=account),
    ]


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_it_fits(open_page, events, width, theme, tmp_path):
    page = open_page(make_person("manager"), width=width, theme=theme)
    for address in (LIST, f"{LIST}?q=nothing", *map(page_of, events)):
        page.goto(address)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0, address
        page.screenshot(path=tmp_path / "page.png", animations="disabled")


def test_a_page_follows_what_is_processed_again(open_page, events):
    page = open_page(make_person("manager"))
    event = events[1]
    page.goto(page_of(event))
    page.get_by_role("button", name="Process again").click()
    expect(page.get_by_text("asked again in a moment")).to_be_visible()
    story = page.locator("#story")
    expect(story).to_contain_text("The processor is asked what it is about.")
    WebhookEvent.objects.filter(pk=event.pk).update(
        state=WebhookState.PROCESSED, processed_at=timezone.now(), next_try_at=None
    )
    expect(story).to_contain_text("what it answered is recorded")
