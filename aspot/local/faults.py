"""Faults that someone asked for: which there are, until when or how often, and whether one strikes now.

Pure: time comes in. Imports attrs and the standard library.
"""

from __future__ import annotations

import math
from typing import Any

import attrs

from aspot.local.records import Pool
from aspot.local.refusal import Refusal

__all__ = ["KINDS", "Fault", "Faults"]

KINDS = (
    "refuse-pool",
    "capacity",
    "throttle",
    "never-boot",
    "late-sshd",
    "user-data-fails",
    "login-shell",
    "expire-credentials",
    "quota",
    "lose-answer",
    "lag",
    "deny",
    "late-notice",
    "walls",
    "close-region",
)
_ONCE_BY_DEFAULT = frozenset({"never-boot", "late-sshd", "user-data-fails", "login-shell", "lose-answer"})
_FOREVER = 2**31


@attrs.define(kw_only=True)
class Fault:
    """One fault. `until` is a monotonic time, `left` how often it still strikes; what it needs else is in `detail`."""

    id: int
    kind: str
    until: float = math.inf
    left: int = _FOREVER
    detail: dict[str, Any] = attrs.field(factory=dict)

    def is_over(self, now: float) -> bool:
        """Tell whether the fault has passed."""
        return self.left <= 0 or now >= self.until

    def strike(self) -> None:
        """Count one strike."""
        if self.left < _FOREVER:
            self.left -= 1

    def as_dict(self, now: float) -> dict[str, Any]:
        """Return the fault for people and JSON."""
        seconds = None if math.isinf(self.until) else round(self.until - now, 1)
        count = None if self.left >= _FOREVER else self.left
        return {"id": self.id, "kind": self.kind, **self.detail, "seconds_left": seconds, "count_left": count}


class Faults:
    """The faults that are on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = 0

    def add(
        self, kind: str, *, now: float, seconds: float | None = None, count: int | None = None, **detail: Any
    ) -> Fault:
        """Switch a fault on.

        Args:
            kind: One of `KINDS`.
            now: Monotonic time, seconds.
            seconds: How long it lasts; None: until it is cleared.
            count: How often it strikes; None: once for faults of one machine or answer, always for the others.
            **detail: `type`, `zone`, `code` for refuse-pool; `type`, `zone`, `number` for capacity (a zone's name, a
                region's for all its zones, or `*`); `action`, and `region` if it is to be in one only, for throttle,
                deny and lose-answer; `region` for close-region; `delay_s` for late-sshd, lag, late-notice; `shell` (a
                path) for login-shell; `code`, `number` for quota.

        Raises:
            ValueError: there is no such fault.
        """
        if kind not in KINDS:
            raise ValueError(f"there is no fault named {kind!r}; there are {', '.join(KINDS)}")
        self._ids += 1
        left = count if count is not None else 1 if kind in _ONCE_BY_DEFAULT else _FOREVER
        until = math.inf if seconds is None else now + seconds
        fault = Fault(id=self._ids, kind=kind, until=until, left=left, detail=detail)
        self._faults.append(fault)
        return fault

    def clear(self) -> int:
        """Switch all faults off; return how many there were."""
        count = len(self._faults)
        self._faults.clear()
        return count

    def active(self, now: float) -> list[Fault]:
        """Return the faults that are on, oldest first."""
        self._faults = [fault for fault in self._faults if not fault.is_over(now)]
        return list(self._faults)

    def guard(self, action: str, *, service: str, region: str, now: float) -> None:
        """Refuse a request whose credentials have expired, that is not allowed there, or that is throttled.

        Raises:
            Refusal: it is.
        """
        for fault in self.active(now):
            if fault.detail.get("region") not in (None, region):
                continue
            if fault.kind == "expire-credentials":
                raise _expired(service)
            if fault.kind == "close-region":
                raise _closed(service)
            if fault.kind == "deny" and fault.detail.get("action") in (action, "*"):
                fault.strike()
                raise _denied(service, action)
            if fault.kind == "throttle" and fault.detail.get("action") in (action, "*"):
                fault.strike()
                raise _throttled(service)

    def loses_answer(self, action: str, *, region: str, now: float) -> bool:
        """Tell whether the answer to this request gets lost, and count it."""
        return self._strikes("lose-answer", now, region=region, action=action) is not None

    def boots(self, *, now: float) -> bool:
        """Tell whether the next machine boots, and count it if not."""
        return self._strikes("never-boot", now) is None

    def ssh_delay_s(self, *, now: float) -> float:
        """Return how late the next machine's SSH server is, in seconds, and count it if it is."""
        fault = self._strikes("late-sshd", now)
        return 0.0 if fault is None else float(fault.detail["delay_s"])

    def runs_user_data(self, *, now: float) -> bool:
        """Tell whether the next machine can read its user data, and count it if not."""
        return self._strikes("user-data-fails", now) is None

    def login_shell(self, *, now: float) -> str:
        """Return the path of the next machine's login shell, "" for the usual one, and count it if it is another."""
        fault = self._strikes("login-shell", now)
        return "" if fault is None else str(fault.detail["shell"])

    def lag_s(self, *, now: float) -> float:
        """Return for how long a new machine is not seen by reads, in seconds."""
        fault = self._strikes("lag", now)
        return 0.0 if fault is None else float(fault.detail["delay_s"])

    def notice_delay_s(self, *, now: float) -> float:
        """Return how late a notice shows on the machine and in its spot request, in seconds; events come at once."""
        fault = self._strikes("late-notice", now)
        return 0.0 if fault is None else float(fault.detail["delay_s"])

    def has_walls(self, *, now: float) -> bool:
        """Tell whether SSH ports obey security groups."""
        return any(fault.kind == "walls" for fault in self.active(now))

    def refusal_of(self, pool: Pool, *, now: float) -> str | None:
        """Return the error code with which a pool is refused, or None."""
        for fault in self.active(now):
            if fault.kind == "refuse-pool" and _matches(fault, pool):
                fault.strike()
                return str(fault.detail.get("code") or "InsufficientInstanceCapacity")
        return None

    def capacity_of(self, pool: Pool, *, now: float) -> int | None:
        """Return how many machines a pool can hold in all, or None for any number."""
        limits = [
            fault.detail["number"] for fault in self.active(now) if fault.kind == "capacity" and _matches(fault, pool)
        ]
        return int(limits[-1]) if limits else None

    def quotas(self, *, now: float) -> dict[str, float]:
        """Return the quotas that were set: code to vCPUs."""
        return {fault.detail["code"]: fault.detail["number"] for fault in self.active(now) if fault.kind == "quota"}

    def _strikes(self, kind: str, now: float, *, region: str | None = None, **wanted: Any) -> Fault | None:
        for fault in self.active(now):
            is_here = fault.detail.get("region") in (None, region)
            if (
                fault.kind == kind
                and is_here
                and all(fault.detail.get(name) in (value, "*") for name, value in wanted.items())
            ):
                fault.strike()
                return fault
        return None


def _matches(fault: Fault, pool: Pool) -> bool:
    zones = (pool.zone, pool.zone[:-1], "*")
    return fault.detail.get("type") in (pool.type, "*") and fault.detail.get("zone") in zones


def _closed(service: str) -> Refusal:
    """Return how AWS refuses in a region that the account has not enabled: as if the credentials were wrong."""
    if service == "ec2":
        said = "AWS was not able to validate the provided access credentials"
        return Refusal("AuthFailure", said, status=401)
    is_query = service in ("sqs", "sts", "iam", "s3")
    code = "InvalidClientTokenId" if is_query else "UnrecognizedClientException"
    return Refusal(code, "The security token included in the request is invalid.", status=403 if is_query else 400)


def _denied(service: str, action: str) -> Refusal:
    who = "User: arn:aws:iam::123456789012:user/local is"
    if service == "ec2":
        return Refusal("UnauthorizedOperation", f"You are not authorized to perform this operation. {who} not allowed.")
    said = f"{who} not authorized to perform: {service}:{action}"
    is_query = service in ("sqs", "sts", "iam", "s3")
    return Refusal("AccessDenied" if is_query else "AccessDeniedException", said, status=403 if is_query else 400)


def _throttled(service: str) -> Refusal:
    if service == "s3":
        return Refusal("SlowDown", "Please reduce your request rate.", status=503)
    return Refusal("RequestLimitExceeded", "Request limit exceeded.")


def _expired(service: str) -> Refusal:
    if service == "ec2":
        return Refusal("RequestExpired", "Request has expired.")
    code = "ExpiredToken" if service in ("sts", "iam", "s3") else "ExpiredTokenException"
    return Refusal(
        code, "The security token included in the request is expired", status=403 if service == "sts" else 400
    )
