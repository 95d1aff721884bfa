"""Webhooks of the sandbox, brought to the real address of the site, in any order and any state."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from .children import Child
from .world import World

# What a processor may be answered: taken, or turned away in words. Anything else is a mistake.
# The others are none where a processor's webhooks say neither the time nor the mode.
_CAUGHT = frozenset({"signature", "unsigned", "body"})
_FINE = frozenset({200, 400, 503})


def deliver(world: World, event_id: str, forge: str = "", failpoint: str = "") -> str:
    """Deliver one event as its processor signs it now; the status, or how the site ended."""
    notice = world.processors.sign(event_id, forge)
    headers = {name: value for name, value in notice.headers.items() if name != "Content-Type"}

    def post() -> None:
        response = Client(SERVER_NAME="localhost").post(
            reverse("webhook", args=[world.dialect, world.name]),
            data=notice.body,
            content_type=notice.headers.get("Content-Type", "application/json"),
            headers=headers,
        )
        if response.status_code not in _FINE:
            raise AssertionError(f"A webhook was answered with {response.status_code}.")
        if response.status_code == 400 and not forge:
            raise AssertionError(f"A genuine webhook was refused: {response.json()}")
        if response.status_code == 200 and forge in _CAUGHT:
            raise AssertionError(f"A webhook with a forged {forge} was taken.")
        statuses.append(response.status_code)

    statuses: list[int] = []
    if not failpoint:
        world.attempt(post)
        return str(statuses[0]) if statuses else "broke"
    child = world.attempt(lambda: Child(post, failpoint, stop=False, broker=world.broker))
    return child.ending if child else "broke"
