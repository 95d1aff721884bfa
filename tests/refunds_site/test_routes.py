"""Who may call what: every route of the API, by every role. A new route needs a row here."""

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from access.models import AccountRole
from access.roles import Role
from tests.rest import (
    client_of,
    make_account,
    make_case,
    make_person,
    make_refund,
    make_ruling,
    make_transaction,
)

PUBLIC = {"api/v1/schema/", "api/v1/docs/"}
CATCH_ALL = "^api/"

V, A, P, M, D = Role.VIEWER, Role.AGENT, Role.APPROVER, Role.MANAGER, Role.ADMIN
EVERYBODY = set(Role)

TRANSACTION = "api/v1/transactions/<int:pk>/"
REFUND = "api/v1/refunds/<uuid:pk>/"
RULING = REFUND + "rulings/<int:ruling>/"
CASE = "api/v1/attention/<int:pk>/"

# Route, method → who may, and what a person who may gets. The refund that the matrix is tried on is
# queued, and was asked for by somebody else, as its ruling and its case are somebody else's.
MATRIX = {
    ("api/v1/accounts/", "get"): (EVERYBODY, 200),
    ("api/v1/transactions/", "get"): (EVERYBODY, 200),
    (TRANSACTION, "get"): (EVERYBODY, 200),
    (TRANSACTION + "notes/", "get"): (EVERYBODY, 200),
    (TRANSACTION + "notes/", "post"): ({A, P, M, D}, 201),
    (TRANSACTION + "refunds/", "post"): ({A, M, D}, 202),
    ("api/v1/refunds/", "get"): (EVERYBODY, 200),
    (REFUND, "get"): (EVERYBODY, 200),
    (REFUND + "cancel/", "post"): ({P, M, D}, 200),
    (REFUND + "retry/", "post"): ({A, M, D}, 200),
    (REFUND + "check/", "post"): ({A, P, M, D}, 409),
    (REFUND + "approval/", "get"): (EVERYBODY, 409),
    (REFUND + "approve/", "post"): ({P, M, D}, 409),
    (REFUND + "reject/", "post"): ({P, M, D}, 409),
    (REFUND + "rulings/", "post"): ({A, P, M, D}, 409),
    (RULING + "confirm/", "post"): ({P, M, D}, 409),
    (RULING + "reject/", "post"): ({P, M, D}, 200),
    ("api/v1/attention/", "get"): (EVERYBODY, 200),
    (CASE, "get"): (EVERYBODY, 200),
    (CASE + "take/", "post"): ({A, P, M, D}, 200),
    (CASE + "accept/", "post"): ({P, M, D}, 200),
    (CASE + "count_as_ours/", "post"): ({P, M, D}, 409),
    (CASE + "let_go/", "post"): ({P, M, D}, 409),
}
BODIES = {
    TRANSACTION + "notes/": {"text": "hello"},
    TRANSACTION + "refunds/": {"amount": "1.00", "reason": "other"},
    REFUND + "rulings/": {"verdict": "did_not", "evidence": "Nothing on the statement."},
}


def routes(resolver=None, prefix=""):
    """Route → the view, for every address of the API."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        elif isinstance(pattern, URLPattern) and route.lstrip("^").startswith("api/"):
            yield route, pattern.callback


def test_every_route_and_method_of_the_api_has_a_row():
    found = set()
    for route, view in routes():
        if route in PUBLIC | {CATCH_ALL}:
            continue
        methods = set(view.actions) & {"get", "post", "put", "patch", "delete"}
        found |= {(route, method) for method in methods}
    assert found == set(MATRIX)


@pytest.mark.parametrize("route", sorted(PUBLIC))
def test_what_the_api_is_like_is_no_secret(route):
    assert APIClient().get(f"/{route}").status_code == 200


@pytest.fixture
def call(db):
    """Call a row of the matrix with a client; objects belong to ``account``."""
    account = make_account("ours")
    transaction = make_transaction(account)
    refund = make_refund(transaction, 100)
    ruling = make_ruling(refund, "did_not", make_person("agent"))
    case = make_case(refund, "made_outside")

    def call(client, route, method):
        row = case if route.startswith(CASE) else transaction
        address = "/" + route.replace("<int:pk>", str(row.pk))
        address = address.replace("<int:ruling>", str(ruling.pk))
        address = address.replace("<uuid:pk>", str(refund.pk))
        body = BODIES.get(route, {}) if method == "post" else None
        return getattr(client, method)(address, body, HTTP_IDEMPOTENCY_KEY="one")

    return call


@pytest.mark.parametrize("row", MATRIX, ids=" ".join)
def test_nobody_gets_in_without_signing_in(call, row):
    response = call(APIClient(), *row)
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("row", MATRIX, ids=" ".join)
def test_a_role_may_what_the_matrix_says(call, row, role):
    roles, status = MATRIX[row]
    response = call(client_of(role), *row)
    assert response.status_code == (status if role in roles else 403), response.content


@pytest.fixture(params=["token", "person"])
def foreign(request, db):
    """Somebody who may everything for another account: by their token, or by their role."""
    theirs = make_account("theirs")
    if request.param == "token":
        return client_of("admin", accounts=[theirs])
    client = client_of("admin")
    [role] = client.person.groups.all()
    AccountRole.objects.create(user=client.person, role=role, account=theirs)
    client.person.groups.clear()
    return client


@pytest.mark.parametrize("row", [row for row in MATRIX if "<" in row[0]], ids=" ".join)
def test_what_belongs_to_another_account_is_not_there(call, row, foreign):
    assert call(foreign, *row).status_code == 404


@pytest.mark.parametrize("row", [row for row in MATRIX if "<" not in row[0]], ids=" ".join)
def test_lists_leave_out_what_belongs_to_another_account(call, row, foreign):
    ours = [
        one
        for one in call(foreign, *row).json()["results"]
        if "ours" in (one.get("account"), one.get("slug"))
    ]
    assert ours == []
    assert call(client_of("admin"), *row).json()["results"]


@pytest.mark.parametrize("row", MATRIX, ids=" ".join)
def test_a_token_without_scopes_may_nothing(call, row):
    assert call(client_of("admin", scopes=[]), *row).status_code == 403
