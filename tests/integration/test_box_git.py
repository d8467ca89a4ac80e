"""Private repositories on a box: the token or key reaches git, and nothing on the box's disk or in its process list."""

import asyncio
import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncssh
import pytest
from local_world import write

from aspot import CommandFailed, ConfigError, Instance

TOKEN = "ghp_0very0secret0token"


def git(*words, cwd="."):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    return subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def origin(cloud, tmp_path):
    """A repository with a commit, bare, and a clone to work in."""
    bare = tmp_path / "origin" / "private.git"
    git("init", "-q", "--bare", "-b", "main", str(bare))
    git("clone", "-q", str(bare), "work")
    commit("one", "first")
    git("config", "http.receivepack", "true", cwd=bare)
    return bare


def commit(name, text, branch="main"):
    git("checkout", "-q", "-B", branch, cwd="work")
    write(f"work/{name}", text)
    git("add", ".", cwd="work")
    git("commit", "-q", "-m", name, cwd="work")
    git("push", "-q", "origin", branch, cwd="work")


class _Door(BaseHTTPRequestHandler):
    """Git's own CGI, behind a password."""

    root: Path
    seen: list

    def do_GET(self):
        self._serve(b"")

    def do_POST(self):
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body):
        wanted = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        self.seen.append(self.headers.get("Authorization"))
        if self.headers.get("Authorization") != f"Basic {wanted}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = {
            **os.environ, "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": "me",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }  # fmt: skip
        said = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True).stdout
        head, _, content = said.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def web(origin):
    """The repository by HTTP; yields its address."""
    handler = type("Door", (_Door,), {"root": origin.parent, "seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/private.git"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def box(cloud):
    async with Instance(profile="t2.micro", show=False) as made:
        yield made


def assert_nowhere(cloud, box, secret):
    found = subprocess.run(["grep", "-rl", secret, cloud.machine(box.id)], capture_output=True, text=True, check=False)
    assert found.stdout == ""


async def test_by_a_token(cloud, box, web, monkeypatch):
    await box.run("git config --global credential.helper store", check=True)  # it would keep what it is told
    await box.run("printf '#!/bin/sh\\nexec /usr/bin/git \"$@\"\\n' >g", check=True)
    await box.clone_repo(web, "code", token=TOKEN)
    assert (await box.run("cat code/one")).stdout == "first"
    assert_nowhere(cloud, box, TOKEN)
    commit("two", "second")
    with pytest.raises(CommandFailed, match="git pull in code"):
        await box.update_repo("code")
    monkeypatch.setenv("ASPOT_GIT_TOKEN", TOKEN)
    await box.update_repo("code")
    assert (await box.run("cat code/two")).stdout == "second"
    commit("three", "third", branch="feature")
    await box.update_repo("code", "feature")
    assert (await box.run("cat code/three; git -C code rev-parse --abbrev-ref HEAD")).stdout == "thirdfeature\n"
    await box.run("echo mine >code/three", check=True)
    commit("three", "again", branch="feature")
    with pytest.raises(CommandFailed):
        await box.update_repo("code", "feature")
    assert (await box.run("cat code/three")).stdout == "mine\n"  # what was changed there is never thrown away
    assert_nowhere(cloud, box, TOKEN)
    with pytest.raises(CommandFailed, match="git clone"):
        await box.clone_repo(web, "wrong", token="wrong")


async def test_no_process_ever_shows_the_token(cloud, box, web):
    look = "for i in $(seq 300); do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; sleep 0.01; done"
    await box.run(f"({look}) >seen 2>/dev/null & :", check=True)
    await box.clone_repo(web, token=TOKEN)
    assert (await box.run("ls private")).stdout == "one\n"
    await box.run("sleep 1; pkill -f 'seq 300'; :")
    seen = (await box.run("tr '\\0' '\\n' <seen")).stdout
    assert "git" in seen
    assert "clone" in seen  # it was looked at while it ran
    assert TOKEN not in seen


class _GitServer(asyncssh.SSHServer):
    def __init__(self, trusted):
        self._trusted = trusted

    def begin_auth(self, username):
        return True

    def public_key_auth_supported(self):
        return True

    def validate_public_key(self, username, key):
        return key == self._trusted


async def test_by_a_deploy_key(cloud, box, origin, tmp_path):
    key, host = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    path = Path(write(tmp_path / "deploy", key.export_private_key().decode()))
    path.chmod(0o600)

    async def serve(process):
        command = process.command.split()
        if command[0] != "git-upload-pack":
            process.exit(1)
            return
        child = await asyncio.create_subprocess_exec(
            "git", "upload-pack", str(origin), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        await process.redirect(stdin=child.stdin, stdout=child.stdout)
        process.exit(await child.wait())
        await process.wait_closed()

    trusted = key.convert_to_public()
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=lambda: _GitServer(trusted), server_host_keys=[host], process_factory=serve,
        encoding=None,
    )  # fmt: skip
    url = f"ssh://git@127.0.0.1:{server.get_port()}{origin}"
    try:
        with pytest.raises(ConfigError, match=r"host key of 127\.0\.0\.1 is not known here"):
            await box.clone_repo(url, "code", key=path)
        line = f"[127.0.0.1]:{server.get_port()} {host.export_public_key().decode()}"
        write(Path.home() / ".ssh" / "known_hosts", line)
        await box.clone_repo(url, "code", key=path)
        assert (await box.run("cat code/one")).stdout == "first"
        commit("two", "second")
        await box.update_repo("code", key=path)
        assert (await box.run("cat code/two")).stdout == "second"
        assert_nowhere(cloud, box, path.read_text().splitlines()[3])
        assert (await box.run("pgrep ssh-agent")).stdout == ""
        line = f"[127.0.0.1]:{server.get_port()} {key.export_public_key().decode()}"
        write(Path.home() / ".ssh" / "known_hosts", line)
        with pytest.raises(CommandFailed):  # somebody else's host key
            await box.clone_repo(url, "other", key=path)
    finally:
        server.close()
        await server.wait_closed()
