"""SQS's long polling, which moto would do on its one thread: asked for at once instead, and again when mail has come.

May import: cloud, moto_host.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from aspot.local.cloud import Cloud
from aspot.local.moto_host import Answer

__all__ = ["receive", "unhurried"]

_LOOK_EVERY_S = 2.0  # messages that were received and not deleted come back without a sound


async def receive(
    cloud: Cloud, region: str, asked: Mapping[str, Any], forward: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Answer ReceiveMessage: when there are messages, or when the time to wait for some is over.

    Args:
        cloud: The cloud.
        region: The queue's Region.
        asked: The request's parameters.
        forward: Asks moto, without waiting.
    """
    until = cloud.now + await _wait_s(cloud, region, asked)
    while True:
        rung = cloud.mail
        answer = await forward()
        left_s = until - cloud.now
        if left_s <= 0 or answer.status != 200 or _has_messages(answer.body):
            return answer
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(rung.wait(), min(left_s, _LOOK_EVERY_S))


async def _wait_s(cloud: Cloud, region: str, asked: Mapping[str, Any]) -> float:
    """Return how long to wait: as asked, else as the queue says."""
    if "WaitTimeSeconds" in asked:
        return float(asked["WaitTimeSeconds"])
    known = await cloud.region(region)
    return await cloud.moto.call(known.moto.queue_wait_s, str(asked.get("QueueUrl")).rpartition("/")[2])


def _has_messages(body: bytes) -> bool:
    if body.lstrip().startswith(b"<"):
        return b"<Message>" in body
    return bool(json.loads(body).get("Messages"))


def unhurried(body: bytes, asked: Mapping[str, Any], *, is_json: bool) -> bytes:
    """Return the body of the same request without a wait."""
    if not 0 <= float(asked.get("WaitTimeSeconds") or 0) <= 20:
        return body  # moto refuses it
    now = {**asked, "WaitTimeSeconds": 0}
    return json.dumps(now).encode() if is_json else urlencode(now).encode()
