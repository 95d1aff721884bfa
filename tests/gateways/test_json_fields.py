from datetime import UTC, datetime

import pytest

from gateways.json_fields import (
    integer_at,
    iso_time_at,
    rows_at,
    text_at,
    unix_time_at,
    value_at,
)


@pytest.mark.parametrize("data", [None, 5, "text", [], {}, {"a": None}, {"a": 5}, {"a": []}])
def test_what_is_not_there_is_empty(data):
    assert value_at(data, "a", "b") is None
    assert text_at(data, "a", "b") == ""
    assert rows_at(data, "a", "b") == []


def test_what_is_there_is_found():
    data = {"a": {"b": "text", "n": 5, "rows": [1]}}
    assert text_at(data, "a", "b") == "text"
    assert integer_at(data, "a", "n") == 5
    assert rows_at(data, "a", "rows") == [1]
    assert value_at(data) is data


@pytest.mark.parametrize(
    ("read", "value", "sentence"),
    [
        (text_at, 5, "a.b is not a text"),
        (text_at, {}, "a.b is not a text"),
        (integer_at, None, "a.b is not a whole number"),
        (integer_at, "5", "a.b is not a whole number"),
        (integer_at, 5.0, "a.b is not a whole number"),
        (integer_at, True, "a.b is not a whole number"),
        (rows_at, {}, "a.b is not a list"),
        (unix_time_at, "1", "a.b is not a whole number"),
        (unix_time_at, 10**20, "a.b is not a time"),
        (iso_time_at, None, "a.b is not a time with its zone"),
        (iso_time_at, "yesterday", "a.b is not a time with its zone"),
        (iso_time_at, "2026-01-01T00:00:00", "a.b is not a time with its zone"),
    ],
)
def test_what_is_something_else_is_named(read, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        read({"a": {"b": value}}, "a", "b")


def test_times_are_in_utc():
    moment = datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert unix_time_at({"t": int(moment.timestamp())}, "t") == moment
    for text in ("2026-03-01T10:00:00Z", "2026-03-01T03:00:00-07:00", "2026-03-01T03:00:00-0700"):
        assert iso_time_at({"t": text}, "t") == moment
        assert iso_time_at({"t": text}, "t").utcoffset() == moment.utcoffset()
