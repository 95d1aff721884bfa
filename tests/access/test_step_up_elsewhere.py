"""Other ways to what the pages ask a proof for."""

import pytest
from rest_framework.test import APIClient

from audit.models import AuditEntry
from refunds.models import ApprovalRule, Refund
from refunds.states import Status
from tests.pages import client_of
from tests.refunds.states import bring
from tests.rest import assert_problem, make_person, make_refund, make_transaction

from .doors import age, log_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def person():
    return make_person("manager", email="stale@example.com")


def set_limit():
    ApprovalRule.objects.create(
        kind="payment", currency="USD", value=1_000, made_by=make_person("manager")
    )


def test_a_request_beyond_the_limit_asks_over_the_api_as_the_dialog_does(person):
    set_limit()
    client = APIClient()
    client.force_login(person)
    age(client, proved_at=301)
    answer = client.post(
        f"/api/v1/transactions/{make_transaction().pk}/refunds/",
        {"amount": "50.00", "reason": "other"},
        headers={"Idempotency-Key": "1"},
    )
    assert_problem(answer, 403, "proof_needed")
    assert not Refund.objects.exists()


def test_trying_again_beyond_the_limit_asks_as_the_dialog_does(person):
    failed = bring(make_refund(make_transaction(), 5_000), Status.FAILED)
    set_limit()
    client = client_of(person)
    age(client, proved_at=301)
    client.post(f"/admin/refunds/refund/{failed.pk}/retry/")
    assert Refund.objects.count() == 1


def test_the_password_is_not_guessed_on_the_page_that_changes_it(client):
    """A stolen session must not find out the password, which is a proof on the page that asks."""
    person = make_person("agent")
    log_in(client, person.username)
    values = {"new_password1": "tausend-Enten-7", "new_password2": "tausend-Enten-7"}
    for number in range(30):
        client.post("/admin/password_change/", values | {"old_password": f"guess {number}"})
    client.post("/admin/password_change/", values | {"old_password": "not a secret"})
    person.refresh_from_db()
    assert not person.check_password("tausend-Enten-7"), "guessed on the 31st try"
    assert AuditEntry.objects.filter(kind="sign_in.proof_failed").exists()
