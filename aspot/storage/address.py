"""Names of places in S3: `s3://bucket/key`. May import: `aspot.errors`."""

from __future__ import annotations

import re
from typing import Self

import attrs

from aspot.errors import ConfigError

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@attrs.frozen
class Address:
    """A place in S3.

    Args:
        bucket: Its name.
        key: An object's, or what the names of several begin with; "" for the whole bucket.
    """

    bucket: str
    key: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the place that a word names.

        >>> str(Address.of("s3://data/runs/1"))
        's3://data/runs/1'

        Raises:
            ConfigError: If it names none.
        """
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        if not text.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
            raise ConfigError(
                f"{text!r} is not a place in S3",
                fix="places look like s3://BUCKET/NAME; a bucket's name has 3 to 63 of a-z, 0-9, '.' and '-'",
            )
        return cls(bucket, key)

    @property
    def folder(self) -> str:
        """Return what the names of all objects in this folder begin with; slashes at the end mean nothing."""
        key = self.key.rstrip("/")
        return f"{key}/" if key else ""

    def within(self, name: str) -> Address:
        """Return the place of a name in this folder."""
        return Address(self.bucket, self.folder + name)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}" if self.key else f"{SCHEME}{self.bucket}"


def is_s3(text: str) -> bool:
    """Tell whether a word means a place in S3."""
    return text.startswith(SCHEME)
