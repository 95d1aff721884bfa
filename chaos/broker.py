"""Celery's messages, with the driver as a worker that takes them: in time, late or never."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import Celery

Message = tuple[str, list[Any], dict[str, Any]]  # task, args, kwargs


class Broker:
    """The broker of the real Celery application, and a worker that takes what it is told to.

    ``in_memory`` puts it into this process: as easily lost as any, and quick.
    """

    def __init__(self, app: Celery, *, in_memory: bool) -> None:
        self.app = app
        if in_memory:
            app.conf.update(broker_url="memory://", broker_transport_options={})
        queues = {route["queue"] for route in app.conf.task_routes.values()}
        self._queues = sorted({app.conf.task_default_queue, *queues})
        self._channel: Any = app.connection_for_read().default_channel

    def send(self, message: Message) -> None:
        task, args, kwargs = message
        self.app.send_task(task, args=args, kwargs=kwargs)

    def take(self) -> Message | None:
        """The next message, whatever its queue."""
        for queue in self._queues:
            if message := self._channel.basic_get(queue, no_ack=True):
                args, kwargs, _embed = message.decode()
                return message.headers["task"], args, kwargs
        return None

    def take_all(self) -> list[Message]:
        taken = []
        while message := self.take():
            taken.append(message)
        return taken

    def flush(self) -> int:
        """Lose everything, as FLUSHALL does; how many messages."""
        return len(self.take_all())

    def run(self, message: Message) -> None:
        """Do what a message asks for, in this process."""
        task, args, kwargs = message
        self.app.tasks[task](*args, **kwargs)

    def of_beat(self) -> dict[str, Message]:
        """What beat sends at its times, by the names of its schedule."""
        return {
            name: (entry["task"], [], entry.get("kwargs", {}))
            for name, entry in sorted(self.app.conf.beat_schedule.items())
        }

    def often(self) -> list[str]:
        """The names of what beat sends at least once a minute: the sweeps."""
        return [
            name
            for name, entry in sorted(self.app.conf.beat_schedule.items())
            if isinstance(entry["schedule"], timedelta)
            and entry["schedule"] <= timedelta(minutes=1)
        ]
