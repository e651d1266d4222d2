"""The node's part in the wire bench."""

import json
import os
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bench import account, wire
from bench.node import BUDGET_FACTOR, node_command, raise_budgets
from ext.records import Market
from node.config import load
from node.credentials import read_key
from node.venues.markets import MARKETS


def test_every_start_has_a_config_that_loads_and_a_tape_of_its_own():
    with node_command("epoll") as argv:
        first, second = argv(1234), argv(1235)
        assert first[:3] == [sys.executable, "-m", "bench.node"]
        configs = [load(Path(x[-1])) for x in (first, second)]
        assert configs[0].tape != configs[1].tape
        assert configs[0].loop == "epoll"
        assert configs[1].venue[0].streams == ["ws://127.0.0.1:1235"]
        folder = Path(first[-1]).parent.parent
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize("logon", [False, True])
def test_the_key_is_the_accounts(logon):
    with node_command() as argv:
        key = read_key(load(Path(argv(1234, logon=logon)[-1])).venue[0].key, "bench")
    assert key.is_ed25519 is logon
    proof = key.ed25519("text") if logon else key.hex("text")
    assert key.api_key == account.API_KEY
    assert account.is_signed("text", proof)


def test_only_the_size_of_the_budgets_differs_from_a_live_node():
    market = int(Market.BINANCE_USDM)
    markets = {market: MARKETS[market]}
    raise_budgets(markets, market)
    published, raised = MARKETS[market].budgets(market), markets[market].budgets(market)
    assert raised == [(kind, limit * BUDGET_FACTOR, *rest) for kind, limit, *rest in published]
    assert len(raised) > 0


def test_a_whole_node_proves_its_account_and_trades_with_either_key_and_over_two_lines():
    if not shutil.which(os.environ.get("CC", "cc")):
        pytest.skip("no C compiler: the wire benchmark compiles its venue")
    with wire.prepared(70, warmup=60) as prepared, node_command("epoll") as argv:
        setup = replace(prepared, cores=None)  # nothing is measured: any core that is free will do
        builders = {
            "node": argv,
            "node_logon": partial(argv, logon=True),
            "node_two_lines": partial(argv, lines=2),
        }
        for name, builder in builders.items():
            done = wire.run_client(name, builder, setup)
            assert sum(1 for order in done.orders if order) >= 60
            assert done.logged_on is (name == "node_logon")
            assert wire.count_unproven(done) == 0
            assert done.refused.total() == 0
            params = json.loads(done.orders[-1] or done.orders[-2])["params"]
            assert ("signature" in params) is (name != "node_logon")
