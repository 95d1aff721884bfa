"""The door: passwords, the second step, and what stops guessing."""

import io
import time
from functools import partial

import pytest
from django.contrib.auth.hashers import identify_hasher
from django.contrib.auth.management.commands import changepassword
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from tests.pages import visible
from tests.rest import make_person

from .doors import LOGIN, PASSWORD, PROVE, SECOND_STEP, is_in, log_in, totp, with_app

pytestmark = pytest.mark.django_db

WRONG = "Please enter the correct username and password for a staff account"
NEW = "correct horse battery 9"
LOCKED = "Wait 15 minutes and try again"


@pytest.fixture
def person():
    return make_person("agent")


def fail(client, name, times, **options):
    for _time in range(times):
        assert log_in(client, name, "wrong wrong wrong", **options).status_code == 200


@pytest.mark.parametrize(
    "password", ["short-Pass1", "password1234", "123456789012", "agent-agent-77"]
)
def test_weak_passwords_are_refused(password):
    with pytest.raises(ValidationError):
        validate_password(password, make_person("agent", first_name="agent-agent-7"))


def test_passwords_are_hashed_with_argon2(settings):
    from refunds_site.settings import PASSWORD_HASHERS

    settings.PASSWORD_HASHERS = PASSWORD_HASHERS
    assert identify_hasher(make_person("agent").password).algorithm == "argon2"


def test_an_older_hash_is_renewed_at_the_next_sign_in(settings, client, person):
    from refunds_site.settings import PASSWORD_HASHERS

    settings.PASSWORD_HASHERS = [*PASSWORD_HASHERS, *settings.PASSWORD_HASHERS]
    log_in(client, person.username)
    person.refresh_from_db()
    assert is_in(client)
    assert person.password.startswith("argon2")


def test_the_session_gets_a_new_key(client, person):
    client.get(LOGIN)
    before = client.session
    before["carried"] = "on"
    before.save()
    client.cookies["sessionid"] = before.session_key
    log_in(client, person.username)
    assert client.session.session_key != before.session_key


@pytest.mark.parametrize(
    ("wanted", "led_to"),
    [
        ("/admin/refunds/refund/?status=failed", "/admin/refunds/refund/?status=failed"),
        ("https://evil.example/", "/admin/"),
        ("//evil.example/", "/admin/"),
        ("javascript:alert(1)", "/admin/"),
        ("", "/admin/"),
    ],
)
def test_nobody_is_led_to_another_host(client, person, wanted, led_to):
    assert log_in(client, person.username, next=wanted)["Location"] == led_to


def test_whoever_fails_reads_the_same_words():
    here = make_person("agent").username
    outside = make_person("agent", is_staff=False).username
    gone = make_person("agent", is_active=False).username
    texts = []
    for name, password in (
        (here, "wrong wrong wrong"), ("nobody", "wrong wrong wrong"),
        (outside, PASSWORD), (gone, PASSWORD),
    ):  # fmt: skip
        client = Client()
        page = log_in(client, name, password)
        assert page.status_code == 200
        assert not is_in(client)
        texts.append(visible(page))
    assert WRONG in texts[0]
    assert len(set(texts)) == 1, texts


def test_a_name_that_nobody_has_takes_as_long(settings, person):
    """Argon2 is what takes time, and it is run for both."""
    from refunds_site.settings import PASSWORD_HASHERS

    settings.PASSWORD_HASHERS = PASSWORD_HASHERS
    person.set_password(PASSWORD)
    person.save()

    def fastest(name):
        took = []
        for number in range(4):
            began = time.perf_counter()
            log_in(Client(REMOTE_ADDR=f"10.0.0.{number}"), name, "wrong wrong wrong")
            took.append(time.perf_counter() - began)
        return min(took)

    known, unknown = fastest(person.username), fastest("nobody")
    assert unknown > known / 2


def test_five_wrong_passwords_close_the_door_for_a_while(client, person, settings):
    fail(client, person.username, 5)
    locked = log_in(client, person.username)
    assert locked.status_code == 429
    assert LOCKED in visible(locked)
    assert not is_in(client)


def set_password(name, password):
    """As an administrator does it under People."""
    page = reverse("admin:auth_user_password_change", args=[User.objects.get(username=name).pk])
    administrator = Client(REMOTE_ADDR="10.9.9.9")
    administrator.force_login(make_person("admin"))
    typed = {"password1": password, "password2": password, "usable_password": "true"}
    assert administrator.post(page, typed).status_code == 302


def type_password(monkeypatch, name, password):
    """As somebody does it on the server."""
    monkeypatch.setattr(changepassword.getpass, "getpass", lambda **_prompt: password)
    call_command("changepassword", name, stdout=io.StringIO())


@pytest.fixture(params=["people", "command"])
def renew(request, monkeypatch):
    return set_password if request.param == "people" else partial(type_password, monkeypatch)


def test_a_new_password_opens_the_door_that_was_shut(client, person, renew):
    fail(client, person.username, 5)
    assert log_in(client, person.username).status_code == 429
    renew(person.username, NEW)
    log_in(client, person.username.upper(), "wrong wrong wrong")
    log_in(client, person.username, NEW)
    assert is_in(client)


def test_a_new_password_opens_a_name_that_many_places_have_shut(person):
    for number in range(20):
        fail(Client(REMOTE_ADDR=f"10.0.0.{number}"), person.username, 1)
    assert log_in(Client(), person.username).status_code == 429
    set_password(person.username, NEW)
    client = Client()
    log_in(client, person.username, NEW)
    assert is_in(client)


def test_a_new_password_is_guessed_no_more_often(client, person):
    fail(client, person.username, 5)
    set_password(person.username, NEW)
    fail(client, person.username, 5)
    assert log_in(client, person.username, NEW).status_code == 429


def test_a_new_password_does_not_open_the_door_of_an_address(client, person):
    for number in range(50):
        fail(client, f"name-{number}", 1)
    set_password(person.username, NEW)
    assert log_in(client, person.username, NEW).status_code == 429


def test_a_name_that_nobody_has_is_locked_as_well(client):
    fail(client, "nobody", 5)
    locked = log_in(client, "nobody", "wrong wrong wrong")
    assert locked.status_code == 429
    assert LOCKED in visible(locked)


def test_the_spelling_of_a_name_does_not_help(client, person):
    for name in ("AGENT", " agent", "Agent ", "aGENT", "agent"):
        fail(client, name, 1)
    assert log_in(client, "agenT", "wrong wrong wrong").status_code == 429


def test_somebody_elses_guesses_do_not_lock_a_person_out(client, person):
    fail(Client(REMOTE_ADDR="10.0.0.1"), person.username, 5)
    log_in(client, person.username)
    assert is_in(client)


def test_guesses_from_many_places_close_the_door_of_the_name(client, person):
    for number in range(20):
        fail(Client(REMOTE_ADDR=f"10.0.0.{number}"), person.username, 1)
    assert log_in(client, person.username).status_code == 429


def test_many_names_from_one_place_close_it_for_the_place(person):
    guesser = Client(REMOTE_ADDR="10.0.0.1")
    for number in range(50):
        fail(guesser, f"name-{number}", 1)
    assert log_in(guesser, person.username).status_code == 429
    other = Client(REMOTE_ADDR="10.0.0.2")
    log_in(other, person.username)
    assert is_in(other)


def test_the_door_opens_again_when_the_time_is_over(client, person, settings, valkey):
    fail(client, person.username, 5)
    keys = list(valkey.keys("*lockout*"))
    assert len(keys) == 3
    assert all(0 < valkey.ttl(key) <= settings.LOCKOUT_SECONDS for key in keys)
    valkey.delete(*keys)
    log_in(client, person.username)
    assert is_in(client)


def test_a_success_forgives_what_failed_before(client, person):
    for _round in range(4):
        fail(client, person.username, 4)
        log_in(client, person.username)
        assert is_in(client)
        client.logout()


def test_forwarded_for_counts_where_a_proxy_of_ours_writes_it(person, settings):
    def locked(**headers):
        client = Client(headers=headers)
        return log_in(client, person.username, "wrong wrong wrong").status_code == 429

    for number in range(5):
        assert not locked(**{"X-Forwarded-For": f"10.9.9.{number}"})
    assert locked(**{"X-Forwarded-For": "10.9.9.9"}), "it is not believed unless configured"
    settings.TRUSTED_PROXY_COUNT = 1
    assert not locked(**{"X-Forwarded-For": "6.6.6.6, 10.9.9.9"})
    settings.TRUSTED_PROXY_COUNT = 2
    assert locked(**{"X-Forwarded-For": "10.9.9.8"}), "it has fewer entries than there are proxies"


def test_without_the_cache_the_door_stays_shut(client, person, settings):
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }
    answer = log_in(client, person.username)
    assert answer.status_code == 503
    assert "Nobody can sign in for a moment" in visible(answer)


def test_the_second_step_follows_the_password(client):
    person, secret, _codes = with_app(client)
    answer = log_in(client, person.username, next="/admin/refunds/refund/")
    assert answer["Location"] == SECOND_STEP
    assert not is_in(client)
    page = client.get(SECOND_STEP)
    assert "second step" in visible(page)
    assert client.post(SECOND_STEP, {"code": totp(secret)})["Location"] == "/admin/refunds/refund/"
    assert is_in(client)


def test_a_wrong_password_does_not_reach_the_second_step(client):
    person, secret, _codes = with_app(client)
    log_in(client, person.username, "wrong wrong wrong")
    assert client.post(SECOND_STEP, {"code": totp(secret)})["Location"] == LOGIN
    assert not is_in(client)


def test_a_code_counts_once(client):
    person, secret, _codes = with_app(client)
    code = totp(secret)
    for browser in (Client(), Client()):
        log_in(browser, person.username)
        browser.post(SECOND_STEP, {"code": code})
    assert not is_in(browser)


def test_a_recovery_code_counts_once(client):
    person, _secret, codes = with_app(client)
    assert len(codes) == len(set(codes)) == 10
    log_in(client, person.username)
    client.post(SECOND_STEP, {"code": codes[0]})
    assert is_in(client)
    client.logout()
    log_in(client, person.username)
    assert "not right" in visible(client.post(SECOND_STEP, {"code": codes[0]}))
    assert not is_in(client)


def test_codes_cannot_be_guessed_for_long(client):
    person, secret, codes = with_app(client)
    for number in range(5):
        browser = Client(REMOTE_ADDR=f"10.0.0.{number}")
        log_in(browser, person.username)
        assert browser.post(SECOND_STEP, {"code": "000000"}).status_code == 200
    log_in(client, person.username)
    for right in (totp(secret), codes[0]):
        locked = client.post(SECOND_STEP, {"code": right})
        assert locked.status_code == 429
        assert "Too many attempts have failed" in visible(locked)
    assert not is_in(client)


@pytest.mark.parametrize("sent", [{}, {"code": ""}, {"code": "\0"}, {"code": "9" * 5000},
                                  {"credential": "nonsense"}, {"credential": "[]"},
                                  {"credential": '{"id": 1}'}])  # fmt: skip
def test_nonsense_at_the_second_step_is_refused(client, sent):
    person, _secret, _codes = with_app(client)
    log_in(client, person.username)
    assert client.post(SECOND_STEP, sent).status_code == 200
    assert not is_in(client)


def test_who_is_switched_off_between_the_steps_stays_outside(client):
    person, secret, _codes = with_app(client)
    log_in(client, person.username)
    person.is_active = False
    person.save()
    client.post(SECOND_STEP, {"code": totp(secret)})
    assert not is_in(client)


def test_what_happens_at_the_door_is_noted(client, person):
    log_in(client, "a password, mistyped", "wrong wrong wrong")
    log_in(client, person.username, "wrong wrong wrong")
    log_in(client, person.username)
    client.post("/admin/logout/")
    fail(client, person.username, 5)
    log_in(client, person.username)
    log_in(client, person.username)
    failed = "sign_in.failed"
    entries = AuditEntry.objects.order_by("sequence").values()
    assert [(one["kind"], one["actor_id"], one["about_id"]) for one in entries] == [
        (failed, None, ""),
        (failed, None, str(person.pk)),
        ("sign_in.succeeded", person.pk, str(person.pk)),
        ("sign_in.signed_out", person.pk, str(person.pk)),
        *[(failed, None, str(person.pk))] * 5,
        ("sign_in.locked", None, str(person.pk)),
    ]
    assert "mistyped" not in repr(entries)
    assert PASSWORD not in repr(entries)


def test_nobody_signs_up_or_asks_for_mails():
    client = Client()
    for address in ("signup", "password/reset", "email", "accounts/signup"):
        assert client.get(f"/admin/{address}/").status_code in (302, 404)
        assert client.get(f"/{address}/").status_code == 404
    assert client.get(PROVE)["Location"].startswith(LOGIN)
