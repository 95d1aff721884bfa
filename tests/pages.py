"""Reading the staff site's pages without a browser."""

import re

from django.test import Client


def client_of(person, **options):
    """A signed-in client."""
    client = Client(**options)
    client.force_login(person)
    return client


def visible(response):
    """The words of a page, without its markup."""
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    html = re.sub(r"</?(span|strong|code)\b[^>]*>", "", html)
    text = re.sub(r"<[^>]+>", " ", html)
    for entity, letter in (("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, letter)
    return re.sub(r"\s+", " ", text)
