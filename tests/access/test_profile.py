"""Language and time zone per person, on every page of the staff site."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from access.models import Profile
from tests.pages import client_of, visible
from tests.rest import make_person, make_transaction

pytestmark = pytest.mark.django_db

ME = "/admin/me/"
LIST = "/admin/transactions/transaction/"
PAID_AT = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)


@pytest.fixture
def person():
    return make_person("agent")


@pytest.fixture
def browser(person):
    return client_of(person)


def set_up(person, **values):
    Profile.objects.update_or_create(values, user=person)


def test_what_is_chosen_is_kept(browser, person):
    answer = browser.post(ME, {"language": "", "time_zone": "Europe/Chisinau"}, follow=True)
    assert "Your settings are kept." in visible(answer)
    assert Profile.objects.get(user=person).time_zone == "Europe/Chisinau"
    assert 'value="Europe/Chisinau" selected' in browser.get(ME).content.decode()


@pytest.mark.parametrize(
    ("name", "value"), [("language", "xx"), ("language", "<b>"), ("time_zone", "Mars/North"),
                        ("time_zone", "../etc")]
)  # fmt: skip
def test_what_does_not_exist_is_refused(browser, person, name, value):
    answer = browser.post(ME, {"language": "", "time_zone": ""} | {name: value})
    assert answer.context["form"].errors[name]
    assert getattr(Profile.objects.get(user=person), name) == ""


def test_it_keeps_the_columns(browser, person):
    set_up(person, columns=["how"])
    browser.post(ME, {"language": "ro", "time_zone": ""})
    assert Profile.objects.get(user=person).columns == ["how"]


def test_times_are_told_in_the_zone_of_who_reads(browser, person):
    payment = make_transaction(created_at=PAID_AT)
    page = f"{LIST}{payment.pk}/change/"
    assert "1 Mar 2026, 22:30:00 UTC" in visible(browser.get(page))
    set_up(person, time_zone="Europe/Chisinau")
    assert "2 Mar 2026, 00:30:00 EET" in visible(browser.get(page))
    another = client_of(make_person("agent"))
    assert "1 Mar 2026, 22:30:00 UTC" in visible(another.get(page))


def test_a_day_of_a_filter_is_one_of_the_zone(browser, person):
    make_transaction(created_at=PAID_AT)
    day = f"{LIST}?created_after=2026-03-02"
    assert not browser.get(day).context["cl"].rows
    set_up(person, time_zone="Europe/Chisinau")
    assert len(browser.get(day).context["cl"].rows) == 1


def test_the_zone_of_one_request_is_not_that_of_the_next(browser, person):
    set_up(person, time_zone="Asia/Kuala_Lumpur")
    browser.get(ME)
    client_of(make_person("agent")).get(ME)
    assert timezone.get_current_timezone_name() == "UTC"


def test_the_language_that_was_chosen_goes_before_the_browsers(browser, person):
    set_up(person, language="pl")
    answer = browser.get(LIST, headers={"Accept-Language": "ru"})
    assert answer["Content-Language"] == "pl"
    assert '<html lang="pl"' in answer.content.decode()


def test_without_a_choice_the_browser_is_asked(browser):
    assert browser.get(LIST, headers={"Accept-Language": "ro"})["Content-Language"] == "ro"


def test_amounts_are_written_and_read_as_the_language_does(browser, person):
    payment = make_transaction()
    set_up(person, language="ro")
    assert "100,00 USD" in visible(browser.get(LIST))
    dialog = f"{LIST}{payment.pk}/refund/"
    assert 'name="amount" value="100,00"' in browser.get(dialog).content.decode()
    preview = {"HX-Request": "true", "HX-Target": "refund-preview"}
    for typed in ("12,50", "12.50"):
        told = browser.get(dialog, {"amount": typed}, headers=preview)
        assert "87,50" in visible(told)
    assert browser.get(dialog, {"amount": "1.000,00"}, headers=preview).context["preview"].problem
    set_up(person, language="en")
    assert browser.get(dialog, {"amount": "12,50"}, headers=preview).context["preview"].problem


def test_an_export_is_in_the_language_and_zone_of_who_asks(browser, person):
    make_transaction(created_at=PAID_AT)
    set_up(person, time_zone="Europe/Chisinau")
    content = b"".join(browser.get(f"{LIST}export.csv").streaming_content).decode()
    assert '"2026-03-02 00:30:00"' in content


def test_an_api_token_brings_no_language_along(person):
    from tests.rest import client_of as api_of

    set_up(person, language="pl", time_zone="Asia/Kuala_Lumpur")
    payment = make_transaction(created_at=PAID_AT)
    client = api_of("agent")
    set_up(client.person, language="pl", time_zone="Asia/Kuala_Lumpur")
    shown = client.get(f"/api/v1/transactions/{payment.pk}/").json()
    assert (shown["amount"], shown["created_at"]) == ("100.00", "2026-03-01T22:30:00.000000Z")
