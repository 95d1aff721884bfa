"""What browsers are told about pages, files and answers of the API, beside the content policy."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tests.pages import client_of
from tests.rest import client_of as api_of
from tests.rest import make_person, make_transaction

pytestmark = pytest.mark.django_db

OF_ALL = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def assert_guarded(response) -> None:
    for name, value in OF_ALL.items():
        assert response[name] == value, name
    assert "camera=()" in response["Permissions-Policy"]
    assert re.fullmatch(r"([a-z-]+=\(\)(, |$))+", response["Permissions-Policy"])
    assert "publickey" not in response["Permissions-Policy"]  # passkeys go on


def test_pages_of_staff_are_kept_nowhere():
    payment = make_transaction()
    browser = client_of(make_person("admin"))
    for path in (
        "", "transactions/transaction/", f"transactions/transaction/{payment.pk}/change/", "me/",
        f"transactions/transaction/{payment.pk}/refund/", "transactions/transaction/export.csv",
        "nothing/", "gateways/processoraccount/", "jsi18n/",
    ):  # fmt: skip
        response = browser.get(f"/admin/{path}")
        assert_guarded(response)
        assert "no-store" in response["Cache-Control"], path


def test_answers_of_the_api_are_kept_nowhere():
    payment = make_transaction()
    client = api_of("agent")
    for path in ("transactions/", f"transactions/{payment.pk}/", "nothing/", "schema/"):
        response = client.get(f"/api/v1/{path}")
        assert_guarded(response)
        assert response["Cache-Control"] == "no-store", path
    assert client.post(f"/api/v1/transactions/{payment.pk}/refunds/")["Cache-Control"] == "no-store"


def test_neither_is_what_is_said_to_nobody_in_particular():
    for path in ("/", "/admin/", "/admin/login/", "/api/v1/refunds/", "/webhooks/stripe/none/"):
        response = Client().get(path)
        assert_guarded(response)
        assert "no-store" in response["Cache-Control"], path


def test_static_files_are_kept_and_are_nobody_elses():
    response = Client().get("/static/desk/desk.css")
    assert response.status_code == 200
    assert_guarded(response)
    assert "no-store" not in response.get("Cache-Control", "")
