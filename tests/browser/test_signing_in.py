"""Passkeys, which a virtual authenticator of Chromium answers for, and how these pages look."""

import os
from pathlib import Path

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import expect

from tests.access.doors import LOGIN, PASSWORD, PROVE, SECOND_STEP, SECURITY, totp
from tests.rest import make_person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def person(transactional_db):
    return make_person("manager", first_name="Ana", last_name="Lup", email="ana@example.com")


@pytest.fixture
def has_key():
    """``has_key(page)``: the browser of a page has a key that answers by itself."""

    def has_key(page):
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2", "transport": "usb", "hasResidentKey": True,
            "hasUserVerification": True, "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }  # fmt: skip
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})

    return has_key


def log_in(page, person):
    page.get_by_label("Username").fill(person.username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def add_passkey(page):
    page.goto(SECURITY)
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Name").fill("The key in my drawer")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_text("I have kept them")).to_be_visible()


def test_a_passkey_is_added_used_at_the_door_and_removed(person, open_page, has_key):
    page = open_page(None)
    has_key(page)
    page.goto(LOGIN)
    log_in(page, person)
    add_passkey(page)
    page.goto(SECURITY)
    expect(page.get_by_text("The key in my drawer")).to_be_visible()
    page.context.clear_cookies()

    page.goto("/admin/refunds/refund/")
    log_in(page, person)
    page.wait_for_url(f"**{SECOND_STEP}")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/admin/refunds/refund/")

    page.goto(f"{PROVE}?next={SECURITY}")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"**{SECURITY}")
    page.get_by_role("link", name="Remove", exact=True).click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("The passkey is removed.")).to_be_visible()
    assert not Authenticator.objects.exists()


def test_a_browser_without_the_key_is_told_so(person, open_page, has_key):
    page = open_page(None)
    has_key(page)
    page.goto(LOGIN)
    log_in(page, person)
    add_passkey(page)
    other = open_page(None)
    other.goto(LOGIN)
    log_in(other, person)
    other.wait_for_url(f"**{SECOND_STEP}")
    # As it looks to a page when somebody waves the browser's question away.
    other.evaluate(
        "() => { navigator.credentials.get = () => Promise.reject(new DOMException('no')); }"
    )
    other.get_by_role("button", name="Use a passkey").click()
    expect(other.get_by_text("The passkey did not answer")).to_be_visible()


def test_an_app_is_added_and_asked_for(person, open_page):
    page = open_page(person)
    page.goto(SECURITY)
    page.get_by_role("link", name="Add an app").click()
    secret = page.locator(".key code").inner_text()
    page.get_by_label("Code").fill(totp(secret))
    page.get_by_role("button", name="Add the app").click()
    expect(page.locator(".codes li")).to_have_count(10)
    page.context.clear_cookies()
    page.goto("/admin/refunds/refund/")
    log_in(page, person)
    page.get_by_label("Code of the app, or a recovery code").fill(totp(secret, steps=1))
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/admin/refunds/refund/")


def test_what_a_page_asks_for_by_itself_says_so(person, open_page):
    page = open_page(person)
    with page.expect_request("**/views/numbers/") as asked:
        page.goto("/admin/transactions/transaction/")
    assert asked.value.headers["x-by-itself"] == "1"
    with page.expect_request("**/transaction/?*") as searched:
        page.locator("#search").fill("nobody")
    assert "x-by-itself" not in searched.value.headers


@pytest.mark.parametrize(("width", "theme"), [(1360, "light"), (390, "dark")])
def test_these_pages_fit(width, theme, person, open_page, has_key, settings, tmp_path):
    settings.OIDC_ISSUER, settings.OIDC_NAME = "https://id.example.com", "Example ID"
    folder = Path(os.environ.get("SIGN_IN_SCREENS", tmp_path))

    def look(page, name):
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0, name
        page.screenshot(path=folder / f"{name}-{width}-{theme}.png", animations="disabled")

    page = open_page(None, width=width, theme=theme)
    has_key(page)
    page.goto(f"{LOGIN}?ended=idle")
    look(page, "login")
    log_in(page, person)
    page.goto(PROVE)
    look(page, "prove-password")
    page.goto(SECURITY)
    look(page, "security-empty")
    add_passkey(page)
    look(page, "codes")
    page.goto(f"{SECURITY}app/add/")
    look(page, "add-app")
    secret = page.locator(".key code").inner_text()
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Add the app").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    look(page, "add-app-refused")
    page.get_by_label("Code").fill(totp(secret))
    page.get_by_role("button", name="Add the app").click()
    page.goto(SECURITY)
    look(page, "security")
    page.goto(f"{SECURITY}passkeys/add/")
    look(page, "add-passkey")
    page.goto(f"{SECURITY}app/remove/")
    look(page, "remove-app")
    page.goto(PROVE)
    look(page, "prove")
    page.context.clear_cookies()
    page.goto(LOGIN)
    log_in(page, person)
    page.wait_for_url(f"**{SECOND_STEP}")
    look(page, "second-step")
