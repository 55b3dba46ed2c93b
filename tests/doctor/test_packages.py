"""Are the bounds in the metadata of what is installed read and compared as packaging specifies?"""

from __future__ import annotations

import sys
from pathlib import Path

import packaging.requirements  # noqa: F401 - `site` hides where it is installed
import pytest

from lightning_cv.doctor.facts import Package
from lightning_cv.doctor.packages import read_software


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder of installed packages, the only one there is."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *[p for p in sys.path if "site-packages" not in p]])
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


def install(site: Path, name: str, version: str, *lines: str) -> None:
    """Only the metadata."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines])
    )


def needs(*requirements: str) -> list[str]:
    return [f"Requires-Dist: {requirement}" for requirement in requirements]


def test_each_package_is_compared_with_the_bound_of_who_asks_for_it(site):
    """Oracle: by hand; 0.9 is before 0.10, and a local build of 2.15 is 2.15."""
    asked = needs("torch>=2.11", "wandb>=0.10", "timm>=1.0", 'nothing; python_version < "3"', "torchvision")
    install(site, "lightning_cv", "1.0", "Requires-Python: >=3.11", *asked)
    install(site, "torch", "2.15.0+cu132", *needs("sympy>=1.13", "jinja2"))
    install(site, "torchvision", "0.28", *needs("torch==2.14.0", "gdown; extra == 'gdown'"))
    install(site, "wandb", "0.9")
    install(site, "sympy", "1.2")
    software = read_software()
    assert (software.python_wanted, software.python_fits) == (">=3.11", True)
    assert set(software.packages) == {
        Package("torch", ">=2.11", "2.15.0+cu132", True),
        Package("wandb", ">=0.10", "0.9", False),
        Package("timm", ">=1.0", None, False),
        Package("torchvision", "", "0.28", True),
        Package("sympy", ">=1.13", "1.2", False, "torch"),
        Package("jinja2", "", None, False, "torch"),
        Package("torch", "==2.14.0", "2.15.0+cu132", False, "torchvision"),
    }


def test_a_package_of_an_extra_counts_where_it_is_installed(site):
    extras = ["Provides-Extra: postgres", "Provides-Extra: dev"]
    asked = needs("psycopg>=3.2; extra == 'postgres'", "pytest>=9; extra == 'dev'", "ruff>=1; extra == 'gone'")
    install(site, "lightning_cv", "1.0", *extras, *asked)
    install(site, "psycopg", "3.1")
    install(site, "ruff", "0.1")
    assert read_software().packages == (Package("psycopg", ">=3.2", "3.1", False),)


def test_a_python_outside_the_bounds_does_not_fit(site):
    install(site, "lightning_cv", "1.0", "Requires-Python: <3")
    assert not read_software().python_fits


def test_without_metadata_nothing_is_known(site):
    assert read_software().packages == ()
