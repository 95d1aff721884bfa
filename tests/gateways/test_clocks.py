import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count

import pytest

from gateways import clocks
from gateways.transport import Transport

from .raw_server import raw_server

_accounts = count(1)


@pytest.fixture
def account():
    return f"account-{next(_accounts)}"


def alarms(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == clocks.__name__]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_minutes_away_raises_one_alarm(account, caplog, minutes):
    with raw_server() as server:
        date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
        answer = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n"
        server.plays = [server.answer(answer.encode())]
        transport = Transport(account=account)
        for _ in range(3):
            assert transport.send("POST", server.url).status == 200
    (alarm,) = alarms(caplog)
    assert "clock_skew" in alarm
    assert account in alarm
    assert "127.0.0.1" in alarm
    assert str(minutes)[:-1] in alarm


def test_it_comes_again_after_an_hour(account, caplog, monkeypatch):
    now = datetime.now(UTC)
    date = format_datetime(now - timedelta(hours=1), usegmt=True)
    clocks.compare(account, "api.example.com", date, now)
    monkeypatch.setitem(clocks._last_alarms, (account, "api.example.com"), -1e9)
    clocks.compare(account, "api.example.com", date, now)
    assert len(alarms(caplog)) == 2


@pytest.mark.parametrize(
    "date",
    [
        "",
        "soon",
        "Tue, 99 Nov 1994 08:12:31 GMT",
        "Tue, 15 Nov 1994 08:12:31 -0000",
        f"Tue, 15 Nov {'9' * 30} 08:12:31 GMT",
        f"Tue, 15 Nov 1994 08:12:31 +{'9' * 30}",
    ],
)
def test_a_date_that_is_none_says_nothing(account, caplog, date):
    clocks.compare(account, "api.example.com", date, datetime.now(UTC))
    assert alarms(caplog) == []


def test_any_moment_of_a_long_call_is_right(account, caplog):
    asked = datetime.now(UTC) - timedelta(seconds=50)
    for seconds in (0, 25, 50):
        date = format_datetime(asked + timedelta(seconds=seconds), usegmt=True)
        clocks.compare(account, "api.example.com", date, asked)
    assert alarms(caplog) == []


def test_the_moved_clock_of_the_sandbox_is_no_alarm(account, caplog, sandbox):
    body = json.dumps({"advance_seconds": 86_400}).encode()
    Transport().send("POST", f"{sandbox.url}/_sandbox/clock", body=body)
    Transport(account=account).send("GET", f"{sandbox.url}/_sandbox/")
    assert sandbox.ledger.clock.now() > datetime.now(UTC) + timedelta(hours=23)
    assert alarms(caplog) == []
