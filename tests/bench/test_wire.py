"""The wire benchmark, small: every answer checked against a plain book, no figure asserted."""

import base64
import functools
import itertools
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request

import pytest
from websockets.sync.client import connect

from bench import account, wire

FRAMES = 200
SILENT_CLIENT = """
import sys, time
from websockets.sync.client import connect
base = "ws://127.0.0.1:" + sys.argv[1]
market, order = connect(base + "/ws/btcusdt@depth"), connect(base + "/ws-fapi/v1")
print("nothing to say", flush=True)
time.sleep(60)
"""

# Pings, asks something else, only then orders; ends with its last words where an answer is wrong.
TALKATIVE_CLIENT = """
import json, sys
from websockets.sync.client import connect
base = "ws://127.0.0.1:" + sys.argv[1]
market, order = connect(base + "/stream?streams=x"), connect(base + "/ws-fapi/v1")
params, pongs = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.001"}, []
for n, frame in enumerate(market):
    if not order.ping().wait(2) or n > 1 and not pongs[n - 2].wait(2):
        sys.exit("no pong")
    order.send(json.dumps({"id": -n, "method": "order.status"}))
    if (reply := json.loads(order.recv())) != {"id": -n, "status": 200, "result": {}}:
        sys.exit(f"bad answer {reply}")
    params |= {"price": f"{n}.5", "newClientOrderId": f"c{n}"}
    order.send(json.dumps({"id": f"o{n}", "method": "order.place", "params": params}, separators=(",", ":")))
    reply = json.loads(order.recv())
    got = [reply["id"], reply["status"], *(reply["result"][k] for k in ("clientOrderId", "price", "status"))]
    if got != [f"o{n}", 200, f"c{n}", f"{n}.5", "EXPIRED"]:
        sys.exit(f"bad answer {reply}")
    pongs.append(market.ping())  # answered in the pause after the next order at the latest
"""


# Has two market lines, and orders on what it hears first; ends with its last words where the lines differ.
TWO_LINE_CLIENT = """
import json, sys
from websockets.sync.client import connect
base = "ws://127.0.0.1:" + sys.argv[1]
lines, order = [connect(base + "/stream?streams=x") for _ in range(2)], connect(base + "/ws-fapi/v1")
heard = [[], []]
params = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.001"}
while True:
    for i, line in enumerate(lines):
        try:
            heard[i].append(line.recv(timeout=0))
        except TimeoutError:
            continue
        n = len(heard[i]) - 1
        if n < len(heard[1 - i]):
            if heard[0][n] != heard[1][n]:
                sys.exit("no copy")
            continue
        params |= {"price": f"{n}.{i + 1}", "newClientOrderId": f"c{n}"}
        order.send(json.dumps({"id": n, "method": "order.place", "params": params}, separators=(",", ":")))
"""


# Has a private stream; ends with its last words where an order's fate is not told there.
PRIVATE_CLIENT = """
import json, sys, urllib.request
from websockets.sync.client import connect
port, listen_key, api_key = sys.argv[1:]
url = f"http://127.0.0.1:{port}/fapi/v1/listenKey"
urllib.request.urlopen(urllib.request.Request(url, method="POST", headers={"X-MBX-APIKEY": api_key})).read()
base = f"ws://127.0.0.1:{port}"
market, order = connect(base + "/stream?streams=x"), connect(base + "/ws-fapi/v1")
private = connect(base + "/private/ws?listenKey=" + listen_key)
params = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.001", "newOrderRespType": "ACK"}
for n, frame in enumerate(market):
    params |= {"price": f"{n}.5", "newClientOrderId": f"c{n}"}
    order.send(json.dumps({"id": n, "method": "order.place", "params": params}, separators=(",", ":")))
    ack = json.loads(order.recv())["result"]
    events = [json.loads(private.recv())["o"] for _ in range(2)]
    told = [(x["x"], x["X"], x["c"], x["i"], x["z"]) for x in events]
    if ack["status"] != "NEW" or told != [(x, x, f"c{n}", ack["orderId"], "0") for x in ("NEW", "EXPIRED")]:
        sys.exit(f"bad fate {ack} {told}")
"""


@pytest.fixture(scope="module")
def setup():
    if not shutil.which(os.environ.get("CC", "cc")):
        pytest.skip("no C compiler: the wire benchmark compiles its venue and its floor")
    with wire.prepared(FRAMES, warmup=0) as made:
        yield made


def plain_best_asks(feed: wire.Feed) -> list[int]:
    """Best ask after each frame from nothing but a dict and min()."""
    asks, out = {}, []
    for levels in [
        json.loads(feed.snapshot)["asks"],
        *(json.loads(text)["data"]["a"] for text in feed.frames),
    ]:
        for price, size in levels:
            asks[round(float(price) * 10)] = float(size)
        out.append(min(price for price, size in asks.items() if size))
    return out[1:]


@pytest.mark.parametrize("name", list(wire.CLIENTS))
def test_every_order_is_at_the_best_ask(setup, name):
    done = wire.run_client(name, wire.CLIENTS[name](setup.build_dir), setup)
    answered = [
        (order, ask) for order, ask in zip(done.orders, plain_best_asks(setup.feed), strict=True) if order
    ]
    assert len(answered) > 0.9 * FRAMES  # a busy machine may delay a few beyond the time allowed
    assert [wire.order_ticks(order) for order, _ in answered] == [ask for _, ask in answered]
    requests = [json.loads(order) for order, _ in answered]
    assert len({request["id"] for request in requests}) == len(requests)
    assert len({request["params"]["newClientOrderId"] for request in requests}) == len(requests)
    assert {request["method"] for request in requests} == {"order.place"}
    assert wire.count_unproven(done) == (len(requests) if name in wire.UNPROVEN else 0)
    assert all(abs(request["params"]["timestamp"] - account.now_ms()) < 600_000 for request in requests)


def test_a_run_pools_all_clients_and_compares_the_node_with_the_floor(tmp_path, monkeypatch):
    patient = functools.partial(wire.Setup, timeout_ns=10_000_000_000)  # of 120 frames not two may be late
    monkeypatch.setattr(wire, "Setup", patient)
    if not shutil.which(os.environ.get("CC", "cc")):
        pytest.skip("no C compiler: the wire benchmark compiles its venue and its floor")
    stand_in = wire.compile_c(wire.HERE / "floor.c", tmp_path / "node")
    told: list[str] = []
    out = wire.run(
        node=lambda port: [str(stand_in), wire.HOST, str(port), account.API_KEY, account.SECRET],
        rounds=2,
        frames=60,
        warmup=20,
        progress=told.append,
    )["wire"]
    for name in ("floor", "node", "naive"):
        one = out[name]
        assert one["count"] + one["missed"] == 60 * out["conditions"]["rounds"][name]
        assert 0 < one["p50_us"] <= one["p99_us"] <= one["p999_us"] <= one["max_us"]
        assert one["off_best_ask"] == 0
    assert out["ratio_p50"] == pytest.approx(out["node"]["p50_us"] / out["floor"]["p50_us"], abs=0.001)
    assert out["ratio_p50_logon"] is out["second_line_p50_ratio"] is None
    assert "floor_plain" not in out
    assert out["conditions"]["order_entry"]["node"] == "HMAC of every order"
    assert out["conditions"]["mean_levels"] > 1
    assert out["conditions"]["quiet"] in (True, False)
    assert told == [
        *(f"wire: round 1 of 2, {name}" for name in ("floor", "node", "naive")),
        *(f"wire: round 2 of 2, {name}" for name in ("floor", "node")),
    ]


def test_an_order_that_is_not_signed_makes_the_run_invalid(setup):
    done = wire.run_client("node", wire.plain_floor_argv(setup.build_dir), setup)
    with pytest.raises(wire.WireError, match=r"^node: \d+ orders without a valid signature or log-on"):
        wire.summary("node", [done], setup)
    done.logged_on = True
    assert wire.summary("node", [done], setup)["count"] > 0


def test_each_order_is_acknowledged_and_reported_on_the_private_stream(setup):
    feed = wire.Feed(setup.feed.snapshot, setup.feed.frames[:5], "first 5")
    patient = wire.Setup(feed, setup.build_dir, 0, setup.cores, timeout_ns=5 * 10**9)
    argv = [sys.executable, "-c", PRIVATE_CLIENT]
    done = wire.run_client(
        "private", lambda port: [*argv, str(port), account.LISTEN_KEY, account.API_KEY], patient
    )
    assert all(ns > 0 for ns in done.out_ns)
    assert done.asked == 1


def test_a_second_market_line_brings_each_frame_too_and_sometimes_first(setup):
    feed = wire.Feed(setup.feed.snapshot, setup.feed.frames[:40], "first 40")
    patient = wire.Setup(feed, setup.build_dir, 0, setup.cores, timeout_ns=5 * 10**9)
    argv = [sys.executable, "-c", TWO_LINE_CLIENT]
    done = wire.run_client("node_two_lines", lambda port: [*argv, str(port)], patient)
    answers = [divmod(wire.order_ticks(order), 10) for order in done.orders]
    assert [frame for frame, _ in answers] == list(range(40))
    lines = [line for _, line in answers]
    assert {1, 2} == set(lines)
    assert done.strays == 0


def test_a_second_line_is_held_against_the_node_with_one():
    one, two = {"p50_us": 10.0, "p99_us": 40.0}, {"p50_us": 10.5, "p99_us": 50.0}
    found = wire.second_line({"node": one, "node_two_lines": two})
    assert found == {"second_line_p50_ratio": 1.05, "second_line_p99_ratio": 1.25}
    assert wire.second_line({"node": one}) == dict.fromkeys(found)


def test_a_client_may_prove_its_account_before_its_first_order(setup):
    """More frames without an order than a run may miss: at its start they do not count."""
    feed = wire.Feed(setup.feed.snapshot, setup.feed.frames[:20], "first 20")
    ms = 1_000_000
    patient = wire.Setup(feed, setup.build_dir, 0, setup.cores, 50 * ms, 10 * ms, 10 * ms)
    source = TALKATIVE_CLIENT.replace("    if not ord", "    if n < 14: continue\n    if not ord")
    source = source.replace("n > 1 and", "n > 15 and").replace("pongs[n - 2]", "pongs[n - 16]")
    done = wire.run_client("late", lambda port: [sys.executable, "-c", source, str(port)], patient)
    assert done.out_ns[:14] == [-1] * 14
    answered = {n: wire.order_ticks(order) for n, order in enumerate(done.orders) if order}
    assert len(answered) > 0
    assert answered == {n: n * 10 + 5 for n in answered}


def test_a_client_that_ends_early_is_one_line_with_its_last_words(setup):
    argv = [sys.executable, "-c", "import sys; sys.exit('no such venue')"]
    with pytest.raises(wire.WireError, match=r"^node: ended with code 1 .* \(node said: no such venue\)$"):
        wire.run_client("node", lambda port: argv, setup)


def test_a_command_that_does_not_exist_is_one_line(setup):
    with pytest.raises(wire.WireError, match=r"^node: cannot start /no/such/node"):
        wire.run_client("node", lambda port: ["/no/such/node"], setup)


def test_a_silent_client_is_given_up_and_ended(setup):
    hurried = wire.Setup(setup.feed, setup.build_dir, 0, setup.cores)
    hurried.timeout_ns = hurried.first_timeout_ns = hurried.late_ns = 1_000_000
    with pytest.raises(wire.WireError, match="too many frames without an order after 0 orders"):
        wire.run_client("quiet", lambda port: [sys.executable, "-c", SILENT_CLIENT, str(port)], hurried)


def test_a_client_that_will_not_stop_is_killed(setup):
    argv = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
    with wire.client_process("stubborn", argv, setup) as client:
        assert client.poll() is None
        time.sleep(0.1)  # let it set its trap
    assert client.returncode == -9


def test_a_late_order_is_missed_and_not_taken_for_the_next_answer(setup):
    feed = wire.Feed(setup.feed.snapshot, setup.feed.frames[:9], "first 9")
    source = TALKATIVE_CLIENT.replace(
        "    params |=", "    __import__('time').sleep(0.3 * (n == 5))\n    params |="
    )
    strict = wire.Setup(feed, setup.build_dir, 0, setup.cores, late_ns=5 * 10**9)
    done = wire.run_client("late", lambda port: [sys.executable, "-c", source, str(port)], strict)
    assert done.out_ns[5] == -1
    answered = {n: wire.order_ticks(order) for n, order in enumerate(done.orders) if order}
    assert answered == {n: n * 10 + 5 for n in answered}
    assert done.strays == done.out_ns.count(-1)


def test_the_timed_part_answers_pings_and_other_requests(setup):
    feed = wire.Feed(setup.feed.snapshot, setup.feed.frames[:30], "first 30")
    patient = wire.Setup(feed, setup.build_dir, 0, setup.cores, timeout_ns=5 * 10**9)
    argv = [sys.executable, "-c", TALKATIVE_CLIENT]
    done = wire.run_client("talkative", lambda port: [*argv, str(port)], patient)
    assert [wire.order_ticks(order) for order in done.orders] == [n * 10 + 5 for n in range(30)]
    assert all(ns > 0 for ns in done.out_ns)
    assert done.strays == 0


def test_the_venue_answers_what_a_client_asks_at_start():
    feed = wire.synthetic_feed(1)
    with wire.Venue(feed, rest={"/extra/ping": "[]"}) as venue:
        base = f"http://{wire.HOST}:{venue.port}"
        assert get(f"{base}/fapi/v1/depth?symbol=BTCUSDT&limit=1000") == json.loads(feed.snapshot)
        assert get(f"{base}/fapi/v1/exchangeInfo")["symbols"][0]["symbol"] == "BTCUSDT"
        assert get(f"{base}/extra/ping") == []
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(f"{base}/unknown/time")


@pytest.mark.parametrize(
    ("path", "request_", "reply"),
    [
        (
            "/public/stream",
            {"method": "SUBSCRIBE", "params": ["btcusdt@depth"], "id": 7},
            {"result": None, "id": 7},
        ),
        ("/ws-fapi/v1", {"id": "x", "method": "session.status"}, {"id": "x", "status": 200, "result": {}}),
    ],
)
def test_set_up_requests_are_answered(path, request_, reply):
    with (
        wire.Venue(wire.synthetic_feed(1)) as venue,
        connect(f"ws://{wire.HOST}:{venue.port}{path}") as client,
    ):
        peer = venue.peers.get(timeout=30)
        client.send(json.dumps(request_))
        assert wire.answer_setup("client", peer, 5.0)
        assert json.loads(client.recv(timeout=30)) == reply
        peer.sock.close()


def get(url: str):
    with urllib.request.urlopen(url, timeout=30) as reply:
        return json.loads(reply.read())


def signed(key=account.API_KEY) -> dict:
    params = {"apiKey": key, "timestamp": account.now_ms()}
    payload = f"apiKey={key}&timestamp={params['timestamp']}".encode()
    return params | {"signature": base64.b64encode(account.PRIVATE_KEY.sign(payload)).decode()}


def test_logon_is_answered_with_the_key():
    peer = wire.Peer(None, "order", bytearray())
    reply = peer.reply_to({"id": "1", "method": "session.logon", "params": signed()})
    assert (reply["status"], reply["result"]["apiKey"], peer.logged_on) == (200, account.API_KEY, True)


def test_a_logon_that_is_not_signed_is_refused():
    peer = wire.Peer(None, "order", bytearray())
    reply = peer.reply_to({"id": "1", "method": "session.logon", "params": signed() | {"timestamp": 1}})
    assert (reply["status"], reply["error"]["code"], peer.logged_on) == (401, account.BAD_SIGNATURE, False)


def test_a_private_request_without_key_or_signature_is_refused():
    with wire.Venue(wire.synthetic_feed(1)) as venue:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(f"http://{wire.HOST}:{venue.port}/fapi/v3/balance")
        assert venue.refused == {"/fapi/v3/balance": 1}


@pytest.mark.parametrize(
    ("target", "role"),
    [
        ("/public/stream?streams=btcusdt@depth@100ms", "market"),
        ("/ws/btcusdt@depth", "market"),
        ("/ws-fapi/v1", "order"),
        ("/ws-api/v3", "order"),
        (f"/private/ws?listenKey={account.LISTEN_KEY}", "private"),
        ("/private/ws?listenKey=somebodyelses", "other"),
    ],
)
def test_the_path_says_what_a_connection_is(target, role):
    assert wire.role_of(target) == role


def test_synthetic_frames_have_the_recorded_shape():
    feed = wire.synthetic_feed(300)
    assert feed.frames == wire.synthetic_feed(300).frames
    assert 55 < feed.mean_levels < 80
    assert 1300 < feed.mean_bytes < 1900
    assert feed.best_asks == plain_best_asks(feed)
    events = [json.loads(text)["data"] for text in feed.frames]
    assert all(b["pu"] == a["u"] for a, b in itertools.pairwise(events))


def test_synthetic_books_never_cross():
    feed = wire.synthetic_feed(300)
    bids = {price: float(size) for price, size in json.loads(feed.snapshot)["bids"]}
    for text, ask in zip(feed.frames, feed.best_asks, strict=True):
        bids.update((price, float(size)) for price, size in json.loads(text)["data"]["b"])
        assert max(wire.ticks(price) for price, size in bids.items() if size) < ask


def test_absent_recordings_are_said(monkeypatch, tmp_path):
    monkeypatch.setenv("TICKGATE_RECORDINGS", str(tmp_path))
    assert wire.load_feed(3).source == "synthetic, seed 1 (recordings absent)"


def test_ticks_are_exact():
    assert [wire.ticks(text) for text in ("61800.20", "0.1", "5", "1000.00")] == [618002, 1, 50, 10000]
    with pytest.raises(wire.WireError, match=r"off the 0\.1 grid: 1\.25"):
        wire.ticks("1.25")


def test_percentiles_are_measured_values():
    assert [wire.percentile([1, 2, 3, 4], q) for q in (0.5, 0.99, 1.0)] == [2, 4, 4]


def test_no_compiler_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-cc")
    with pytest.raises(wire.WireError, match=r"^wire needs a C compiler: no-such-cc not found$"):
        wire.compile_c(wire.HERE / "floor.c", tmp_path / "floor")


def test_recorded_frames_are_as_of_now_and_otherwise_as_they_were():
    raw = (
        '{"data":{"e":"depthUpdate","E":1723161256123,"T":1723161256120,"u":1723161256999,"b":[["1.0","2"]]}}'
    )
    told = wire.restamped(raw, 1_800_000_000_000 * 10**6)
    assert json.loads(told)["data"] == json.loads(raw)["data"] | {
        "E": 1_800_000_000_000,
        "T": 1_800_000_000_000,
    }
    assert len(told) == len(raw)
