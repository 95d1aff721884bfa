import pytest

from tests.rest import assert_problem, client_of, make_transaction

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("address", ["transactions/", "refunds/", "accounts/"])
def test_a_filter_that_does_not_exist_is_400(address):
    response = client_of("viewer").get(f"/api/v1/{address}?refundstate=full")
    assert list(assert_problem(response, 400)["errors"]) == ["refundstate"]


@pytest.mark.parametrize("name", ["status", "page_size", "search"])
def test_a_filter_given_twice_is_400(name):
    response = client_of("viewer").get(f"/api/v1/transactions/?{name}=50&{name}=60")
    assert list(assert_problem(response, 400)["errors"]) == [name]


@pytest.mark.parametrize("blank", ["", "%20", "%09%20"])
@pytest.mark.parametrize(
    "address",
    [
        "transactions/?customer=",
        "transactions/?search=",
        "transactions/?amount_min=",
        "refunds/?account=",
        "refunds/?status=",
        "refunds/?created_after=",
        "attention/?owner=",
    ],
)
def test_a_filter_left_empty_is_400(address, blank):
    response = client_of("approver").get(f"/api/v1/{address}{blank}")
    name = address.partition("?")[2].rstrip("=")
    assert list(assert_problem(response, 400)["errors"]) == [name]


def test_the_first_page_may_be_asked_for_by_an_empty_cursor():
    row = make_transaction()
    page = client_of("viewer").get("/api/v1/transactions/?cursor=&ordering=&page_size=").json()
    assert [one["id"] for one in page["results"]] == [row.pk]


def test_filters_are_for_lists_only():
    row = make_transaction(status="settled")
    address = f"/api/v1/transactions/{row.pk}/?status=failed"
    assert client_of("viewer").get(address).status_code == 200
