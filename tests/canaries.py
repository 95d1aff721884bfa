"""Words that must never be seen in a log, a message or the cache, looked for in every test.

The sandbox's credentials are used by hundreds of tests, and the person below by those that ask for
``canaries``: each line of the log, each message that is published and whatever lies in Valkey after
a test is searched for them, in the form in which production would write it. The test in which one is
found fails at its end, with the name of the place.
"""

from __future__ import annotations

import logging
import logging.config
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import redis

CREDENTIALS = (
    "sk_test_sandbox_main", "whsec_sandbox_main", "sandbox-secret-main", "sandboxKey123456",
    "0123456789ABCDEF0123456789ABCDEF", "sandbox-nmi-main-key", "sandbox-nmi-main-signing-key",
)  # fmt: skip
NAME, EMAIL, NOTE = "Kanarienvogel", "kanarienvogel@example.com", "sings at dawn"
PERSON = (NAME, EMAIL, NOTE)
WORDS = (*CREDENTIALS, *PERSON)
# Keys of the API, whoever has them.
_TOKEN = re.compile(r"\brd_[\w-]{43}")
_ANY = re.compile("|".join(map(re.escape, WORDS)), re.IGNORECASE)


class Canaries(logging.Handler):
    """A plugin of pytest: what it hears fails the test that said it."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def look(self, place: str, text: str) -> None:
        """Remember a place where one of the words was seen."""
        if found := _ANY.search(text) or _TOKEN.search(text):
            self.heard.append(f"{place}: {found[0]}")

    def pytest_sessionstart(self) -> None:
        from celery.signals import before_task_publish

        from refunds_site import logs

        configuration = logs.configuration(debug=False)
        configurator = logging.config.DictConfigurator(configuration)
        self.setFormatter(
            configurator.configure_formatter(configuration["formatters"]["structured"])
        )
        self.listen()
        before_task_publish.connect(self._published, weak=False)

    def listen(self) -> None:
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.look(f"the log of {record.name}", self.format(record))

    def _published(self, sender: str = "", body: Any = None, **_signal: Any) -> None:
        self.look(f"a message to {sender}", repr(body))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        heard, self.heard = sorted(set(self.heard)), []
        if heard:
            pytest.fail(f"Nobody may ever see this: {'; '.join(heard)}", pytrace=False)

    def require_log(self) -> None:
        """Fail the test after which nothing could be heard any more, and listen again."""
        root = logging.getLogger()
        if root.manager.disable or self not in root.handlers:
            logging.disable(logging.NOTSET)
            self.listen()
            pytest.fail("This test has turned the log off for all that follow.", pytrace=False)


def stored_in(valkey: redis.Redis) -> Iterator[str]:
    """What lies in Valkey: messages, and values of the cache as they are pickled."""
    for key in valkey.scan_iter(count=1000):
        match valkey.type(key):
            case b"list":
                parts: Iterable[Any] = valkey.lrange(key, 0, -1)
            case b"hash":
                parts = valkey.hgetall(key).values()
            case b"string":
                parts = [valkey.get(key) or b""]
            case _:
                parts = []
        yield from (bytes(part).decode("utf-8", "replace") for part in (key, *parts))
