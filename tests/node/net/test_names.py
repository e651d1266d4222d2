"""Names: one question at a time, nobody waits long, and what was right once is used again."""

import asyncio
import socket

import pytest

from node.errors import Unreachable
from node.net import names
from node.net.names import Names, Resolver


class Answers:
    def __init__(self, *answers):
        self.answers, self.asked, self.late_s = list(answers), 0, 0.0

    async def __call__(self, host):
        self.asked += 1
        await asyncio.sleep(self.late_s)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(names, "WAIT_S", 0.05)
    monkeypatch.setattr(names, "FRESH_S", 0.0)


def made(*answers):
    told: list[tuple[str, str]] = []
    lookup = Answers(*answers)
    return Names(lambda where, text: told.append((where, text)), lookup), lookup, told


def test_an_address_needs_no_question():
    async def scenario():
        room, lookup, _ = made(OSError("never asked"))
        assert await room.addresses("127.0.0.1") == ["127.0.0.1"]
        assert await room.addresses("::1") == ["::1"]
        assert await room.connected("127.0.0.1", 1) is None
        assert lookup.asked == 0

    asyncio.run(scenario())


def test_an_answer_that_is_fresh_is_not_asked_for_again(monkeypatch):
    monkeypatch.setattr(names, "FRESH_S", 60.0)

    async def scenario():
        room, lookup, _ = made(["1.1.1.1", "1.1.1.1", "2.2.2.2"])
        for _ in range(3):
            assert await room.addresses("h") == ["1.1.1.1", "2.2.2.2"]
        assert lookup.asked == 1

    asyncio.run(scenario())


def test_a_name_that_fails_is_where_it_was_and_that_is_told_once():
    async def scenario():
        room, _, told = made(["1.1.1.1"], OSError(-2, "Name or service not known"))
        for _ in range(3):
            assert await room.addresses("h") == ["1.1.1.1"]
        words = "h: name not found: Name or service not known: the addresses of before are used"
        assert told == [("names", words)]

    asyncio.run(scenario())


def test_no_addresses_at_all_is_a_failure_too():
    async def scenario():
        room, _, _ = made(["1.1.1.1"], [])
        assert await room.addresses("h") == ["1.1.1.1"]
        assert await room.addresses("h") == ["1.1.1.1"]
        with pytest.raises(Unreachable, match="h: name not found: no address"):
            await made([])[0].addresses("h")

    asyncio.run(scenario())


def test_a_resolver_that_hangs_is_asked_one_question_and_nobody_waits_for_it():
    async def scenario():
        room, lookup, told = made(["1.1.1.1"])
        await room.addresses("h")
        lookup.answers, lookup.late_s = [["2.2.2.2"]], 0.3
        for _ in range(3):
            assert await room.addresses("h") == ["1.1.1.1"]
        assert lookup.asked == 2
        assert len(told) == 1
        await asyncio.sleep(0.3)  # it answers after all, when nobody waits any more
        lookup.late_s = 30.0
        assert await room.addresses("h") == ["2.2.2.2"]
        assert ("names", "h is at 2.2.2.2 now: for new connections") in told
        room.close()
        await asyncio.sleep(0)
        assert room.asking == {}

    asyncio.run(scenario())


def test_a_name_never_found_is_unreachable_and_says_why():
    async def scenario():
        room, lookup, _ = made(OSError(-3, "Temporary failure"))
        with pytest.raises(Unreachable, match="h: name not found: Temporary failure"):
            await room.addresses("h")
        lookup.late_s = 30.0
        with pytest.raises(Unreachable, match=r"h: name not found: no answer within 0.05 s"):
            await room.addresses("h")
        room.close()

    asyncio.run(scenario())


def test_the_first_address_that_takes_the_connection_is_used():
    async def scenario():
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        room, _, _ = made(["127.0.0.2", "127.0.0.1"])
        sock = await room.connected("h", port)
        assert sock.getpeername() == ("127.0.0.1", port)
        sock.close()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await room.connected("h", port)

    asyncio.run(scenario())


def test_the_pool_finds_hosts_the_same_way():
    async def scenario():
        room, _, _ = made(["1.1.1.1", "fd00::1"])
        rows = await Resolver(room).resolve("h", 443)
        assert [(x["host"], x["port"], x["family"]) for x in rows] == [
            ("1.1.1.1", 443, socket.AF_INET),
            ("fd00::1", 443, socket.AF_INET6),
        ]
        await Resolver(room).close()

    asyncio.run(scenario())


def test_the_operating_system_is_asked_beside_the_loop():
    async def scenario():
        assert "127.0.0.1" in await Names().addresses("localhost")

    asyncio.run(scenario())
