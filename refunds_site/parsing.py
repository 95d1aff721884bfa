"""Strict JSON: the only way that a body comes in."""

from __future__ import annotations

import json
from typing import Any

from django.utils.http import parse_header_parameters
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.parsers import JSONParser

# Python stops at some thousands, and says so in words for its programmers.
_MOST_DIGITS = 100


class StrictJSONParser(JSONParser):
    """One JSON object in UTF-8, as its author must have meant it.

    Python's parser takes repeated keys (the last wins), NaN and Infinity, and half characters that
    no database stores; here each is a 400.
    """

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Any = None,
    ) -> dict[str, Any]:
        media_type = media_type or self.media_type
        kind, parameters = parse_header_parameters(media_type)
        is_utf8 = parameters.get("charset", "utf-8").lower() in {"utf-8", "utf8"}
        if kind.lower() != self.media_type or not is_utf8:  # the framework takes */* for any type
            raise exceptions.UnsupportedMediaType(media_type)
        try:
            text = stream.read().decode("utf-8")
            value = json.loads(
                text,
                object_pairs_hook=_unique,
                parse_constant=_refuse_constant,
                parse_int=_whole_number,
            )
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # finds lone surrogates
        except UnicodeError:
            raise exceptions.ParseError(_("The body is not text in UTF-8.")) from None
        except RecursionError:
            raise exceptions.ParseError(_("The body is nested too deeply.")) from None
        except ValueError as error:
            raise exceptions.ParseError(
                _("The body is not valid JSON: %s.") % str(error).rstrip(".")
            ) from None
        if not isinstance(value, dict):
            raise exceptions.ParseError(_("The body must be one JSON object."))
        return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:50]!r} stands there more than once")
    return found


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > _MOST_DIGITS:
        raise ValueError(f"a number in it has more than {_MOST_DIGITS} digits")
    return int(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")
