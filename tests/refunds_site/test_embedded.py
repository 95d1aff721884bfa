"""PostgreSQL and Valkey out of their wheels."""

import json
import os
import pwd
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis

from refunds_site import embedded
from refunds_site.supervisor import StartError, Supervisor

pytestmark = pytest.mark.timeout(60)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root only")


@pytest.fixture
def data_dir(tmp_path):
    """A deep folder with a space in its name, which only its owner can enter."""
    folder = tmp_path / ("deep " * 10) / ("deeper " * 10) / "data"
    folder.mkdir(parents=True)
    yield folder
    if folder.exists():
        embedded.remove(folder)


@pytest.fixture(scope="module")
def server_supervisor(tmp_path_factory):
    supervisor = Supervisor(tmp_path_factory.mktemp("logs"))
    yield supervisor
    supervisor.stop()


@pytest.fixture(scope="module")
def servers(tmp_path_factory, server_supervisor):
    """The servers as the demo has them, in a folder that only its owner can enter."""
    folder = tmp_path_factory.mktemp("a folder with spaces")
    folder.chmod(0o700)
    servers = embedded.prepare(folder / "data")
    server_supervisor.start(servers.postgres, servers.valkey)
    yield servers
    server_supervisor.stop()
    embedded.remove(folder / "data")


def ask(url: str, query: str) -> object:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def test_both_keep_their_data_over_a_restart(servers, server_supervisor):
    ask(servers.database_url, "CREATE TABLE kept AS SELECT 'Zażółć' AS word")
    redis.Redis.from_url(servers.redis_url).set("kept", "yes")

    server_supervisor.stop()
    server_supervisor.start(servers.postgres, servers.valkey)

    assert ask(servers.database_url, "SELECT word FROM kept") == "Zażółć"
    assert redis.Redis.from_url(servers.redis_url).get("kept") == b"yes"


def test_the_database_is_durable_and_finds_letters_of_every_alphabet(servers):
    url = servers.database_url

    assert ask(url, "SHOW fsync") == "on"
    assert ask(url, "SHOW synchronous_commit") == "on"
    assert ask(url, "SHOW server_encoding") == "UTF8"
    ask(url, "CREATE EXTENSION pg_trgm")
    assert ask(url, "SELECT cardinality(show_trgm('Иванова'))") == 8
    assert ask(url, "SELECT upper('zażółć ивана')") == "ZAŻÓŁĆ ИВАНА"


def test_valkey_keeps_everything_and_evicts_nothing(servers):
    client = redis.Redis.from_url(servers.redis_url)

    assert client.config_get("appendonly", "maxmemory-policy", "appendfsync") == {
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "appendfsync": "everysec",
    }


def test_nobody_gets_in_without_the_password(servers):
    database, broker = urlsplit(servers.database_url), urlsplit(servers.redis_url)
    wrong = servers.database_url.replace(database.password, "wrong")

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)
    with socket.create_connection(("127.0.0.1", broker.port)) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")
    assert ask(servers.database_url, "SHOW listen_addresses") == "127.0.0.1"
    assert database.password not in " ".join(servers.postgres.command)
    assert broker.password not in " ".join(servers.valkey.command)


def test_the_passwords_are_private(data_dir):
    embedded.prepare(data_dir)

    assert stat.S_IMODE((data_dir / "servers.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((data_dir / "servers" / "valkey.conf").stat().st_mode) == 0o600


def test_a_port_that_was_taken_meanwhile_is_replaced(data_dir):
    first = embedded.prepare(data_dir)
    with socket.create_server(("127.0.0.1", urlsplit(first.database_url).port)):
        second = embedded.prepare(data_dir)

    assert urlsplit(second.database_url).port != urlsplit(first.database_url).port
    assert urlsplit(second.database_url).password == urlsplit(first.database_url).password
    assert second.redis_url == first.redis_url


def test_an_interrupted_creation_is_begun_anew(data_dir):
    embedded.prepare(data_dir)
    servers = data_dir / "servers"
    (servers / "postgres").rename(servers / "postgres.new")

    embedded.prepare(data_dir)

    assert (servers / "postgres" / "PG_VERSION").exists()
    assert not (servers / "postgres.new").exists()


def test_data_of_another_major_version_is_refused(data_dir):
    embedded.prepare(data_dir)
    (data_dir / "servers" / "postgres" / "PG_VERSION").write_text("9\n")

    with pytest.raises(StartError, match=r"is of PostgreSQL 9.* run make reset"):
        embedded.prepare(data_dir)


def test_data_without_its_password_is_refused(data_dir):
    embedded.prepare(data_dir)
    (data_dir / "servers.json").unlink()

    with pytest.raises(StartError, match="run make reset"):
        embedded.prepare(data_dir)


@as_root
def test_root_leaves_the_work_to_nobody_without_opening_any_folder(data_dir):
    locked = data_dir.parent
    locked.chmod(0o700)

    servers = embedded.prepare(data_dir)

    home = (data_dir / "servers").resolve()
    assert servers.postgres.user == (home / "postgres").stat().st_uid
    assert servers.postgres.user == pwd.getpwnam("nobody").pw_uid
    assert home.parent == Path("/var/tmp")
    assert stat.S_IMODE(locked.stat().st_mode) == 0o700
    embedded.remove(data_dir)
    assert not home.exists()


@as_root
def test_what_a_deleted_data_folder_left_behind_is_replaced(data_dir):
    data_dir.parent.chmod(0o700)
    embedded.prepare(data_dir)
    (data_dir / "servers").unlink()
    (data_dir / "servers.json").unlink()

    embedded.prepare(data_dir)

    assert (data_dir / "servers" / "postgres" / "PG_VERSION").exists()


@as_root
def test_a_folder_that_somebody_else_prepared_is_refused(data_dir):
    data_dir.parent.chmod(0o700)
    embedded.prepare(data_dir)
    home = (data_dir / "servers").resolve()
    (data_dir / "servers").unlink()
    os.chown(home, pwd.getpwnam("nobody").pw_uid, -1)

    try:
        with pytest.raises(StartError, match="was not made by root"):
            embedded.prepare(data_dir)
    finally:
        os.chown(home, 0, -1)
        (data_dir / "servers").symlink_to(home)


def test_urls_are_those_of_the_running_demo(tmp_path):
    assert embedded.read_urls(tmp_path) == {}
    facts = {
        "url": "http://127.0.0.1:8000",
        "database_url": "postgres://x",
        "redis_url": "redis://x",
    }
    (tmp_path / "demo.json").write_text(json.dumps(facts))

    assert embedded.read_urls(tmp_path) == {
        "database_url": "postgres://x",
        "redis_url": "redis://x",
    }
