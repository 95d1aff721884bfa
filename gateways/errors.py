"""What can go wrong between us and a processor, apart from a refusal, which is a result.

The difference that matters is between *certainly nothing happened* and *we do not know*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .card_numbers import mask_card_numbers
from .scrubbing import storable

if TYPE_CHECKING:
    from .base import Exchange


class GatewayError(Exception):
    """Root. ``str()`` is one sentence for staff; ``exchanges`` is the scrubbed evidence."""

    def __init__(self, message: str, *, exchanges: Sequence[Exchange] = ()) -> None:
        super().__init__(mask_card_numbers(storable(message)))
        self.exchanges = tuple(exchanges)


class NotSent(GatewayError):
    """The request certainly had no effect: it never left, or was turned away at the door.

    ``reason`` is ``unreachable`` (name, connection, TLS), ``credentials`` (401, 403),
    ``rate_limited`` (429 where the processor documents that nothing ran), ``too_late`` (the
    worker's lease no longer allowed to send) or ``refused_locally``.
    ``retry_after`` is the processor's own wish in seconds, if it stated one.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        retry_after: int | None = None,
        exchanges: Sequence[Exchange] = (),
    ) -> None:
        super().__init__(message, exchanges=exchanges)
        self.reason = reason
        self.retry_after = retry_after


class OutcomeUnknown(GatewayError):
    """Bytes may have left and the answer proves nothing. Never treat this as a failure.

    ``processor_code`` is what the processor called it, where there was an answer with a code.
    ``replayed`` says that it was a stored answer, which every further try would bring again.
    """

    replayed = False

    def __init__(self, message: str, *, code: str = "", exchanges: Sequence[Exchange] = ()) -> None:
        super().__init__(message, exchanges=exchanges)
        self.processor_code = storable(code)


class InvalidWebhook(GatewayError):
    """A webhook whose signature, age or shape does not hold. It must change nothing."""


class Misconfigured(GatewayError):
    """The account as set up cannot work: a credential, host or setting is missing or wrong."""


class CredentialsMissing(Misconfigured):
    """``names`` are the credentials that the account lacks; ``str()`` is for the command line."""

    def __init__(self, message: str, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = tuple(names)
