"""Does a server answer, and is there any key for it? Found out within a bound, asking nobody."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from pathlib import Path


def answers(url: str, *, within_s: float) -> bool:
    """Whether the server of this address gives any HTTP answer in time.

    The question runs in a thread that is left behind at the bound, because resolving a name can take
    longer than any time-out of a socket. Proxies of the environment are used.
    """
    answered = threading.Event()
    done = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(url, data=b"{}", headers={"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=within_s):  # noqa: S310
                answered.set()
        except urllib.error.HTTPError:
            answered.set()  # an error page is an answer too
        except (OSError, ValueError):
            pass
        finally:
            done.set()

    threading.Thread(target=ask, daemon=True).start()
    done.wait(within_s)
    return answered.is_set()


def may_be_logged_in() -> bool:
    """Whether this user can have logged in to W&B at all: a key in the environment, or a netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    named = os.environ.get("NETRC")
    files = [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    return any(file.is_file() for file in files)
