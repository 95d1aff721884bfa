"""What is played is the same on every machine, and leaves nothing out."""

from __future__ import annotations

from chaos.actions import ACTIONS
from chaos.cells import Cell, cells, fixed_cells
from chaos.schedules import plan
from gateways.failpoints import FAILPOINTS
from gateways.sandbox.faults import KINDS


def test_a_seed_is_a_schedule():
    assert plan("1-17") == plan("1-17")
    assert plan("1-17") != plan("1-18")


def test_random_schedules_use_every_action():
    used = {name for number in range(200) for name, _chance in plan(f"1-{number}").steps}
    assert used == set(ACTIONS)


def test_the_grid_has_every_failpoint_fault_and_processor():
    everything = set(cells())
    combinations = {(cell.dialect, cell.failpoint, cell.what) for cell in everything}
    assert len(combinations) == 4 * len(FAILPOINTS) * len(KINDS)
    assert {Cell.named(cell.name) for cell in everything} == everything


def test_the_fixed_cells_touch_all_of_it():
    chosen = fixed_cells()
    assert {cell.failpoint for cell in chosen} == set(FAILPOINTS)
    assert {cell.what for cell in chosen} == set(KINDS)
    assert {(cell.dialect, cell.call) for cell in chosen} == {
        (cell.dialect, cell.call) for cell in cells()
    }
