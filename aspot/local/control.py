"""The control side of the daemon: what `aspot local` and LocalCloud ask of it, guarded by a token.

May import: cloud, lifecycle, faults, aiohttp.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable
from typing import Any

from aiohttp import web

from aspot.local.cloud import Cloud
from aspot.local.lifecycle import Lifecycle
from aspot.local.records import Machine
from aspot.local.refusal import Refusal

__all__ = ["ControlSide"]

Handler = Callable[[dict[str, Any]], Any]
_DEFAULT_NOTICE_S = 120.0


class ControlSide:
    """Answers control requests.

    Args:
        cloud: The cloud.
        life: The machines' clockwork.
        token: What callers must show.
    """

    def __init__(self, cloud: Cloud, life: Lifecycle, *, token: str) -> None:
        self._cloud, self._life, self._token = cloud, life, token
        self._handlers: dict[tuple[str, str], Handler] = {
            ("GET", "instances"): self._instances,
            ("POST", "interrupt"): self._interrupt,
            ("POST", "rebalance"): self._rebalance,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "calls"): lambda _: dict(self._cloud.calls),
            ("DELETE", "calls"): self._clear_calls,
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the control side."""
        return [web.route("*", "/_aspot/{what}", self._handle)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        shown = request.headers.get("X-Aspot-Token", "")
        if not hmac.compare_digest(shown.encode(), self._token.encode()):
            return web.json_response({"error": "the token is missing or wrong"}, status=403)
        handler = self._handlers.get((request.method, request.match_info["what"]))
        if handler is None:
            return web.json_response({"error": "there is nothing like that"}, status=404)
        try:
            asked = json.loads(await request.read() or b"{}")
            return web.json_response(handler(asked))
        except Refusal as refused:
            return web.json_response({"error": refused.message}, status=400)
        except (ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)

    def _instances(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        machines = [m for region in self._cloud.regions.values() for m in region.machines.values()]
        return [self._describe(machine) for machine in machines]

    def _describe(self, machine: Machine) -> dict[str, Any]:
        tags = self._cloud.regions[machine.region].moto.tags(machine.id)
        return {
            "id": machine.id,
            "name": tags.get("Name", ""),
            "region": machine.region,
            "state": machine.state.word,
            "type": machine.launch.type,
            "zone": machine.launch.subnet.zone,
            "address": machine.endpoint.address,
            "port": machine.endpoint.port,
            "user": machine.launch.image.user,
            "lifecycle": "spot" if machine.launch.spot else "on-demand",
            "launched": machine.launched.isoformat(),
            "boot_s": machine.boot_delay_s,
            "booted": machine.booted,
            "notice": machine.metadata.notice_time.isoformat() if machine.metadata.notice_time else None,
            "reason": machine.reason.code if machine.reason else None,
            "request": machine.request.id if machine.request else None,
            "request_status": machine.request.status if machine.request else None,
            "tags": tags,
        }

    def _interrupt(self, asked: dict[str, Any]) -> dict[str, Any]:
        machine = self._cloud.find(asked["instance"])
        notice_s = float(asked.get("notice_s", _DEFAULT_NOTICE_S))
        if not 0 <= notice_s < float("inf"):
            raise ValueError("the notice must be a number of seconds, 0 for none")
        when = self._life.interrupt(machine, notice_s=notice_s)
        return {"id": machine.id, "time": when.isoformat()}

    def _rebalance(self, asked: dict[str, Any]) -> dict[str, Any]:
        machine = self._cloud.find(asked["instance"])
        self._life.rebalance(machine)
        return {"id": machine.id}

    def _faults(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        now = self._cloud.now
        return [fault.as_dict(now) for fault in self._cloud.faults.active(now)]

    def _add_fault(self, asked: dict[str, Any]) -> dict[str, Any]:
        now = self._cloud.now
        kind = asked.pop("kind")
        if kind == "login-shell" and not os.access(asked["shell"], os.X_OK):
            raise ValueError(f"there is no shell {asked['shell']} here, so machines have none either")
        return self._cloud.faults.add(kind, now=now, **asked).as_dict(now)

    def _clear_calls(self, _: dict[str, Any]) -> dict[str, Any]:
        self._cloud.calls.clear()
        return {}

    def _clear_faults(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"cleared": self._cloud.faults.clear()}
