"""Serve a folder as a git repository from this computer: for machines of the local cloud, which can reach it."""

import functools
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def git(*words, folder):
    """Run git as nobody in particular."""
    identity = ("-c", "user.name=walkthrough", "-c", "user.email=walkthrough@example.com")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@contextmanager
def served(folder):
    """Yield the address of a repository that holds what the folder holds, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as there:
        work, bare = Path(there, "work"), Path(there, "web", "training.git")
        work.mkdir()
        for path in Path(folder).iterdir():
            if path.is_file():
                (work / path.name).write_bytes(path.read_bytes())
        git("init", "-q", "-b", "main", folder=work)
        git("add", ".", folder=work)
        git("commit", "-q", "-m", "The training", folder=work)
        git("clone", "-q", "--bare", str(work), str(bare), folder=work)
        git("update-server-info", folder=bare)
        handler = functools.partial(_Quiet, directory=str(bare.parent))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/training.git"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


if __name__ == "__main__":
    with served(sys.argv[1]) as address:
        print("serving", address, "until Ctrl-C", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("served")
