"""REST requests over one warm pool."""

import aiohttp
from yarl import URL

from node.errors import Unreachable
from node.net import tls
from node.net.names import Names, connector
from node.venues.values import Reply, Request

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)


class Http:
    """`async with Http(names) as http: await http.fetch(base, request)`. `most`: connections at once; more
    requests wait for one."""

    def __init__(self, names: Names | None = None, most: int = 32):
        self.names, self.most = names or Names(), most

    async def __aenter__(self) -> "Http":
        pool = connector(self.names, self.most, tls.context())
        self._session = aiohttp.ClientSession(timeout=TIMEOUT, connector=pool)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()

    async def fetch(self, base: str, request: Request) -> bytes:
        """Body of the answer. Raises Unreachable, with address and reason, for anything but a 2xx. Never
        follows a redirect: headers that prove who we are must not travel to another host."""
        reply = await self.send(base, request)
        where = f"{base.rstrip('/')}{request.target}"
        if not 200 <= reply.status < 300:
            raise Unreachable(f"{where}: HTTP {reply.status}: {reply.body[:200].decode('utf-8', 'replace')}")
        return reply.body

    async def send(self, base: str, request: Request) -> Reply:
        """The answer, whatever its status. Raises Unreachable where there is none. One attempt: what is sent
        here may be an order (aiohttp repeats a request on a connection that died under it only where the
        method is idempotent)."""
        url = URL(base.rstrip("/") + request.target, encoded=True)  # as it stands: it may be signed
        path = url.with_query(None)  # a query may hold a signature: it is in no message
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
            raise Unreachable(f"{path}: no answer within {TIMEOUT.total:.0f} s") from None
        except (aiohttp.ClientSSLError, aiohttp.ClientConnectorDNSError) as error:
            raise Unreachable(f"{path}: {tls.why(error)}") from None
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{path}: {_why_not(error.os_error, url)}") from None
        except aiohttp.ServerDisconnectedError:
            raise Unreachable(f"{path}: the connection was closed before there was an answer") from None
        except aiohttp.ClientError as error:
            raise Unreachable(
                f"{path}: {type(error).__name__}: {error}".replace(str(url), str(path))
            ) from None
        return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, body)


def _why_not(error: OSError, url: URL) -> str:
    """Why there is no connection, and what to do where the venue is a simulated one."""
    is_here = url.host in ("127.0.0.1", "localhost", "::1")
    fix = ": are the simulated venues running (`tickgate sim deploy/venues.toml`)?" if is_here else ""
    return f"cannot connect: {tls.why(error)}{fix}"
