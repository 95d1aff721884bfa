"""`make bench`: every measurement, one after the other; `python -m bench sync` makes only that."""

import argparse

from bench import recovery, starvation, sync

if __name__ == "__main__":
    measurements = {"sync": sync.main, "starvation": starvation.main, "recovery": recovery.main}
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(measurements)}; all without")
    parser.add_argument("--quick", action="store_true", help="recovery: smaller numbers")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(measurements):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    for name in chosen.names or measurements:
        if name == "recovery":
            recovery.main(quick=chosen.quick)
        else:
            measurements[name]()
