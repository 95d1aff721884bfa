"""“Your security”: adding and removing second factors, and who has to have one."""

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from audit.models import AuditEntry
from tests.audit.lines import kinds
from tests.pages import client_of, visible
from tests.rest import assert_problem, make_person, make_transaction
from tests.rest import client_of as api_of

from .doors import (
    PASSWORD,
    PROVE,
    SECOND_STEP,
    SECURITY,
    add_app,
    age,
    is_in,
    log_in,
    totp,
    with_app,
)

pytestmark = pytest.mark.django_db

LIST = "/admin/transactions/transaction/"


@pytest.fixture
def person():
    return make_person("agent")


@pytest.fixture
def browser(person):
    return client_of(person)


@pytest.fixture
def strict(settings):
    settings.REQUIRE_TWO_FACTOR = True


def kinds_of(person):
    return set(Authenticator.objects.filter(user=person).values_list("type", flat=True))


def test_the_menu_of_the_person_leads_to_it(browser):
    assert f'href="{SECURITY}"' in browser.get(LIST).content.decode()
    page = browser.get(SECURITY)
    assert "Add an app" in visible(page)
    assert "Recovery codes" not in visible(page)


def test_an_app_is_added_with_its_code(browser, person):
    page = browser.get(f"{SECURITY}app/add/")
    secret = page.context["form"].secret
    html = page.content.decode()
    assert secret in html
    assert 'src="data:image/svg+xml;base64,' in html
    assert "https://" not in html.split("<body")[1].replace("https://www.w3.org", "")
    wrong = browser.post(f"{SECURITY}app/add/", {"code": "000000"})
    assert "not right" in visible(wrong)
    assert wrong.context["form"].secret == secret, "the picture stays the same"
    browser.post(f"{SECURITY}app/add/", {"code": totp(secret)})
    assert kinds_of(person) == {"totp", "recovery_codes"}
    assert "In use." in visible(browser.get(SECURITY))


def test_its_secret_rests_encrypted(browser, person):
    secret, codes = add_app(browser)
    stored = repr(list(Authenticator.objects.filter(user=person).values_list("data", flat=True)))
    assert secret not in stored
    assert not any(code in stored for code in codes)


def test_recovery_codes_are_shown_once(browser, person):
    _secret, codes = add_app(browser)
    assert len(codes) == 10
    again = browser.get(f"{SECURITY}codes/").content.decode()
    assert not any(code in again for code in codes)
    assert "10 codes are left" in visible(browser.get(SECURITY))
    renewed = browser.post(f"{SECURITY}codes/renew/", follow=True).content.decode()
    assert not any(code in renewed for code in codes)
    browser.logout()
    log_in(browser, person.username)
    assert "not right" in visible(browser.post(SECOND_STEP, {"code": codes[0]}))


def test_removing_the_last_one_removes_the_codes(browser, person):
    add_app(browser)
    browser.post(f"{SECURITY}app/remove/")
    assert not kinds_of(person)
    browser.logout()
    log_in(browser, person.username)
    assert is_in(browser)


@pytest.mark.parametrize(
    "address", ["app/add/", "app/remove/", "codes/", "codes/renew/", "passkeys/add/"]
)
def test_all_of_it_needs_a_proof(browser, person, address):
    if "add" not in address:
        add_app(browser)
    before = kinds_of(person)
    age(browser, proved_at=301)
    for method in (browser.get, browser.post):
        answer = method(f"{SECURITY}{address}")
        assert answer["Location"].startswith(PROVE)
    assert kinds_of(person) == before


def test_removing_a_passkey_is_asked_first(browser, person):
    passkey = Authenticator.objects.create(
        user=person, type="webauthn", data={"name": "Key", "credential": {}}
    )
    assert "It no longer lets you in" in visible(
        browser.get(f"{SECURITY}passkeys/{passkey.pk}/remove/")
    )
    assert kinds_of(person)
    browser.post(f"{SECURITY}passkeys/{passkey.pk}/remove/")
    assert not kinds_of(person)


def test_a_passkey_of_somebody_else_is_not_there(browser, person):
    theirs = Authenticator.objects.create(
        user=make_person("agent"), type="webauthn", data={"name": "Key", "credential": {}}
    )
    assert browser.post(f"{SECURITY}passkeys/{theirs.pk}/remove/").status_code == 404
    assert Authenticator.objects.filter(pk=theirs.pk).exists()


@pytest.mark.parametrize("credential", ["", "nonsense", "[]", "{}", '{"id": 1}', '{"id": "a"}'])
def test_a_passkey_that_is_none_is_refused(browser, person, credential):
    browser.get(f"{SECURITY}passkeys/add/")
    answer = browser.post(f"{SECURITY}passkeys/add/", {"name": "Key", "credential": credential})
    assert answer.status_code == 200
    assert not kinds_of(person)


def test_with_a_factor_a_proof_is_its_code(client):
    person, secret, codes = with_app(client)
    log_in(client, person.username)
    client.post(SECOND_STEP, {"code": codes[0]})
    age(client, proved_at=301)
    page = client.get(f"{PROVE}?next=/admin/me/")
    assert "recovery code" in visible(page)
    assert 'name="password"' not in page.content.decode()
    assert client.post(f"{PROVE}?next=/admin/me/", {"password": PASSWORD}).status_code == 200
    assert client.get(f"{SECURITY}codes/")["Location"].startswith(PROVE)
    assert (
        client.post(f"{PROVE}?next=/admin/me/", {"code": totp(secret)})["Location"] == "/admin/me/"
    )
    assert client.get(f"{SECURITY}codes/").status_code == 200


def test_a_proof_renews_the_key_of_the_session(browser):
    before = browser.session.session_key
    browser.post(PROVE, {"password": PASSWORD})
    assert is_in(browser)
    assert browser.session.session_key != before


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "", "\\\\evil"])
def test_a_proof_leads_to_no_other_host(browser, wanted):
    answer = browser.post(f"{PROVE}?next={wanted}", {"password": PASSWORD})
    assert answer["Location"] == "/admin/"


def test_passwords_cannot_be_guessed_at_the_proof(browser, person):
    for _time in range(5):
        assert "not right" in visible(browser.post(PROVE, {"password": "wrong wrong"}))
    locked = browser.post(PROVE, {"password": PASSWORD})
    assert locked.status_code == 429
    assert "Wait 15 minutes" in visible(locked)


def test_codes_cannot_be_guessed_at_the_proof(client):
    person, _secret, codes = with_app(client)
    client.force_login(person)
    for _time in range(5):
        client.post(PROVE, {"code": "000000"})
    assert client.post(PROVE, {"code": codes[0]}).status_code == 429


def test_who_has_neither_password_nor_factor_reads_what_to_do(browser, person):
    person.set_unusable_password()
    person.save()
    client = client_of(person)
    assert "Ask an administrator for a password" in visible(client.get(PROVE))
    assert client.post(PROVE, {"password": ""}).status_code == 200


@pytest.mark.django_db(transaction=True)  # what is added is told after the commit
def test_required_who_has_none_is_led_to_add_one(strict, browser):
    make_transaction()
    for address in (LIST, "/admin/", "/admin/me/", f"{SECURITY}end-others/"):
        answer = browser.get(address)
        assert answer["Location"] == SECURITY, address
    page = browser.get(SECURITY)
    assert "A password alone does not open Refund Desk here" in visible(page)
    fragment = browser.get(LIST, headers={"HX-Request": "true"})
    assert fragment["HX-Redirect"] == SECURITY
    add_app(browser)
    assert browser.get(LIST).status_code == 200
    assert "A password alone" not in visible(browser.get(SECURITY))


def test_required_a_superuser_is_no_exception(strict):
    from django.contrib.auth.models import User

    root = client_of(User.objects.create_superuser("root"))
    assert root.get(LIST)["Location"] == SECURITY


def test_required_who_has_one_passes_with_it(client, settings):
    person, secret, _codes = with_app(client)
    settings.REQUIRE_TWO_FACTOR = True
    log_in(client, person.username)
    client.post(SECOND_STEP, {"code": totp(secret)})
    assert client.get(LIST).status_code == 200


def test_required_an_older_session_is_asked_for_it(client, settings):
    """Somebody was signed in with the password when they added an app elsewhere."""
    person, secret, _codes = with_app(client)
    settings.REQUIRE_TWO_FACTOR = True
    client.force_login(person)
    assert client.get(LIST)["Location"].startswith(PROVE)
    client.post(PROVE, {"code": totp(secret)})
    assert client.get(LIST).status_code == 200


def test_required_the_second_step_of_one_person_is_not_that_of_another(client, settings):
    person, _secret, codes = with_app(client)
    other = make_person("agent")
    settings.REQUIRE_TWO_FACTOR = True
    log_in(client, person.username)
    client.post(SECOND_STEP, {"code": codes[0]})
    assert client.get(LIST).status_code == 200
    log_in(client, other.username)
    assert client.get(LIST)["Location"] == SECURITY


def test_required_the_api_refuses_a_session_and_takes_a_token(strict, person):
    client = APIClient()
    client.force_login(person)
    problem = assert_problem(client.get("/api/v1/transactions/"), 403, "second_factor_needed")
    assert "second factor" in problem["detail"]
    assert api_of("agent").get("/api/v1/transactions/").status_code == 200


def test_required_the_api_takes_a_session_with_one(client, settings):
    person, _secret, codes = with_app(client)
    settings.REQUIRE_TWO_FACTOR = True
    log_in(client, person.username)
    client.post(SECOND_STEP, {"code": codes[0]})
    assert client.get("/api/v1/transactions/").status_code == 200


def test_an_administrator_helps_who_has_lost_the_device(client):
    person, _secret, _codes = with_app(client)
    signed_in = client_of(person)
    admin = client_of(make_person("admin"))
    address = reverse("admin:auth_user_remove_second_factors", args=[person.pk])
    assert "lost their device" in visible(admin.get(address))
    admin.post(address, {"_form_submitted": "True"}, follow=True)
    assert not kinds_of(person)
    assert not is_in(signed_in)
    assert AuditEntry.objects.filter(kind="two_factor.removed", about_id=person.pk).exists()
    log_in(client, person.username)
    assert is_in(client)


def test_nobody_removes_those_of_a_superuser(client):
    root, _secret, _codes = with_app(client, is_superuser=True)
    address = reverse("admin:auth_user_remove_second_factors", args=[root.pk])
    answer = client_of(make_person("admin")).post(address, {"_form_submitted": "True"})
    assert answer.status_code == 403
    assert kinds_of(root)


def test_secrets_have_no_page_on_the_staff_site(client):
    from django.contrib.auth.models import User

    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for model in ("mfa/authenticator", "socialaccount/socialapp", "account/emailaddress"):
        assert root.get(f"/admin/{model}/").status_code == 404


@pytest.mark.django_db(transaction=True)  # what is added is told after the commit
def test_what_changes_is_noted(browser, person):
    before = len(kinds())
    add_app(browser)
    browser.post(f"{SECURITY}codes/renew/")
    browser.post(f"{SECURITY}app/remove/")
    browser.post(PROVE, {"password": "wrong"})
    browser.post(PROVE, {"password": PASSWORD})
    browser.post(f"{SECURITY}end-others/")
    told = kinds()[before:]
    assert told == [
        "two_factor.enrolled", "two_factor.enrolled", "two_factor.codes_renewed", "two_factor.removed", "two_factor.removed",
        "sign_in.proof_failed", "sign_in.proved", "sign_in.others_ended",
    ]  # fmt: skip


class TestNothingWithoutItsEntry:
    """What the log cannot tell of does not happen: both are one commit."""

    @pytest.fixture(autouse=True)
    def _log_is_away(self, monkeypatch):
        from django.db import OperationalError

        from access import sign_in_events

        self.broken = False
        record = sign_in_events.record

        def fails(*args, **kwargs):
            if self.broken:
                raise OperationalError("canceling statement due to lock timeout")
            record(*args, **kwargs)

        monkeypatch.setattr(sign_in_events, "record", fails)

    def press(self, client, address, values):
        from contextlib import suppress

        from django.db import OperationalError

        self.broken = True
        with suppress(OperationalError):
            client.post(address, values)

    def test_somebody_elses_second_factors(self, person, browser):
        add_app(browser)
        admin = client_of(make_person("admin"))
        address = reverse("admin:auth_user_remove_second_factors", args=[person.pk])
        self.press(admin, address, {"_form_submitted": "1"})
        assert kinds_of(person) == {"totp", "recovery_codes"}

    def test_ones_own_second_factor(self, person, browser):
        add_app(browser)
        self.press(browser, f"{SECURITY}app/remove/", {})
        assert "totp" in kinds_of(person)

    def test_somebody_elses_password(self, person):
        admin = client_of(make_person("admin"))
        values = {"password1": "tausend-Enten-7", "password2": "tausend-Enten-7"}
        self.press(
            admin, f"/admin/auth/user/{person.pk}/password/", values | {"usable_password": "true"}
        )
        person.refresh_from_db()
        assert person.check_password(PASSWORD)

    def test_ones_own_password(self, person, browser):
        new = {"new_password1": "tausend-Enten-7", "new_password2": "tausend-Enten-7"}
        self.press(browser, "/admin/password_change/", new | {"old_password": PASSWORD})
        person.refresh_from_db()
        assert person.check_password(PASSWORD)


def test_who_signs_in_again_after_removing_it_has_no_second_factor(strict, person, client):
    """What the session remembers of the factor that is gone counts for nothing."""
    log_in(client, person.username)
    add_app(client)
    client.logout()
    log_in(client, person.username)
    secret = Authenticator.objects.get(user=person, type="totp").wrap()
    from allauth.mfa.adapter import get_adapter

    key = get_adapter().decrypt(secret.instance.data["secret"])
    client.post(SECOND_STEP, {"code": totp(key, steps=1)})
    assert is_in(client)
    client.post(f"{SECURITY}app/remove/")
    assert not is_in(client)
    log_in(client, person.username)
    assert not is_in(client)
