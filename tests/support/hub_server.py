"""A server on the loopback that speaks as much of the hub's protocol as its client asks."""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

LARGE = (".safetensors", ".pt")


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Hub:
    """Repositories in memory: commits by revision, files by commit, and how downloads go wrong."""

    def __init__(self):
        self.refs, self.commits, self.uploads = {}, {}, {}
        self.broken, self.altered, self.requests = set(), set(), []

    def commit(self, repo, files, revision="main"):
        described = sorted((name, sha256(content)) for name, content in files.items())
        key = hashlib.sha1(json.dumps([repo, described]).encode()).hexdigest()
        self.commits[key] = dict(files)
        self.refs.setdefault(repo, {})[revision] = key
        return key

    def add_folder(self, repo, folder, revision="main", under=""):
        files = {under + p.name: p.read_bytes() for p in Path(folder).iterdir() if p.is_file()}
        return self.commit(repo, files, revision)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub, *rest):
        self.hub = hub
        super().__init__(*rest)

    def log_message(self, *args):
        pass

    def answer(self, status, value=None, body=None, **headers):
        body = json.dumps(value).encode() if body is None else body
        self.send_response(status)
        for name, text in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def missing(self, what):
        self.answer(404, {"error": what}, X_Error_Code=what)

    def find(self, repo, revision):
        """Return the commit, or None after the answer was sent."""
        if repo not in self.hub.refs:
            return self.missing("RepoNotFound")
        refs = self.hub.refs[repo]
        key = refs.get(revision, revision if revision in refs.values() else None)
        return key if key else self.missing("RevisionNotFound")

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.hub.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            if key := self.find(found[1], found[2] or "main"):
                siblings = [{"rfilename": name} for name in self.hub.commits[key]]
                self.answer(200, {"id": found[1], "sha": key, "siblings": siblings})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            if key := self.find(found[1], found[2]):
                self.answer(200, [self.entry(*i) for i in self.hub.commits[key].items()])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            if key := self.find(found[1], found[2]):
                self.file(key, found[3])
        else:
            self.missing("EntryNotFound")

    def entry(self, name, content):
        values = {"type": "file", "path": name, "size": len(content), "oid": self.git(content)}
        if name.endswith(LARGE):
            values["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
        return values

    def git(self, content):
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def file(self, key, name):
        content = self.hub.commits[key].get(name)
        if content is None:
            return self.missing("EntryNotFound")
        tag = sha256(content) if name.endswith(LARGE) else self.git(content)
        headers = {"ETag": f'"{tag}"', "X_Repo_Commit": key, "Accept_Ranges": "none"}
        if name in self.hub.altered:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if name in self.hub.broken and self.command == "GET":
            headers["Content_Length"] = str(len(content))
            self.answer(200, body=content[: len(content) // 2], **headers)
            self.close_connection = True
            return None
        return self.answer(200, body=content, **headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        host = f"http://{self.headers['Host']}"
        if self.headers.get("Authorization") != "Bearer hf_right":
            return self.answer(401, {"error": "Invalid credentials"})
        if path == "/api/repos/create":
            values = json.loads(body)
            name = f"{values['organization']}/{values['name']}"
            if name not in self.hub.refs:
                self.hub.commit(name, {})
            return self.answer(200, {"url": f"{host}/{name}"})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if found := re.fullmatch(r"/api/models/(.+)/branch/(.+)", path):
            refs = self.hub.refs[found[1]]
            refs.setdefault(found[2], refs["main"])
            return self.answer(200, {})
        if "/preupload/" in path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{host}/upload/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        if found := re.fullmatch(r"/api/models/(.+)/commit/(.+)", path):
            return self.take(found[1], found[2], body, host)
        return self.missing("EntryNotFound")

    def do_PUT(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.uploads[self.path.rsplit("/", 1)[-1]] = content
        self.answer(200, {})

    def take(self, repo, revision, body, host):
        files = dict(self.hub.commits[self.hub.refs[repo][revision]])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        key = self.hub.commit(repo, files, revision)
        self.answer(200, {"commitUrl": f"{host}/{repo}/commit/{key}", "commitOid": key})
