"""A W&B server on the loopback, as far as reading one run and saving one view need it."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ROWS = [
    {"_step": 0, "_runtime": 1.0, "trainer/global_step": 9, "epoch": 0, "val/accuracy": 0.5},
    {"_step": 1, "_runtime": 2.5, "trainer/global_step": 19, "epoch": 1, "val/accuracy": "NaN"},
    {"_step": 2, "_runtime": 4.0, "trainer/global_step": 29, "epoch": 2, "val/accuracy": 0.75},
]
CONFIG = {
    "seed_everything": 3,
    "model": {"init_args": {"lr": 0.1}},
    "callbacks": {"snapshot": {"init_args": {"monitor": "val/accuracy", "mode": "max"}}},
}


@contextmanager
def wandb_server(*, state: str = "finished") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of a server with the run `team/digits/r1`, and the views that were saved there."""
    saved: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            data = _answer(asked.get("query", ""), asked.get("variables") or {}, state, saved)
            text = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", saved
        server.shutdown()


def _answer(query: str, variables: dict[str, Any], state: str, saved: list[dict[str, Any]]) -> dict[str, Any]:
    if "viewer" in query:
        return {"viewer": {"id": "u", "entity": "team", "flags": "{}", "username": "u", "teams": {"edges": []}}}
    if "upsertView" in query:
        saved.append(variables)
        return {"upsertView": {"view": {"id": "1", "name": "nw-abc-v"}, "inserted": True}}
    if variables.get("name", variables.get("run", variables.get("runName"))) != "r1":
        return {"project": {"internalId": "1", "name": "digits", "run": None}}
    wrapped = {key: {"value": value} for key, value in {**CONFIG, "_wandb": {}}.items()}
    run = {
        **dict.fromkeys(("group", "jobType", "commit", "sweepName", "description", "notes", "host")),
        **{"id": "x", "internalId": "1", "name": "r1", "displayName": "first", "state": state, "readOnly": False},
        **{"config": json.dumps(wrapped), "summaryMetrics": "{}", "systemMetrics": "{}", "tags": [], "projectId": 1},
        **{"historyLineCount": len(ROWS), "historyKeys": {"lastStep": 2, "keys": {}}},
        **{"createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:00:00"},
        **{"user": {"name": "u", "username": "u"}},
        "history": [json.dumps(row) for row in ROWS],
        "parquetHistory": {"liveData": ROWS[:1], "parquetUrls": []},
    }
    return {"project": {"internalId": "1", "name": "digits", "run": run}}
