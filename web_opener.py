"""What opens addresses of the web, and no others."""

from __future__ import annotations

import contextlib
import ssl
import urllib.request


def web_opener(redirects: urllib.request.HTTPRedirectHandler) -> urllib.request.OpenerDirector:
    """Return an opener of http and https, by the system's proxies. redirects: which it follows."""
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError):
        # Some Python installations come without certificate authorities.
        import certifi

        context.load_verify_locations(certifi.where())
    opener = urllib.request.OpenerDirector()  # a plain one would open file: and ftp: as well
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        redirects,
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
