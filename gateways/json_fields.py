"""Reads fields of parsed JSON whose shape somebody else decides.

Absent and null are the same: empty. A value of another type than asked for is a ValueError that
names the field, so that one odd record is reported and never half read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .moments import reported


def value_at(data: object, *path: str) -> Any:
    """Whatever stands at the path of keys; None where there is nothing."""
    for key in path:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def text_at(data: object, *path: str) -> str:
    """The text at the path, empty where there is none."""
    value = value_at(data, *path)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{'.'.join(path)} is not a text")  # noqa: TRY004
    return value


def integer_at(data: object, *path: str) -> int:
    """The whole number at the path; it must be there, and written as one."""
    value: object = value_at(data, *path)
    if type(value) is not int:
        raise ValueError(f"{'.'.join(path)} is not a whole number")
    return value


def rows_at(data: object, *path: str) -> list[Any]:
    """The list at the path, empty where there is none."""
    value = value_at(data, *path)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{'.'.join(path)} is not a list")  # noqa: TRY004
    return value


def unix_time_at(data: object, *path: str) -> datetime:
    """The time at the path, which is in seconds since 1970."""
    seconds = integer_at(data, *path)
    try:
        return reported(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{'.'.join(path)} is not a time") from error


def iso_time_at(data: object, *path: str) -> datetime:
    """The time at the path, which is ISO 8601 with an offset, in UTC."""
    text = text_at(data, *path)
    try:
        written = datetime.fromisoformat(text)
        moment = reported(written) if written.tzinfo else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(f"{'.'.join(path)} is not a time with its zone")
    return moment
