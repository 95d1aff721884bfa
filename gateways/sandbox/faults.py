"""Faults that a test or a trainer arms: what breaks, for which call, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from threading import Event, Lock
from typing import Any

from .http import Dialect, Reply

# What can break, in the words of the page at /_sandbox/.
KINDS = {
    "reset": "the connection is reset without an answer",
    "silence": "the connection stays open without an answer for `seconds` (60)",
    "slow": "before: in progress for `seconds` (2), then processed and answered; after: processed "
    "at once, so that its webhook is first, and answered after `seconds`",
    "500": "an error of the processor; after processing, it is what a stored answer replays",
    "refusal": "the processor refuses with its own `code`",
    "502_html": "an HTML page of a gateway in between",
    "429": "too many requests; `seconds` becomes Retry-After",
    "401": "the credentials are not accepted",
    "403": "the credentials lack a right",
    "drip": "the answer comes one byte every `seconds` (0.5)",
    "truncated": "half of the answer, then the connection ends",
    "malformed": "half of the answer, as if it were the whole",
    "wrong_echo": "the answer repeats another amount or id than was asked for",
    "wrong_type": "the answer says that it is plain text",
    "redirect": "302 to another address",
    "empty": "200 with nothing in it",
    "huge": "a body of `megabytes` (50)",
    "dtd": "XML that brings its own entities",
}
_ALIASES = {"502": "502_html", "html": "502_html", "timeout": "silence", "wrong": "wrong_echo"}
_SECONDS = {"silence": 60.0, "slow": 2.0, "drip": 0.5}

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>\n"
_DTD = (
    b'<?xml version="1.0"?>\n<!DOCTYPE answer [<!ENTITY a "aaaaaaaaaa">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>\n<answer>&b;</answer>\n'
)
_INSTEAD = {
    "502_html": Reply(502, _HTML, {"Content-Type": "text/html"}),
    "redirect": Reply(302, b"", {"Location": "/_sandbox/elsewhere"}),
    "empty": Reply(200, b"", {"Content-Type": "application/json"}),
    "dtd": Reply(200, _DTD, {"Content-Type": "application/xml"}),
}


class FaultError(ValueError):
    """A fault that cannot be armed; the text says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One armed fault. Empty ``dialect``, ``call`` or ``match`` fit everything.

    ``match`` is a text that must stand in the request's path, query or body: a payment's id, a
    reference.
    """

    id: int
    what: str
    when: str = "before"
    dialect: str = ""
    call: str = ""
    match: str = ""
    code: str = ""
    times: int = 1
    seconds: float = 0.0
    megabytes: int = 50

    def fits(self, dialect: str, call: str, text: bytes) -> bool:
        return (
            self.dialect in ("", dialect)
            and self.call in ("", call)
            and (not self.match or self.match.encode() in text)
        )


class Faults:
    """The armed faults, each used up after its number of times, oldest first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._armed: list[Fault] = []
        self._numbers = 0
        self._released = Event()

    def arm(self, wish: Mapping[str, Any]) -> Fault:
        """Arm what a JSON object asks for. Raises FaultError with a sentence."""
        checked = _checked(wish)
        with self._lock:
            self._numbers += 1
            fault = Fault(id=self._numbers, **checked)
            self._armed.append(fault)
        return fault

    def take(self, dialect: str, call: str, text: Callable[[], bytes]) -> Fault | None:
        """The first fault that fits this request, used up by one."""
        if not self._armed:
            return None
        content = text()
        with self._lock:
            for place, fault in enumerate(self._armed):
                if fault.fits(dialect, call, content):
                    if fault.times > 1:
                        self._armed[place] = replace(fault, times=fault.times - 1)
                    else:
                        del self._armed[place]
                    return fault
        return None

    def clear(self, fault_id: int | None = None) -> int:
        """Disarm one fault, or all, and end every silence. Returns how many were armed."""
        with self._lock:
            kept = [fault for fault in self._armed if fault_id not in (None, fault.id)]
            gone = len(self._armed) - len(kept)
            self._armed = kept
            self._released.set()
            self._released = Event()
        return gone

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the faults are cleared."""
        self._released.wait(seconds)

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._armed]


def spoil(fault: Fault, dialect: Dialect, reply: Reply) -> Reply:
    """The answer that a fault puts in place of a good one; faults of the wire leave it alone."""
    body, headers = reply.body, reply.headers
    match fault.what:
        case "500" | "429" | "401" | "403" | "refusal":
            return _refused(fault, dialect)
        case "502_html" | "redirect" | "empty" | "dtd":
            return _INSTEAD[fault.what]
        case "malformed":
            body = body[: len(body) // 2]
        case "wrong_echo":
            body = _other_echo(dialect, body)
        case "huge":
            body = b" " * (fault.megabytes * 2**20)
        case "wrong_type":
            headers = {**headers, "Content-Type": "text/plain"}
    return Reply(reply.status, body, headers)


def _refused(fault: Fault, dialect: Dialect) -> Reply:
    if fault.what == "refusal":
        return dialect.refusal_with(fault.code) or dialect.refusal(500)
    refusal = dialect.refusal(int(fault.what))
    wait = {"Retry-After": f"{fault.seconds:.0f}"} if fault.seconds else {}
    return replace(refusal, headers={**refusal.headers, **wait})


def _other_echo(dialect: Dialect, body: bytes) -> bytes:
    found = dialect.echo.search(body)
    if not found:
        return body
    last = found.end(1) - 1
    digit = body[last : last + 1]
    other = b"%d" % ((int(digit) + 1) % 10) if digit.isdigit() else b"0"
    return body[:last] + other + body[last + 1 :]


def _checked(wish: Mapping[str, Any]) -> dict[str, Any]:
    allowed = {"dialect", "call", "when", "what", "times", "match", "code", "seconds", "megabytes"}
    unknown = sorted(set(wish) - allowed)
    if unknown:
        raise FaultError(
            f"Unknown: {', '.join(unknown)}. A fault has {', '.join(sorted(allowed))}."
        )
    what = str(wish.get("what", "")).strip().lower().replace(" ", "_").replace("-", "_")
    what = _ALIASES.get(what, what)
    if what not in KINDS:
        raise FaultError(f"`what` is one of {', '.join(KINDS)}.")
    when = wish.get("when", "before" if what != "wrong_echo" else "after")
    if when not in ("before", "after"):
        raise FaultError("`when` is before (nothing is processed) or after (it is processed).")
    if what in ("wrong_echo", "wrong_type") and when == "before":
        raise FaultError(f"{what} changes a real answer, so it can only come after processing.")
    words = {name: wish.get(name) or "" for name in ("dialect", "call", "match", "code")}
    for name, word in words.items():
        if not isinstance(word, str):
            raise FaultError(f"`{name}` is text.")
        words[name] = "" if word == "*" else word
    return {"what": what, "when": when, **words, **_numbers(wish, what)}


def _numbers(wish: Mapping[str, Any], what: str) -> dict[str, float]:
    bounds = {"times": (1, 1_000_000), "megabytes": (1, 200), "seconds": (0, 600)}
    defaults = {"times": 1, "megabytes": 50, "seconds": _SECONDS.get(what, 0.0)}
    numbers: dict[str, float] = {}
    for name, (low, high) in bounds.items():
        value = wish.get(name, defaults[name])
        whole = name != "seconds"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise FaultError(f"`{name}` is a number.")
        if not low <= value <= high:
            raise FaultError(f"`{name}` is from {low} to {high}.")
        numbers[name] = value
    return numbers
