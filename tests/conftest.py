"""PostgreSQL and Valkey of their own for every test run, and a network that ends at this machine.

The controller starts both servers once; every xdist worker has a database and a Valkey number
of its own. Where settings come from the environment, tests choose that environment here.
"""

import gc
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
import pytest_socket
import redis
from celery import Task
from django.conf import settings

from refunds_site import embedded, processes
from refunds_site.supervisor import Supervisor
from tests.canaries import Canaries, stored_in

SERVERS = "REFUND_DESK_TEST_SERVERS"  # how the controller tells its workers the addresses
# Coverage makes a test half as dear again. Faults run the lines that other tests try.
MEASURED, UNMEASURED = {"gateways", "refunds"}, "faults"
OF_SETTINGS = ("SECRET_KEY", "ALLOWED_HOSTS", "CREDENTIALS_KEYS", "PROVIDER_TEST_HOSTS")

hypothesis.settings.register_profile("refund-desk", derandomize=True, deadline=None)
hypothesis.settings.load_profile("refund-desk")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.help or config.option.version:
        return
    if settings.configured:
        raise pytest.UsageError(
            "Django's settings were read before the test servers started. "
            "Unset DJANGO_SETTINGS_MODULE and do not use --ds."
        )
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        start_servers(config)
    servers = json.loads(os.environ[SERVERS])
    number = int(worker.removeprefix("gw")) + 1 if worker else 0
    for name in OF_SETTINGS:
        os.environ.pop(name, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
        "DEBUG": "1",
        "UNDO_SECONDS": "0",
        "DATA_DIR": servers["folder"],
        "DATABASE_URL": servers["database_url"],
        "REDIS_URL": urlunsplit(urlsplit(servers["redis_url"])._replace(path=f"/{number}")),
    }
    config.pluginmanager.register(Canaries(), "canaries")
    settings.WHITENOISE_AUTOREFRESH = True  # else each client of a test reads all static files
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    if not worker:
        # The workers find their own way here; early settings would have the wrong addresses.
        del os.environ["DJANGO_SETTINGS_MODULE"]


def start_servers(config: pytest.Config) -> None:
    """Start a throw-away PostgreSQL and Valkey; they end with the test run."""
    folder = Path(tempfile.mkdtemp(prefix="refund-desk-tests-"))
    folder.chmod(0o711)  # root runs the servers as another user, who has to get through
    servers = embedded.prepare(folder, durable=False)
    supervisor = Supervisor(folder / "logs")

    def clean_up() -> None:
        supervisor.stop()
        shutil.rmtree(folder)

    config.add_cleanup(clean_up)
    supervisor.start(servers.postgres, servers.valkey)
    os.environ[SERVERS] = json.dumps(
        {
            "folder": str(folder),
            "database_url": servers.database_url,
            "redis_url": servers.redis_url,
        }
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only tests that mirror the code of what moves money count towards its coverage."""
    if not config.pluginmanager.hasplugin("_cov"):
        return
    for item in items:
        app, *folders = item.path.relative_to(Path(__file__).parent).parts
        if app not in MEASURED or UNMEASURED in folders:
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    """What was imported stays: walking it again and again for garbage took 6 % of a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_runtest_setup() -> None:
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def valkey() -> Iterator[redis.Redis]:
    """This worker's database in Valkey: broker and cache."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture(autouse=True)
def _usual_language():
    """What a request before activated for somebody stays active in its thread."""
    from django.conf import settings as configured
    from django.utils import timezone, translation

    translation.activate(configured.LANGUAGE_CODE)
    timezone.deactivate()


@pytest.fixture(autouse=True)
def _empty_valkey(valkey, canary_log):
    """Leave neither cached values nor messages to the next test, and look at what there were."""
    valkey.flushdb()
    yield
    canary_log.require_log()
    for text in stored_in(valkey):
        canary_log.look("Valkey", text)


@pytest.fixture(scope="session")
def canary_log(pytestconfig) -> Canaries:
    return pytestconfig.pluginmanager.get_plugin("canaries")


@pytest.fixture(scope="session")
def all_tasks(canary_log) -> dict[str, Task]:
    """Every task of ours by its name. To read them Celery sets Django up anew, the log as well."""
    from refunds_site.celery import app

    app.loader.import_default_modules()
    canary_log.listen()
    return {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    from tests.emptying import keep_rows

    with django_db_blocker.unblock():
        keep_rows()


@pytest.fixture(scope="session")
def _sandbox_server():
    from gateways.sandbox.server import SandboxServer

    with SandboxServer() as server:
        yield server


@pytest.fixture
def sandbox(_sandbox_server):
    """The four processors, with empty accounts; ``sandbox.reset(seed=…, payments=…)`` fills them."""
    _sandbox_server.reset(seed=1, payments=0)
    return _sandbox_server


@pytest.fixture
def celery_worker_process(transactional_db, tmp_path, canary_log):
    """A real Celery worker on this test's database and broker: the Supervisor that runs it.

    ``celery_worker_process.pids["worker"]`` is its process. It is ready when the test starts, and
    gone before the database is emptied.
    """
    from django.db import connection

    address = urlsplit(os.environ["DATABASE_URL"])
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
        "DATABASE_URL": urlunsplit(address._replace(path=f"/{connection.settings_dict['NAME']}")),
    }
    supervisor = Supervisor(tmp_path / "logs")
    try:
        supervisor.start(processes.worker(environment, concurrency=2))
        yield supervisor
    finally:
        supervisor.stop()
        for log in (tmp_path / "logs").iterdir():
            canary_log.look(f"the log of a worker, {log.name}", log.read_text(errors="replace"))


@pytest.fixture
def without_sign_ins(monkeypatch):
    """What signs a test in leaves no entry in the audit log, where the test is about all of it."""
    from access import sign_in_events

    monkeypatch.setattr(sign_in_events, "note", lambda *_args, **_told: None)
