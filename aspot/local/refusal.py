"""How the local cloud says no: AWS's error codes with the HTTP status that EC2 gives them.

Imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Refusal", "status_of", "token_mismatch"]

# EC2 API reference, "Error codes": server errors are 5xx, the named client errors below are not 400 (AWS.md 1.6).
_STATUS = {
    "InsufficientInstanceCapacity": 500,
    "InternalError": 500,
    "InternalFailure": 500,
    "Unavailable": 503,
    "ServiceUnavailable": 503,
    "RequestLimitExceeded": 503,
    "DryRunOperation": 412,
    "UnauthorizedOperation": 403,
    "MissingAuthenticationToken": 403,
    "AuthFailure": 401,
}


def status_of(code: str) -> int:
    """Return the HTTP status that belongs to an EC2 error code; 400 for all that are not special."""
    return _STATUS.get(code, 400)


class Refusal(Exception):
    """A request that gets an AWS error for an answer.

    Args:
        code: AWS's error code.
        message: AWS's words for it.
        status: HTTP status; by default the one that belongs to the code.
        headers: Headers that the answer carries beside the usual ones.
    """

    def __init__(
        self, code: str, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status_of(code) if status is None else status
        self.headers = dict(headers or {})


def token_mismatch(token: str) -> Refusal:
    """Return the refusal of a request that uses an earlier request's client token for something else."""
    return Refusal(
        "IdempotentParameterMismatch",
        "Arguments on this idempotent request are inconsistent with arguments used in previous request(s): "
        f"client token {token}.",
    )
