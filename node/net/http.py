"""REST requests over one warm pool."""

import aiohttp
from yarl import URL

from node.errors import Unreachable
from node.venues.values import Request

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


class Http:
    """`async with Http() as http: await http.fetch(base, request)`."""

    async def __aenter__(self) -> "Http":
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def fetch(self, base: str, request: Request) -> bytes:
        """Body of the answer. Raises Unreachable, with address and reason, for anything but a 2xx. Never
        follows a redirect: headers that prove who we are must not travel to another host."""
        url = URL(base.rstrip("/") + request.target, encoded=True)  # as it stands: it may be signed
        try:
            async with self._session.request(
                request.method,
                url,
                data=request.body or None,
                headers=dict(request.headers),
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except TimeoutError:
            raise Unreachable(f"{url}: no answer within {TIMEOUT.total:.0f} s") from None
        except aiohttp.ClientError as error:
            raise Unreachable(f"{url}: {error}") from None
        if not 200 <= answer.status < 300:
            raise Unreachable(f"{url}: HTTP {answer.status}: {body[:200].decode('utf-8', 'replace')}")
        return body
