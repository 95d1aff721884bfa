"""What other sites, other hosts and other frames make a browser of ours do."""

import re
import uuid

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from refunds.models import Refund
from tests.pages import client_of
from tests.refunds_site.test_staff_routes import OF_ACCOUNTS, OF_ALL, address_of, ours  # noqa: F401
from tests.rest import make_person, make_transaction

pytestmark = pytest.mark.django_db

EVIL = "https://evil.example"


def views(resolver: URLResolver | None = None, prefix: str = ""):
    """Route → the view behind every address of the site."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from views(pattern, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback


def test_only_webhooks_and_the_api_take_what_comes_without_a_forms_token():
    """The API checks the token itself wherever the session says who is calling."""
    exempt = {route for route, view in views() if getattr(view, "csrf_exempt", False)}
    assert "webhooks/<slug:processor>/<slug:slug>/" in exempt
    assert not [
        each for each in exempt if not each.startswith(("webhooks/", "^webhooks/", "api/", "^api/"))
    ]


STAFF = sorted({**OF_ACCOUNTS, **OF_ALL})


@pytest.mark.parametrize("name", STAFF)
def test_no_page_of_the_staff_site_takes_the_form_of_another_site(address_of, name):  # noqa: F811
    browser = client_of(make_person("admin", is_superuser=True), enforce_csrf_checks=True)
    answer = browser.post(address_of(name), {"amount": "1.00"}, headers={"origin": EVIL})
    assert answer.status_code == 403
    assert b"CSRF" in answer.content or b"h1" in answer.content


def test_the_session_of_a_browser_needs_the_token_at_the_api_too():
    payment = make_transaction()
    browser = client_of(make_person("admin"), enforce_csrf_checks=True)
    address = f"/api/v1/transactions/{payment.pk}/refunds/"
    values = {"amount": "1.00", "reason": "other"}
    answer = browser.post(
        address, values, "application/json", headers={"origin": EVIL, "idempotency-key": "a"}
    )
    assert answer.status_code == 403
    assert not Refund.objects.exists()


def test_cookies_stay_with_us(settings):
    assert settings.SESSION_COOKIE_SAMESITE == settings.CSRF_COOKIE_SAMESITE == "Lax"
    person = make_person("agent", password="a password of hers")
    values = {"username": person.username, "password": "a password of hers"}
    answer = Client().post(reverse("admin:login"), values)
    session = answer.cookies[settings.SESSION_COOKIE_NAME]
    assert session["httponly"]
    assert session["samesite"] == "Lax"
    assert not session["domain"]


@pytest.mark.parametrize("address", ["/admin/login/", "/admin/", "/api/v1/refunds/", "/nothing/"])
def test_no_answer_is_shown_in_a_frame_or_guessed_at(address):
    answer = client_of(make_person("admin")).get(address)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


NEXT = [
    "https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example", "\\\\evil.example",
    "http:evil.example", "https:evil.example", "javascript:alert(1)", "data:text/html,x", "/\t/evil.example",
    "\x00//evil.example", " //evil.example", "//evil.example@127.0.0.1/", "https://testserver@evil.example",
    "https://testserver.evil.example/", "//testserver:80@evil.example", "%2f%2fevil.example", "/%5cevil.example",
    "https://evil.example\\@testserver/", "//\uff45vil.example/", "http://[::1]/",
]  # fmt: skip


@pytest.mark.parametrize("place", NEXT)
def test_signing_in_leads_nowhere_else(place):
    person = make_person("agent", password="a password of hers")
    values = {"username": person.username, "password": "a password of hers", "next": place}
    answer = Client().post(reverse("admin:login"), values)
    assert answer.status_code == 302
    assert re.match(r"/(?![/\\])|%2f", answer["Location"], re.IGNORECASE), answer["Location"]


@pytest.mark.parametrize("place", NEXT)
def test_no_button_leads_elsewhere_by_its_address(place):
    payment = make_transaction()
    browser = client_of(make_person("admin"))
    page = f"/admin/transactions/transaction/{payment.pk}"
    values = {"text": "Hello.", "next": place, "return": place, "HTTP_REFERER": place}
    answer = browser.post(f"{page}/note/", values, QUERY_STRING="next=x", headers={"referer": EVIL})
    assert answer["Location"] == f"{page}/change/"


HOSTS = ["evil.example", "testserver.evil.example", "testserver@evil.example", "evil.example:80", "",
         "testserver:80@evil.example", "a b", "testserver/../evil", "testserver\u3002evil"]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_no_other_host_is_answered(host):
    for address in ("/", "/admin/login/", "/api/v1/refunds/"):
        answer = Client().get(address, headers={"host": host or "evil.example"})
        assert answer.status_code == 400
        assert b"evil" not in answer.content


def test_what_a_proxy_says_of_the_host_is_not_believed():
    browser = client_of(make_person("admin"))
    headers = {"x-forwarded-host": "evil.example", "x-original-url": "/evil", "x-rewrite-url": "/evil",
               "forwarded": "host=evil.example", "x-host": "evil.example"}  # fmt: skip
    for address in ("/", "/admin/", "/api/v1/transactions/", "/api/v1/schema/"):
        answer = browser.get(address, headers=headers)
        assert answer.status_code in {200, 302}
        assert "evil" not in answer.content.decode() + str(answer.headers)


def test_a_page_in_one_language_is_not_kept_for_another():
    """Whatever is drawn in the reader's language says so, and no cache keeps what is private."""
    browser = client_of(make_person("admin"))
    for address in ("/admin/login/", "/admin/", "/api/v1/transactions/"):
        answer = browser.get(address, headers={"accept-language": "pl"})
        vary = answer.get("Vary", "").lower()
        assert "accept-language" in vary or "no-store" in answer["Cache-Control"]
        assert "cookie" in vary or "no-store" in answer["Cache-Control"]
    odd = browser.get("/admin/", headers={"accept-language": "../../etc;q=1, <script>;q=1"})
    assert 'lang="en"' in odd.content.decode()


def test_a_chosen_language_is_one_of_ours():
    for code in ("../../../etc/passwd", "xx", "<script>", "a" * 5_000):
        browser = client_of(make_person("admin"))
        browser.cookies[settings.LANGUAGE_COOKIE_NAME] = code
        assert 'lang="en"' in browser.get("/admin/").content.decode()


def test_the_same_dialog_in_two_tabs_is_one_refund():
    payment = make_transaction()
    browser = client_of(make_person("agent"))
    values = {
        "amount": "10.00", "reason": "other", "token": str(uuid.uuid4()),
        "expected_refundable": "100.00",
    }  # fmt: skip
    address = f"/admin/transactions/transaction/{payment.pk}/refund/"
    for _tab in range(2):
        assert browser.post(address, values).status_code == 302
    assert Refund.objects.count() == 1
