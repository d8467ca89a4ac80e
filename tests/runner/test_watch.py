"""The machine's own watch for EC2's notice: a metadata service that tests control."""

from __future__ import annotations

import http.server
import shutil
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from waiting import until

LONG = 1_000_000


class Metadata(http.server.ThreadingHTTPServer):
    """Tokens, a notice, a rebalance recommendation, and trouble."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens: list[str] = []
        self.refused = 0
        self.broken = 0
        self.notice = self.rebalance = ""
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        self.server.tokens.append(f"token-{len(self.server.tokens)}")
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "21600"
        self._say(200, self.server.tokens[-1])

    def do_GET(self):
        self.server.asked.append((self.path, self.headers["X-aws-ec2-metadata-token"]))
        if self.server.broken:
            self.server.broken -= 1
            self._say(503, "later")
        elif not self.server.tokens or self.headers["X-aws-ec2-metadata-token"] != self.server.tokens[-1]:
            self.server.refused += 1
            self._say(401, "<html>\n@@ no\n</html>")
        elif self.path == "/latest/meta-data/spot/instance-action" and self.server.notice:
            self._say(200, self.server.notice)
        elif self.path == "/latest/meta-data/events/recommendations/rebalance" and self.server.rebalance:
            self._say(200, self.server.rebalance)
        else:
            self._say(404, "<?xml version='1.0'?>\n<html>404 - Not Found</html>")

    def _say(self, code, text):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def metadata():
    server = Metadata()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def watch(machine, metadata):
    machine.begin(
        "arm", LONG, LONG, LONG, LONG, stdin=b"keep\n", env={"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url}
    )
    until(lambda: metadata.asked)


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_notice_is_written_down_said_once_and_the_hook_runs_in_the_jobs_own_world(machine, metadata):
    watch(machine, metadata)
    hook = 'echo "$WHO $ASPOT_DEADLINE $(cat "$ASPOT_NOTICE_FILE")" >hooked; exit 6'
    folder = machine.start("sleep 20", on_notice=hook, env={"WHO": "me"})
    machine.start("sleep 20", job="quiet")
    when = in_seconds(60)
    metadata.notice = '{\n  "action": "terminate",\n  "time": "' + when + '"\n}'
    until(lambda: f"notice {when}" in machine.events())
    assert (machine.home / ".aspot/notice").read_text() == when + "\n"
    until(lambda: "hook job 1 6" in machine.events())
    assert (folder / "work/hooked").read_text() == f"me {when} {when}\n"
    asked = len(metadata.asked)
    until(lambda: len(metadata.asked) > asked + 3)
    assert machine.events().count(f"notice {when}") == 1
    assert machine.status("quiet") == "running"


def test_a_hook_has_most_of_the_time_that_is_left_and_no_more(machine, metadata):
    watch(machine, metadata)
    machine.start("sleep 20", on_notice="sleep 30")
    metadata.notice = '{"action":"terminate","time":"' + in_seconds(3) + '"}'
    until(lambda: any(line.startswith("hook job 1 ") for line in machine.events()))
    assert machine.events()[-1] in ("hook job 1 124", "hook job 1 143")


def test_a_job_that_ends_does_not_wait_long_for_its_hook(machine, metadata):
    watch(machine, metadata)
    machine.start('while [ ! -e "$ASPOT_NOTICE_FILE" ]; do sleep 0.1; done; sleep 0.3; exit 2', on_notice="sleep 300")
    metadata.notice = '{"action":"terminate","time":"' + in_seconds(600) + '"}'
    assert machine.ended().code == 2


def notify(metadata, seconds: float = 60) -> None:
    metadata.notice = '{"action":"terminate","time":"' + in_seconds(seconds) + '"}'


def test_a_job_that_asks_for_a_signal_gets_it_at_the_notice(machine, metadata):
    """Beside it one that does not ask is left alone; the one that asks also has its hook."""
    watch(machine, metadata)
    asks = """trap 'echo told >>out/told' USR1
echo "USR1 $$" >>"$ASPOT_SIGNAL_FILE"
until [ -e out/told ]; do sleep 0.1; done
exit 4"""
    machine.start(asks, on_notice="echo hooked >out/hook")
    machine.start("sleep 20", job="quiet")
    until((machine.attempt() / "signals").exists)
    notify(metadata)
    assert machine.ended().code == 4
    assert (machine.attempt() / "work/out/told").read_text() == "told\n"
    until((machine.attempt() / "work/out/hook").exists)
    assert machine.status("quiet") == "running"


def test_a_later_deadline_is_told_again(machine, metadata):
    watch(machine, metadata)
    machine.start("""trap 'echo told >>out/told' USR2
echo "USR2 $$" >>"$ASPOT_SIGNAL_FILE"
while :; do sleep 0.1; done""")
    until((machine.attempt() / "signals").exists)
    notify(metadata)
    told = machine.attempt() / "work/out/told"
    until(told.exists)
    notify(metadata, 50)
    until(lambda: told.read_text() == "told\ntold\n")


def test_only_processes_of_the_attempt_are_signalled_and_only_by_harmless_names(machine, metadata):
    """Ids of others (reused ones, too), unknown signals and nonsense are passed over; what follows them is not."""
    watch(machine, metadata)
    other = machine.start("""trap 'echo told >>out/told' USR1
echo $$ >out/pid
while :; do sleep 0.1; done""", job="other")  # fmt: skip
    pid = until(lambda: (other / "work/out/pid").exists() and (other / "work/out/pid").read_text().strip())
    evil = ["USR1 1; touch out/evil", "$(touch out/evil) 1"]
    nonsense = ["", "USR1", "USR1 0", "USR1 -1", *evil, f"USR1 {pid}", "USR1 999999999"]
    folder = machine.start(f"""trap 'echo told >>out/told' USR1
cat >"$ASPOT_SIGNAL_FILE" <<'END'
{chr(10).join(nonsense)}
END
echo "KILL $$" >>"$ASPOT_SIGNAL_FILE"
echo "USR1 $$" >>"$ASPOT_SIGNAL_FILE"
until [ -e out/told ]; do sleep 0.1; done
exit 5""")
    until(lambda: (folder / "signals").exists() and (folder / "signals").read_text().count("\n") == 10)
    notify(metadata)
    assert machine.ended().code == 5
    assert not (folder / "work/out/evil").exists()
    assert machine.status("other") == "running"
    assert not (other / "work/out/told").exists()


def test_a_job_that_has_ended_is_told_nothing(machine, metadata):
    watch(machine, metadata)
    machine.start('echo "USR1 $$" >>"$ASPOT_SIGNAL_FILE"; exit 3')
    assert machine.ended().code == 3
    notify(metadata)
    until(lambda: any(line.startswith("notice ") for line in machine.events()))
    assert machine.status().startswith("v1 rc=3 ")


def test_an_expired_token_is_renewed_and_errors_end_nothing(machine, metadata):
    metadata.broken = 3
    watch(machine, metadata)
    until(lambda: len(metadata.asked) >= 4)
    metadata.tokens.append("another")  # the one in use is no longer good
    until(lambda: metadata.refused)
    metadata.rebalance = '{"noticeTime":"2026-10-26T21:05:00Z"}'
    until(lambda: "rebalance" in machine.events())
    assert {path for path, _ in metadata.asked} == {
        "/latest/meta-data/spot/instance-action", "/latest/meta-data/events/recommendations/rebalance"
    }  # fmt: skip


def test_nonsense_is_no_notice(machine, metadata):
    watch(machine, metadata)
    metadata.notice = '{"action":"terminate","time":"soon; rm -rf /"}'
    asked = len(metadata.asked)
    until(lambda: len(metadata.asked) > asked + 2)
    assert machine.events() == []
    assert not (machine.home / ".aspot/notice").exists()


@pytest.mark.parametrize("tool", ["python3", "wget"])
def test_other_tools_do_where_curl_is_missing(machine, metadata, tool):
    if machine.shell == "busybox":
        pytest.skip("busybox's wget cannot ask for a token")
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed")
    tools = machine.folder / "tools"
    tools.mkdir()
    for name in ("setsid", "sleep", "mv", "rm", "mkdir", "cat", "tail", "find", "env", "id", "ssh-keygen", "ln", "date",
                 "stat", "grep", "sync", "head", "readlink", "bash", "dash", "sh", tool):  # fmt: skip
        (tools / name).symlink_to(sys.executable if name == "python3" else shutil.which(name))
    machine.env["PATH"] = f"{machine.bin}:{tools}"
    watch(machine, metadata)
    when = in_seconds(60)
    metadata.notice = '{"action":"terminate","time":"' + when + '"}'
    until(lambda: f"notice {when}" in machine.events())


def test_without_a_metadata_service_nothing_is_asked_of_ec2s(machine):
    number = machine.begin("arm", LONG, LONG, LONG, LONG, stdin=b"keep\n")
    machine.kill(machine.home / ".aspot/.machine/watcher")
    assert "watch=no\n" in machine.wait(number).said


def test_a_watch_says_everything_from_the_beginning(machine):
    machine.start("exit 3")
    machine.ended()
    until(machine.events)
    machine.shim("tail", 'exec cat "$4"')  # one that ends
    assert "exited job 1 v1 rc=3 " in machine.run("watch").said


def test_a_watch_replaces_an_older_one(machine):
    number = machine.begin("arm", LONG, LONG, LONG, LONG, stdin=b"keep\n")
    until((machine.home / ".aspot/.machine/watcher").exists)
    machine.begin("watch")
    machine.wait(number)
