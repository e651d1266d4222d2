"""What a connection that is given up leaves of other people's descriptors: all of them."""

import asyncio
import gc
import os
import socket

import picows
import pytest
import uvloop

from node.net.http import Http
from node.net.names import Names
from node.sockets import OwnSocket
from node.venues.values import Request

STEPS = 100


async def loopback(host):
    return ["127.0.0.1"]


class Peer(asyncio.Protocol):
    """Takes everything and says nothing."""


async def by_loop(port):
    sock = await Names(lookup=loopback).connected("venue", port)
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=sock)


async def by_websocket(port):
    names = Names(lookup=loopback)
    await picows.ws_connect(
        picows.WSListener,
        "ws://venue/",
        use_aiofastnet=False,
        socket_factory=lambda url: names.connected(url.host, port),
    )


async def by_pool(port):
    async with Http(Names(lookup=loopback)) as http:
        await http.send(f"http://venue:{port}", Request("GET", "/"))


async def given_up(connect, port, steps) -> BaseException | None:
    """Cancelled after so many turns of the loop. What it answers keeps its frames, and so its socket."""
    task = asyncio.ensure_future(connect(port))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as error:
        return error
    return None


@pytest.mark.parametrize("connect", [by_loop, by_websocket, by_pool])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_connection_given_up_at_any_moment_closes_nobody_elses_descriptor(connect):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Peer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        gc.disable()
        gc.freeze()  # what other tests left is not looked through again each time
        for steps in range(STEPS):
            kept = await given_up(connect, port, steps)
            await asyncio.sleep(0)
            others = [os.memfd_create("tape") for _ in range(20)]
            del kept
            gc.collect()  # what was kept dies now, when others have its numbers
            for x in others:
                os.close(x)  # OSError: somebody closed it
        server.close()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    finally:
        gc.enable()


def test_a_descriptor_that_was_closed_behind_its_back_is_let_go_of():
    for end in (OwnSocket.close, OwnSocket.__del__):
        sock = OwnSocket(socket.AF_INET, socket.SOCK_STREAM)
        number = sock.fileno()
        os.close(number)
        with open(os.devnull, "rb") as other:
            assert other.fileno() == number
            end(sock)
            assert sock.fileno() == -1
            os.fstat(number)


def test_its_own_descriptor_is_closed_once_whoever_ends_it():
    for end in (OwnSocket.close, OwnSocket.__del__):
        sock = OwnSocket(socket.AF_INET, socket.SOCK_STREAM)
        number = sock.fileno()
        end(sock)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        end(sock)  # again, and nothing happens


def test_a_socket_that_could_not_be_made_dies_in_silence():
    with pytest.raises(OSError, match="Errno"):
        OwnSocket(-5, -5)
    gc.collect()
