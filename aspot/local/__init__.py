"""The embedded cloud: AWS's wire and real SSH machines on loopback (extra `local`)."""

from aspot.local.client import LocalCloud

__all__ = ["LocalCloud"]
