"""The whole error tree, drawn by who can act on it. Imports nothing of aspot.

AspotError
├── ConfigError        the caller: an argument, a file, a name, a setting
├── CloudError         AWS: see the code and the fix
│   ├── AuthError        credentials or permissions
│   ├── QuotaError       an account's limit
│   ├── CapacityError    no pool had room
│   └── ThrottledError   too many requests, for too long
├── LinkError          the connection to an instance
│   └── HostKeyError     the instance could not prove who it is
├── JobsFailed         jobs that did not succeed (only with `check`)
├── CommandFailed      a command that did not succeed (only with `check=True`)
└── InternalError      a bug of ours
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AspotError",
    "AuthError",
    "CapacityError",
    "CloudError",
    "CommandFailed",
    "ConfigError",
    "HostKeyError",
    "InternalError",
    "JobsFailed",
    "LinkError",
    "QuotaError",
    "ThrottledError",
]


class AspotError(Exception):
    """Base of every error that aspot raises: `except AspotError` is enough.

    Args:
        message: What happened, and to which instance or job.
        fix: What to do next, as a sentence or a command; empty when nothing is known.
        story: The last things that happened before, oldest first.
    """

    exit_code = 3

    def __init__(self, message: str, *, fix: str = "", story: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.story = tuple(story)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by attributes, since constructors take keywords."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(kind: type[AspotError], args: tuple[Any, ...], state: dict[str, Any]) -> AspotError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(AspotError):
    """Something the caller gave cannot work; nothing was launched because of it."""

    exit_code = 2


class CloudError(AspotError):
    """AWS refused or failed.

    Args:
        message: What happened.
        code: AWS's error code, such as `UnauthorizedOperation`; empty if there was none.
        request_id: AWS's request id, for a support case; empty if there was none.
        fix: What to do next.
        story: The last things that happened before.
    """

    def __init__(
        self, message: str, *, code: str = "", request_id: str = "", fix: str = "", story: Sequence[str] = ()
    ) -> None:
        super().__init__(message, fix=fix, story=story)
        self.code = code
        self.request_id = request_id


class AuthError(CloudError):
    """Credentials are missing, wrong or expired, or a permission is missing."""


class QuotaError(CloudError):
    """A limit of the account stands in the way."""


class CapacityError(CloudError):
    """No pool had room."""


class ThrottledError(CloudError):
    """AWS asked us to slow down for longer than we were ready to wait."""


class LinkError(AspotError):
    """The connection to an instance failed.

    Args:
        message: What happened.
        instance: The EC2 instance id, or the address where the id is not known.
        fix: What to do next.
        story: The last things that happened before.
    """

    def __init__(self, message: str, *, instance: str = "", fix: str = "", story: Sequence[str] = ()) -> None:
        super().__init__(message, fix=fix, story=story)
        self.instance = instance


class HostKeyError(LinkError):
    """The instance showed a host key that is not the one it was given: nothing was sent to it."""


class JobsFailed(AspotError):
    """At least one job did not succeed, and the caller asked to be told by an exception.

    Args:
        message: Which jobs, and why.
        results: All results, the good ones too (`aspot.Results`).
    """

    exit_code = 1

    def __init__(self, message: str, *, results: Any) -> None:
        super().__init__(message, fix="look at .results; each job's stdout and stderr are in its folder")
        self.results = results


class CommandFailed(AspotError):
    """A command exited with a code other than 0, and the caller asked to be told by an exception.

    Args:
        message: Which command, where, and its exit code.
        result: The whole result (`aspot.CommandResult`).
    """

    exit_code = 1

    def __init__(self, message: str, *, result: Any) -> None:
        super().__init__(message, fix="look at .result.stderr")
        self.result = result


class InternalError(AspotError):
    """A bug of ours, with the story that led to it."""
