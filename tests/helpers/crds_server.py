"""A CRDS server on loopback: the part of the JSON-RPC protocol that the stock client speaks.

It serves the rules and reference files of a folder in the layout of a cache, and can be told to send
wrong or half files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["CrdsServer", "serving"]


class CrdsServer(ThreadingHTTPServer):
    """Serves one folder; `damage` maps file names to what is done to their bytes."""

    daemon_threads = True

    def __init__(self, folder: Path, context: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.context = context
        self.asked: list[str] = []  # methods and files, in their order
        self.damage: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def find(self, name: str) -> Path | None:
        return next(iter(self.folder.rglob(name)), None)

    def files(self) -> dict[str, dict[str, str]]:
        """Size and checksum of every file, as the server's catalogue has them."""
        return {
            path.name: {"size": str(path.stat().st_size), "sha1sum": _sha1(path)}
            for path in self.folder.rglob("jwst_*")
        }

    def answer(self, method: str, _parameters: Any) -> Any:
        """The result of a call."""
        if method == "get_server_info":
            return {
                "observatory": "jwst",
                "status": "s",
                "connected": True,
                "force_remote_mode": False,
                "operational_context": self.context,
                "edit_context": self.context,
                "latest_context": self.context,
                "effective_context": self.context,
                "last_synced": "2026-01-01 00:00:00",
                "bad_files": "",
                "bad_files_list": [],
                "mappings": sorted(name for name in self.files() if name.endswith("map")),
                "reference_url": {"unchecked": {"jwst": f"{self.url}/get"}},
                "mapping_url": {"unchecked": {"jwst": f"{self.url}/get"}},
                "crds_version": {"str": "14.0.3"},
            }
        if method == "get_default_context":
            return self.context
        if method == "get_mapping_names":
            return sorted(name for name in self.files() if name.endswith("map"))
        if method == "get_file_info_map":
            return self.files()
        raise LookupError(method)


class _Handler(BaseHTTPRequestHandler):
    server: CrdsServer

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(call["method"])
        answer: dict[str, Any] = {"jsonrpc": "1.0", "id": call["id"], "error": None, "result": None}
        try:
            answer["result"] = self.server.answer(call["method"], call["params"])
        except LookupError as error:
            answer["error"] = {"message": f"no method {error}"}
        self._send(json.dumps(answer).encode())

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        path = self.server.find(name)
        if path is None:
            self.send_error(404)
            return
        content = path.read_bytes()
        damage = self.server.damage.get(name)
        self._send(damage(content) if damage else content, len(content))

    def _send(self, content: bytes, announced: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(announced or len(content)))
        self.end_headers()
        self.wfile.write(content)
        # A connection that ends before all is sent, as when a server goes down.
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()  # noqa: S324 - what CRDS uses


@contextlib.contextmanager
def serving(folder: Path, context: str) -> Iterator[CrdsServer]:
    """A server that runs while the block does."""
    server = CrdsServer(folder, context)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
