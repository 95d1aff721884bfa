"""Signing in at an OpenID provider, which is a real one on a socket."""

from urllib.parse import urlsplit

import pytest
import requests
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.models import User
from django.test import Client

from access.oidc import providers
from tests.pages import visible
from tests.rest import make_person

from .doors import LOGIN, PROVE, SECOND_STEP, SECURITY, age, is_in, totp, with_app
from .openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider

pytestmark = pytest.mark.django_db

SSO = "/admin/login/sso/login/"
CALLBACK = "/admin/login/sso/callback/"


@pytest.fixture
def provider(settings):
    with OpenIdProvider() as provider:
        settings.OIDC_ISSUER = provider.issuer
        settings.OIDC_NAME = "Example ID"
        settings.SOCIALACCOUNT_PROVIDERS = providers(
            issuer=provider.issuer, client_id=CLIENT_ID, secret=CLIENT_SECRET, name="Example ID"
        )
        provider.person = {"sub": "ana", "email": "Ana@example.com", "email_verified": True}
        yield provider


@pytest.fixture
def person():
    return make_person("agent", email="ana@example.com")


def go_in(client, **values):
    """Press the button, sign in at the provider, come back: the last answer of ours."""
    leads = client.post(SSO, values)
    assert leads.status_code == 302, visible(leads)
    back = requests.get(leads["Location"], allow_redirects=False, timeout=5)
    assert back.status_code == 302, back.text
    return come_back(client, back.headers["Location"])


def come_back(client, address):
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}")


def test_without_a_provider_there_is_no_such_way(client):
    assert "Sign in with" not in visible(client.get(LOGIN))
    assert client.post(SSO).status_code == 404
    assert client.get(CALLBACK).status_code == 404


def test_who_is_of_staff_comes_in(client, provider, person):
    assert "Sign in with Example ID" in visible(client.get(LOGIN))
    answer = go_in(client, next="/admin/refunds/refund/")
    assert answer["Location"] == "/admin/refunds/refund/"
    assert client.get("/admin/").wsgi_request.user == person
    assert provider.asked["code_challenge_method"] == "S256"
    assert not SocialToken.objects.exists()
    person.refresh_from_db()
    assert person.check_password("not a secret"), "it changes no password"


def test_the_next_time_the_provider_tells_who_it_is(client, provider, person):
    go_in(client)
    client.logout()
    provider.person["email"] = "ana.pop@example.com"
    go_in(client)
    assert client.get("/admin/").wsgi_request.user == person
    assert SocialAccount.objects.count() == 1


def test_nobody_is_made(client, provider):
    answer = go_in(client)
    assert answer["Location"] == LOGIN
    assert "Nobody here has your e-mail address" in visible(client.get(LOGIN))
    assert not User.objects.exists()
    assert not is_in(client)


@pytest.mark.parametrize("claims", [{"email_verified": False}, {"email_verified": None},
                                    {"email": None}, {"email": ""}])  # fmt: skip
def test_an_address_that_is_not_verified_opens_nothing(client, provider, person, claims):
    provider.person |= claims
    assert go_in(client)["Location"] == LOGIN
    assert "has not verified your e-mail address" in visible(client.get(LOGIN))
    assert not is_in(client)


@pytest.mark.parametrize("fields", [{"is_staff": False}, {"is_active": False}])
def test_who_may_not_enter_stays_outside(client, provider, fields):
    make_person("agent", email="ana@example.com", **fields)
    go_in(client)
    assert not is_in(client)
    assert not SocialAccount.objects.exists()


def test_who_was_switched_off_since_stays_outside(client, provider, person):
    go_in(client)
    client.logout()
    person.is_active = False
    person.save()
    assert go_in(client)["Location"] == LOGIN
    assert "switched off" in visible(client.get(LOGIN))
    assert not is_in(client)


def test_two_people_of_one_address_cannot_be_told_apart(client, provider, person):
    make_person("admin", email="ANA@example.com")
    go_in(client)
    assert not is_in(client)


def test_another_login_with_the_address_is_not_the_same_person(client, provider, person):
    """An address that the organisation has given to somebody new."""
    go_in(client)
    client.logout()
    provider.person["sub"] = "somebody new"
    go_in(client)
    assert not is_in(client)


def test_who_changes_their_mind_reads_a_sentence(client, provider, person):
    provider.person = {}
    assert go_in(client)["Location"] == LOGIN
    assert "did not work" in visible(client.get(LOGIN))


def test_a_provider_that_is_broken_is_no_error_of_ours(client, provider, person):
    provider.is_broken = True
    assert client.post(SSO)["Location"] == LOGIN
    assert "did not work" in visible(client.get(LOGIN))
    provider.is_broken = False
    leads = client.post(SSO)
    back = requests.get(leads["Location"], allow_redirects=False, timeout=5)
    provider.is_broken = True
    assert come_back(client, back.headers["Location"])["Location"] == LOGIN


@pytest.mark.parametrize("query", ["", "?code=x", "?code=x&state=y", "?state=%00&code=%00",
                                   "?error=access_denied"])  # fmt: skip
def test_nonsense_at_the_way_back_is_refused(client, provider, person, query):
    answer = client.get(f"{CALLBACK}{query}")
    assert answer["Location"] == LOGIN
    assert not is_in(client)


def test_a_way_back_of_another_browser_is_refused(client, provider, person):
    """Whoever is given somebody else's link does not end up in that account."""
    leads = Client().post(SSO)
    back = requests.get(leads["Location"], allow_redirects=False, timeout=5)
    come_back(client, back.headers["Location"])
    assert not is_in(client)


def test_a_claim_without_a_subject_opens_nothing(client, provider, person):
    del provider.person["sub"]
    assert go_in(client)["Location"] == LOGIN
    assert not is_in(client)


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example"])
def test_it_leads_to_no_other_host(client, provider, person, wanted):
    assert go_in(client, next=wanted)["Location"] == "/admin/"


def test_opening_the_address_leads_to_the_door(client, provider):
    assert client.get(SSO)["Location"] == LOGIN


def test_a_second_factor_is_asked_for_as_well(client, provider):
    person, secret, _codes = with_app(client, email="ana@example.com")
    assert go_in(client)["Location"] == SECOND_STEP
    client.post(SECOND_STEP, {"code": totp(secret)})
    assert client.get("/admin/").wsgi_request.user == person


def test_whether_it_counts_as_two_factors_is_set(client, provider, person, settings):
    settings.REQUIRE_TWO_FACTOR = True
    go_in(client)
    assert client.get("/admin/")["Location"] == SECURITY
    client.logout()
    settings.OIDC_IS_TWO_FACTOR = True
    go_in(client)
    assert is_in(client)


def test_who_has_no_password_proves_it_at_the_provider(client, provider, person):
    person.set_unusable_password()
    person.save()
    go_in(client)
    age(client, proved_at=301)
    page = client.get(f"{PROVE}?next=/admin/me/")
    assert "Sign in with Example ID" in visible(page)
    assert go_in(client, next="/admin/me/")["Location"] == "/admin/me/"
    assert provider.asked["prompt"] == "login"
    assert client.get(f"{SECURITY}app/add/").status_code == 200


def test_a_new_way_in_stands_in_the_audit_log(client, provider, person):
    """From now on whoever has that login at the provider is this person: as much as a factor."""
    from audit.models import AuditEntry

    go_in(client)
    assert SocialAccount.objects.get().user == person
    others = AuditEntry.objects.filter(about_id=person.pk).exclude(kind="sign_in.succeeded")
    assert others.exists()


def test_a_login_is_bound_to_nobody_before_the_second_step(client, provider):
    with_app(client, email="ana@example.com")
    assert go_in(client)["Location"] == SECOND_STEP
    assert not SocialAccount.objects.exists(), "who fails there has taken the person's place"
