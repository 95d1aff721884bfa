"""Delivers notifications in the background: at once, late, twice, in the wrong order, or forged."""

from __future__ import annotations

import heapq
import http.client
import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Condition, Thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from .control_input import ControlError, choice_of, number_of, only, text_of
from .events import events_of
from .ledger import Ledger, LedgerEvent, LedgerPayment, Movement
from .records import Subscription
from .signatures import FORGERIES, sign

_TIMEOUT = 10  # seconds for one delivery
_RETRIES = (2.0, 10.0, 30.0)  # seconds until the next try of one that was not answered with 2xx
_KEPT = 1_000


@dataclass(order=True)
class _Delivery:
    due: float
    number: int
    event: LedgerEvent = field(compare=False)
    url: str = field(compare=False)
    forge: str = field(compare=False, default="")
    tries: int = field(compare=False, default=0)


class Notifier:
    """Turns changes of the ledger into notifications, and sends them from one thread."""

    def __init__(self, ledger: Ledger, server_url: str) -> None:
        self.ledger = ledger
        self.server_url = server_url
        self.log: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._numbers = itertools.count()
        self._queue: list[_Delivery] = []
        self._changed = Condition()
        self._stopping = False
        self._thread = Thread(target=self._deliver, name="sandbox-webhooks", daemon=True)
        ledger.listeners.append(self._on_change)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(_TIMEOUT + 1)

    def forget(self) -> None:
        """Drop what waits, and the log of what was delivered."""
        with self._changed:
            self._queue.clear()
            self.log.clear()

    def order(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Do what was posted to /_sandbox/webhooks. Raises ControlError."""
        only(
            wish,
            *("subscribe", "account", "url", "event_id", "refund_id", "payment_id", "kind"),
            *("repeat", "delay_seconds", "reorder", "forge"),
        )
        if "subscribe" in wish:
            return self._subscribe(wish)
        choice_of(wish, "forge", ("", *FORGERIES))
        repeat, delay = int(number_of(wish, "repeat", 1)), number_of(wish, "delay_seconds", 0)
        if not 1 <= repeat <= 1_000 or delay > 3_600:
            raise ControlError("`repeat` is from 1 to 1000, `delay_seconds` at most 3600.")
        with self.ledger.lock:
            events = self._chosen(wish)
        if wish.get("reorder"):
            events.reverse()
        urls = [_checked_url(wish["url"])] if "url" in wish else None
        sent = 0
        for event in events * repeat:
            for url in urls or self._subscribers(event.account):
                self._enqueue(event, url, delay=delay, forge=text_of(wish, "forge"))
                sent += 1
        return {"events": [event.id for event in events], "deliveries": sent}

    def as_json(self) -> dict[str, Any]:
        """Subscriptions, and what was delivered with which answer."""
        with self._changed:
            waiting = len(self._queue)
        with self.ledger.lock:
            subscriptions = [
                {"account": row.account, "url": row.url} for row in self.ledger.subscriptions
            ]
        return {
            "subscriptions": subscriptions,
            "deliveries": list(self.log),
            "waiting": waiting,
            "forge": FORGERIES,
        }

    # What to send

    def _on_change(self, kind: str, row: Movement) -> None:
        base = f"{self.server_url}/{row.dialect}"
        for event in events_of(self.ledger, kind, row, base):
            self.ledger.add_event(event)
            for url in self._subscribers(row.account):
                self._enqueue(event, url)

    def _subscribers(self, account: str) -> list[str]:
        return [row.url for row in self.ledger.subscriptions if row.account == account]

    def _subscribe(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        account = text_of(wish, "account")
        if account not in self.ledger.accounts:
            raise ControlError(f"`account` is one of {', '.join(self.ledger.accounts)}.")
        subscription = Subscription(account, _checked_url(wish["subscribe"]))
        self.ledger.subscribe(subscription)
        return {"subscribed": subscription.url, "account": account}

    def _chosen(self, wish: Mapping[str, Any]) -> list[LedgerEvent]:
        """The events that are named: by id, or all of a refund or payment.

        One that nothing was reported of yet, such as one of the demo set, is reported now.
        """
        if event_id := text_of(wish, "event_id"):
            found = [event for event in self.ledger.events if event.id == event_id]
        elif row_id := text_of(wish, "refund_id") or text_of(wish, "payment_id"):
            found = [event for event in self.ledger.events if event.record_id == row_id]
            found = found or self._made_up(row_id, text_of(wish, "kind"))
        else:
            raise ControlError("Name an `event_id`, a `refund_id` or a `payment_id`.")
        if not found:
            raise ControlError("There is no such event.")
        return found

    def _made_up(self, row_id: str, kind: str) -> list[LedgerEvent]:
        row: Movement | None = self.ledger.refunds.get(row_id) or self.ledger.payments.get(row_id)
        if not row:
            return []
        plain = "payment.created" if isinstance(row, LedgerPayment) else "refund.created"
        base = f"{self.server_url}/{row.dialect}"
        events = list(events_of(self.ledger, kind or plain, row, base))
        for event in events:
            self.ledger.add_event(event)
        return events

    # Sending

    def _enqueue(
        self, event: LedgerEvent, url: str, *, delay: float = 0, forge: str = "", tries: int = 0
    ) -> None:
        with self._changed:
            due = monotonic() + delay
            heapq.heappush(
                self._queue, _Delivery(due, next(self._numbers), event, url, forge, tries)
            )
            self._changed.notify()

    def _deliver(self) -> None:
        while delivery := self._next():
            status = self._post(delivery)
            self.log.append(
                {
                    "at": self.ledger.clock.now().isoformat(),
                    "event": delivery.event.id,
                    "type": delivery.event.type,
                    "url": delivery.url,
                    "forge": delivery.forge,
                    "status": status,
                }
            )
            answered = status is not None and 200 <= status < 300
            if not answered and not delivery.forge and delivery.tries < len(_RETRIES):
                self._enqueue(
                    delivery.event,
                    delivery.url,
                    delay=_RETRIES[delivery.tries],
                    tries=delivery.tries + 1,
                )

    def _next(self) -> _Delivery | None:
        """The next delivery when its time has come; None when it is over."""
        with self._changed:
            while not self._stopping:
                wait = self._queue[0].due - monotonic() if self._queue else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._queue)
                self._changed.wait(wait)
        return None

    def _post(self, delivery: _Delivery) -> int | None:
        """The status of the answer; None when there was none."""
        # Not the ledger's time: who receives it holds the signature against the real one.
        now = datetime.now(UTC)
        with self.ledger.lock:
            notice = sign(delivery.event, self.ledger, now, self.server_url, delivery.forge)
        target = urlsplit(delivery.url)
        connection = http.client.HTTPConnection(target.netloc, timeout=_TIMEOUT)
        try:
            address = target.path + (f"?{target.query}" if target.query else "")
            connection.request("POST", address or "/", notice.body, notice.headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def _checked_url(url: Any) -> str:
    target = urlsplit(url) if isinstance(url, str) else None
    if not target or target.scheme != "http" or not target.hostname:
        raise ControlError("A webhook goes to an address like http://127.0.0.1:8000/webhooks/…")
    return target.geturl()
