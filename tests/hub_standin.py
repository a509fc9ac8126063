"""A small Hugging Face Hub on 127.0.0.1 that speaks the real protocol to the real clients, and the fixture ``hub``.

Use it in any test folder with ``from hub_standin import hub`` in its ``conftest.py``. In the test's own process
``huggingface_hub`` is pointed at it (and only that: it reads its constants at call time). transformers and datasets
read the environment at import, so client code of theirs runs in a process of its own: ``hub.run(code, *arguments)``.
Repositories live in memory. Uploads are LFS "basic" (``HF_HUB_DISABLE_XET``).
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import huggingface_hub
import pytest
from huggingface_hub import constants

TOKEN, USER = "hf_standin", "tester"
LFS_PATTERNS = ("*.safetensors", "*.bin", "*.parquet", "*.png")
WITHOUT_TOKEN = re.compile(r"/lfs/|/api/validate-yaml")
ROUTES: list[tuple[str, re.Pattern, str]] = []


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


class HttpError(Exception):
    """An answer that is an error; ``code`` goes into ``X-Error-Code``, by which the client distinguishes 404s."""

    def __init__(self, status: int, message: str, code: str | None = None, **body: str):
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body


def route(methods: str, pattern: str):
    """Register a handler method for a path; {T} is models, datasets or spaces, {P} the prefix of file addresses."""
    pattern = pattern.replace("{T}", "(?P<kind>models|datasets|spaces)").replace(
        "{P}", "(?:(?P<kind>datasets|spaces)/)?"
    )
    pattern = pattern.replace("{ID}", "(?P<repo_id>[^/]+/[^/]+?)").replace("{REV}", "(?P<revision>[^/]+)")

    def register(function):
        ROUTES.append((methods, re.compile(pattern), function.__name__))
        return function

    return register


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandIn

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def answer(self) -> None:
        split = urlsplit(self.path)
        path, self.query = unquote(split.path), parse_qs(split.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {path}"
        with self.hub.lock:
            self.hub.requests.append(line)
            try:
                self.dispatch(line, path)
            except HttpError as error:
                headers = {"X-Error-Message": error.message, **({"X-Error-Code": error.code} if error.code else {})}
                self.reply({"error": error.message, **error.body}, error.status, headers)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815 (names that http.server asks for)

    def dispatch(self, line: str, path: str) -> None:
        for pattern, status in self.hub.faults:
            if re.search(pattern, line):
                if status is None:
                    self.close_connection = True
                    return None
                raise HttpError(status, f"made to fail with {status}")
        token = self.headers.get("Authorization")
        writes = self.command not in ("GET", "HEAD") and not WITHOUT_TOKEN.search(path)
        if (token or writes) and token != f"Bearer {TOKEN}":
            raise HttpError(401, "Invalid username or password.")
        for methods, pattern, name in ROUTES:
            if self.command in methods.split() and (match := pattern.fullmatch(path)):
                return getattr(self, name)(**match.groupdict())
        raise HttpError(404, f"no route {line}")

    def reply(self, content: object = None, status: int = 200, headers: dict[str, object] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(data), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def repo(self, kind: str | None, repo_id: str) -> dict:
        repo = self.hub.repos.get(((kind or "models").removesuffix("s"), repo_id))
        if repo is None:
            raise HttpError(404, "Repository not found", "RepoNotFound")
        return repo

    def commit_of(self, repo: dict, revision: str) -> dict:
        commit = repo["commits"].get(repo["branches"].get(revision, revision))
        if commit is None:
            raise HttpError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    @route("GET", "/api/whoami-v2")
    def whoami(self) -> None:
        if not self.headers.get("Authorization"):
            raise HttpError(401, "Invalid username or password.")
        self.reply(self.hub.account)

    @route("GET", "/api/agent-harnesses")
    def harnesses(self) -> None:
        self.reply({"standardEnvVars": [], "harnesses": {}})

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self) -> None:
        self.reply({"errors": [], "warnings": []})

    @route("POST", "/api/repos/create")
    def create(self) -> None:
        asked = json.loads(self.body)
        repo_type, repo_id = asked.get("type", "model"), f"{asked.get('organization') or USER}/{asked['name']}"
        url = f"{self.hub.url}/{'' if repo_type == 'model' else repo_type + 's/'}{repo_id}"
        if (repo_type, repo_id) in self.hub.repos:
            raise HttpError(409, f"You already created this {repo_type} repo", url=url)
        self.hub.add_repo(repo_id, repo_type, visibility=asked.get("visibility"), sdk=asked.get("sdk"))
        self.reply({"url": url, "name": repo_id, "id": "0"})

    @route("POST", "/api/{T}/{ID}/branch/(?P<name>.+)")
    def branch(self, kind: str, repo_id: str, name: str) -> None:
        repo = self.repo(kind, repo_id)
        if name in repo["branches"]:
            raise HttpError(409, "Reference already exists")
        repo["branches"][name] = repo["branches"]["main"]
        self.reply({})

    @route("GET POST DELETE", "/api/spaces/{ID}/variables")
    def variables(self, repo_id: str) -> None:
        variables, asked = self.repo("spaces", repo_id)["variables"], json.loads(self.body or b"{}")
        if self.command == "POST":
            variables[asked["key"]] = {"key": asked["key"], "value": asked["value"]}
        elif self.command == "DELETE":
            variables.pop(asked["key"], None)
        self.reply(variables)

    @route("POST", "/api/{T}/{ID}/preupload/{REV}")
    def preupload(self, kind: str, repo_id: str, revision: str) -> None:
        self.commit_of(self.repo(kind, repo_id), revision)
        answers = []
        for file in json.loads(self.body)["files"]:
            mode = "lfs" if any(fnmatch.fnmatch(file["path"], pattern) for pattern in LFS_PATTERNS) else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None})
        self.reply({"files": answers})

    @route("POST", r"/{P}{ID}\.git/info/lfs/objects/batch")
    def lfs_batch(self, kind: str | None, repo_id: str) -> None:
        self.repo(kind, repo_id)
        objects = [{"oid": item["oid"], "size": item["size"]} for item in json.loads(self.body)["objects"]]
        for item in objects:
            if item["oid"] not in self.hub.blobs:  # without actions: the Hub has it, the client sends nothing
                item["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}", "header": {}}}
        self.reply({"transfer": "basic", "objects": objects}, headers={"Content-Type": "application/vnd.git-lfs+json"})

    @route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})")
    def lfs_put(self, oid: str) -> None:
        if self.hub.store(self.body, lfs=True)["sha256"] != oid:
            raise HttpError(400, "sha256 mismatch")
        self.reply({})

    @route("POST", "/api/{T}/{ID}/commit/{REV}")
    def commit(self, kind: str, repo_id: str, revision: str) -> None:
        repo = self.repo(kind, repo_id)
        files, title = dict(self.commit_of(repo, revision)["files"]), ""
        for operation in map(json.loads, self.body.splitlines()):
            key, value = operation["key"], operation["value"]
            if key == "header":
                title = value["summary"]
            elif key == "file":
                files[value["path"]] = self.hub.store(base64.b64decode(value["content"]), lfs=False)
            elif key == "lfsFile":
                files[value["path"]] = self.hub.store(self.hub.blobs[value["oid"]], lfs=True)
            elif key == "deletedFile":
                del files[value["path"]]
        oid = self.hub.add_commit(repo, revision, files, title)
        self.reply({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo_id}/commit/{oid}"})

    @route("GET", "/api/{T}/{ID}(?:/revision/{REV})?")
    def info(self, kind: str, repo_id: str, revision: str | None) -> None:
        repo = self.repo(kind, repo_id)
        commit = self.commit_of(repo, revision or "main")
        card = self.hub.blobs[commit["files"]["README.md"]["sha256"]] if "README.md" in commit["files"] else b""
        tag = re.search(rb"^pipeline_tag: *(\S+)", card, re.M)
        siblings = [{"rfilename": path} for path in sorted(commit["files"])]
        about = {"id": repo_id, "sha": commit["id"], "siblings": siblings, "tags": [], "private": False, "gated": False}
        self.reply({**about, "pipeline_tag": tag and tag[1].decode(), "library_name": "transformers"})

    def entry(self, path: str, entry: dict) -> dict:
        lfs = {"lfs": {"oid": entry["sha256"], "size": entry["size"], "pointerSize": 130}} if entry["lfs"] else {}
        return {"type": "file", "path": path, "size": entry["size"], "oid": entry["oid"], **lfs}

    @route("GET", "/api/{T}/{ID}/tree/{REV}(?:/(?P<folder>.*))?")
    def tree(self, kind: str, repo_id: str, revision: str, folder: str | None) -> None:
        files = self.commit_of(self.repo(kind, repo_id), revision)["files"]
        prefix = f"{folder}/" if folder else ""
        inside = {path: entry for path, entry in sorted(files.items()) if path.startswith(prefix)}
        if folder and not inside:
            raise HttpError(404, f"{folder} does not exist", "EntryNotFound")
        folders = {prefix + path[len(prefix) :].split("/")[0] for path in inside if "/" in path[len(prefix) :]}
        listed = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
        deep = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        listed += [self.entry(p, entry) for p, entry in inside.items() if deep or "/" not in p[len(prefix) :]]
        self.reply(listed)

    @route("POST", "/api/{T}/{ID}/paths-info/{REV}")
    def paths_info(self, kind: str, repo_id: str, revision: str) -> None:
        files = self.commit_of(self.repo(kind, repo_id), revision)["files"]
        asked = parse_qs(self.body.decode()).get("paths", [])
        self.reply([self.entry(path, files[path]) for path in asked if path in files])

    @route("GET HEAD", "/{P}{ID}/resolve/{REV}/(?P<path>.+)")
    def resolve(self, kind: str | None, repo_id: str, revision: str, path: str) -> None:
        commit = self.commit_of(self.repo(kind, repo_id), revision)
        entry = commit["files"].get(path)
        if entry is None:
            raise HttpError(404, "Entry not found", "EntryNotFound")
        data, headers = self.hub.blobs[entry["sha256"]], {"X-Repo-Commit": commit["id"], "Accept-Ranges": "bytes"}
        headers["ETag"] = f'"{entry["sha256"] if entry["lfs"] else entry["oid"]}"'
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(match[1]), min(int(match[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            return self.reply(data[start : end + 1], 206, headers)
        return self.reply(data, 200, headers)
