# ruff: noqa: INP001, T201 - a script, not a package, and what it says is for who runs it
"""Known vulnerabilities of what requirements.txt pins, as pip-audit finds them.

``python .ci/audit.py [seconds]`` fails for a vulnerability. Where the data cannot be reached it
says so loudly and passes: nobody is kept from working by a network.
"""

import json
import subprocess
import sys
from typing import Any

AUDIT = (
    *(sys.executable, "-m", "pip_audit", "--requirement", "requirements.txt", "--no-deps"),
    *("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"),
    *("--timeout", "5"),
)

NOT_DONE = (
    "!!! AUDIT NOT DONE: what is known of vulnerabilities cannot be reached from here. "
    "Run `make audit` where it can. !!!"
)


def read(seconds: float) -> list[dict[str, Any]]:
    """What was found of each package; empty where the data cannot be reached in time."""
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            AUDIT, capture_output=True, text=True, timeout=seconds, check=False
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return []
    return found


def judge(found: list[dict[str, Any]]) -> tuple[list[str], int]:
    """The lines to say, and how many vulnerabilities there are."""
    known = [each for each in found if "vulns" in each]
    if not known:
        return [NOT_DONE], 0
    lines = [
        f"{each['name']} {each['version']}: {vulnerability['id']}, mended in "
        f"{' or '.join(vulnerability['fix_versions']) or 'no version yet'}."
        for each in known
        for vulnerability in each["vulns"]
    ]
    number = len(lines)
    if unknown := [each["name"] for each in found if "vulns" not in each]:
        lines.append(f"!!! Nothing is known of: {', '.join(unknown)}. !!!")
    return [*lines, f"{len(known)} packages looked up, {number} vulnerabilities."], number


if __name__ == "__main__":
    said, bad = judge(read(float(sys.argv[1]) if sys.argv[1:] else 120))
    print("\n".join(said))
    sys.exit(min(bad, 1))
