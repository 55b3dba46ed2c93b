"""Runs of a few steps, for what is done with runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from lightning_cv.cli.main import main
from tests.conftest import keep_parser_settings


def trained_runs(folder: Path, recipes: Mapping[str, str]) -> dict[str, Path]:
    """The folders of runs of these recipes, by name, all within a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        keep_parser_settings(patch)
        for name, recipe in recipes.items():
            (folder / f"{name}.yaml").write_text(recipe)
            assert main(["fit", f"{name}.yaml", "--run-dir", str(folder / "runs" / name / "one")]) == 0
    return {name: folder / "runs" / name / "one" for name in recipes}
