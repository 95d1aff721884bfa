from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import ApiToken
from tests.rest import (
    assert_problem,
    client_of,
    client_with,
    make_account,
    make_person,
    make_token,
    make_transaction,
)

pytestmark = pytest.mark.django_db

LIST = "/api/v1/transactions/"


def test_a_valid_token_is_its_person():
    assert client_of("viewer").get(LIST).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "Token",
        "Token rd_nobody-made-this-one",
        "Token two words",
        "Token \xff\xfe",
        "Token \x00",
        "Bearer rd_another-scheme",
        "Basic dXNlcjpwYXNz",
        "Token " + "x" * 5000,
    ],
)
def test_anything_else_is_401_and_says_how_to_sign_in(header):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)
    response = client.get(LIST)
    assert_problem(response, 401)
    assert response["WWW-Authenticate"] == "Token"


def test_without_a_header_it_is_401():
    assert_problem(APIClient().get(LIST), 401, "not_authenticated")


def test_a_revoked_token_is_401():
    token, key = make_token(make_person("admin"))
    token.revoke()
    assert_problem(client_with(key).get(LIST), 401, "authentication_failed")


def test_a_token_of_somebody_switched_off_is_401():
    person = make_person("admin")
    client = client_with(make_token(person)[1])
    person.is_active = False
    person.save()
    assert_problem(client.get(LIST), 401)


def test_a_token_of_somebody_who_left_the_staff_is_403():
    person = make_person("admin", is_staff=False)
    assert_problem(client_with(make_token(person)[1]).get(LIST), 403)


def test_a_key_is_stored_as_its_hash_only():
    token, key = make_token(make_person("viewer"))
    stored = ApiToken.objects.values().get(pk=token.pk)
    assert key not in str(stored)
    assert stored["digest"] == ApiToken.digest_of(key)


def test_use_is_noted_at_most_once_a_minute(django_assert_num_queries):
    token, key = make_token(make_person("viewer"))
    client = client_with(key)
    client.get(LIST)
    first = ApiToken.objects.get(pk=token.pk).last_used_at
    assert timezone.now() - first < timedelta(minutes=1)
    client.get(LIST)
    assert ApiToken.objects.get(pk=token.pk).last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    client.get(LIST)
    assert ApiToken.objects.get(pk=token.pk).last_used_at > first


def test_scopes_narrow_what_the_person_may():
    reads = client_of("manager", scopes=["read"])
    assert reads.get(LIST).status_code == 200
    address = f"{LIST}{make_transaction().pk}/notes/"
    assert_problem(reads.post(address, {"text": "hello"}), 403, "permission_denied")
    writes = client_of("manager", scopes=["notes"])
    assert writes.post(address, {"text": "hello"}).status_code == 201
    assert_problem(writes.get(LIST), 403)


def test_a_scope_gives_nothing_that_the_person_may_not():
    client = client_of("viewer", scopes=["read", "notes", "refund", "approve"])
    assert_problem(client.post(f"{LIST}{make_transaction().pk}/notes/", {"text": "no"}), 403)


def test_a_token_limited_to_accounts_sees_nothing_else():
    ours, theirs = make_account(), make_account()
    mine, foreign = make_transaction(ours), make_transaction(theirs)
    client = client_of("manager", accounts=[ours])
    rows = client.get(LIST).json()["results"]
    assert [row["id"] for row in rows] == [mine.pk]
    assert_problem(client.get(f"{LIST}{foreign.pk}/"), 404)
    accounts = client.get("/api/v1/accounts/").json()["results"]
    assert [account["slug"] for account in accounts] == [ours.slug]


def test_why_nothing_leaves_through_an_account_is_shown():
    make_account(held_reason="Restored.", paused_reason="Revoked.")
    [account] = client_of("viewer").get("/api/v1/accounts/").json()["results"]
    assert (account["held_reason"], account["paused_reason"]) == ("Restored.", "Revoked.")


def test_an_account_that_limits_a_token_cannot_vanish():
    account = make_account()
    make_token(make_person("viewer"), accounts=[account])
    with pytest.raises(Exception, match="protected"):
        account.delete()


def test_the_staff_session_reads():
    client = APIClient()
    client.force_login(make_person("viewer"))
    assert client.get(LIST).status_code == 200


def test_the_staff_session_writes_with_the_csrf_token_only():
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(make_person("agent"))
    address = f"{LIST}{make_transaction().pk}/notes/"
    assert_problem(client.post(address, {"text": "hello"}), 403, "permission_denied")
    client.cookies["csrftoken"] = "a" * 32
    accepted = client.post(address, {"text": "hello"}, HTTP_X_CSRFTOKEN="a" * 32)
    assert accepted.status_code == 201


def test_a_session_outside_the_staff_is_403():
    client = APIClient()
    client.force_login(make_person("admin", is_staff=False))
    assert_problem(client.get(LIST), 403)


def test_who_guesses_tokens_is_told_to_wait():
    guesser = client_with("rd_wrong")
    for _time in range(60):
        assert guesser.get(LIST).status_code == 401
    refused = guesser.get(LIST)
    assert_problem(refused, 429, "throttled")
    assert refused["Retry-After"] == "60"


def test_a_right_token_behind_the_same_address_goes_on():
    guesser = client_with("rd_wrong")
    for _time in range(61):
        guesser.get(LIST)
    assert client_of("viewer").get(LIST).status_code == 200


def test_without_the_cache_a_wrong_token_is_still_wrong(settings):
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}
    }
    assert client_with("rd_wrong").get(LIST).status_code == 401
    assert client_of("viewer").get(LIST).status_code == 200
