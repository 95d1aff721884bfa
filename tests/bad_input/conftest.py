"""A payment of an account that could be called, and somebody who may everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .doors import Doors
    from .refusing import Untouched


@pytest.fixture
def doors(sandbox, valkey, db) -> Doors:
    from .doors import Doors

    return Doors(sandbox, valkey)


@pytest.fixture
def untouched(doors) -> Untouched:
    return doors.untouched()
