"""What runs came to, counted per processor and kind of run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.table import Table

# What may never happen to anybody's money, and whatever else does not fit.
CATEGORIES = ("doubles", "lost", "over-refunds", "wrong status", "unexplained")
Finding = tuple[str, str]  # a category, and a sentence with the rows that it is about


@dataclass
class Result:
    """What one run came to. ``found`` is empty when all is well; ``story`` says what happened."""

    dialect: str
    category: str  # grid, random, machine or processes
    name: str
    found: list[Finding]
    story: list[str] = field(default_factory=list)
    deaths: int = 0  # processes that died or were put to sleep on the way
    seconds: float = 0.0


class Report:
    """Counts results, and prints those that should not be."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.finds = 0
        self._runs: Counter[tuple[str, str]] = Counter()
        self._deaths: Counter[tuple[str, str]] = Counter()
        self._found: Counter[tuple[str, str, str]] = Counter()

    def add(self, result: Result) -> None:
        """Count a run; one that found something is printed in full."""
        key = (result.dialect, result.category)
        self._runs[key] += 1
        self._deaths[key] += result.deaths
        for category in {category for category, _sentence in result.found}:
            self._found[*key, category] += 1
        if result.found:
            self.finds += 1
            self._print(result)

    def print_table(self, title: str) -> None:
        """A row per processor and kind of run; a number is of runs in which it happened."""
        table = Table(title=title)
        table.add_column("processor")
        table.add_column("runs of")
        for name in ("runs", "killed", *CATEGORIES):
            table.add_column(name, justify="right")
        for key in sorted(self._runs, key=lambda key: (key[1], key[0])):
            found = [self._found[*key, category] for category in CATEGORIES]
            counts = [self._runs[key], self._deaths[key], *found]
            table.add_row(*key, *(f"{count:,}" for count in counts))
        table.add_section()
        totals = [sum(self._runs.values()), sum(self._deaths.values())]
        totals += [
            sum(count for key, count in self._found.items() if key[2] == category)
            for category in CATEGORIES
        ]
        table.add_row("all", "", *(f"{count:,}" for count in totals))
        self.console.print(table)

    def _print(self, result: Result) -> None:
        lines = [f"[bold]{result.name}[/bold] ({result.dialect}, {result.category})"]
        lines += [f"  {escape(sentence)}" for sentence in result.story]
        lines += [f"  [red]{category}[/red]: {escape(why)}" for category, why in result.found]
        self.console.print("\n".join(lines))
