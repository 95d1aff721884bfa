"""What pages may load and run."""

import base64
import hashlib
import re

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import path

from refunds_site.urls import urlpatterns as ours
from tests.pages import client_of
from tests.rest import make_person, make_transaction


def use_nonce(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f'<script nonce="{request.csp_nonce}">1</script>')


urlpatterns = [path("portal/a-page/", use_nonce), *ours]


def directives(response) -> dict[str, list[str]]:
    parts = response["Content-Security-Policy"].split("; ")
    return {name: values for name, *values in (part.split() for part in parts)}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address", ["/", "/nothing/", "/portal/", "/admin/login/", "/admin/nothing/", "/api/v1/refunds/",
                "/api/v1/docs/", "/api/v1/schema/", "/webhooks/stripe/x/"],
)  # fmt: skip
def test_every_answer_has_a_policy(client, address):
    policy = directives(client.get(address))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert "'unsafe-inline'" not in policy["script-src"]
    assert not [source for values in policy.values() for source in values if "http" in source]
    assert ("'unsafe-eval'" in policy["script-src"]) == address.startswith("/admin/")


@pytest.mark.urls("tests.refunds_site.test_content_policy")
def test_a_page_outside_the_staff_site_runs_what_bears_its_nonce(client):
    first, second = (client.get("/portal/a-page/") for _ in range(2))
    [nonce] = re.findall('nonce="(.+?)"', first.content.decode())
    assert directives(first)["script-src"] == ["'self'", f"'nonce-{nonce}'"]
    assert nonce not in second.content.decode()


@pytest.mark.django_db
def test_the_colours_of_a_page_are_those_that_its_policy_knows():
    """After a change of colours, or of django-unfold, the new hash belongs into the policy."""
    payment = make_transaction()
    browser = client_of(make_person("admin"))
    for address in ("/admin/", f"/admin/transactions/transaction/{payment.pk}/change/"):
        response = browser.get(address)
        styles = re.findall(r"<style\b[^>]*>(.*?)</style>", response.content.decode(), re.DOTALL)
        assert len(styles) == 1
        digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in directives(response)["style-src"]


@pytest.mark.django_db
def test_no_page_holds_code():
    payment = make_transaction()
    browser = client_of(make_person("admin"))
    for address in (
        "/admin/", "/admin/transactions/transaction/", "/admin/gateways/processoraccount/add/",
        f"/admin/transactions/transaction/{payment.pk}/refund/", "/admin/access/apitoken/",
        "/admin/auth/user/add/", "/admin/campaigns/campaign/new/", "/admin/me/",
    ):  # fmt: skip
        html = browser.get(address).content.decode()
        assert not re.findall(r"<script(?![^>]*\b(?:src|type=.application/json))[^>]*>", html)
        assert not re.findall(r"<[^>]+\s(on[a-z]+)=", html), address
