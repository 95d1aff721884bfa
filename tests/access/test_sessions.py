"""When a session is over, and who is told so."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from audit.models import AuditEntry
from tests.pages import client_of, visible
from tests.rest import assert_problem, make_person, make_transaction

from .doors import LOGIN, PASSWORD, SECURITY, age, is_in, log_in

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"


@pytest.fixture
def person():
    return make_person("agent")


@pytest.fixture
def browser(person):
    return client_of(person)


@pytest.mark.parametrize(
    ("older", "why", "words"),
    [
        ({"seen_at": 901}, "idle", "because nothing was done for a while"),
        ({"signed_in_at": 36_001}, "long", "because you signed in too long ago"),
    ],
)
def test_a_session_that_is_over_leads_to_the_door_and_back(browser, person, older, why, words):
    age(browser, **older)
    answer = browser.get(f"{LIST}?status=settled")
    entry = AuditEntry.objects.get(kind="sign_in.session_ended")
    assert (entry.actor, entry.data) == (person, {"why": why})
    door = answer["Location"]
    assert door.startswith(f"{LOGIN}?ended={why}&next=")
    page = browser.get(door)
    assert words in visible(page)
    back = log_in(browser, person.username, next=page.context["next"])
    assert back["Location"] == f"{LIST}?status=settled"
    assert is_in(browser)


@pytest.mark.parametrize("older", [{"seen_at": 899}, {"signed_in_at": 35_990}])
def test_until_then_it_goes_on(browser, older):
    age(browser, **older)
    assert is_in(browser)


def test_who_does_something_stays(browser, settings):
    for _quarter in range(3):
        age(browser, seen_at=800, signed_in_at=800)
        assert is_in(browser)


def test_what_a_page_asks_for_by_itself_is_no_activity(browser):
    numbers = f"{LIST}views/numbers/"
    for _time in range(2):
        age(browser, seen_at=460)
        answer = browser.get(numbers, headers={"HX-Request": "true", "X-By-Itself": "1"})
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"].startswith(LOGIN)


def test_a_press_counts_whatever_it_says_of_itself(browser):
    for _time in range(2):
        age(browser, seen_at=460)
        browser.post("/admin/me/", {"language": "", "time_zone": ""}, headers={"X-By-Itself": "1"})
    assert is_in(browser)


def test_it_is_written_down_once_a_minute_and_costs_no_query(browser):
    browser.get("/admin/me/")
    with CaptureQueriesContext(connection) as soon:
        browser.get("/admin/me/")
    assert not [each for each in soon if "UPDATE" in each["sql"]]
    assert len([each for each in soon if "django_session" in each["sql"]]) == 1
    age(browser, seen_at=61)
    with CaptureQueriesContext(connection) as later:
        browser.get("/admin/me/")
    assert [each for each in later if "UPDATE" in each["sql"] and "django_session" in each["sql"]]


def test_a_fragment_leads_the_page_to_the_door(browser):
    payment = make_transaction()
    age(browser, seen_at=901)
    answer = browser.post(
        f"{LIST}{payment.pk}/refund/",
        headers={"HX-Request": "true", "HX-Current-URL": f"http://testserver{LIST}?q=abc"},
    )
    assert answer.status_code == 204
    assert answer["HX-Redirect"].endswith(
        "ended=idle&next=%2Fadmin%2Ftransactions%2Ftransaction%2F%3Fq%3Dabc"
    )


def test_a_page_of_another_site_is_no_way_back(browser):
    age(browser, seen_at=901)
    answer = browser.get(
        LIST, headers={"HX-Request": "true", "HX-Current-URL": "https://evil.example/"}
    )
    assert answer["HX-Redirect"].endswith("next=%2Fadmin%2F")


def test_a_program_with_such_a_session_is_nobody(person):
    client = APIClient()
    client.force_login(person)
    assert client.get("/api/v1/transactions/").status_code == 200
    age(client, seen_at=901)
    assert_problem(client.get("/api/v1/transactions/"), 401)


def test_a_session_without_its_moments_is_over(browser):
    session = browser.session
    for name in ("signed_in_at", "seen_at", "proved_at", "generation"):
        del session[name]
    session.save()
    assert not is_in(browser)


def test_who_is_switched_off_is_out_at_once(browser, person):
    assert is_in(browser)
    person.is_active = False
    person.save()
    assert not is_in(browser)
    person.is_active = True
    person.save()


def test_a_new_password_ends_the_other_sessions(browser, person):
    other = client_of(person)
    new = "a much newer secret"
    browser.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )
    assert is_in(browser)
    assert not is_in(other)


def test_an_administrators_new_password_ends_all(browser, person):
    new = "a much newer secret"
    address = f"/admin/auth/user/{person.pk}/password/"
    client_of(make_person("admin")).post(
        address, {"password1": new, "password2": new, "usable_password": "true"}
    )
    assert not is_in(browser)
    assert not is_in(Client())


def test_signing_out_everywhere_else(browser, person):
    others = [client_of(person), client_of(person)]
    assert "signed out everywhere else" in visible(
        browser.post(f"{SECURITY}end-others/", follow=True)
    )
    assert is_in(browser)
    for other in others:
        assert "ended=elsewhere" in other.get(LIST)["Location"]
    assert is_in(client_of(person))
    assert browser.get(f"{SECURITY}end-others/").status_code == 405


def test_it_ends_nobody_elses(browser):
    stranger = client_of(make_person("agent"))
    browser.post(f"{SECURITY}end-others/")
    assert is_in(stranger)


def test_settings_that_are_kept_do_not_bring_back_sessions_that_were_ended(person, monkeypatch):
    """A stolen session that keeps its settings at that moment must not undo "sign out elsewhere"."""
    from access import sessions
    from access.forms import ProfileForm
    from access.models import Profile

    stolen = client_of(person)
    clean = ProfileForm.clean

    def end_meanwhile(form):
        sessions.end_all(person)
        return clean(form)

    monkeypatch.setattr(ProfileForm, "clean", end_meanwhile, raising=False)
    stolen.post("/admin/me/", {"language": "en", "time_zone": ""})
    assert Profile.objects.get(user=person).generation == 1
    assert not is_in(stolen)
