"""TLS settings that the clients of a process share: reading the certificate authorities takes 25 ms of CPU each time.

May import: aiobotocore.
"""

from __future__ import annotations

from typing import Any

from aiobotocore.httpsession import AIOHTTPSession

_KEPT: dict[bool | str, Any] = {}


class SharedTlsSession(AIOHTTPSession):  # type: ignore[misc]
    """aiobotocore's HTTP session (its setting `http_session_cls`): clients that trust the same share one TLS context.

    Those with a certificate of their own, or a proxy, have their own. An aiobotocore that builds its contexts elsewhere
    (before 3.0) does as it always did.
    """

    def _build_ssl_contexts(self, proxy_url: str | None) -> Any:
        if self._cert_file or proxy_url:
            return super()._build_ssl_contexts(proxy_url)
        if self._verify not in _KEPT:
            _KEPT[self._verify] = super()._build_ssl_contexts(None)
        return _KEPT[self._verify]
