"""`aspot forward` and `aspot notebook`: a machine's ports here, for as long as somebody wants them."""

import contextlib
import re
import shutil
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from local_world import until
from processes import Piped

SERVER = """
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.path.endswith("token=" + os.environ["JUPYTER_TOKEN"])
        self.send_response(200 if good else 403)
        self.end_headers()
        self.wfile.write(b"a notebook" if good else b"no")
    def log_message(self, *words): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""
"""Stands for Jupyter: asks for the token that it was given in its environment."""


@pytest.fixture
def free_port():
    with contextlib.closing(socket.socket()) as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


@pytest.fixture
def served(machine, free_port):
    """A web server on the machine."""
    page = machine.home() / "page"
    page.write_text("from the machine\n" * 1000)
    page.chmod(0o644)
    server = Piped("ssh", "box", f"exec python3 -m http.server --bind 127.0.0.1 {free_port}")
    until(lambda: _connects(free_port))
    yield free_port
    server.kill()


def _connects(port):
    with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port), 1)):
        return True


def read(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def address(process):
    process.says("http://")
    return re.search(r"http://\S+", process.out)[0]


def test_a_port_here_until_ctrl_c(machine, served, start):
    forward = start(Piped, "forward", "box", f"0:{served}")
    url = address(forward)
    assert forward.out == f"{url} is port {served} of box_1\n"
    assert url.startswith("http://127.0.0.1:")
    assert read(f"{url}/page") == "from the machine\n" * 1000
    forward.signal(signal.SIGINT)
    assert forward.end() == 0
    with pytest.raises(urllib.error.URLError):
        read(url)


def test_it_survives_its_connection(wire, served, start):
    forward = start(Piped, "forward", "box", f"0:{served}", program=wire.aspot)
    url = address(forward)
    assert read(f"{url}/page")
    wire.reset()
    forward.says("the connection to box_1 broke; connecting again")
    assert read(f"{url}/page") == "from the machine\n" * 1000, "a caller waits until there is a connection again"
    forward.says("connected again")
    forward.signal(signal.SIGINT)
    assert forward.end() == 0


def test_nobody_listens_there(machine, free_port, start):
    forward = start(Piped, "forward", "box", f"0:{free_port}")
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        read(address(forward))
    forward.says(f"nothing listens on port {free_port} there yet")
    forward.signal(signal.SIGINT)
    assert forward.end() == 0


def test_it_ends_with_the_machine(machine, free_port, start):
    forward = start(Piped, "forward", "box", f"0:{free_port}")
    address(forward)
    machine.end()
    assert forward.end() == 3
    assert re.search(r"error: box_1 \(i-\w+\) is gone", forward.err)


def test_wrong_words(aspot, machine, free_port):
    for word in ("x", "0", "70000", "1:2:3", "80:", ":80", "-1"):
        code, _, err = aspot("forward", "box", "--", word) if word == "-1" else aspot("forward", "box", word)
        assert (code, err.startswith("error: ")) == (2, True), word
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = aspot("forward", "box", str(port))
        assert (code, err) == (2, f"error: port {port} is in use here\nfix:   another one: {port + 1}:{port}\n")
    assert aspot("forward", "nope", "80")[0] == 2


def test_a_notebook_that_goes_on(aspot, machine, start):
    """Its own token, opened here, found again, ended when told to; no list of processes shows the token."""
    (machine.home() / "server.py").write_text(SERVER)
    (machine.home() / "server.py").chmod(0o644)
    words = ["notebook", "box", "--command", "exec python3 server.py"]
    first = start(Piped, *words)
    url = address(first)
    token = url.partition("token=")[2]
    assert len(token) == 48
    assert read(url) == "a notebook"
    with pytest.raises(urllib.error.HTTPError):
        read(url.replace(token, "x"))
    assert not [pid for pid in machine.cloud.guests() if token.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert (machine.home() / ".aspot/notebook/token").stat().st_mode & 0o777 == 0o600
    first.signal(signal.SIGINT)
    assert first.end() == 0
    assert "it goes on running there: aspot notebook box_1 opens it again" in first.err
    second = start(Piped, "notebook", "box")
    again = address(second)
    assert again.partition("token=")[2] == token
    assert read(again) == "a notebook"
    second.signal(signal.SIGINT)
    assert second.end() == 0
    assert aspot("notebook", "box", "--stop") == (0, "", "aspot: the notebook server of box_1 was ended\n")
    assert aspot("notebook", "box", "--stop") == (0, "", "aspot: none runs on box_1\n")


def test_a_server_that_ends_at_once_says_why(aspot, machine):
    code, out, err = aspot("notebook", "box", "--command", "echo 'no such kernel' >&2; exit 1")
    assert (code, out) == (3, "")
    assert err.startswith("error: the notebook server of box_1 ended at once; it said at last:\n")
    assert "no such kernel" in err


@pytest.mark.skipif(
    any(shutil.which(name, path="/usr/local/bin:/usr/bin:/bin") for name in ("jupyter-lab", "jupyter-notebook")),
    reason="machines see this computer's Jupyter",
)
def test_a_machine_without_jupyter(aspot, machine):
    code, out, err = aspot("notebook", "box")
    assert (code, out) == (2, "")
    assert err == (
        "error: box_1 has no Jupyter\n"
        "fix:   aspot notebook box_1 --install, which puts JupyterLab into ~/.aspot/notebook there\n"
    )
    assert aspot("notebook", "box", "--stop", "--install")[0] == 2
    assert aspot("notebook", "box", "--port", "x")[0] == 2


def test_jupyter_is_started_with_a_token_that_nobody_else_sees(machine, start):
    """A program of its name on the machine, found where `--install` puts it, gets what Jupyter is to get."""
    there = machine.home() / ".aspot/notebook/venv/bin/jupyter-lab"
    there.parent.mkdir(parents=True)
    there.write_text(f"#!/usr/bin/env python3\nimport sys; open('words', 'w').write(' '.join(sys.argv[1:]))\n{SERVER}")
    for path in (there, *list(there.parents)[:4]):
        path.chmod(0o755)
    (machine.home() / ".aspot/notebook").chmod(0o777)
    notebook = start(Piped, "notebook", "box")
    assert read(address(notebook)) == "a notebook"
    port = (machine.home() / ".aspot/notebook/port").read_text().strip()
    wanted = f"--no-browser --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0"
    assert (machine.home() / "words").read_text() == wanted
    notebook.signal(signal.SIGINT)
    assert notebook.end() == 0
