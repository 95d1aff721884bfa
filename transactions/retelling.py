"""Stored sentences of ours in the reader's language, whichever language they were stored in.

A reason or an outcome is kept as it was first told: in English by a worker, in the language of who
pressed the button otherwise. The catalogues say which message it was made from, and with what.
"""

from __future__ import annotations

import gettext as catalogues
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.utils.translation import get_language, gettext

from .amounts import localize

# %(name)s, %s, or %% for a per cent sign; as Python's own format has them.
_GAP = re.compile(r"%(?:\((?P<name>\w+)\))?(?P<kind>[sd%])")
_AMOUNT = re.compile(r"-?\d+\.\d+ [A-Z]{3}")
_NUMBER = re.compile(r"%(\(\w+\))?d")  # what was in it is text by now
# A message that says less than this besides its gaps would be found where it does not stand.
_LEAST = 8


class _Shape(NamedTuple):
    """How a message with gaps looks when they are filled; ``core`` is in every such sentence."""

    message: str
    core: str
    filled: re.Pattern[str]
    says: int  # characters besides the gaps


def retell(sentence: str) -> str:
    """The sentence in the language of the moment; as it is, where it is none of ours."""
    return _retell(sentence, get_language() or "en") if sentence else ""


@lru_cache(maxsize=4096)
def _retell(sentence: str, language: str) -> str:
    """``language`` is the one of the moment, and stands here for the cache."""
    exact, shapes = _messages()
    if sentence in exact:
        return gettext(exact[sentence])
    for shape in shapes:
        found = shape.filled.fullmatch(sentence) if shape.core in sentence else None
        if found:
            return _NUMBER.sub(r"%\1s", gettext(shape.message)) % _filling(found, language)
    return sentence


def _filling(found: re.Match[str], language: str) -> dict[str, str] | tuple[str, ...]:
    """What stood in the gaps. That may be a sentence again, or an amount."""
    named = {name: _fill(text, language) for name, text in found.groupdict().items()}
    return named or tuple(_fill(text, language) for text in found.groups())


def _fill(text: str, language: str) -> str:
    return localize(text) if _AMOUNT.fullmatch(text) else _retell(text, language)


@cache
def _messages() -> tuple[dict[str, str], list[_Shape]]:
    """Every text of our catalogues with its message, and those with gaps, the wordiest first."""
    exact: dict[str, str] = {}
    shapes: list[_Shape] = []
    for message, text in _texts():
        if not _GAP.search(message):
            exact.setdefault(text, message)
        elif (shape := _shape(message, text)).says >= _LEAST:
            shapes.append(shape)
    return exact, sorted(shapes, key=lambda shape: -shape.says)


def _texts() -> Iterator[tuple[str, str]]:
    """Each message as it reads in each language, English first. Plurals are left out."""
    translated = [
        pair
        for path in sorted(Path(settings.LOCALE_PATHS[0]).glob("*/LC_MESSAGES/django.mo"))
        for pair in _read(path)
    ]
    yield from ((message, message) for message in dict(translated))
    yield from translated


def _read(path: Path) -> Iterator[tuple[str, str]]:
    with path.open("rb") as file:
        catalogue = catalogues.GNUTranslations(file)
    for message, text in vars(catalogue)["_catalog"].items():
        if isinstance(message, str) and message:
            yield message, text


def _shape(message: str, text: str) -> _Shape:
    words: list[str] = []
    pattern, seen, at = "", set[str](), 0
    for gap in _GAP.finditer(text):
        words.append(text[at : gap.start()])
        pattern += re.escape(words[-1])
        at = gap.end()
        name = gap["name"]
        if gap["kind"] == "%":
            pattern += "%"
        elif name in seen:
            pattern += f"(?P={name})"
        else:
            kind = r"\d+" if gap["kind"] == "d" else ".+?"
            pattern += f"(?P<{name}>{kind})" if name else f"({kind})"
            seen |= {name} if name else set()
    words.append(text[at:])
    pattern += re.escape(words[-1])
    core = max(words, key=len)
    return _Shape(message, core, re.compile(pattern, re.DOTALL), sum(map(len, words)))
