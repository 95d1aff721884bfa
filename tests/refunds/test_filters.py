from datetime import timedelta, timezone

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from refunds.models import Refund
from refunds.services import cancel_refund
from tests.refunds.raw import triggers_off
from tests.rest import (
    assert_problem,
    client_of,
    make_account,
    make_case,
    make_person,
    make_refund,
    make_transaction,
)
from transactions.models import Transaction

pytestmark = pytest.mark.django_db

REFUNDS = "/api/v1/refunds/"
TRANSACTIONS = "/api/v1/transactions/"


@pytest.fixture
def client():
    return client_of("viewer")


@pytest.fixture
def found(client):
    """The ids of every row that a filter leaves."""

    def found(address, **query):
        response = client.get(address, query)
        assert response.status_code == 200, response.content
        return {row["id"] for row in response.json()["results"]}

    return found


def test_refunds_by_status_transaction_account_and_origin(found):
    first, second = make_transaction(), make_transaction(make_account("nmi-main", "nmi"))
    person = make_person("manager")
    queued = make_refund(first, 100, person)
    canceled = cancel_refund(make_refund(second, 100, person), actor=person)
    assert found(REFUNDS, status="queued") == {str(queued.pk)}
    assert found(REFUNDS, status="canceled") == {str(canceled.pk)}
    assert found(REFUNDS, transaction=first.pk) == {str(queued.pk)}
    assert found(REFUNDS, transaction="9" * 19) == set()
    assert found(REFUNDS, account="nmi-main") == {str(canceled.pk)}
    assert found(REFUNDS, origin="staff") == {str(queued.pk), str(canceled.pk)}
    assert found(REFUNDS, origin="external") == set()


def test_refunds_by_time(found):
    refund = make_refund(make_transaction(), 100)
    moment, later = refund.created_at, refund.created_at + timedelta(microseconds=1)
    assert found(REFUNDS, created_after=moment.isoformat()) == {str(refund.pk)}
    assert found(REFUNDS, created_after=later.isoformat()) == set()
    assert found(REFUNDS, created_before=moment.isoformat()) == set()
    assert found(REFUNDS, created_before=later.isoformat()) == {str(refund.pk)}
    far = moment.astimezone(timezone(timedelta(hours=-23)))
    assert found(REFUNDS, created_after=far.isoformat()) == {str(refund.pk)}


def test_what_needs_attention(found):
    calm, loud = make_transaction(), make_transaction()
    quiet, flagged = make_refund(calm, 100), make_refund(loud, 100)
    make_case(flagged, "returned")
    assert found(REFUNDS, needs_attention="true") == {str(flagged.pk)}
    assert found(REFUNDS, needs_attention="false") == {str(quiet.pk)}
    assert found(TRANSACTIONS, needs_attention="true") == {loud.pk}
    assert found(TRANSACTIONS, needs_attention="false") == {calm.pk}


def test_transactions_with_a_refund_that_failed(found):
    bare, canceled, failed = make_transaction(), make_transaction(), make_transaction()
    person = make_person("manager")
    cancel_refund(make_refund(canceled, 100, person), actor=person)
    refund = make_refund(failed, 100)
    with triggers_off():
        Refund.objects.filter(pk=refund.pk).update(status="failed")
        Transaction.objects.filter(pk=failed.pk).update(reserved_minor=0)
    assert found(TRANSACTIONS, refund_failed="true") == {failed.pk}
    assert found(TRANSACTIONS, refund_failed="false") == {bare.pk, canceled.pk}


@pytest.mark.parametrize(
    "query",
    [
        {"status": "done"},
        {"transaction": "abc"},
        {"transaction": "1.5"},
        {"transaction": "-1"},
        {"transaction": "9" * 20},
        {"transaction": "\x00"},
        {"account": "none"},
        {"origin": "me"},
        {"needs_attention": "yes"},
        {"created_after": "now"},
        {"created_after": "0001-01-01T00:00:00+14:00"},
        {"created_before": "9999-12-31T23:59:59-14:00"},
    ],
    ids=str,
)
def test_a_filter_that_cannot_be_is_400_by_name(client, query):
    assert list(assert_problem(client.get(REFUNDS, query), 400)["errors"]) == list(query)


def test_a_page_costs_the_same_number_of_queries_however_long_it_is(client):
    account = make_account()
    client.get(REFUNDS)
    counts = []
    for _ in range(2):
        for _ in range(5):
            make_refund(make_transaction(account), 100)
        with CaptureQueriesContext(connection) as queries:
            client.get(REFUNDS)
        counts.append(len(queries))
        assert not any("count(" in query["sql"].lower() for query in queries)
    # The token, its accounts, one for the person's rights, the page, attempts and rulings.
    assert counts == [6, 6]
