"""Services that speak JSON by paths (REST-JSON): which action a request is for.

Imports the standard library only.
"""

from __future__ import annotations

import re

__all__ = ["REST_JSON", "rest_action"]

REST_JSON = ("elasticfilesystem",)
_EFS = "/2015-02-01"
# EFS API reference, version 2015-02-01: those that aspot and its users need; others keep their path for a name.
_ROUTES = {
    "elasticfilesystem": (
        ("POST", rf"{_EFS}/file-systems", "CreateFileSystem"),
        ("GET", rf"{_EFS}/file-systems", "DescribeFileSystems"),
        ("DELETE", rf"{_EFS}/file-systems/[^/]+", "DeleteFileSystem"),
        ("POST", rf"{_EFS}/mount-targets", "CreateMountTarget"),
        ("GET", rf"{_EFS}/mount-targets", "DescribeMountTargets"),
        ("DELETE", rf"{_EFS}/mount-targets/[^/]+", "DeleteMountTarget"),
        ("GET", rf"{_EFS}/mount-targets/[^/]+/security-groups", "DescribeMountTargetSecurityGroups"),
        ("PUT", rf"{_EFS}/mount-targets/[^/]+/security-groups", "ModifyMountTargetSecurityGroups"),
    )
}


def rest_action(service: str, method: str, path: str) -> str:
    """Return the action that a request is for; its method and path where that is not known."""
    for wanted, pattern, action in _ROUTES.get(service, ()):
        if method == wanted and re.fullmatch(pattern, path.rstrip("/")):
            return action
    return f"{method} {path}"
