from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection, connections
from django.db import transaction as database
from django.test import override_settings
from rest_framework.exceptions import Throttled
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from tests.rest import assert_problem, client_of, make_person, make_refund, make_transaction
from transactions.models import Transaction

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "address",
    [
        "/api/",
        "/api/v1/",
        "/api/v2/transactions/",
        "/api/v1/transactions",
        "/api/v1/nothing/",
        "/api/v1/transactions/abc/",
        "/api/v1/transactions/-1/",
        "/api/v1/transactions/1.5/",
        "/api/v1/transactions/%00/",
        "/api/v1/transactions/%2e%2e/",
        "/api/v1/transactions/١/",
        "/api/v1/transactions/0x10/",
        f"/api/v1/transactions/{'9' * 5000}/",
        f"/api/v1/transactions/{'9' * 30}/",
        "/api/v1/transactions/0/",
        "/api/v1/refunds/1/",
        "/api/v1/refunds/00000000-0000-0000-0000-000000000000/",
        "/api/v1/refunds/not-a-uuid/",
        "/api/v1/refunds/%00/",
        f"/api/v1/refunds/{'a' * 5000}/",
        "/api/v1/accounts/1/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_not_there_is_404(address, method):
    response = getattr(client_of("admin"), method)(address)
    if method == "post" and response.status_code == 405:
        return
    assert_problem(response, 404, "not_found")


NOTHING = "There is nothing at this address."


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("/api/v1/nothing/", NOTHING),
        ("/api/v1/refunds/x/", NOTHING),
        ("/webhooks/stripe/", NOTHING),
        ("/api/v1/transactions", f"{NOTHING} Addresses end with a slash."),
        ("/webhooks/stripe/main", f"{NOTHING} Addresses end with a slash."),
    ],
)
def test_a_slash_is_asked_for_where_it_is_missing(address, detail):
    problem = assert_problem(client_of("viewer").get(address), 404, "not_found")
    assert problem["detail"] == detail


@pytest.mark.parametrize(
    "address",
    [
        "transactions/1/",
        "transactions/1/notes/",
        "refunds/00000000-0000-0000-0000-000000000000/",
        "attention/1/",
    ],
)
def test_what_is_not_there_is_said_in_our_words(address):
    problem = assert_problem(client_of("viewer").get(f"/api/v1/{address}"), 404, "not_found")
    assert problem["detail"] == "It is not there, or it belongs to an account that you do not see."


def test_a_ruling_that_is_not_there_is_said_in_our_words():
    refund = make_refund(make_transaction(), 100)
    address = f"/api/v1/refunds/{refund.pk}/rulings/1/confirm/"
    problem = assert_problem(client_of("approver").post(address), 404, "not_found")
    assert problem["detail"].startswith("It is not there, or")


@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace", "post"])
def test_a_method_that_an_address_does_not_have_is_405(method):
    client = client_of("admin")
    for address in ("", "transactions/", f"transactions/{make_transaction().pk}/", "refunds/"):
        response = getattr(client, method)(f"/api/v1/{address}")
        assert_problem(response, 405 if address else 404)
        assert "Allow" in response or not address


def test_head_is_get_without_its_body():
    response = client_of("viewer").head("/api/v1/transactions/")
    assert response.status_code == 200


def test_what_a_client_accepts_does_not_change_the_form_of_problems():
    client = client_of("viewer")
    response = client.get("/api/v1/transactions/", HTTP_ACCEPT="application/xml")
    assert_problem(response, 406, "not_acceptable")
    assert_problem(client.get("/api/v1/transactions/?format=xml"), 404)
    assert_problem(client.get("/api/v1/schema/?format=zip"), 404)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", "--x no boundary was named"),
        ("application/x-www-form-urlencoded", "a=1&" * 501),
    ],
)
def test_a_form_that_the_csrf_check_would_stumble_over_is_415(content_type, body):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(make_person("agent"))
    client.cookies["csrftoken"] = "a" * 32
    address = f"/api/v1/transactions/{make_transaction().pk}/notes/"
    assert_problem(client.generic("POST", address, body, content_type), 415)


def test_a_host_that_is_not_ours_is_400():
    client = APIClient()
    with override_settings(ALLOWED_HOSTS=["desk.example.com"], DEBUG=False):
        assert_problem(client.get("/api/v1/transactions/", HTTP_HOST="evil.example.com"), 400)
        page = client.get("/admin/", HTTP_HOST="evil.example.com")
    assert page.status_code == 400
    assert "problem" not in page["Content-Type"]


def test_our_own_mistake_is_500_without_a_word_of_it(monkeypatch):
    def break_down(*_args, **_kwargs):
        raise RuntimeError("the secret cause")

    monkeypatch.setattr("transactions.api.TransactionViewSet.list", break_down)
    client = client_of("viewer")
    client.raise_request_exception = False
    response = client.get("/api/v1/transactions/")
    assert_problem(response, 500, "server_error")
    assert b"secret" not in response.content


@pytest.mark.django_db(transaction=True)
def test_a_row_that_stays_locked_is_503_and_the_same_request_works_later():
    client = client_of("agent")
    address = f"/api/v1/transactions/{make_transaction().pk}/refunds/"
    wanted = {"amount": "1.00", "reason": "other"}
    held, done = Event(), Event()

    def hold() -> None:
        try:
            with database.atomic():
                Transaction.objects.select_for_update().get()
                held.set()
                done.wait(10)
        finally:
            connections.close_all()

    with connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        other = pool.submit(hold)
        assert held.wait(10)
        cursor.execute("SET lock_timeout = '50ms'")
        response = client.post(address, wanted, HTTP_IDEMPOTENCY_KEY="one")
        cursor.execute("SET lock_timeout = '3s'")
        done.set()
        other.result()
    assert_problem(response, 503, "unavailable")
    assert response["Retry-After"] == "5"
    assert client.post(address, wanted, HTTP_IDEMPOTENCY_KEY="one").status_code == 202


def test_our_own_mistake_on_a_page_is_a_page(monkeypatch):
    client = APIClient(raise_request_exception=False)
    monkeypatch.setattr("django.contrib.auth.views.LoginView.get", None)
    response = client.get("/admin/login/")
    assert response.status_code == 500
    assert "json" not in response["Content-Type"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(Throttled(wait=7), 429, "throttled"), (PermissionDenied("no"), 403, "permission_denied")],
)
def test_errors_of_django_and_of_the_framework_are_problems_too(error, status, code):
    class View(APIView):
        authentication_classes = permission_classes = ()

        def get(self, request):
            raise error

    response = View.as_view()(APIRequestFactory().get("/"))
    response.render()
    assert response.status_code == status
    assert response.data["type"].endswith(code)
    assert response["Content-Type"] == "application/problem+json"
    if status == 429:
        assert response["Retry-After"] == "7"
