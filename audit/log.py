"""Writing the audit log: in the transaction of the change that is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import connection, models

from .context import origin
from .kinds import Kind
from .models import ID_SIZE, NAME_SIZE
from .text import printable, shortened

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Person = AbstractBaseUser | AnonymousUser

# The lock of the chains' triggers (audit/migrations/0001_initial.py).
_TURN = 7266853
_TEXT_SIZE = 500
_LIST_SIZE = 100
_DATA_SIZE = 16_000


def record(
    kind: Kind,
    *,
    actor: Person | None,
    account_id: int | None = None,
    about: models.Model | None = None,
    about_name: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append an entry. The database numbers it, stamps it and chains it to the one before.

    Call it as the last thing of the transaction that makes the change, every other lock taken:
    writers wait for each other until they commit. Whoever locks the actor's row does so with
    ``no_key``. ``about_name`` stands in place of the object's own text, where that would name a
    customer. ``data`` holds JSON values, never a secret; long texts and lists in it are cut.
    """
    person = actor if actor is not None and actor.pk is not None else None
    name = str(about) if about_name is None and about is not None else about_name or ""
    came = origin()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_auditentry (kind, actor_id, actor_name, account_id, about_type,"
            " about_id, about_name, address, request_id, data)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb)",
            [
                kind.value,
                person.pk if person else None,
                shortened(person.get_username(), NAME_SIZE) if person else "",
                account_id,
                about._meta.label_lower if about is not None else "",
                shortened(str(about.pk), ID_SIZE) if about is not None else "",
                shortened(name, NAME_SIZE),
                came.address or None,
                came.request_id,
                _written(data or {}),
            ],
        )


def take_turn() -> None:
    """Wait for the other writers before anything is written, and not at :func:`record`.

    For changes of processor accounts alone: a worker pauses one when its event is written already,
    so that theirs is the only row that is locked after the turn.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_TURN])


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What differs between two states of one object: ``{"changed": {field: [old, new]}}``.

    Empty when nothing does.
    """
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    pairs = {name: [before.get(name), after.get(name)] for name in names}
    return {"changed": pairs} if pairs else {}


def _written(data: Mapping[str, Any]) -> str:
    text = json.dumps(_fit(data), ensure_ascii=False)
    if len(text) <= _DATA_SIZE:
        return text
    return json.dumps({"cut": text[: _DATA_SIZE // 4]}, ensure_ascii=False)


def _fit(value: Any) -> Any:
    """The value as JSON holds it, without control characters and not too long."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {printable(str(name)): _fit(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        each_one = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        kept = [_fit(each) for each in each_one[:_LIST_SIZE]]
        more = len(each_one) - len(kept)
        return [*kept, f"… {more} more"] if more else kept
    return shortened(str(value), _TEXT_SIZE)
