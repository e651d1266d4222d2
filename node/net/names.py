"""Where hosts are: asked for beside the loop, and remembered for the day nobody answers.

One question for each host is under way at a time, whoever waits for it, and nobody waits longer than
`WAIT_S`: a resolver that hangs costs nothing but its thread. Where it fails, or takes its time, the addresses
that it gave last are used. A poisoned answer leads to somebody who cannot prove to be the venue (`tls`).
Connections that stand are never touched.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from node.errors import Unreachable
from node.sockets import OwnSocket

WAIT_S = 3.0
FRESH_S = 60.0
CONNECT_S = 3.0  # for one address, where there are others
Lookup = Callable[[str], Awaitable[list[str]]]
Tell = Callable[[str, str], None]


class Names:
    """`await addresses(host)`: IP addresses as text, never an empty list. Hosts are those of the config, so
    what is kept is bounded by it. Raises Unreachable where a host was never found."""

    def __init__(self, tell: Tell = lambda where, text: None, lookup: Lookup | None = None):
        self.tell, self.lookup = tell, lookup or _lookup
        self.good: dict[str, list[str]] = {}
        self.asked_s: dict[str, float] = {}  # when the answer in `good` came
        self.asking: dict[str, asyncio.Task[list[str]]] = {}
        self.why: dict[str, str] = {}  # it failed last
        self.told: dict[str, str] = {}

    async def addresses(self, host: str) -> list[str]:
        with contextlib.suppress(ValueError):
            return [str(ip_address(host))]
        loop = asyncio.get_running_loop()
        if host in self.good and loop.time() - self.asked_s[host] < FRESH_S:
            return self.good[host]
        task = self.asking.get(host)
        if task is None:
            task = self.asking[host] = asyncio.ensure_future(self._ask(host))
        done, _ = await asyncio.wait((task,), timeout=WAIT_S)
        found = task.result() if done else []
        if not found:
            self._failed(host, self.why.get(host, "") if done else f"no answer within {WAIT_S:g} s")
        return self.good[host]

    async def _ask(self, host: str) -> list[str]:
        """Put the answer away, also where nobody waits for it any more; [] where there was none."""
        try:
            found = list(dict.fromkeys(await self.lookup(host)))
        except OSError as error:
            self.why[host] = error.strerror or str(error)
            return []
        finally:
            del self.asking[host]
        if found:
            before, self.good[host] = self.good.get(host, found), found
            self.asked_s[host] = asyncio.get_running_loop().time()
            self.told.pop(host, None)
            self.why.pop(host, None)
            if set(before) != set(found):
                self.tell("names", f"{host} is at {', '.join(found)} now: for new connections")
        return found

    def _failed(self, host: str, reason: str) -> None:
        if host not in self.good:
            raise Unreachable(f"{host}: name not found: {reason or 'no address'}")
        said = f"{host}: name not found: {reason or 'no address'}: the addresses of before are used"
        if self.told.get(host) != said:
            self.told[host] = said
            self.tell("names", said)

    async def connected(self, host: str, port: int) -> socket.socket | None:
        """A socket that is connected to the first address that takes it; None for an address that needs no
        name. Raises OSError."""
        with contextlib.suppress(ValueError):
            ip_address(host)
            return None
        last: OSError = Unreachable(f"{host}: no address")
        for address in await self.addresses(host):
            try:
                return await _connected(address, port)
            except OSError as error:
                last = error
        raise last

    def close(self) -> None:
        for task in list(self.asking.values()):
            task.cancel()


class Resolver(AbstractResolver):
    """`Names` as aiohttp wants them."""

    def __init__(self, names: Names):
        self.names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=x, port=port, family=_family(x), proto=0, flags=socket.AI_NUMERICHOST
            )
            for x in await self.names.addresses(host)
        ]

    async def close(self) -> None:
        """Names outlive the pool."""


def connector(names: Names, most: int, context) -> aiohttp.TCPConnector:
    """A pool of at most `most` connections that finds hosts by `names`."""
    return aiohttp.TCPConnector(
        limit=most,
        ssl=context,
        resolver=Resolver(names),
        use_dns_cache=False,
        socket_factory=lambda found: OwnSocket(*found[:3]),
    )


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def _connected(address: str, port: int) -> socket.socket:
    out = OwnSocket(_family(address), socket.SOCK_STREAM)
    done = False
    try:
        out.setblocking(False)
        out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().sock_connect(out, (address, port))
        done = True
    finally:
        if not done:  # nobody else would close it
            out.close()
    return out


async def _lookup(host: str) -> list[str]:
    """The operating system's answer, from a thread. Raises OSError."""
    rows = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(row[4][0]) for row in rows]
