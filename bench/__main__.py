"""`make bench`: every measurement, one after the other; `python -m bench sync` makes only that."""

import argparse
from functools import partial

from bench import audit, desk, recovery, starvation, sync

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    names = ("sync", "desk", "audit", "starvation", "recovery")
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(names)}; or all")
    parser.add_argument("--quick", action="store_true", help="recovery: smaller numbers")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(names):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}")
    quick = partial(recovery.main, quick=chosen.quick)
    mains = (sync.main, desk.main, audit.main, starvation.main, quick)
    for name, main in zip(names, mains, strict=True):
        if name in (chosen.names or names):
            main()
