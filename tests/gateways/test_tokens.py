import time
from threading import Event, Thread

import pytest

from gateways import tokens
from gateways.errors import NotSent
from gateways.tokens import TokenCache


class Fetch:
    """Gives out token-1, token-2, …"""

    def __init__(self, seconds=3600):
        self.seconds = seconds
        self.count = 0

    def __call__(self):
        self.count += 1
        return f"token-{self.count}", self.seconds


def test_a_token_is_fetched_once():
    cache, fetch = TokenCache(), Fetch()
    assert [cache.get("login", fetch) for _ in range(3)] == ["token-1"] * 3
    assert fetch.count == 1


def test_logins_have_tokens_of_their_own():
    cache, fetch = TokenCache(), Fetch()
    assert (cache.get("a", fetch), cache.get("b", fetch)) == ("token-1", "token-2")


def test_a_token_is_given_up_before_it_ends():
    cache, fetch = TokenCache(), Fetch(seconds=tokens._MARGIN_SECONDS)
    assert (cache.get("login", fetch), cache.get("login", fetch)) == ("token-1", "token-2")


def test_a_token_that_was_turned_away_is_fetched_anew_once():
    cache, fetch = TokenCache(), Fetch()
    cache.get("login", fetch)
    cache.forget("login", "token-1")
    assert cache.get("login", fetch) == "token-2"
    cache.forget("login", "token-1")  # another thread, whose answer came late
    cache.forget("nobody", "token-1")
    assert cache.get("login", fetch) == "token-2"


def test_an_error_is_passed_on_and_nothing_is_kept():
    cache = TokenCache()

    def fail():
        raise NotSent("no", reason="credentials")

    with pytest.raises(NotSent, match="no"):
        cache.get("login", fail)
    assert cache.get("login", Fetch()) == "token-1"


def test_threads_with_one_login_share_one_fetch(monkeypatch):
    cache, fetch = TokenCache(), Fetch()
    may_go = Event()

    def slow():
        assert may_go.wait(10)
        return fetch()

    got = []
    threads = [Thread(target=lambda: got.append(cache.get("login", slow))) for _ in range(8)]
    for thread in threads:
        thread.start()
    may_go.set()
    for thread in threads:
        thread.join(10)
    assert got == ["token-1"] * 8
    assert fetch.count == 1


def test_nobody_waits_for_ever_for_somebody_elses_fetch(monkeypatch):
    monkeypatch.setattr(tokens, "_LOCK_SECONDS", 0.05)
    cache = TokenCache()
    inside, may_go = Event(), Event()

    def hang():
        inside.set()
        may_go.wait(10)
        return "late", 3600

    thread = Thread(target=cache.get, args=("login", hang))
    thread.start()
    assert inside.wait(10)
    begun = time.monotonic()
    with pytest.raises(NotSent) as caught:
        cache.get("login", Fetch())
    assert caught.value.reason == "unreachable"
    assert time.monotonic() - begun < 5
    may_go.set()
    thread.join(10)
    assert cache.get("login", Fetch()) == "late"
