# ruff: noqa: INP001 - a script, not a package
"""What ruff has no rule for: what this code must not do, and where it may, with the reason.

``python .ci/rules.py [folder]`` names each place with a sentence, and fails when there is one.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CODE = ("access", "audit", "campaigns", "gateways", "refunds", "refunds_site", "transactions")
MONEY = ("campaigns/", "gateways/", "refunds/", "transactions/")
SANDBOX = "gateways/sandbox/"
# What may stand in a statement besides constants in capitals: attributes that only code fills.
SQL_NAMES = {"chain.table", "chain.digest", "invariant.query"}
NETWORK = {"aiohttp", "http.client", "httpx", "requests", "urllib.request", "urllib3"}


@dataclass(frozen=True)
class Rule:
    """``is_broken`` looks at one node; ``under`` is where, ``allowed`` where not, and why not."""

    says: str
    is_broken: Callable[[ast.AST], bool]
    under: tuple[str, ...] = ("",)
    allowed: dict[str, str] = field(default_factory=dict)

    def counts_for(self, path: str) -> bool:
        return path.startswith(self.under) and not path.startswith(tuple(self.allowed))


def called(node: ast.AST) -> str:
    """The last part of what is called, or empty."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def names(node: ast.AST, *wanted: str) -> bool:
    """Whether it imports or uses one of the names."""
    if isinstance(node, ast.ImportFrom):
        return any(alias.name in wanted for alias in node.names)
    return getattr(node, "attr", getattr(node, "id", "")) in wanted


def is_put_together(text: ast.AST) -> bool:
    """Whether a text is made where it stands: an f-string, ``%``, ``+`` or ``.format``."""
    if isinstance(text, ast.BinOp):
        return isinstance(text.op, ast.Mod | ast.Add)
    return isinstance(text, ast.JoinedStr) or called(text) == "format"


def makes_markup(node: ast.AST) -> bool:
    if called(node) in {"format_html", "format_html_join"}:
        return any(is_put_together(argument) for argument in node.args[:2])
    return names(node, "mark_safe") or called(node) in {"SafeString", "Markup"}


def imports_network(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        found = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
        found = {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    else:
        return False
    return any(name == each or name.startswith(f"{each}.") for name in found for each in NETWORK)


def swallows(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    if not any(kind is None or names(kind, "Exception", "BaseException") for kind in kinds):
        return False
    return not any(isinstance(each, ast.Raise) or is_log_call(each) for each in ast.walk(node))


def is_log_call(node: ast.AST) -> bool:
    return bool(called(node)) and ast.unparse(node.func).startswith(("log.", "logger."))


def is_loose_sql(node: ast.AST) -> bool:
    if called(node) not in {"execute", "executemany", "raw"} or not node.args:
        return False
    statement = node.args[0]
    if isinstance(statement, ast.JoinedStr):
        values = (part.value for part in statement.values if isinstance(part, ast.FormattedValue))
        return any(not is_constant(value) for value in values)
    return is_put_together(statement)


def is_constant(value: ast.AST) -> bool:
    text = ast.unparse(value)
    return text in SQL_NAMES or (isinstance(value, ast.Name) and text.isupper())


def is_raw_sql(node: ast.AST) -> bool:
    return names(node, "RawSQL") or (
        called(node) == "extra" and isinstance(node.func, ast.Attribute)
    )


def reads_body(node: ast.AST) -> bool:
    read = called(node) in {"loads", "load"} and ast.unparse(node.func).startswith("json.")
    return read and any("request.body" in ast.unparse(argument) for argument in node.args)


def calls(name: str) -> Callable[[ast.AST], bool]:
    return lambda node: called(node) == name and isinstance(node.func, ast.Name)


RULES = (
    Rule(
        "Markup is made by templates and format_html with placeholders, which escape.",
        makes_markup,
        allowed={"transactions/templatetags/desk.py": "hands on what a template has escaped"},
    ),
    Rule(
        "Only webhooks, which are signed, come without a form's token.",
        lambda node: names(node, "csrf_exempt"),
        allowed={"refunds/webhook_views.py": "signed by the processor"},
    ),
    Rule(
        "Calls to the outside go through gateways/transport.py, which knows what left.",
        imports_network,
        allowed={
            "gateways/transport.py": "the one place",
            SANDBOX: "plays the processors",
            "access/single_sign_on.py": "catches what the library of OpenID raises, calls nobody",
            "gateways/demo.py": "asks the sandbox on this machine for its accounts",
            "refunds_site/processes.py": "asks our own site on this machine whether it is up",
        },
    ),
    Rule("What is caught whatever it is, is raised again or logged.", swallows),
    Rule("Statements take values as parameters, and never RawSQL or extra().", is_raw_sql),
    Rule("A statement is made of constants in capitals; values are its parameters.", is_loose_sql),
    Rule(
        "Bodies are read by refunds_site/parsing.py, which is strict.",
        reads_body,
        allowed={
            "refunds_site/parsing.py": "the one place",
            "gateways/webhook_deliveries.py": "as strict, of the bytes that were signed",
            SANDBOX: "plays the processors",
        },
    ),
    Rule("Money is whole minor units: no float.", calls("float"), under=MONEY),
    Rule("Processes log; only commands print.", calls("print")),
)
MARKUP = re.compile(r"\|\s*safe(seq)?\b|{%\s*autoescape\s+off")


def is_command(path: str) -> bool:
    return "/management/commands/" in path


def broken_in_code(path: str, text: str) -> Iterator[tuple[int, str]]:
    rules = [rule for rule in RULES if rule.counts_for(path)]
    for node in ast.walk(ast.parse(text)):
        for rule in rules:
            prints = calls("print")(node) and is_command(path)
            if rule.is_broken(node) and not prints:
                yield node.lineno, rule.says


def broken_in_template(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if MARKUP.search(line):
            yield number, RULES[0].says


def main(root: Path) -> int:
    """How many places break a rule; each is written to standard error."""
    found = []
    for folder in CODE:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            found += [(name, *place) for place in broken_in_code(name, path.read_text())]
    for path in sorted((root / "templates").rglob("*.*")):
        if path.suffix not in {".html", ".jinja"}:  # mails are plain text
            continue
        name = path.relative_to(root).as_posix()
        found += [(name, *place) for place in broken_in_template(path.read_text())]
    for name, line, says in found:
        sys.stderr.write(f"{name}:{line}: {says}\n")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:2])))
