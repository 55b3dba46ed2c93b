"""A PostgreSQL of the test's own: in a temporary folder, on a free port, with a password."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "Ticket/To@Ride"  # noqa: S105 - of a server that only the test reaches


@dataclass
class Postgres:
    """A running server.

    Args:
        programs: folder of its programs.
        data: its folder.
        port: on the loopback address.
        user: who runs it.
    """

    programs: Path
    data: Path
    port: int
    user: str

    @property
    def url(self) -> str:
        """With the password."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Of one of its databases."""
        return f"postgresql://postgres:Ticket%2FTo%40Ride@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database."""
        import psycopg

        name = f"d{secrets.token_hex(4)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def control(self, *words: str) -> None:
        """Run pg_ctl."""
        log = self.data.parent / "log.txt"
        command = [str(self.programs / "pg_ctl"), "-D", str(self.data), "-w", "-l", str(log), *words]
        done = subprocess.run(command, user=self.user, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stdout + done.stderr + log.read_text()


def find_programs() -> Path | None:
    """Where initdb and pg_ctl are."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "pg_ctl").exists()), None)


def server_user() -> str | None:
    """Who may run a server: not root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server for the tests of a module, without fsync."""
    with running() as server:
        if server is None:
            pytest.skip("PostgreSQL is not installed (initdb, pg_ctl and, for root, the user postgres)")
        yield server


@contextmanager
def running() -> Iterator[Postgres | None]:
    """A server as long as the context lasts; None where its programs are missing."""
    programs, user = find_programs(), server_user()
    if programs is None or user is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pg-") as name, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        folder = Path(name)
        shutil.chown(folder, user)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data = folder / "data"
        command = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "scram-sha-256"]
        command += ["--pwfile", str(secret), "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(command, user=user, capture_output=True, check=True, cwd="/")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {port}\nlisten_addresses = '127.0.0.1'\nfsync = off\nunix_socket_directories = ''\n"
                "max_connections = 60\nfull_page_writes = off\n"
            )
        server = Postgres(programs, data, port, user)
        server.control("start")
        try:
            yield server
        finally:
            server.control("stop", "-m", "immediate")
