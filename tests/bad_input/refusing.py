"""What has to be true after bad input, whatever door it came through."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

from django.apps import apps
from django.db import connection
from django.http import HttpResponse
from redis import Redis

from audit.models import AuditEntry
from gateways.sandbox.server import SandboxServer

APPS = ("gateways", "access", "transactions", "refunds", "campaigns", "auth", "admin")
# Signing in and using a token are noted there, whatever is asked for next. Of the audit log, which
# tells of what is refused, refunds has a view.
UNLIKE = {
    *("access.ApiToken", "access.Profile", "auth.User", "auth.Permission"),
    "refunds.AuditLine",
}
QUEUES = ("submit", "sweep", "lookup", "webhook", "bulk", "reports")


class Untouched:
    """Every row, every message and every call to a processor as it was when this was made."""

    def __init__(self, sandbox: SandboxServer, valkey: Redis) -> None:
        self.sandbox, self.valkey = sandbox, valkey
        self.before = self._now()
        self.heard = self._last_entry()

    def check(self) -> None:
        now = self._now()
        for name, value in self.before.items():
            assert now[name] == value, name

    def told(self) -> list[AuditEntry]:
        """What the audit log was told of since this was asked the last time."""
        found = list(AuditEntry.objects.filter(sequence__gt=self.heard))
        self.heard = self._last_entry()
        return found

    def _last_entry(self) -> int:
        return AuditEntry.objects.values_list("sequence", flat=True).last() or 0

    def _now(self) -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.execute(_digests_of_all())
            found: dict[str, Any] = dict(cursor.fetchall())
        with self.sandbox.ledger.lock:
            found["calls"] = len(self.sandbox.ledger.requests)
        return found | {queue: self.valkey.llen(queue) for queue in QUEUES}


@cache
def _digests_of_all() -> str:
    """One statement: the name of each table, and a digest of its rows."""
    tables = [
        model._meta.db_table
        for model in apps.get_models()
        if model._meta.app_label in APPS and model._meta.label not in UNLIKE
    ]
    return " UNION ALL ".join(
        f"SELECT '{name}', md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {name} t"
        for name in tables
    )


def assert_refused(response: HttpResponse, untouched: Untouched) -> str:
    """Refused with a sentence; nothing was written, sent or handed to a worker. The sentence.

    A program gets a problem document of 4xx. A person gets an error page of 4xx, or the form again
    with the sentence beside its field, as everywhere in Django.
    """
    untouched.check()
    assert response.resolver_match.url_name, "Nothing is at this address."
    if response["Content-Type"] == "application/problem+json":
        assert 400 <= response.status_code < 500, response.content
        said = str(response.json()["detail"])
    elif response.status_code == 200:
        said = errors_of(response)
    else:
        assert 400 <= response.status_code < 500, response.content
        said = " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())
    assert said, response.content.decode()
    return said


def assert_money_refused(response: HttpResponse, untouched: Untouched) -> str:
    """The same for what would have moved money, and the audit log says once who wanted it."""
    said = assert_refused(response, untouched)
    [entry] = untouched.told()
    assert (entry.kind, bool(entry.data["action"])) == ("refund.refused", True)
    assert entry.actor is not None
    assert entry.data["why"]
    return said


def errors_of(response: HttpResponse) -> str:
    """The words of whatever a page marks as an error."""
    reader = _Errors()
    reader.feed(response.content.decode())
    return " ".join(reader.words)


class _Errors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        marked = values.get("role") == "alert" or "error" in (values.get("class") or "")
        if tag not in _VOID and (self.depth or marked):
            self.depth += 1

    def handle_endtag(self, tag: str) -> None:
        self.depth = max(self.depth - 1, 0)

    def handle_data(self, data: str) -> None:
        if self.depth and data.strip():
            self.words.append(data.strip())


_VOID = {"input", "img", "br", "hr", "link", "meta"}
