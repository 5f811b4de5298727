"""The parts of Google's SDK that differ between its versions: how a client is made and closed, what its errors hold.

client = open_client(key, "https://generativelanguage.googleapis.com", timeout=120)
await client.aio.models.generate_content(model=…, contents=…, config=…)
await close_client(client)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from medprm_hf.backends.servers.http_client import LOCAL

API_VERSION = "v1beta"
"""Newer versions of the SDK may default to another."""


def open_client(key: str, url: str, timeout: float) -> Any:
    """A client of the Gemini API (never Vertex AI) without retries of its own; to be made in an event loop."""
    from google import genai
    from google.genai import types

    known = types.HttpOptions.model_fields
    options: dict[str, Any] = {"base_url": url, "api_version": API_VERSION, "timeout": int(timeout * 1000)}
    trust = urlsplit(url).hostname not in LOCAL
    if "retry_options" in known:
        options["retry_options"] = {"attempts": 1}
    if "aiohttp_client" in known:
        import aiohttp

        options["aiohttp_client"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), trust_env=trust)
    elif "retry_options" not in known and "async_client_args" in known:  # up to 1.20 the transport is httpx
        import httpx

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        options["async_client_args"] = {"limits": limits, "trust_env": trust}
    return genai.Client(api_key=key, vertexai=False, http_options=types.HttpOptions(**options))


async def close_client(client: Any) -> None:
    """Closes its connections."""
    inner = getattr(client, "_api_client", None)
    session = getattr(getattr(inner, "_http_options", None), "aiohttp_client", None)
    if hasattr(client.aio, "aclose"):
        await client.aio.aclose()
    elif (transport := getattr(inner, "_async_httpx_client", None)) is not None:
        await transport.aclose()
    if session is not None and not session.closed:
        await session.close()


def error_body(error: Exception) -> tuple[int, Any, Mapping[str, str]] | None:
    """Status, parsed body and headers of an error response; None for any other error."""
    from google.genai.errors import APIError

    if not isinstance(error, APIError):
        return None
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    waits = headers.get("retry-after") or headers.get("Retry-After")  # a plain dict or one that ignores case
    return int(error.code or 500), error.details, {"Retry-After": waits} if waits else {}


def is_connection(error: Exception) -> bool:
    """Whether the server was not reached, or not to the end."""
    import aiohttp

    module = type(error).__module__.partition(".")[0]
    return isinstance(error, aiohttp.ClientError | OSError) or module in ("httpx", "httpcore", "httpx2", "httpcore2")


@cache
def takes_json_schema() -> bool:
    """Whether the SDK passes a JSON schema on as it is."""
    from google.genai import types

    return "response_json_schema" in types.GenerateContentConfig.model_fields
