from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from tests.rest import assert_problem, client_of, make_account, make_refund, make_transaction

pytestmark = pytest.mark.django_db

LIST = "/api/v1/transactions/"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def rows():
    """Ten payments, newest first; several of the same moment."""
    account = make_account()
    moments = [NOON - timedelta(minutes=n // 3) for n in range(10)]
    made = [make_transaction(account, created_at=moment) for moment in moments]
    return sorted(made, key=lambda row: (row.created_at, row.pk), reverse=True)


def walk(client, address, link="next"):
    """The ids of every page from this address on."""
    pages = []
    while address:
        page = client.get(address).json()
        pages.append([row["id"] for row in page["results"]])
        address = page[link]
    return pages, page


@pytest.mark.parametrize("size", [1, 3, 4, 10, 200])
@pytest.mark.parametrize("ordering", ["-created_at", "created_at"])
def test_pages_meet_without_gap_or_overlap_there_and_back(rows, size, ordering):
    client = client_of("viewer")
    ids = [row.pk for row in rows]
    if ordering == "created_at":
        ids.reverse()
    expected = [ids[start : start + size] for start in range(0, 10, size)]
    pages, last = walk(client, f"{LIST}?page_size={size}&ordering={ordering}")
    assert pages == expected
    if len(pages) > 1:
        back, first = walk(client, last["previous"], "previous")
        assert [*reversed(back), pages[-1]] == pages
        assert first["previous"] is None
        assert first["next"]


def test_new_rows_do_not_move_what_was_read(rows):
    client = client_of("viewer")
    first = client.get(f"{LIST}?page_size=5").json()
    make_transaction(rows[0].account, created_at=NOON + timedelta(days=1))
    second = client.get(first["next"]).json()
    seen = [row["id"] for row in first["results"] + second["results"]]
    assert seen == [row.pk for row in rows]


def test_links_keep_the_filters(rows):
    client = client_of("viewer")
    page = client.get(f"{LIST}?page_size=2&status=settled&search=ch_").json()
    assert "status=settled" in page["next"]
    assert "search=ch_" in page["next"]
    assert urlsplit(page["next"]).path == LIST


def test_an_empty_list_and_a_page_beyond_the_end():
    client = client_of("viewer")
    assert client.get(LIST).json() == {"next": None, "previous": None, "results": []}
    only = make_transaction()
    beyond = f"older.0.{only.pk}"
    page = client.get(f"{LIST}?cursor={beyond}").json()
    assert page == {"next": None, "previous": None, "results": []}


@pytest.mark.parametrize(
    "size", ["abc", "0", "-1", "1.5", "1e3", "١", "%00", "9" * 5000, "+5", " 5"]
)
def test_a_page_size_that_is_none_is_400(size):
    document = assert_problem(client_of("viewer").get(f"{LIST}?page_size={size}"), 400)
    assert list(document["errors"]) == ["page_size"]


@pytest.mark.parametrize(("asked", "given"), [("", 50), ("1", 1), ("200", 200), ("100000", 200)])
def test_a_page_has_at_most_200_rows(asked, given):
    account = make_account()
    for _ in range(205):
        make_transaction(account)
    page = client_of("viewer").get(f"{LIST}?page_size={asked}").json()
    assert len(page["results"]) == given


@pytest.mark.parametrize(
    "cursor",
    ["x", "%00", "older", "older.1", "older.x.1", "older.1.x", "sideways.1.1", "é", "a" * 5000,
     f"older.{'9' * 400}.1", "older.1.%00"],
)  # fmt: skip
def test_a_cursor_that_is_none_is_400(cursor):
    document = assert_problem(client_of("viewer").get(f"{LIST}?cursor={cursor}"), 400)
    assert list(document["errors"]) == ["cursor"]


@pytest.mark.parametrize("cursor", [f"older.1.{'9' * 30}", f"newer.{-(10**17)}.1", "newer.1.-1"])
def test_a_cursor_at_the_edge_is_a_page(cursor):
    assert client_of("viewer").get(f"{LIST}?cursor={cursor}").status_code in {200, 400}


@pytest.mark.parametrize("ordering", ["amount", "-amount", "id", "created_at,id", "-", "%00"])
def test_an_order_without_an_index_is_400(ordering):
    document = assert_problem(client_of("viewer").get(f"{LIST}?ordering={ordering}"), 400)
    assert list(document["errors"]) == ["ordering"]


def test_refunds_notes_and_accounts_page_the_same_way():
    client = client_of("agent")
    transaction = make_transaction()
    for number in range(3):
        make_refund(transaction, 100)
        client.post(f"{LIST}{transaction.pk}/notes/", {"text": f"note {number}"})
        make_account()
    for address in ("/api/v1/refunds/", f"{LIST}{transaction.pk}/notes/", "/api/v1/accounts/"):
        whole = client.get(address).json()["results"]
        pages = []
        page = {"next": f"{address}?page_size=1"}
        while page["next"]:
            page = client.get(page["next"]).json()
            pages += page["results"]
        assert pages == whole
        assert len(whole) >= 3
