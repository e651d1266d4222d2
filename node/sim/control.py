"""The control endpoint of `tickgate sim`: faults go in and truth comes out, over HTTP on loopback.

    POST   /faults                  one row or a list of rows, JSON; those with `venue` for that venue only
    GET    /faults                  {venue: {"counts": {name: hits}, "rows": [...]}}
    DELETE /faults?venue=&name=     takes rows away, all where nothing is named
    GET    /truth?venue=&account=   {venue: {account: ledger}}
    GET    /audit                   {venue: [what does not add up]}

Times of a row count from when it arrives. A request that cannot be carried out is answered with status 400
and {"error": one line}.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from node.venues.fakes import FakeVenue
from node.venues.faults import FaultError, parse_row

HOST = "127.0.0.1"
HOSTS = ("127.0.0.1", "localhost", "[::1]")


class Control:
    """`venues`: name -> fake. `clock` returns ns since 1970."""

    def __init__(self, venues: Mapping[str, FakeVenue], clock: Callable[[], int]):
        self.venues, self.clock = venues, clock
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Listen; returns the URL. Raises OSError."""
        app = web.Application(middlewares=[web.middleware(_guard)])
        app.router.add_post("/faults", self._add)
        app.router.add_get("/faults", self._list)
        app.router.add_delete("/faults", self._clear)
        app.router.add_get("/truth", self._truth)
        app.router.add_get("/audit", self._audit)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.url = f"http://{HOST}:{runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _chosen(self, request: web.Request) -> dict[str, FakeVenue]:
        name = request.query.get("venue", "")
        if name and name not in self.venues:
            raise FaultError(f"venue {name!r} is not known; there are {', '.join(self.venues)}")
        return {k: v for k, v in self.venues.items() if name in ("", k)}

    async def _add(self, request: web.Request) -> web.Response:
        try:
            rows = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise FaultError(f"not JSON: {error}") from None
        rows = rows if isinstance(rows, list) else [rows]
        for i, row in enumerate(rows, 1):
            parse_row(row, i)
            if row.get("venue", next(iter(self.venues))) not in self.venues:
                raise FaultError(f"fault {i}: venue {row['venue']!r} is not known")
        added = {k: v.faults.load(rows, k, self.clock()) for k, v in self._chosen(request).items()}
        return _json({"added": added})

    async def _list(self, request: web.Request) -> web.Response:
        chosen = self._chosen(request)
        return _json({k: {"counts": v.faults.counts, "rows": v.faults.table()} for k, v in chosen.items()})

    async def _clear(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "")
        return _json({"cleared": {k: v.faults.clear(name) for k, v in self._chosen(request).items()}})

    async def _truth(self, request: web.Request) -> web.Response:
        wanted = request.query.get("account", "")
        out: dict[str, Any] = {}
        for name, fake in self._chosen(request).items():
            owners = [x for x in fake.accounts if wanted in ("", str(x), fake.accounts[x].uid)]
            if not owners:
                raise FaultError(f"account {wanted[:60]!r} is not known on {name}")
            out[name] = {str(x): fake.truth(x) for x in owners}
        return _json(out)

    async def _audit(self, request: web.Request) -> web.Response:
        return _json({k: v.audit() for k, v in self._chosen(request).items()})


async def _guard(request: web.Request, handler: Callable) -> web.StreamResponse:
    """Only who means this host is heard; errors are JSON."""
    if request.host.rpartition(":")[0] not in HOSTS and request.host not in HOSTS:
        return _json({"error": "this is for loopback only"}, 403)
    try:
        return await handler(request)
    except FaultError as error:
        return _json({"error": str(error)}, 400)
    except web.HTTPException as error:
        return _json({"error": f"{request.method} {request.path[:80]}: {error.reason}"}, error.status)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
