"""Order, bounds and places."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateways.sandbox.timeline import Timeline

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Row:
    at: datetime | None
    serial: int


def rows_of(minutes):
    return [
        Row(None if minute is None else START + timedelta(minutes=minute), serial)
        for serial, minute in enumerate(minutes, start=1)
    ]


def moment(row):
    return row.at


@given(
    st.lists(st.none() | st.integers(0, 20), max_size=30),
    st.none() | st.integers(0, 21),
    st.none() | st.integers(0, 21),
)
def test_a_span_holds_exactly_what_lies_in_it(minutes, since, until):
    rows = rows_of(minutes)
    line = Timeline(moment, rows[::2])
    for row in rows[1::2]:
        line.add(row)
    first = None if since is None else START + timedelta(minutes=since)
    last = None if until is None else START + timedelta(minutes=until)
    inside = [
        row
        for row in rows
        if row.at and (first is None or row.at >= first) and (last is None or row.at < last)
    ]
    inside.sort(key=lambda row: (row.at, row.serial))
    assert line.at(line.span(first, last)) == inside
    assert [line.position(row) for row in inside] == list(line.span(first, last))


def test_a_record_leaves_before_it_changes_and_comes_back_in_its_place():
    rows = rows_of([1, 2, 3])
    line = Timeline(moment, rows)
    line.discard(rows[0])
    rows[0].at = START + timedelta(minutes=9)
    line.add(rows[0])
    assert line.at(line.span()) == [rows[1], rows[2], rows[0]]
    assert line.at(line.span()[::-1]) == [rows[0], rows[2], rows[1]]


def test_what_has_no_moment_is_not_in_it():
    (row,) = rows_of([None])
    line = Timeline(moment, [row])
    line.add(row)
    line.discard(row)
    assert (len(line), line.position(row)) == (0, None)
