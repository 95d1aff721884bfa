"""Reading the staff site's pages without a browser."""

import re

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext


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


def explain_list(client, address, table="", *, analyze=False):
    """PostgreSQL's plan for the one statement by which a list reads its page (of ``table``).

    With ``analyze`` it is carried out, and the plan says how often each step was made.
    """
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    statements = [each["sql"] for each in queries if "LIMIT 51" in each["sql"]]
    [page] = [each for each in statements if each.startswith(f'SELECT "{table}')]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'(ANALYZE) ' if analyze else ''}{page}")
        return "\n".join(line for (line,) in cursor.fetchall())
