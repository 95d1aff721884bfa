# ruff: noqa: INP001 - a script, not a package
"""The catalogues of locale/: ``update`` brings in what the code says, ``check`` finds what lacks.

Messages are found without GNU gettext: Django turns a template into lines of calls, and Babel reads
those as it reads the code. ``update`` also compiles, so that nobody needs a tool to run the desk.
"""

import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

CODE = ("access", "audit", "campaigns", "gateways", "refunds", "refunds_site", "transactions")
LANGUAGES = ("ro", "ru", "pl", "ms")
KEYWORDS = DEFAULT_KEYWORDS | {
    "_L": None,
    "gettext_lazy": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
}


def main(task: str) -> int:
    """Run ``update`` or ``check``; how many things are wrong."""
    settings.configure(USE_I18N=True)
    found = collect()
    if task == "update":
        for language in LANGUAGES:
            update(language, found)
        return 0
    problems = [problem for language in LANGUAGES for problem in problems_of(language, found)]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return len(problems)


def collect() -> Catalog:
    """Every message of the code and the templates, with where it stands."""
    catalog = Catalog(project="Refund Desk", charset="utf-8")
    for path, file, method in sources():
        for line, message, _comments, context in extract(method, file, keywords=KEYWORDS):
            catalog.add(message, locations=[(path, line)], context=context, flags=flags(message))
    return catalog


def flags(message: str | tuple[str, ...]) -> list[str]:
    texts = [message] if isinstance(message, str) else message
    return ["python-format"] if any("%" in text for text in texts) else []


def sources() -> Iterator[tuple[str, io.BytesIO, str]]:
    """The code, and the templates (Django's as lines of calls), each with who reads it."""
    for folder in CODE:
        for path in sorted(Path(folder).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path), io.BytesIO(path.read_bytes()), "python"
    for path in sorted([*Path("templates").rglob("*.html"), *Path("templates").rglob("*.txt")]):
        calls = templatize(path.read_text(), origin=str(path))
        lines = (line.lstrip() for line in calls.splitlines())  # indentation means something
        yield str(path), io.BytesIO("\n".join(lines).encode()), "python"
    for path in sorted(Path("templates").rglob("*.jinja")):
        yield str(path), io.BytesIO(path.read_bytes()), "jinja2.ext:babel_extract"


def folder_of(language: str) -> Path:
    return Path("locale") / language / "LC_MESSAGES"


def read(language: str) -> Catalog:
    """The catalogue as it is, without the dates that would differ every time."""
    path = folder_of(language) / "django.po"
    if path.exists():
        with path.open("rb") as file:
            catalog = read_po(file, locale=language, abort_invalid=True)
    else:
        catalog = Catalog(locale=language)
    catalog.project, catalog.version, catalog.fuzzy = "Refund Desk", "1", False
    catalog.header_comment = f"# Refund Desk, {language}"
    catalog.creation_date = catalog.revision_date = datetime(2026, 1, 1, tzinfo=UTC)
    catalog.last_translator = catalog.language_team = catalog.msgid_bugs_address = "Refund Desk"
    return catalog


def compiled(catalog: Catalog) -> bytes:
    file = io.BytesIO()
    write_mo(file, catalog)
    return file.getvalue()


def update(language: str, found: Catalog) -> None:
    """Add what is new, drop what is gone, and compile. What is new has no translation yet."""
    catalog = read(language)
    catalog.update(found, no_fuzzy_matching=True, update_creation_date=False)
    catalog.obsolete.clear()
    folder = folder_of(language)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "django.po").open("wb") as file:
        write_po(file, catalog, width=100, sort_output=True, include_lineno=False)
    (folder / "django.mo").write_bytes(compiled(catalog))


def problems_of(language: str, found: Catalog) -> Iterator[str]:
    """What is missing, fuzzy, broken or not compiled, each in a sentence."""
    catalog = read(language)
    for message in found:
        if not message.id:
            continue
        translated = catalog.get(message.id, message.context)
        texts = translated.string if translated else ""
        texts = [texts] if isinstance(texts, str) else list(texts)
        name = message.id if isinstance(message.id, str) else message.id[0]
        if not (texts and all(texts)):
            yield f"{language}: not translated: {name!r}. Run make messages, and translate it."
        elif translated.fuzzy:
            yield f"{language}: fuzzy: {name!r}. Look at it, and take the mark away."
        else:
            for error in translated.check(catalog):
                yield f"{language}: {name!r}: {error}"
    if (folder_of(language) / "django.mo").read_bytes() != compiled(catalog):
        yield f"{language}: django.mo is older than django.po. Run make messages."


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1])))
