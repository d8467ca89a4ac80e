"""`aspot local …`: start, end, look at and disturb the user's local cloud. Parse, call, print; logic is elsewhere.

May import: home, client, aspot.errors.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aspot.errors import ConfigError

__all__ = ["register"]

_NOT_RUNNING = "no local cloud runs"
_START = 'eval "$(aspot local up)"'
_MANY_PORTS = 65_535


def register(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the actions of `aspot local`; each sets `handler`, a function from arguments to an exit code."""
    _register_up(subparsers)
    _add(subparsers, "down", _down, "end the local cloud and everything in it")
    _add(subparsers, "ls", _ls, "list its machines").add_argument("--json", action="store_true", help="as JSON")
    interrupt = _add(subparsers, "interrupt", _interrupt, "let EC2 reclaim a spot machine")
    interrupt.add_argument("instance", metavar="ID|NAME")
    interrupt.add_argument("--notice", type=float, default=120.0, metavar="S", help="seconds; 0: none (default 120)")
    rebalance = _add(subparsers, "rebalance", _rebalance, "let EC2 recommend to move a machine's work")
    rebalance.add_argument("instance", metavar="ID|NAME")
    _register_faults(subparsers)


def _add(subparsers: argparse._SubParsersAction[Any], name: str, handler: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=text, description=text)
    parser.set_defaults(handler=handler)
    return parser


def _register_up(subparsers: argparse._SubParsersAction[Any]) -> None:
    up = _add(subparsers, "up", _up, f"start the local cloud, or find the running one; use it by {_START}")
    up.add_argument("--env-file", metavar="FILE", help="write KEY=VALUE lines here")
    up.add_argument("--port", type=int, default=0, metavar="P", help="port of the AWS endpoint (default: a free one)")
    up.add_argument("--seed", type=int, default=0, metavar="N", help="seed of prices and boot times")
    up.add_argument("--boot", default="0.5-2", metavar="S-S", help="seconds from launch to SSH (default 0.5-2)")
    up.add_argument("--ssh-port", type=int, metavar="P", help="port of the machines (default: 22 where possible)")
    up.add_argument("--foreground", action="store_true", help="stay, and end it with Ctrl-C")


def _register_faults(subparsers: argparse._SubParsersAction[Any]) -> None:
    fault = subparsers.add_parser("fault", help="switch faults on and off", description="Switch faults on and off.")
    faults = fault.add_subparsers(dest="fault", metavar="FAULT", required=True)
    _add(faults, "list", _list_faults, "show the faults that are on")
    _add(faults, "clear", _clear_faults, "switch all faults off")
    refuse = _fault(faults, "refuse-pool", "refuse launches in a pool", "type", "zone")
    refuse.add_argument("--code", default="InsufficientInstanceCapacity", help="AWS's error code")
    _fault(faults, "capacity", "let a pool hold so many machines at most", "type", "zone", number=int)
    throttle = _fault(faults, "throttle", "answer an action with RequestLimitExceeded", "action")
    _add_region(throttle)
    _add_duration(throttle)
    _add_count(throttle)
    _add_count(_fault(faults, "never-boot", "let the next machine run without ever answering"))
    _add_count(_fault(faults, "late-sshd", "let the next machine's SSH port open late", delay_s=float))
    _add_count(_fault(faults, "user-data-fails", "let the next machine's cloud-init fail to read its user data"))
    _add_count(_fault(faults, "login-shell", "let the next machine's user log in to this shell (its path)", "shell"))
    _add_count(_fault(faults, "lag", "hide new machines from reads for a while", delay_s=float))
    deny = _fault(faults, "deny", "refuse an action as not allowed", "action")
    _add_region(deny)
    _add_duration(deny)
    _add_count(deny)
    late = _fault(faults, "late-notice", "show notices late on the machine and in its spot request", delay_s=float)
    _add_duration(late)
    _add_count(late)
    _add_duration(_fault(faults, "expire-credentials", "refuse every request as expired"))
    _add_duration(_fault(faults, "walls", "let SSH ports obey the rules of security groups"))
    _fault(faults, "quota", "set a vCPU quota, such as L-34B43A08", "code", number=float)
    lose = _fault(faults, "lose-answer", "carry an action out, but lose its answer", "action")
    _add_region(lose)
    _add_count(lose)
    _add_duration(_fault(faults, "close-region", "refuse everything in a region, as one that is not enabled", "region"))


def _fault(
    faults: argparse._SubParsersAction[Any], kind: str, text: str, *names: str, **numbers: type
) -> argparse.ArgumentParser:
    parser = _add(faults, kind, _add_fault, text)
    for name in names:
        parser.add_argument(name, metavar="ZONE|REGION|*" if name == "zone" else name.upper())
    for name, number in numbers.items():
        parser.add_argument(name, type=number, metavar="SECONDS" if name == "delay_s" else "N")
    parser.set_defaults(kind=kind, details=(*names, *numbers, "code", "region", "seconds", "count"))
    return parser


def _add_region(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--region", metavar="REGION", help="in this region only (default: in all)")


def _add_duration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--for", dest="seconds", type=float, metavar="S", help="seconds (default: until cleared)")


def _add_count(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, metavar="N", help="how often")


def _up(args: argparse.Namespace) -> int:
    from aspot.local.client import boot_range
    from aspot.local.home import Home, Settings, default_folder

    for port in (args.port, args.ssh_port or 0):
        if not 0 <= port <= _MANY_PORTS:
            raise ConfigError(f"there is no port {port}", fix=f"choose one from 1 to {_MANY_PORTS}")
    settings = Settings(seed=args.seed, boot_s=boot_range(args.boot), port=args.port, ssh_port=args.ssh_port)
    if args.env_file:
        _write_environment(Path(args.env_file), {})
    home = Home(default_folder())
    if args.foreground:
        return _stay(home, settings, args.env_file)
    control, daemon = home.start(settings)
    if args.env_file:
        _write_environment(Path(args.env_file), control.environment)
    _print_environment(control.environment)
    print(f"aspot: local cloud {'started' if daemon else 'already running'}; {_about(control)}", file=sys.stderr)
    return 0


def _about(control: Any) -> str:
    kept = {
        "namespaces": "each machine has namespaces of its own",
        "sessions": "this system allows no namespaces: machines are process sessions, kept apart less well",
    }
    return f"{control.endpoint}, {kept.get(control.isolation, control.isolation)}; `aspot local down` ends it"


def _stay(home: Any, settings: Any, env_file: str | None) -> int:
    """Run the daemon as a child of this process until Ctrl-C."""
    control, daemon = home.start(settings, leashed=True)
    if daemon is None:
        raise ConfigError("a local cloud is already running", fix="`aspot local down` ends it")
    try:
        if env_file:
            _write_environment(Path(env_file), control.environment)
        _print_environment(control.environment)
        print(f"aspot: local cloud started; {_about(control)}, or Ctrl-C", file=sys.stderr, flush=True)
        home.wait_for_end()
    except KeyboardInterrupt:
        print("aspot: ending the local cloud", file=sys.stderr)
    finally:
        home.stop()
        daemon.wait()
    return 0


def _print_environment(environment: Mapping[str, str]) -> None:
    import shlex

    print("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)


def _write_environment(path: Path, environment: Mapping[str, str]) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in environment.items())
    try:
        with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(lines)
    except OSError as error:
        raise ConfigError(f"can't write {path}: {error.strerror}", fix="choose another --env-file") from error


def _control() -> Any:
    from aspot.local.home import Home, default_folder

    control = Home(default_folder()).running()
    if control is None:
        raise ConfigError(_NOT_RUNNING, fix=_START)
    return control


def _down(_: argparse.Namespace) -> int:
    from aspot.local.home import Home, default_folder

    ended = Home(default_folder()).stop()
    print("aspot: local cloud ended" if ended else f"aspot: {_NOT_RUNNING}", file=sys.stderr)
    return 0


def _ls(args: argparse.Namespace) -> int:
    machines = _control().call("GET", "instances")
    if args.json:
        print(json.dumps(machines))
        return 0
    row = "{:20} {:20} {:14} {:14} {:12} {:22} {}"
    print(row.format("ID", "NAME", "STATE", "TYPE", "ZONE", "ADDRESS", "NOTICE").rstrip())
    for machine in machines:
        address = machine["address"] if machine["port"] == 22 else f"{machine['address']}:{machine['port']}"
        words = [machine[name] for name in ("id", "name", "state", "type", "zone")]
        print(row.format(*map(_printable, words), address, machine["notice"] or "").rstrip())
    return 0


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _interrupt(args: argparse.Namespace) -> int:
    said = _control().call("POST", "interrupt", {"instance": args.instance, "notice_s": args.notice})
    print(f"{said['id']} is reclaimed at {said['time']}")
    return 0


def _rebalance(args: argparse.Namespace) -> int:
    said = _control().call("POST", "rebalance", {"instance": args.instance})
    print(f"{said['id']} has a rebalance recommendation")
    return 0


def _add_fault(args: argparse.Namespace) -> int:
    wanted = {name: getattr(args, name, None) for name in args.details}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    print(json.dumps(_control().call("POST", "faults", {"kind": args.kind, **wanted})))
    return 0


def _list_faults(_: argparse.Namespace) -> int:
    for fault in _control().call("GET", "faults"):
        print(json.dumps(fault))
    return 0


def _clear_faults(_: argparse.Namespace) -> int:
    cleared = _control().call("DELETE", "faults")["cleared"]
    print(f"{cleared} faults cleared")
    return 0
