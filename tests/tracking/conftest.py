"""Every test of the trackers: nobody is logged in, home is empty, and no W&B service is shared between tests."""

import pytest
import wandb


@pytest.fixture(autouse=True)
def own_user(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_CACHE_DIR", "NETRC", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    yield
    wandb.teardown()


@pytest.fixture
def log_in(monkeypatch):
    """Log in to a server of this address."""

    def log_in(url: str) -> None:
        monkeypatch.setenv("WANDB_MODE", "online")
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)

    return log_in
