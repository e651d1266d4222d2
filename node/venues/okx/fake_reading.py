"""What an order request asks for: its members checked one by one, into a FakeOrder with its terms.

Source: docs-v5 "POST / Place order", "WS / Place order". The order of the checks is the venue's as far as it
is known: identity, mode, price, size, reduce-only. Money is checked when the order is placed.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from node.venues.fakes import BUY, SELL, Connection, FakeOrder, Listing
from node.venues.ledger import Account
from node.venues.okx.fake_account import STP_MODES, AccountSide
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_rows import (
    DECIMAL,
    ID,
    TAG,
    base_of,
    flag_in,
    max_size,
    min_size,
    order_number,
    plain,
    quote_of,
    text_in,
)

TIFS = {
    "limit": "gtc",
    "post_only": "post_only",
    "ioc": "ioc",
    "fok": "fok",
    "market": "ioc",
    "optimal_limit_ioc": "ioc",
}
STPS = dict(zip(STP_MODES, ("expire_maker", "expire_taker", "expire_both"), strict=True))
PRICE_CHARS_MAX = 32


@dataclass
class Terms:
    """What an order asked for, and what its rows say beside the order itself."""

    kind: str  # ordType
    size: str  # sz as asked for: may be in quote currency
    mode: str  # tdMode
    tag: str = ""
    unit: str = ""  # tgtCcy
    stp_mode: str = "cancel_maker"
    quote: str = ""  # tradeQuoteCcy
    category: str = "normal"
    attached: list[dict] = field(default_factory=list)  # attachAlgoOrds
    algo_id: str = ""
    algo_client_id: str = ""
    source: str = ""
    cancel_source: str = ""
    fee: Decimal = Decimal(0)
    pnl: Decimal = Decimal(0)
    fill: dict = field(default_factory=dict)  # the last one
    fee_coin: str = ""
    amends: list[tuple[str, bool]] = field(default_factory=list)  # in flight: reqId, cxlOnFail
    last_amend: dict = field(default_factory=dict)  # what the push that closes the order says of an amend


def terms_of(order: FakeOrder) -> Terms:
    terms = order.notes["terms"]
    assert isinstance(terms, Terms)
    return terms


class ReadingSide(AccountSide):
    """Reads orders."""

    by_code: dict[int, Listing]
    orders_by_name: bool

    def margin_mode_of(self, order: FakeOrder) -> str:
        return "isolated" if terms_of(order).mode == "isolated" else "cross"

    def listing_in(self, arg: dict, by_code: bool) -> Listing:
        """By WebSocket an instrument is named by its code, by REST by its id."""
        if not by_code:
            return self.listing_named(arg.get("instId"))
        code = arg.get("instIdCode")
        if code is None or code == "":
            if self.orders_by_name and arg.get("instId"):
                return self.listing_named(arg["instId"])
            raise Problem("50014", "instIdCode")
        if isinstance(code, bool) or not isinstance(code, int):
            raise Problem("51000", "instIdCode")
        if code not in self.by_code:
            raise Problem("51001")
        return self.by_code[code]

    def read_order(
        self, account: Account, connection: Connection | None, arg: dict, by_code: bool, now_ns: int
    ) -> tuple[str, FakeOrder]:
        """(engine order type, order). Raises Problem with the code that the venue gives."""
        listing = self.listing_in(arg, by_code)
        self.settle(listing, now_ns)
        client_id = self.read_client_id(account, arg)
        terms = self._read_terms(account, listing, arg)
        side = {"buy": BUY, "sell": SELL}.get(text_in(arg, "side"))
        if side is None:
            raise Problem("51000", "side")
        leg = self.read_leg(account, listing, arg)
        is_market = terms.kind in ("market", "optimal_limit_ioc")
        price_ticks = 0 if is_market else self.read_price(listing, side, arg)
        reduces = flag_in(arg, "reduceOnly")
        size_lots = self._read_size(account, listing, side, arg, terms)
        order = FakeOrder(
            listing,
            0,
            client_id,
            side,
            price_ticks,
            size_lots,
            TIFS[terms.kind],
            connection,
            owner=account.owner,
        )
        order.leg, order.reduce_only, order.stp = leg, reduces, STPS[terms.stp_mode]
        order.order_type = "market" if is_market else "limit"
        order.notes["terms"] = terms
        self.check_reduce_only(account, order)
        return order.order_type, order

    def _read_terms(self, account: Account, listing: Listing, arg: dict) -> Terms:
        mode, kind, tag = text_in(arg, "tdMode"), text_in(arg, "ordType"), text_in(arg, "tag")
        if mode not in (("cross", "isolated") if listing.is_perpetual else ("cash", "cross")):
            raise Problem("51000", "tdMode")
        if kind not in TIFS or (kind == "optimal_limit_ioc" and not listing.is_perpetual):
            raise Problem("51000", "ordType")
        if tag and not TAG.fullmatch(tag):
            raise Problem("51000", "tag")
        stp_mode = text_in(arg, "stpMode") or self.extra(account).stp_mode
        if stp_mode not in STPS:
            raise Problem("51000", "stpMode")
        if kind == "fok" and stp_mode == "cancel_both":
            raise Problem("54036")
        quote = text_in(arg, "tradeQuoteCcy")
        if quote and (listing.is_perpetual or quote != quote_of(listing)):
            raise Problem("51000", "tradeQuoteCcy")
        attached = arg.get("attachAlgoOrds") or []
        if not isinstance(attached, list) or not all(isinstance(x, dict) for x in attached):
            raise Problem("51000", "attachAlgoOrds")
        size = text_in(arg, "sz")
        return Terms(kind, size, mode, tag, stp_mode=stp_mode, quote=quote, attached=attached)

    def read_client_id(self, account: Account, arg: dict, name: str = "clOrdId") -> str:
        """Letters and digits, unique among the pending orders of the account only."""
        client_id = text_in(arg, name)
        if client_id and not ID.fullmatch(client_id):
            raise Problem("51000", name)
        if client_id and any(x.client_id == client_id for x in self.open_orders(account)):
            raise Problem("51016")
        return client_id

    def read_leg(self, account: Account, listing: Listing, arg: dict) -> str:
        """`posSide`: mandatory for swaps in long/short mode, "net" or nothing else."""
        leg = text_in(arg, "posSide")
        if account.hedge and listing.is_perpetual:
            if leg not in ("long", "short"):
                raise Problem("51000", "posSide")
            return leg
        if leg not in ("net", ""):
            raise Problem("51000", "posSide")
        return "net"

    def read_price(self, listing: Listing, side: int, arg: dict, name: str = "px") -> int:
        text = text_in(arg, name)
        if not DECIMAL.fullmatch(text) or len(text) > PRICE_CHARS_MAX:
            raise Problem("51000", name)
        try:
            ticks = listing.price_grid.parse(text)
        except ValueError:
            raise Problem("51150") from None
        if ticks == 0:
            raise Problem("51116", 0, text="Order price can't be 0")
        band = self.band(listing)
        if band and (ticks > band[1] if side == BUY else ticks < band[0]):
            if arg.get("pxAmendType") == "1":
                return band[1] if side == BUY else band[0]
            low, high = (listing.price_grid.format(x) for x in band)
            if listing.is_perpetual:
                raise Problem("51006", high, low)
            raise Problem("51137", high) if side == BUY else Problem("51138", low)
        return ticks

    def _read_size(self, account: Account, listing: Listing, side: int, arg: dict, terms: Terms) -> int:
        """Lots. Spot market orders may be sized in quote currency, and a buy is where `tgtCcy` does not say
        otherwise."""
        unit = text_in(arg, "tgtCcy")
        if not DECIMAL.fullmatch(terms.size):
            raise Problem("51000", "sz")
        if unit not in ("", "base_ccy", "quote_ccy"):
            raise Problem("51000", "tgtCcy")
        is_spot_market = terms.kind == "market" and not listing.is_perpetual
        if is_spot_market:
            terms.unit = unit or ("quote_ccy" if side == BUY else "base_ccy")
        if terms.unit == "quote_ccy":
            lots = self._lots_for(listing, side, Decimal(terms.size))
        else:
            lots = read_lots(listing, terms.size)
        if is_spot_market and not flag_in(arg, "banAmend"):
            lots = min(lots, self._affordable(account, listing, side) or lots)
        if lots < listing.size_grid.parse(min_size(listing)):
            raise Problem("51020")
        if lots > listing.size_grid.parse(max_size(listing)):
            raise Problem("51101", max_size(listing)) if listing.is_perpetual else Problem("51005")
        return lots

    def _lots_for(self, listing: Listing, side: int, money: Decimal) -> int:
        """Lots that an amount of quote currency buys or sells for, walking the book."""
        lots = 0
        for price_ticks, size_lots in listing.engine.levels(SELL if side == BUY else BUY):
            worth = listing.notional(price_ticks, 1)
            take = min(size_lots, int(money / worth))
            lots, money = lots + take, money - take * worth
            if take < size_lots:
                break
        return lots

    def _affordable(self, account: Account, listing: Listing, side: int) -> int:
        """The system cuts a spot market order to the balance, unless `banAmend` says not to."""
        free = account.balance(quote_of(listing) if side == BUY else base_of(listing)).free
        return self._lots_for(listing, side, free) if side == BUY else int(free / listing.amount(1))

    # ---- reduce-only ----

    def check_reduce_only(self, account: Account, order: FakeOrder) -> None:
        """An order beyond the position is refused whole. In long/short mode every order that closes is
        one."""
        listing = order.listing
        if order.reduce_only and not listing.is_perpetual:
            raise Problem("51205")
        closes = order.leg != "net" and (order.leg == "long") == (order.side == SELL)
        if order.leg != "net":
            if order.reduce_only and not closes:
                raise Problem("51170")
            order.reduce_only = closes
        if not order.reduce_only:
            return
        lots = account.position(listing, order.leg).lots
        if lots == 0:
            raise Problem("51169")
        if (lots > 0) == (order.side == BUY):
            raise Problem("51170")
        if order.size_lots > abs(lots):
            raise Problem("51112")

    # ---- which order ----

    def order_meant(self, account: Account, listing: Listing, arg: dict) -> FakeOrder | None:
        """By `ordId`, else the latest with that `clOrdId`. Raises Problem 51000 where neither is given."""
        number, client_id = text_in(arg, "ordId"), text_in(arg, "clOrdId")
        if not number and not client_id:
            raise Problem("51000", text="Either parameter ordId or clOrdId is required")
        if number:
            known = order_number(number)
            order = self.find_order(listing, "", known, account) if known and known > 0 else None
        else:
            order = self.find_order(listing, client_id, 0, account)
        return order


def read_lots(listing: Listing, text: str) -> int:
    try:
        return listing.size_grid.parse(text)
    except ValueError:
        raise Problem("51121") from None


def fill_row(listing: Listing, price_ticks: int, size_lots: int) -> dict:
    """Price and size of a fill, as members of an order."""
    return {
        "fillPx": listing.price_grid.format(price_ticks),
        "fillSz": plain(Decimal(listing.size_grid.format(size_lots))),
    }
