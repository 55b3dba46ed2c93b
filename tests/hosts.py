"""Two machines for a test: network namespaces where this process may make them, else this machine twice."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """One machine.

    Args:
        address: at which the other one reaches it.
        prefix: words in front of a program that is to run on it.
    """

    address: str
    prefix: tuple[str, ...] = ()


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two machines that share the disk, and in namespaces nothing of the network but a cable between them."""
    names = [f"lcv-{os.getpid()}-{end}" for end in "ab"]
    cable = [f"lcv{os.getpid() % 100_000}{end}" for end in "ab"]
    addresses = [f"10.213.{os.getpid() % 250}.{number}" for number in (1, 2)]
    try:
        if not _made(names, cable, addresses):
            yield Host("127.0.0.1"), Host("127.0.0.1")
            return
        first, second = (
            Host(address, ("ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={end}"))
            for name, end, address in zip(names, cable, addresses, strict=True)
        )
        yield first, second
    finally:
        for name in names if shutil.which("ip") else ():
            _ip("netns", "del", name)  # its end of the cable goes with it


def _made(names: list[str], cable: list[str], addresses: list[str]) -> bool:
    if shutil.which("ip") is None or not all(_ip("netns", "add", name) for name in names):
        return False
    if not _ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1]):
        return False
    return all(
        _ip("link", "set", end, "netns", name)
        and _ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
        and _ip("-n", name, "link", "set", "lo", "up")
        and _ip("-n", name, "link", "set", end, "up")
        for name, end, address in zip(names, cable, addresses, strict=True)
    )


def _ip(*words: str) -> bool:
    return subprocess.run(["ip", *words], check=False, capture_output=True).returncode == 0
