"""Lists: the order in which they are read, their pages, and cursors that resume anywhere."""

from datetime import UTC, datetime, timedelta

import pytest

from gateways.errors import OutcomeUnknown
from gateways.hardened_xml import text_of

from . import authorizenet_wire as wire
from .authorizenet_wire import open_gateway, sent

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = datetime(2026, 3, 8, tzinfo=UTC)
FULL_PAGE = 1000


@pytest.fixture
def gateway(processor):
    return open_gateway(processor)


def rows(first, count=FULL_PAGE):
    return [wire.row(str(first + n)) for n in range(count)]


def ids(page):
    return [payment.external_id for payment in page.records]


def script_two_batches(processor):
    processor.then(wire.unsettled(wire.row("1001", "capturedPendingSettlement")))
    processor.then(wire.batches(("9", "2026-03-03T08:00:00Z"), ("7", "2026-03-02T08:00:00Z")))
    processor.then(wire.batch(wire.row("1002")))
    processor.then(wire.batch(wire.row("1003"), wire.row("1004", "declined")))


def test_unsettled_come_first_then_the_batches_oldest_first(processor, gateway):
    script_two_batches(processor)
    pages = list(gateway.list_payments(SINCE, UNTIL))
    assert [ids(page) for page in pages] == [["1001"], ["1002"], ["1003", "1004"]]
    assert [bool(page.cursor) for page in pages] == [True, True, False]
    requests = [sent(processor, n) for n in range(4)]
    assert [request.tag for request in requests] == [
        "getUnsettledTransactionListRequest",
        "getSettledBatchListRequest",
        "getTransactionListRequest",
        "getTransactionListRequest",
    ]
    assert text_of(requests[0], "sorting/orderDescending") == "true"
    assert text_of(requests[0], "paging/limit") == "1000"
    assert text_of(requests[1], "firstSettlementDate") == "2026-03-01T00:00:00Z"
    assert text_of(requests[1], "lastSettlementDate") == "2026-03-08T00:00:00Z"
    assert [text_of(request, "batchId") for request in requests[2:]] == ["7", "9"]


def test_settled_payments_know_when_their_batch_settled(processor, gateway):
    script_two_batches(processor)
    unsettled, first, second = gateway.list_payments(SINCE, UNTIL)
    assert unsettled.records[0].settled_at is None
    assert first.records[0].settled_at == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert [payment.settled_at is None for payment in second.records] == [False, True]


def test_reads_share_a_connection(processor, gateway):
    script_two_batches(processor)
    list(gateway.list_payments(SINCE, UNTIL))
    assert {request.headers["connection"] for request in processor.received} == {"keep-alive"}


def test_a_full_page_is_followed_by_another(processor, gateway):
    processor.then(wire.unsettled(*rows(1000)))
    processor.then(wire.unsettled(*rows(5000, 1)))
    processor.then(wire.batches(("7", "2026-03-02T08:00:00Z")))
    processor.then(wire.batch(*rows(6000)))
    processor.then(wire.batch())
    pages = list(gateway.list_payments(SINCE, UNTIL))
    assert [len(page.records) for page in pages] == [1000, 1, 1000, 0]
    assert [text_of(sent(processor, n), "paging/offset") for n in (0, 1, 3, 4)] == list("1212")


@pytest.mark.parametrize("stop_after", [1, 2, 3, 4])
def test_every_cursor_resumes_after_its_page(processor, gateway, stop_after):
    waiting = [wire.unsettled(*rows(1000)), wire.unsettled(*rows(5000, 1))]
    found = wire.batches(("7", "2026-03-02T08:00:00Z"), ("9", "2026-03-03T08:00:00Z"))
    settled = [wire.batch(*rows(6000)), wire.batch(*rows(7000, 1)), wire.batch(*rows(8000, 1))]
    for body in (*waiting, found, *settled):
        processor.then(body)
    pages = list(gateway.list_payments(SINCE, UNTIL))

    for body in (*waiting[stop_after:], found, *settled[max(0, stop_after - 2) :]):
        processor.then(body)
    resumed = list(gateway.list_payments(SINCE, UNTIL, pages[stop_after - 1].cursor))
    assert [ids(page) for page in resumed] == [ids(page) for page in pages[stop_after:]]
    assert resumed[-1].cursor == ""
    assert processor.script == []


def test_a_cursor_outlives_its_batch(processor, gateway):
    processor.then(wire.batches())
    cursor = "settled 2026-03-02T08:00:00+00:00 7 1"
    (page,) = gateway.list_payments(SINCE, UNTIL, cursor)
    assert (page.records, page.cursor) == ((), "")
    assert text_of(sent(processor), "firstSettlementDate") == "2026-03-02T08:00:00Z"


def test_a_long_window_is_read_in_spans_that_the_processor_allows(processor, gateway):
    processor.then(wire.unsettled())
    edge = "2026-04-01T00:00:00Z"  # reported by both spans that it belongs to
    processor.then(wire.batches(("7", edge)))
    processor.then(wire.batches(("7", edge), ("9", "2026-04-02T08:00:00Z")))
    processor.then(wire.batches())
    processor.then(wire.batch(wire.row("1001")))
    processor.then(wire.batch(wire.row("1002")))
    pages = list(gateway.list_payments(SINCE, SINCE + timedelta(days=70)))
    assert [ids(page) for page in pages] == [[], ["1001"], ["1002"]]
    spans = [
        (
            text_of(sent(processor, n), "firstSettlementDate")[:10],
            text_of(sent(processor, n), "lastSettlementDate")[:10],
        )
        for n in (1, 2, 3)
    ]
    assert spans == [
        ("2026-03-01", "2026-04-01"),
        ("2026-04-01", "2026-05-02"),
        ("2026-05-02", "2026-05-10"),
    ]


def test_one_bad_row_is_rejected_and_the_rest_is_there(processor, gateway):
    processor.then(
        wire.unsettled(
            wire.row("1001", "somethingNew"),
            wire.row("1002", amount="1.234"),
            wire.row("1003").replace("2026-03-01T10:00:00.123Z", "yesterday"),
            wire.row(""),
            wire.row("1005"),
        )
    )
    processor.then(wire.batches())
    page = next(gateway.list_payments(SINCE, UNTIL))
    assert ids(page) == ["1005"]
    assert [bad.external_id for bad in page.rejected] == ["1001", "1002", "1003", ""]
    assert "somethingNew" in page.rejected[0].reason
    assert "1.234" in page.rejected[1].reason
    assert "yesterday" in page.rejected[2].reason


def test_refunds_are_not_listed_as_payments(processor, gateway):
    processor.then(
        wire.unsettled(
            wire.row("1001"),
            wire.row("2002", "refundPendingSettlement"),
            wire.row("2003", "refundSettledSuccessfully"),
        )
    )
    processor.then(wire.batches())
    assert ids(next(gateway.list_payments(SINCE, UNTIL))) == ["1001"]


def test_what_lists_do_not_tell_apart_is_looked_up(processor, gateway):
    refund = {"kind": "refundTransaction", "original": "1001"}
    processor.then(
        wire.unsettled(
            wire.row("1001", "voided"), wire.row("2002", "voided"), wire.row("1003", "voided")
        )
    )
    processor.then(wire.details("1001", "voided"))
    processor.then(wire.details("2002", "voided", **refund))
    processor.then(wire.error("E00040"))
    page = next(gateway.list_payments(SINCE, UNTIL))
    assert ids(page) == ["1001"]
    assert page.records[0].has_details
    assert [bad.external_id for bad in page.rejected] == ["1003"]


def test_a_page_that_fails_leaves_what_was_yielded(processor, gateway):
    processor.then(wire.unsettled(wire.row("1001")))
    processor.then(wire.error("E00001"))
    pages = gateway.list_payments(SINCE, UNTIL)
    assert ids(next(pages)) == ["1001"]
    with pytest.raises(OutcomeUnknown, match="E00001"):
        next(pages)


@pytest.mark.parametrize("bad", [("7", "soon"), ("seven", "2026-03-02T08:00:00Z")])
def test_a_batch_that_cannot_be_read_is_never_skipped(processor, gateway, bad):
    processor.then(wire.unsettled())
    processor.then(wire.batches(bad))
    with pytest.raises(OutcomeUnknown, match="batch"):
        list(gateway.list_payments(SINCE, UNTIL))
