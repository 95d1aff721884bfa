"""What a measurement runs on: servers, sandboxes and workers of its own, each stopped by name."""

from __future__ import annotations

import json
import os
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from refunds_site import embedded, processes
from refunds_site.supervisor import Service, Supervisor


class Stage:
    """PostgreSQL and Valkey with an empty, migrated database; ``close`` stops all that runs.

    ``environment`` is what the product's processes get.
    """

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o711)  # root runs the servers as another user, who has to get through
        self.folder = folder
        self.servers = embedded.prepare(folder / "data")
        self._running: dict[str, Supervisor] = {}
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
            "DEBUG": "1",
            "UNDO_SECONDS": "0",
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
        }

    def open(self) -> None:
        self.start(self.servers.postgres, self.servers.valkey)
        migrate = processes.task(self.environment, "migrate")
        Supervisor(self.folder / "logs").run(migrate)

    def start(self, *services: Service) -> None:
        """Start them together and wait until all are ready."""
        for service in services:
            self._running[service.name] = Supervisor(self.folder / "logs")
            self._running[service.name].launch(service)
        for service in services:
            self._running[service.name].wait_until_ready()

    def start_desk(self, *, sends: int = 4, **settings: str) -> None:
        """The processes of the product: the worker of sends, the other one, and beat."""
        environment = self.environment | settings
        self.start(
            self.submit_worker(sends=sends, **settings),
            processes.background(environment),
            processes.beat(environment, self.folder / "beat"),
        )

    def submit_worker(self, *, sends: int = 4, **settings: str) -> Service:
        environment = self.environment | settings
        return processes.worker(environment, queues=processes.SUBMIT, concurrency=sends)

    def stop_desk(self) -> None:
        self.stop("beat", "background", "worker")

    def stop(self, *names: str) -> None:
        for name in names:
            self._running.pop(name).stop()

    def close(self) -> None:
        self.stop(*reversed(self._running))


class Sandbox:
    """A process with the four processors, without payments, that can be stopped and goes on."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        port = embedded.free_port()
        self.url = f"http://127.0.0.1:{port}"
        service = processes.sandbox(stage.environment, port, stage.folder / f"{name}.json")
        self.service = replace(service, name=name, command=[*service.command, "--payments", "0"])

    def start(self) -> None:
        self.stage.start(self.service)

    def stop(self) -> None:
        self.stage.stop(self.name)

    def control(self, method: str, address: str, **wish: Any) -> dict[str, Any]:
        """Ask ``/_sandbox/address``; what it answers."""
        body = json.dumps(wish).encode() if wish else None
        request = urllib.request.Request(f"{self.url}/_sandbox/{address}", body, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            result: dict[str, Any] = json.load(answer)
        return result
