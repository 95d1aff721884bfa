"""``manage.py demo``: everything that Refund Desk needs, started by one command."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper

from access.roles import Role
from refunds_site import embedded, processes
from refunds_site.supervisor import StartError, StopRequested, Supervisor, only_one


class Command(BaseCommand):
    help = (
        "Starts PostgreSQL, Valkey, the processors' sandbox, the site, workers and beat, and "
        "pulls the demo's transactions in. Reads PORT, SANDBOX_PORT and DATA_DIR."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--reset", action="store_true", help="delete DATA_DIR instead of starting"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        data_dir = Path(settings.DATA_DIR).resolve()
        try:
            if options["reset"]:
                self.reset(data_dir)
            else:
                self.start(data_dir)
        except StartError as error:
            raise CommandError(str(error)) from None

    def start(self, data_dir: Path) -> None:
        """Run the demo until somebody stops it."""
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(
                f"DATA_DIR cannot be made: {error.strerror}: {error.filename}."
            ) from None
        with _only_one(data_dir):
            port, sandbox_port = _port("PORT", 8000), _port("SANDBOX_PORT", 8100)
            if port == sandbox_port:
                raise StartError("PORT and SANDBOX_PORT are the same. Set one to another port.")
            Demo(data_dir, port, sandbox_port, self.stdout).run()

    def reset(self, data_dir: Path) -> None:
        """Delete the demo's data, and nothing that is not a demo's."""
        if not data_dir.exists():
            self.stdout.write(f"{data_dir} does not exist: nothing to delete.")
            return
        if not _lock(data_dir).exists():
            raise StartError(f"{data_dir} was not made by make demo: it stays as it is.")
        with _only_one(data_dir):
            embedded.remove(data_dir)
        self.stdout.write(f"{data_dir} is deleted.")


@dataclass
class Demo:
    """One run of the demo: what it starts, and what it tells about it."""

    data_dir: Path
    port: int
    sandbox_port: int
    out: OutputWrapper
    logins: dict[str, dict[str, str]] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Start everything in order and watch over it until somebody wants to stop."""
        supervisor = Supervisor(self.data_dir / "logs", announce=self.publish, say=self.say)
        try:
            with supervisor.stopping_on_signals():
                self.start(supervisor)
                self.print_block()
                supervisor.watch()
        except StopRequested:
            self.say("Everything is stopped.")
        finally:
            self.published.unlink(missing_ok=True)

    def start(self, supervisor: Supervisor) -> None:
        """Bring everything up; the page can be used while the transactions still come in."""
        self.published.unlink(missing_ok=True)  # of a run that could not clean up
        self.say("Starting PostgreSQL and Valkey.")
        servers = embedded.prepare(self.data_dir)
        self.addresses = {
            "url": f"http://127.0.0.1:{self.port}",
            "sandbox_url": f"http://127.0.0.1:{self.sandbox_port}",
            "database_url": servers.database_url,
            "redis_url": servers.redis_url,
        }
        environment = os.environ | {
            "DEBUG": "1",
            "DATA_DIR": str(self.data_dir),
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "PYTHONUNBUFFERED": "1",
            "METRICS_DIR": str(self.data_dir / "metrics"),
        }
        shutil.rmtree(environment["METRICS_DIR"], ignore_errors=True)  # of processes that ended
        supervisor.start(servers.postgres, servers.valkey)
        self.say("Starting the sandbox of the four processors.")
        supervisor.start(
            processes.sandbox(environment, self.sandbox_port, self.data_dir / "sandbox.json")
        )
        self.create_data(supervisor, environment)
        self.say(f"Starting the site at {self.addresses['url']}/, the workers and beat.")
        supervisor.launch(
            processes.web(environment, self.port),
            processes.worker(environment, queues=processes.SUBMIT),
            processes.background(environment),
            processes.beat(environment, self.data_dir / "beat-schedule"),
        )
        try:
            supervisor.run(processes.task(environment, "sync_transactions"), show=True)
        except StartError as error:
            self.say(f"{error} The site works; beat tries again every few minutes.")
        supervisor.wait_until_ready()

    def create_data(self, supervisor: Supervisor, environment: dict[str, str]) -> None:
        """Create tables, accounts and people; the passwords of the first run stay."""
        memory = self.data_dir / "logins.json"
        arguments = ["--sandbox-url", self.addresses["sandbox_url"]]
        if memory.exists():
            self.logins = json.loads(memory.read_text())
            arguments.append("--keep-people")
        printed = supervisor.run(processes.task(environment, "demo_data", *arguments))
        if not self.logins:
            self.logins = json.loads(printed)
            embedded.write_private(memory, json.dumps(self.logins))

    @property
    def published(self) -> Path:
        """What the demo tells other programs while it runs."""
        return self.data_dir / "demo.json"

    def publish(self, pids: dict[str, int]) -> None:
        """Write ``demo.json``, once there is a site to tell about."""
        if "web" in pids:
            facts = {**self.addresses, "pids": pids, "logins": self.logins}
            embedded.write_private(self.published, json.dumps(facts, indent=2))

    def print_block(self) -> None:
        """The address, who may sign in and do what, and how to stop."""
        rows = [
            f"  {login['username']:<12}{login['password']:<20}{Role(role).label}"
            for role, login in self.logins.items()
        ]
        lines = [
            "",
            f"Refund Desk is ready: {self.addresses['url']}/",
            f"The processors' sandbox: {self.addresses['sandbox_url']}/_sandbox/",
            "",
            f"  {'User':<12}{'Password':<20}May",
            *rows,
            "",
            f"API tokens and addresses for scripts: {self.published}",
            "Ctrl-C stops everything. The data stay until make reset deletes them.",
        ]
        self.say("\n".join(lines))

    def say(self, sentence: str) -> None:
        """Tell the person at the terminal something, if somebody still listens there."""
        with suppress(OSError):
            self.out.write(sentence)
            self.out.flush()


def _lock(data_dir: Path) -> Path:
    return data_dir / "lock"


def _only_one(data_dir: Path) -> Any:
    return only_one(
        _lock(data_dir),
        f"The demo already runs on {data_dir}. Stop it first, or set DATA_DIR to another folder.",
    )


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise StartError(f"{variable} is {text!r}. Set it to a number from 1 to 65535.")
    port = int(text)
    if not embedded.port_is_free(port):
        raise StartError(f"Port {port} is taken. Set {variable} to another one.")
    return port
