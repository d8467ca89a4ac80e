"""The embedded cloud: AWS's wire and real SSH machines on loopback (extra `local`)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aspot.local.client import LocalCloud

__all__ = ["LocalCloud"]


def __getattr__(name: str) -> Any:
    """Import LocalCloud when it is asked for: `aspot --help` imports this package too."""
    if name == "LocalCloud":
        from aspot.local.client import LocalCloud

        return LocalCloud
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
