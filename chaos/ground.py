"""What chaos happens on: PostgreSQL and Valkey of its own, and a database for each job."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from refunds_site import embedded, processes
from refunds_site.supervisor import Supervisor

# A call to a processor gives up after this long, so that silence costs a second and not 25.
PROVIDER_TIMEOUT = "1"
_NOT_OURS = ("CRASH_AT", "SECRET_KEY", "ALLOWED_HOSTS", "CREDENTIALS_KEYS", "PROVIDER_TEST_HOSTS")


@dataclass(frozen=True)
class Ground:
    """The running servers. ``environment`` is what a process of ours needs to use them."""

    folder: Path
    supervisor: Supervisor
    servers: embedded.Servers
    environment: Mapping[str, str]

    def environment_of(self, number: int) -> dict[str, str]:
        """The environment of one job: a database of its own, made from the migrated first one."""
        name = f"job_{number}"
        with self.connected() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {embedded.DATABASE}")
        return {
            **self.environment,
            "DATABASE_URL": _at(self.servers.database_url, name),
            "REDIS_URL": _at(self.servers.redis_url, str(number + 1)),
        }

    @contextmanager
    def connected(self) -> Iterator[psycopg2.extensions.cursor]:
        """A cursor outside any transaction, in a database that no job uses."""
        connection = psycopg2.connect(_at(self.servers.database_url, "postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


@contextmanager
def prepared(*, durable: bool) -> Iterator[Ground]:
    """Start the servers and migrate; everything is gone afterwards.

    ``durable`` servers survive being killed, for who kills them.
    """
    with tempfile.TemporaryDirectory(prefix="refund-desk-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root runs the servers as another user, who has to get through
        servers = embedded.prepare(folder / "data", durable=durable)
        supervisor = Supervisor(folder / "logs")
        environment = {key: value for key, value in os.environ.items() if key not in _NOT_OURS}
        environment |= {
            "EMAIL_URL": "dummymail://",  # a job's output is its results
            "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
            "DEBUG": "1",
            "UNDO_SECONDS": "0",
            "DATA_DIR": str(folder / "data"),
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "PROVIDER_TIMEOUT_SECONDS": PROVIDER_TIMEOUT,
        }
        try:
            supervisor.start(servers.postgres, servers.valkey)
            supervisor.run(processes.task(environment, "migrate"))
            yield Ground(folder, supervisor, servers, environment)
        finally:
            supervisor.stop()


def _at(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))
