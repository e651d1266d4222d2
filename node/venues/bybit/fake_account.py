"""Accounts by REST at the simulated Bybit: positions and their settings, wallet, fees, log, assets, keys.

A unified account of version 2.0. Source: bybit-exchange/docs `docs/v5/{position,account,asset,user}/`.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from node.venues.bybit import rules
from node.venues.bybit.fake_codes import (
    DECIMAL,
    SIDE_TEXT,
    Denial,
    number,
    plain,
    price_of,
    price_text,
    refused,
)
from node.venues.bybit.fake_orders import Who
from node.venues.bybit.fake_private import INDEX_LEG, settings, ticket
from node.venues.bybit.fake_queries import Queries
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import BUY, MS, Account, Listing, VenueTrade

DAY_MS = 86_400_000
INCOME_TYPE = {
    "funding": "SETTLEMENT",
    "deposit": "TRANSFER_IN",
    "withdraw": "TRANSFER_OUT",
    "insurance": "BONUS",
}
DCP_PRODUCTS = {"DERIVATIVES": LINEAR, "SPOT": SPOT, "OPTIONS": -1}
KEY_PERMISSIONS = {
    "ContractTrade": ["Order", "Position"],
    "Spot": ["SpotTrade"],
    "Wallet": ["AccountTransfer", "SubMemberTransfer"],
    "Options": ["OptionsTrade"],
    "Derivatives": ["DerivativesTrade"],
    "Exchange": ["ExchangeHistory"],
}
NO_PERMISSIONS = [
    "CopyTrading",
    "BlockTrade",
    "NFT",
    "Affiliate",
    "Earn",
    "FiatP2P",
    "FiatBitPay",
    "BitCard",
    "ByXPost",
]


class AccountRest(Queries):
    """Everything private that is not an order."""

    # ---- positions ----

    def get_positions(self, who: Who, query: dict, now_ns: int) -> dict:
        category, limit = self.category(query), self._limit(query, 200, 20)
        if category == "spot":
            raise Denial(181001)
        rows = []
        if category == "linear":
            if not query.get("symbol") and not query.get("settleCoin"):
                raise Denial(10001, "params error: symbol or settleCoin is required")
            rows = self._position_rows(who.account, query, now_ns)
        page, cursor = self._page(rows, query, limit, lambda row: f"{row['symbol']}-{row['positionIdx']}")  # type: ignore[index]
        return {"list": page, "nextPageCursor": cursor, "category": category}

    def _position_rows(self, account: Account, query: dict, now_ns: int) -> list[dict]:
        if query.get("symbol"):
            listing = self._listing(query)
            return [
                self.position_row(account, listing, leg, now_ns) for leg in self._legs_of(account, listing)
            ]
        rows = []
        for listing in self._listed("linear"):
            if listing.settle_coin == query["settleCoin"]:
                for leg in ("net", "long", "short"):
                    if (p := account.positions.get((*listing.key, leg))) is not None and p.lots:
                        rows.append(self.position_row(account, listing, leg, now_ns))
        return rows

    def _legs_of(self, account: Account, listing: Listing) -> list[str]:
        """Those of the mode, and others that are held from before the mode changed."""
        held = [
            x for x in ("net", "long", "short") if (p := account.positions.get((*listing.key, x))) and p.lots
        ]
        return list(dict.fromkeys([*self.legs(account), *held]))

    def _linear_of(self, wish: dict) -> Listing:
        if wish.get("category") not in ("linear", "inverse"):
            raise Denial(10001, "Illegal category")
        return self._listing(wish)

    def set_leverage(self, who: Who, wish: dict, now_ns: int) -> dict:
        listing, texts = self._linear_of(wish), [wish.get("buyLeverage"), wish.get("sellLeverage")]
        if not all(isinstance(x, str) and DECIMAL.fullmatch(x) for x in texts):
            raise Denial(10001, "params error: leverage invalid")
        buy, sell = (Decimal(str(x)) for x in texts)
        is_cross = self.margin_mode(who.account) != "ISOLATED_MARGIN"
        if buy != sell and (is_cross or not who.account.hedge):
            raise Denial(10001, "buyLeverage must be equal to sellLeverage")
        if min(buy, sell) < 1 or max(buy, sell) > listing.max_leverage:
            raise Denial(
                110013,
                f"cannot set leverage [{texts[0]}] gt maxLeverage [{listing.max_leverage}00] by risk limit",
            )
        if (buy * 100) % 1 or (sell * 100) % 1:
            raise Denial(10001, "params error: leverage step is 0.01")
        wanted = {"net": buy, "long": buy, "short": sell}
        if all(
            Decimal(self.leverage_text(who.account, listing, leg)) == wanted[leg]
            for leg in self.legs(who.account)
        ):
            raise Denial(110043)
        who.account.set_leverage(listing, int(min(buy, sell)))
        for leg, leverage in wanted.items():
            settings(who.account).leverage[listing.key, leg] = (plain(leverage), int(min(buy, sell)))
        for leg in self.legs(who.account):
            self.push_position(who.account, listing, leg, now_ns)
        return {}

    def switch_mode(self, who: Who, wish: dict, now_ns: int) -> dict:
        """0 one-way, 3 hedge; for the whole account here, whichever symbol is named."""
        account, mode = who.account, number(wish.get("mode", ""))
        if wish.get("category") != "linear" or mode not in (0, 3):
            raise Denial(10001, "params error: mode invalid")
        if not wish.get("symbol") and not wish.get("coin"):
            raise Denial(10001, "params error: symbol or coin is required")
        if wish.get("symbol"):
            self._listing(wish)
        if account.hedge == (mode == 3):
            raise Denial(110025)
        if any(p.lots for p in account.positions.values()):
            raise Denial(110024)
        if self.open_orders(account, LINEAR):
            raise Denial(110028)
        account.hedge = mode == 3
        return {}

    def switch_isolated(self, who: Who, wish: dict, now_ns: int) -> dict:
        """Not for unified accounts: the margin mode is that of the account."""
        raise Denial(100028, "unified account is forbidden")

    def set_tpsl_mode(self, who: Who, wish: dict, now_ns: int) -> dict:
        """Kept for old clients: the mode is named with each request."""
        self._linear_of(wish)
        if wish.get("tpSlMode") not in ("Full", "Partial"):
            raise Denial(10001, "params error: tpSlMode invalid")
        return {"tpSlMode": wish["tpSlMode"]}

    def set_risk_limit(self, who: Who, wish: dict, now_ns: int) -> dict:
        """Tiers apply by themselves; the request is answered with the one that holds."""
        row = self.position_row(who.account, self._linear_of(wish), "net", now_ns)
        return {"category": "linear", "riskId": row["riskId"], "riskLimitValue": row["riskLimitValue"]}

    def set_auto_add_margin(self, who: Who, wish: dict, now_ns: int) -> dict:
        listing, on = self._linear_of(wish), number(wish.get("autoAddMargin", ""))
        leg = INDEX_LEG.get(number(wish.get("positionIdx", 0) or 0), "net")
        if on not in (0, 1):
            raise Denial(10001, "params error: autoAddMargin invalid")
        if self.margin_mode(who.account) != "ISOLATED_MARGIN":
            raise Denial(110076)
        settings(who.account).auto_add[listing.key, leg] = on
        return {}

    def add_margin(self, who: Who, wish: dict, now_ns: int) -> dict:
        self._linear_of(wish)
        raise Denial(110015, "The position is in cross margin mode.")

    def confirm_mmr(self, who: Who, wish: dict, now_ns: int) -> dict:
        self._linear_of(wish)
        raise Denial(
            110082,
            "You cannot lift Reduce-Only restrictions, "
            "as no Reduce-Only restrictions are applied to your position",
        )

    def move_positions(self, who: Who, wish: dict, now_ns: int) -> dict:
        raise Denial(10005)

    def get_no_rows(self, who: Who, query: dict, now_ns: int) -> dict:
        head = {"category": query["category"]} if "category" in query else {}
        return head | {"list": [], "rows": [], "nextPageCursor": ""}

    def get_symbol_info(self, who: Who, query: dict, now_ns: int) -> dict:
        listings = [self._listing(query)] if query.get("symbol") else self._listed("linear")
        side_of = {"net": "", "long": "Buy", "short": "Sell"}
        rows = [
            {"symbol": x.symbol, "leverage": self.leverage_text(who.account, x, leg), "side": side_of[leg]}
            | {"positionIdx": {"net": 0, "long": 1, "short": 2}[leg]}
            for x in listings
            for leg in self.legs(who.account)
        ]
        return {"category": "linear", "list": rows}

    # ---- wallet ----

    def get_wallet(self, who: Who, query: dict, now_ns: int) -> dict:
        if query.get("accountType") != "UNIFIED":
            raise Denial(10001, "accountType only support UNIFIED.")
        account, coins = who.account, [x for x in query.get("coin", "").split(",") if x]
        known = {x for listing in self.listings.values() for x in (*listing.coins, listing.settle_coin)}
        if bad := [x for x in coins if x not in known | set(account.balances)]:
            raise Denial(10001, f"Coin [{bad[0]}] invalid")
        wanted = coins or [x for x, balance in account.balances.items() if balance.total or balance.locked]
        return {"list": [self.wallet_row(account, wanted, now_ns)]}

    def get_account_info(self, who: Who, query: dict, now_ns: int) -> dict:
        dcp = settings(who.account).dcp
        return {
            "marginMode": self.margin_mode(who.account),
            "updatedTime": str(settings(who.account).margin_mode_ms),
            "unifiedMarginStatus": 6,
            "dcpStatus": "ON" if dcp else "OFF",
            "timeWindow": next(iter(dcp.values()), 10),
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }

    def get_fee_rates(self, who: Who, query: dict, now_ns: int) -> dict:
        category = self.category({"category": "linear", **query})  # seen: clients that leave it out
        asked = {"category": category, **query}
        listings = [self._listing(asked)] if query.get("symbol") else self._listed(category)
        rows = []
        for listing in listings:
            maker, taker = self.rates(who.account, listing)
            rates = {"takerFeeRate": plain(taker), "makerFeeRate": plain(maker)}
            rows.append({"symbol": listing.symbol, "baseCoin": "", **rates})
        return {"category": category, "list": rows}

    def set_margin_mode(self, who: Who, wish: dict, now_ns: int) -> dict:
        mode = wish.get("setMarginMode")
        if mode not in ("ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN"):
            raise Denial(10001, "params error: setMarginMode invalid")
        if mode == "PORTFOLIO_MARGIN":
            reason = {
                "reasonCode": "3400000",
                "reasonMsg": "Equity needs to be equal to or greater than 1000 USDC",
            }
            raise Denial(3400045, result={"reasons": [reason]})
        if mode == self.margin_mode(who.account):
            raise Denial(110026)
        mine = settings(who.account)
        mine.margin_mode, mine.margin_mode_ms = mode, now_ns // MS
        return {"reasons": []}

    def get_collateral(self, who: Who, query: dict, now_ns: int) -> dict:
        coins = [query["currency"]] if query.get("currency") else sorted(who.account.balances)
        prices = who.account.notes.get("collateral_prices", {})
        row = {
            "availableToBorrow": "0",
            "freeBorrowingAmount": "",
            "freeBorrowAmount": "0",
            "maxBorrowingAmount": "0",
            "hourlyBorrowRate": "0.00000147",
            "borrowUsageRate": "0",
            "collateralSwitch": True,
            "borrowAmount": "0",
            "borrowable": False,
            "otherBorrowAmount": "0",
            "marginCollateral": True,
            "freeBorrowingLimit": "0",
        }
        return {"list": [row | {"currency": x, "collateralRatio": prices.get(x, "0.95")} for x in coins]}

    def get_smp_group(self, who: Who, query: dict, now_ns: int) -> dict:
        return {"smpGroup": 0}

    def get_settings(self, who: Who, query: dict, now_ns: int) -> dict:
        """`lpaSpot` true = spot orders are repriced, `lpaPerp` true = orders on perpetuals are refused."""
        reprice = settings(who.account).reprice
        spot, perp = reprice.get(SPOT, False), not reprice.get(LINEAR, True)
        return {"lpaSpot": spot, "lpaPerp": perp, "smsef": False, "fmsef": False}

    def set_price_action(self, who: Who, wish: dict, now_ns: int) -> dict:
        market = next((m for m, name in rules.CATEGORY.items() if name == wish.get("category")), None)
        if market is None or not isinstance(wish.get("modifyEnable"), bool):
            raise Denial(10001, "params error: category or modifyEnable invalid")
        settings(who.account).reprice[market] = wish["modifyEnable"]
        return {}

    def get_withdrawal(self, who: Who, query: dict, now_ns: int) -> dict:
        coins = [x for x in query.get("coinName", "").split(",") if x]
        free = {x: plain(max(self.available(who.account, x), Decimal(0))) for x in coins}
        return {"availableWithdrawal": next(iter(free.values()), ""), "availableWithdrawalMap": free}

    # ---- disconnect cancel all ----

    def set_dcp(self, who: Who, wish: dict, now_ns: int) -> dict:
        product, window = wish.get("product", "OPTIONS"), number(wish.get("timeWindow", ""))
        if product not in DCP_PRODUCTS or not 3 <= window <= 300:
            raise Denial(10001, "params error: product or timeWindow invalid")
        settings(who.account).dcp[product] = window
        return {}

    def get_dcp(self, who: Who, query: dict, now_ns: int) -> dict:
        dcp = settings(who.account).dcp
        rows = [{"product": x, "dcpStatus": "ON", "timeWindow": str(window)} for x, window in dcp.items()]
        return {"dcpInfos": rows}

    # ---- transaction log ----

    def get_transactions(self, who: Who, query: dict, now_ns: int) -> dict:
        limit, (start, end) = self._limit(query, 50, 20), self._times(query)
        if start is None and end is None:
            start, end = now_ns // MS - DAY_MS, now_ns // MS
        start = end - DAY_MS if start is None and end is not None else start
        end = (start or 0) + DAY_MS if end is None else end
        rows = [x for x in self._log_rows(who.account) if (start or 0) <= int(x["transactionTime"]) <= end]
        wanted = {"category": "category", "currency": "currency", "type": "type"}
        for name, field in wanted.items():
            if query.get(name):
                rows = [x for x in rows if x[field] == query[name]]
        page, cursor = self._page(rows, query, limit, lambda row: row["id"])  # type: ignore[index]
        return {"nextPageCursor": cursor, "list": page}

    def _log_rows(self, account: Account) -> list[dict]:
        """Newest first, with the balance after each."""
        found: list[tuple[int, dict, Decimal]] = []
        for trade in account.trades:
            found += [(trade.number, row, change) for row, change in self._trade_rows(account, trade)]
        for income in account.incomes:
            if income.kind == "drift":
                continue  # a fault that nobody says anything of
            row = self._log_row(account, income.coin, income.amount, income.now_ns, income.number)
            row |= {"type": INCOME_TYPE.get(income.kind, "TRANSFER_IN")}
            if income.listing is not None:
                row |= {"symbol": income.listing.symbol, "category": rules.CATEGORY[income.listing.market]}
            if income.kind == "funding":
                row |= {"funding": plain(income.amount), "cashFlow": "0"}
            found.append((income.number, row, income.amount))
        found.sort(key=lambda x: x[0], reverse=True)
        left = {coin: balance.total for coin, balance in account.balances.items()}
        for _, row, change in found:
            coin = row["currency"]
            row["cashBalance"] = plain(left.get(coin, Decimal(0)))
            left[coin] = left.get(coin, Decimal(0)) - change
        return [row for _, row, _ in found]

    def _trade_rows(self, account: Account, trade: VenueTrade) -> list[tuple[dict, Decimal]]:
        listing, mine = trade.listing, ticket(trade.order)
        size = listing.amount(trade.size_lots)
        if listing.market == LINEAR:
            flows = {listing.settle_coin: trade.realised}
        else:
            sign, (base, quote) = 1 if trade.side == BUY else -1, listing.coins
            flows = {base: sign * size, quote: -sign * size * price_of(listing, trade.price_ticks)}
        flows.setdefault(trade.fee_coin, Decimal(0))
        rows = []
        for i, (coin, flow) in enumerate(flows.items()):
            fee = trade.fee if coin == trade.fee_coin else Decimal(0)
            row = self._log_row(account, coin, flow - fee, trade.now_ns, trade.number)
            row |= {
                "id": f"{account.uid}_{listing.symbol}_{trade.number}_{i}",
                "symbol": listing.symbol,
                "category": rules.CATEGORY[listing.market],
                "side": SIDE_TEXT[trade.side],
                "type": "DELIVERY" if trade.nature == "settlement" else trade.nature.upper(),
                "orderId": mine.id,
                "orderLinkId": trade.order.client_id,
                "fee": plain(fee),
                "cashFlow": plain(flow),
                "qty": plain(size),
                "size": plain(size),
                "tradePrice": price_text(listing, trade.price_ticks),
                "feeRate": plain(self.rates(account, listing)[0 if trade.is_maker else 1]),
                "tradeId": self._trade_id(
                    listing,
                    f"fill {trade.id} {trade.order.number}",
                    2100000000000000000 + 2 * trade.id + trade.is_maker,
                ),
            }
            rows.append((row, flow - fee))
        return rows

    @staticmethod
    def _log_row(account: Account, coin: str, change: Decimal, now_ns: int, number_of: int) -> dict[str, str]:
        empty = "symbol side funding orderLinkId orderId feeRate bonusChange size qty category"
        empty += " tradePrice tradeId extraFees"
        row = dict.fromkeys(f"transSubType {empty}".split(), "")
        row |= {
            "id": f"{account.uid}_{coin}_{number_of}",
            "currency": coin,
            "change": plain(change),
            "fee": "0",
        }
        return row | {"cashFlow": plain(change), "transactionTime": str(now_ns // MS)}

    # ---- assets ----

    def get_coins(self, who: Who, query: dict, now_ns: int) -> dict:
        known = sorted(
            {x for listing in self.listings.values() for x in (*listing.coins, listing.settle_coin)}
        )
        coins = [x for x in known if query.get("coin") in (None, "", x)]
        chain = {
            "confirmation": "6",
            "withdrawFee": "1",
            "depositMin": "0",
            "withdrawMin": "1",
            "chainDeposit": "1",
            "chainWithdraw": "1",
            "minAccuracy": "8",
            "withdrawPercentageFee": "0",
            "contractAddress": "",
            "safeConfirmNumber": "65",
            "withdrawMax": "10000000",
        }
        names = {"BTC": ("BTC", "BTC")}
        rows = []
        for coin in coins:
            kind, name = names.get(coin, ("Ethereum", "ETH"))
            chains = [{"chainType": kind, "chain": name, **chain}]
            rows.append({"name": coin, "coin": coin, "remainAmount": "10000000", "chains": chains})
        return {"rows": rows}

    def get_coins_balance(self, who: Who, query: dict, now_ns: int) -> dict:
        kind, coins = query.get("accountType"), [x for x in query.get("coin", "").split(",") if x]
        if kind not in ("UNIFIED", "FUND"):
            raise Denial(131002, "Parameter error accountType")
        if kind == "UNIFIED" and not coins:
            raise Denial(131002, "Parameter error coin")
        rows = [self._coin_balance(who.account, kind, x) for x in coins or ["USDT", "USDC"]]
        rows = [{k: x[k] for k in ("coin", "transferBalance", "walletBalance", "bonus")} for x in rows]
        return {"memberId": who.account.uid, "accountType": kind, "balance": rows}

    def get_coin_balance(self, who: Who, query: dict, now_ns: int) -> dict:
        kind = query.get("accountType")
        if kind not in ("UNIFIED", "FUND") or not query.get("coin"):
            raise Denial(131002, "Parameter error accountType or coin")
        row = self._coin_balance(who.account, kind, query["coin"])
        ids = {"accountId": who.account.uid, "memberId": who.account.uid}
        return {"accountType": kind, "bizType": 1, **ids, "balance": row}

    def _coin_balance(self, account: Account, kind: str, coin: str) -> dict[str, str]:
        """All money is in the unified account; the funding account is empty."""
        total = account.balance(coin).total if kind == "UNIFIED" else Decimal(0)
        free = self.available(account, coin) if kind == "UNIFIED" else Decimal(0)
        row = {"coin": coin, "walletBalance": plain(total), "transferBalance": plain(max(free, Decimal(0)))}
        return row | {"bonus": "0", "transferSafeAmount": "", "ltvTransferSafeAmount": ""}

    def get_transfer_coins(self, who: Who, query: dict, now_ns: int) -> dict:
        return {"list": sorted(who.account.balances)}

    def get_borrow_check(self, who: Who, query: dict, now_ns: int) -> dict:
        """What a spot order can use; nothing can be borrowed here."""
        listing, side = self._listing(query), query.get("side")
        if listing.market != SPOT or side not in ("Buy", "Sell"):
            raise Denial(10001, "params error: category or side invalid")
        base, quote = listing.coins
        quantity, value = (who.account.balance(x, listing.wallet).free for x in (base, quote))
        if side == "Buy":
            price = self.dollars(base) or Decimal(1)
            quantity = value / price
        quantity_text, value_text = plain(round(quantity, 4)), plain(round(value, 8))
        return {
            "symbol": listing.symbol,
            "side": side,
            "maxTradeQty": quantity_text,
            "maxTradeAmount": value_text,
            "spotMaxTradeQty": quantity_text,
            "spotMaxTradeAmount": value_text,
            "borrowCoin": quote if side == "Buy" else base,
        }

    def pre_check(self, who: Who, wish: dict, now_ns: int) -> dict:
        """The account's margin rates before and after an order that is not placed."""
        order = self.accept(who, wish, None, now_ns)
        if order.client_id:
            self._client_ids.discard((order.owner, order.listing.market, order.client_id))
        if order.listing.market != LINEAR or order.is_stop:
            raise refused("mode", LINEAR, "pre-check is for linear orders without a trigger")
        row = self.wallet_row(who.account, (), now_ns)
        rates = [Decimal(row["accountIMRate"]), Decimal(row["accountMMRate"])]
        equity = Decimal(row["totalEquity"]) or Decimal(1)
        value = order.listing.notional(order.price_ticks, order.size_lots)
        more = value / Decimal(self.leverage_text(who.account, order.listing, order.leg)) / equity
        more_kept = value * order.listing.maintenance_rate_of(value) / equity
        texts = {
            "preImrE4": rates[0],
            "preMmrE4": rates[1],
            "postImrE4": rates[0] + more,
            "postMmrE4": rates[1] + more_kept,
        }
        return {"orderId": "", "orderLinkId": order.client_id} | {
            k: int(x * 10_000) for k, x in texts.items()
        }

    # ---- keys and users ----

    def get_key_info(self, who: Who, query: dict, now_ns: int) -> dict:
        key = who.key
        assert key is not None, "a REST request has a key"
        trades = "trade" in key.rights
        permissions: dict[str, Any] = {x: [] for x in NO_PERMISSIONS}
        permissions |= {
            x: list(names) if trades or x == "Exchange" else [] for x, names in KEY_PERMISSIONS.items()
        }
        if "withdraw" in key.rights:
            permissions["Wallet"] = [*KEY_PERMISSIONS["Wallet"], "Withdraw"]
        days, expired_at = -2, "1970-01-01T00:00:00Z"
        if key.expires_ns:
            days = max(0, (key.expires_ns - now_ns) // (86_400 * rules.SECOND))
            expired_at = datetime.fromtimestamp(key.expires_ns // rules.SECOND, UTC).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            )
        elif not key.ips:
            days, expired_at = (
                90,
                datetime.fromtimestamp(now_ns // rules.SECOND + 90 * 86_400, UTC).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                ),
            )
        return {
            "id": "2208369",
            "note": "simulated",
            "apiKey": key.api_key,
            "readOnly": 0 if trades else 1,
            "secret": "",
            "permissions": permissions,
            "ips": list(key.ips) or ["*"],
            "type": 1,
            "deadlineDay": days,
            "expiredAt": expired_at,
            "createdAt": "2025-10-13T03:20:45Z",
            "unified": 0,
            "uta": 1,
            "userID": number(who.account.uid),
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_1",
            "kycRegion": "",
        }

    def get_member_type(self, who: Who, query: dict, now_ns: int) -> dict:
        return {"accounts": [{"uid": who.account.uid, "accountType": ["FUND", "UNIFIED"]}]}

    def get_account_instruments(self, who: Who, query: dict, now_ns: int) -> dict:
        """As the public list, in pages of 200 at most."""
        self._limit(query, 200, 200)
        return self._get_instruments({"limit": "200", **query}, now_ns)
