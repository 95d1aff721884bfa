"""A real Chromium in front of a live server, a real worker and the sandbox."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-crash-reporter --disable-breakpad "
    "--hide-scrollbars --force-color-profile=srgb"
)

# Milliseconds in which a page shows what it will: workers share the machine with other tests.
_PATIENCE = 15_000


def find_chromium() -> str | None:
    """The path that CHROMIUM names, or a Chromium of this machine."""
    installed = (shutil.which(name) for name in _NAMES)
    return os.environ.get("CHROMIUM") or next((path for path in installed if path), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import Error, expect, sync_playwright

    expect.set_options(timeout=_PATIENCE)
    # The driver keeps an event loop in this thread, beside which Django would refuse queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        with sync_playwright() as playwright:
            try:
                browser = playwright.chromium.launch(
                    executable_path=find_chromium(), args=_QUIET.split()
                )
            except Error as error:
                pytest.skip(f"no Chromium starts here: {error.message.splitlines()[0]}")
            yield browser
            browser.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def open_page(live_server, chromium, transactional_db) -> Iterator[Callable[..., Page]]:
    """``open_page(person, width=…, theme=…)``: a tab of somebody who is signed in.

    The test fails when a page reports an error that it was not meant to.
    """
    from django.test import Client

    problems: list[str] = []
    contexts = []

    def open_page(
        person: User | None, *, width: int = 1360, theme: str = "light", **options: object
    ) -> Page:
        context = chromium.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 860},
            color_scheme=theme,
            **options,
        )
        contexts.append(context)
        context.set_default_timeout(_PATIENCE)
        if person:
            client = Client()
            client.force_login(person)
            session = client.cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda said: problems.append(said.text) if said.type == "error" else None
        )
        page.on("request", lambda request: _stay_here(request.url, live_server.url, problems))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def _stay_here(url: str, ours: str, problems: list[str]) -> None:
    if not url.startswith((ours, "data:", "blob:")):
        problems.append(f"asked another host for {url}")
