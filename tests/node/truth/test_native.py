"""The engine as it is has every door that the room needs."""

import inspect

from ext.account import Account
from ext.engine import Engine
from ext.orders import Orders
from ext.risk import RiskGate
from node.truth import native


def test_the_engine_has_all_the_doors():
    pairs = (
        (native.Native, Engine),
        (native.NativeOrders, Orders),
        (native.NativeAccount, Account),
        (native.NativeRisk, RiskGate),
    )
    for protocol, real in pairs:
        wanted = [name for name, _ in inspect.getmembers(protocol) if not name.startswith("_")]
        assert wanted
        assert [name for name in wanted if not hasattr(real, name)] == []
