"""A W&B server on the loopback that keeps what it is sent, as far as wandb's uploader and `wandb sync` ask.

It knows the operations of GraphQL, the file stream and the uploads that wandb 0.31 uses, and answers `{}` to the
rest. Lines of a stream are stored at the offset that the client names, as the real server does.
"""

from __future__ import annotations

import gzip
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

ENTITY = "someone"
STREAM = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")


@dataclass
class StoredRun:
    """What the server has of one run."""

    run_id: str
    entity: str
    project: str
    facts: dict[str, Any] = field(default_factory=dict)  # displayName, groupName, jobType, tags, notes ...
    config: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)  # of each stream
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None
    upserts: int = 0

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows of the curves, in the order of the server."""
        return [json.loads(line) for line in self.lines.get("wandb-history.jsonl", [])]

    @property
    def steps(self) -> list[int]:
        """The x axis of the curves: the optimizer step of each row that has one."""
        return [row["trainer/global_step"] for row in self.history if "trainer/global_step" in row]

    @property
    def summary(self) -> dict[str, Any]:
        """What stands in the table of runs."""
        stored = self.lines.get("wandb-summary.json", [])
        return json.loads(stored[-1]) if stored else {}

    @property
    def settings(self) -> dict[str, Any]:
        """The config without W&B's wrapping."""
        return {key: value["value"] for key, value in self.config.items() if key != "_wandb"}


class Stub:
    """The server's memory; `before` is called with the name of each request before it is answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.runs: dict[str, StoredRun] = {}
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda name: None
        self.received = b""  # all bytes that were ever sent here
        self.lock = threading.Lock()

    def run(self, run_id: str, *, entity: str | None = None, project: str | None = None) -> StoredRun:
        """The run of this id, made if there is none."""
        return self.runs.setdefault(run_id, StoredRun(run_id, entity or ENTITY, project or "uncategorized"))

    def keep(self, run_id: str, rows: list[dict[str, Any]]) -> None:
        """Let a run have these rows, and the summary that belongs to them."""
        self.runs[run_id].lines["wandb-history.jsonl"] = [json.dumps(row) for row in rows]
        self.runs[run_id].lines["wandb-summary.json"] = [json.dumps(row) for row in rows[-1:]]

    def graphql(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The answer to one operation."""
        answers = {
            "Viewer": self._viewer,
            "RunResumeStatus": self._resume_status,
            "UpsertBucket": self._upsert,
            "CreateRunFiles": self._file_urls,
        }
        return {"data": answers[name](variables) if name in answers else {}}

    def stream(self, run: StoredRun, body: dict[str, Any]) -> None:
        """Store lines at their offsets."""
        for name, chunk in (body.get("files") or {}).items():
            stored = run.lines.setdefault(name, [])
            stored[chunk["offset"] :] = [*chunk["content"]]
        if body.get("complete"):
            run.exit_code = body.get("exitcode")

    def _viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}}

    def _resume_status(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        if run is None:
            return {"model": None}
        history, events = (run.lines.get(f"wandb-{kind}.jsonl", []) for kind in ("history", "events"))
        bucket = {
            "id": run.run_id,
            "name": run.run_id,
            "summaryMetrics": json.dumps(run.summary),
            "displayName": run.facts.get("displayName"),
            "logLineCount": len(run.lines.get("output.log", [])),
            "historyLineCount": len(history),
            "eventsLineCount": len(events),
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": json.dumps(events[-1:]),
            "config": json.dumps(run.config),
            "tags": run.facts.get("tags") or [],
            "wandbConfig": json.dumps({"t": 1} if "_wandb" in run.config else {}),  # 1: it was begun
        }
        return {"model": {"id": "project", "name": run.project, "entity": {"name": run.entity}, "bucket": bucket}}

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        inserted = variables["name"] not in self.runs
        run = self.run(variables["name"], entity=variables.get("entity"), project=variables.get("project"))
        run.upserts += 1
        run.facts |= {key: value for key, value in variables.items() if value is not None and key != "config"}
        if variables.get("config"):
            run.config |= json.loads(variables["config"])
        bucket = {
            "id": run.run_id,
            "name": run.run_id,
            "displayName": run.facts.get("displayName"),
            "config": json.dumps(run.config),
            "historyLineCount": len(run.lines.get("wandb-history.jsonl", [])),
            "project": {"id": "project", "name": run.project, "entity": {"id": "entity", "name": run.entity}},
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _file_urls(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [
            {"name": name, "uploadUrl": f"{self.url}/put/{variables['run']}/{name}"} for name in variables["files"]
        ]
        return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: Stub

    def do_POST(self) -> None:
        raw = self._body()
        if self.path.endswith("/graphql"):
            body = json.loads(raw)
            name = (
                body.get("operationName")
                or (re.findall(r"(?:query|mutation)\s+(\w+)", body.get("query", "")) or [""])[0]
            )
            self._answer(name, lambda: self.stub.graphql(name, body.get("variables") or {}))
        elif found := STREAM.search(self.path):
            entity, project, run_id = found.groups()
            self._answer(
                "file_stream",
                lambda: self.stub.stream(self.stub.run(run_id, entity=entity, project=project), json.loads(raw)) or {},
            )
        else:
            self._answer(self.path, dict)

    def do_PUT(self) -> None:
        raw = self._body()
        _, _, run_id, name = self.path.split("/", 3)
        self._answer("upload", lambda: self.stub.run(run_id).files.update({name: raw}) or {})

    def do_GET(self) -> None:
        self._answer(self.path, dict)

    def _body(self) -> bytes:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        with self.stub.lock:
            self.stub.received += self.path.encode() + raw
        return raw

    def _answer(self, name: str, answer: Callable[[], Any]) -> None:
        self.stub.before(name)
        with self.stub.lock:
            self.stub.asked.append(name)
            body = json.dumps(answer()).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client did not wait

    def log_message(self, *args: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


@contextmanager
def serving() -> Iterator[Stub]:
    """A server for the time of a `with`."""
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        stub = handler.stub = Stub(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield stub
        finally:
            stub.before = lambda name: None
            server.shutdown()
