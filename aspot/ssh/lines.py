"""Command lines that mean the same to every login shell: sh, bash and zsh, csh and tcsh, fish. Pure.

sshd has the user's login shell run what it is sent. What lies between single quotes means the same to all of them, but
for newlines and `!` (csh) and for backslashes before a backslash or a quote (fish); so there is none of these in them.
"""

from __future__ import annotations

import re
import shlex

_UNSAFE = re.compile(rb"[^ -~]|[!'\\]")
"""What goes as the octal escape of `printf %b` (POSIX, "printf"): a backslash, 0, and three digits."""


def line_of(script: str, *words: str, by: str = "exec") -> str:
    r"""Return the one line that has the machine's /bin/sh run a script.

    Args:
        script: POSIX sh.
        words: Its "$1" and so on: any text without NUL.
        by: What the login shell runs /bin/sh by: words that need no quotes.

    >>> line_of('echo "$1"', "oh!")
    'exec /bin/sh -c \'eval "$(printf %b "$0")"\' \'set -- \\0047oh\\0041\\0047\\0012echo "$1"\''
    """
    whole = f"set -- {shlex.join(words)}\n{script}".encode("utf-8", "surrogateescape")
    inert = _UNSAFE.sub(lambda found: b"\\0%03o" % found[0][0], whole).decode("ascii")
    return f"{by} /bin/sh -c 'eval \"$(printf %b \"$0\")\"' '{inert}'"
