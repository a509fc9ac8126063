"""A small Hugging Face Hub on 127.0.0.1 that speaks the real protocol to the real clients, and the fixture ``hub``.

Use it in any test folder with ``from hub_standin import hub`` in its ``conftest.py``. In the test's own process
``huggingface_hub`` is pointed at it (and only that: it reads its constants at call time). transformers and datasets
read the environment at import, so client code of theirs runs in a process of its own: ``hub.run(code, *arguments)``.
Repositories live in memory. Uploads are LFS "basic" (``HF_HUB_DISABLE_XET``).
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from hub_standin_handler import TOKEN, USER, Handler
from huggingface_hub import constants


class StandIn:
    """The server's state: change ``account``, ``faults`` or ``repos`` in a test, and read what arrived."""

    def __init__(self) -> None:
        self.account = {"type": "user", "id": "0", "name": USER, "fullname": USER, "orgs": []}
        self.account["auth"] = {"type": "access_token", "accessToken": {"displayName": "test", "role": "write"}}
        self.repos: dict[tuple[str, str], dict] = {}
        self.blobs: dict[str, bytes] = {}
        self.faults: list[tuple[str, int | None]] = []
        """(pattern of "METHOD /path", status): the answer is that status; None closes the connection instead."""
        self.requests: list[str] = []
        self.lock = threading.RLock()
        self.env: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Shut the server down: from here on connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def add_repo(self, repo_id: str, repo_type: str = "model", **meta: object) -> dict:
        repo = {"id": repo_id, "type": repo_type, "meta": meta, "variables": {}, "commits": {}, "branches": {}}
        self.repos[repo_type, repo_id] = repo
        self.add_commit(repo, "main", {})
        return repo

    def add_commit(self, repo: dict, branch: str, files: dict[str, dict], title: str = "initial commit") -> str:
        oid = hashlib.sha1(repr([repo["id"], branch, title, len(repo["commits"]), sorted(files)]).encode()).hexdigest()
        repo["commits"][oid] = {"id": oid, "files": files, "title": title}
        repo["branches"][branch] = oid
        return oid

    def files(self, repo_id: str, repo_type: str = "model", branch: str = "main") -> dict[str, bytes]:
        """Path -> content of what was pushed."""
        repo = self.repos[repo_type, repo_id]
        files = repo["commits"][repo["branches"][branch]]["files"]
        return {path: self.blobs[entry["sha256"]] for path, entry in files.items()}

    def store(self, data: bytes, *, lfs: bool) -> dict:
        sha256 = hashlib.sha256(data).hexdigest()
        self.blobs[sha256] = data
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return {"sha256": sha256, "size": len(data), "oid": oid, "lfs": lfs}

    def run(self, code: str, *arguments: str) -> str:
        """Run Python code in a fresh process whose Hub is this one; its standard output, stripped."""
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=self.env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def environment(url: str, home: Path) -> dict[str, str]:
    """The variables that point a fresh process at the stand-in, with a cache of its own."""
    ours = {"HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    others = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "OMP_"))}
    root = str(Path(__file__).parents[1])
    return {**others, **ours, **quiet, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A running stand-in with a writing token, for this process's huggingface_hub and for ``hub.run``."""
    standin, home = StandIn(), tmp_path / "hf_home"
    standin.env = environment(standin.url, home)
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HOME", "HF_HUB_DISABLE_XET", "NO_PROXY"):
        monkeypatch.setenv(name, standin.env[name])
    for name, value in {
        "ENDPOINT": standin.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": standin.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_OFFLINE": False,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "AGENT_HARNESSES_PATH": str(home / "harnesses.json"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    yield standin
    standin.stop()
    huggingface_hub.close_session()
