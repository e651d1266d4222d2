"""The nouns: plain C structs that rooms hand to each other.

Units, everywhere: prices are ticks, sizes are lots (of the venue's own size unit: base coin, or contracts on OKX
derivatives), money is quote currency * 10**8, times are nanoseconds since 1970 unless the name says otherwise.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

cpdef enum Market:
    """A venue's product line with its own symbols and endpoints. OKX names its products in the symbol."""
    BINANCE_SPOT = 0
    BINANCE_USDM = 1
    BYBIT_SPOT = 2
    BYBIT_LINEAR = 3
    OKX = 4
    MARKETS = 5

cpdef enum Side:
    BUY = 0
    SELL = 1

cpdef enum DepthKind:
    """What a depth message does to a book."""
    UPDATE = 0      # changed levels; must continue the sequence
    SNAPSHOT = 1    # replaces the book; starts a new sequence
    SEED = 2        # a snapshot from a request; buffered updates are spliced onto it

cpdef enum Rule:
    """How a feed says that nothing was missed. The wires name their sources."""
    RULE_RANGE = 0  # Binance spot: first_id == previous last_id + 1
    RULE_PREV = 1   # Binance USD-M, OKX: prev_id == previous last_id
    RULE_STEP = 2   # Bybit: last_id == previous last_id + 1
    RULE_NONE = 3   # no ids (OKX before 2023): the checksum is the only witness

cpdef enum OrderType:
    LIMIT = 0
    MARKET = 1

cpdef enum TimeInForce:
    GTC = 0
    IOC = 1
    FOK = 2
    POST_ONLY = 3

cpdef enum Action:
    NEW = 0
    CANCEL = 1

cpdef enum OrderState:
    """Order life, in the only direction it can go (rank never falls)."""
    FREE = 0
    INTENT = 1      # decided, approved, on the tape; exposure is reserved from here
    SENT = 2        # bytes handed to the socket
    LIVE = 3
    PARTIAL = 4
    UNKNOWN = 5     # fate not known: exposure stays reserved
    FILLED = 6
    CANCELED = 7
    REJECTED = 8

cpdef enum Outcome:
    """The four answers to "what became of the request?" (a fill is a later, separate fact)."""
    NOT_SENT = 0
    REFUSED = 1
    ACCEPTED = 2
    UNCERTAIN = 3

cpdef enum ReportKind:
    """What a venue message says of an order of ours."""
    REPORT_ACK = 0       # request taken; the order may rest, fill or die
    REPORT_REJECT = 1    # definitely not executed
    REPORT_LIVE = 2
    REPORT_FILL = 3      # one trade: `size_lots` at `price_ticks`, identified by trade id
    REPORT_CANCELED = 4  # terminal, `filled_lots` tells how much was executed before
    REPORT_UNCERTAIN = 5 # the venue itself does not know
    REPORT_CANCEL_REJECT = 6  # "not open": proves nothing else
    REPORT_FILLED = 7    # terminal, fully executed; carries no trade of its own

cpdef enum Reason:
    """Why risk refused an intent; also the index of its counter."""
    OK = 0
    LATCHED = 1
    INSTRUMENT = 2       # not tradable or not allowed
    BOOK_UNSYNCED = 3
    BOOK_STALE = 4
    BOOK_CROSSED = 5
    BOOK_ONE_SIDED = 6   # no reference price
    SIZE_MIN = 7
    SIZE_MAX = 8
    PRICE_RANGE = 9      # outside the venue's own price filter
    PRICE_COLLAR = 10
    NOTIONAL_MIN = 11
    NOTIONAL_MAX = 12
    POSITION = 13
    OPEN_ORDERS = 14
    ORDER_RATE = 15
    DUPLICATE = 16
    TABLE_FULL = 17
    UNKNOWN_ORDER = 18
    POST_ONLY_CROSS = 19
    LINK_DOWN = 20
    PRICE_STEP = 23      # not a multiple of the venue's order tick (the data may show finer prices)
    SIZE_STEP = 24
    NUMBER = 21          # the sum of money does not fit: a size or price beyond any sense
    REASONS = 25

cdef extern from "text.h":
    ctypedef struct Level "tg_level":
        int64_t price_ticks
        int64_t size_lots    # absolute; 0 removes the level

ctypedef struct DepthHead:
    int32_t instrument
    int32_t kind             # DepthKind
    int32_t rule             # Rule
    int32_t depth            # levels per side this channel shows; 0 = all
    int32_t bids             # levels that follow, each side
    int32_t asks
    int32_t partial          # 1 = the message is always the whole top-N (never a delta)
    int32_t checksum         # 0 = none; else the venue's CRC-32 of the top 25, as signed 32 bit
    int64_t first_id         # -1 where the venue gives none
    int64_t last_id
    int64_t prev_id
    int64_t event_ns         # venue's clock; may be later than the receive time

ctypedef struct Trade:
    int32_t instrument
    int32_t side             # of the taker
    int64_t price_ticks
    int64_t size_lots
    int64_t id_hi            # 128-bit identity: UUIDs fill both, numbers only id_lo
    int64_t id_lo
    int64_t event_ns
    int32_t aggregate        # 1 = several fills of one taker order

ctypedef struct Quote:
    # Best bid and ask (Binance bookTicker, OKX bbo-tbt and books5, Bybit orderbook.1). Size 0 = empty side.
    int32_t instrument
    int64_t update_id
    int64_t bid_ticks
    int64_t bid_lots
    int64_t ask_ticks
    int64_t ask_lots
    int64_t event_ns

cpdef enum MarkField:
    MARK_PRICE = 1
    INDEX_PRICE = 2
    FUNDING_RATE = 4
    NEXT_FUNDING = 8
    LAST_PRICE = 16

ctypedef struct Mark:
    # Mark, index, funding. Delta semantics: only fields whose MarkField bit is set in `present` are new.
    int32_t instrument
    int32_t present
    int64_t mark_e8
    int64_t index_e8
    int64_t last_e8
    int64_t funding_e8
    int64_t next_funding_ns
    int64_t event_ns

ctypedef struct Instrument:
    # Everything about one tradable thing that a price, a size or a limit needs. Exact: no floats.
    # price = price_ticks * tick_mantissa / 10**price_decimals; size likewise with lots;
    # one size unit is contract_mantissa / 10**contract_decimals base coins.
    int32_t id
    int32_t market
    int32_t tradable         # 0 for inverse, option, halted: market data only
    int32_t inst_code        # OKX instIdCode, -1 where there is none
    int32_t is_perpetual
    int32_t price_decimals
    int32_t size_decimals
    int32_t contract_decimals
    int64_t tick_mantissa
    int64_t lot_mantissa
    int64_t contract_mantissa
    int64_t tick_step        # orders must be at multiples of this many ticks, and of this many lots: books show
    int64_t lot_step         # orders from before a venue made its tick or lot coarser, so the data can be finer
    int64_t min_price_ticks  # 0 = no limit
    int64_t max_price_ticks
    int64_t min_size_lots
    int64_t max_size_lots
    int64_t min_notional_e8
    int64_t money_mul        # money_e8 = ticks * lots * money_mul / money_div, exact in 128 bits
    int64_t money_div
    int32_t symbol_size
    char symbol[44]

ctypedef struct Intent:
    # What a strategy wants. Nothing here has been checked.
    int32_t instrument
    int32_t strategy
    int32_t action           # Action
    int32_t side
    int32_t type             # OrderType
    int32_t tif              # TimeInForce
    int32_t reduce_only
    int32_t slot             # CANCEL: the order's slot in the table
    int64_t price_ticks
    int64_t size_lots
    uint64_t order_id        # CANCEL: the order's id, so that a reused slot is never hit

ctypedef struct Report:
    # What the venue says of one of our orders, on any channel.
    int32_t kind             # ReportKind
    int32_t instrument       # -1 where the message does not say
    int32_t side
    int32_t maker            # 1 = this fill made liquidity
    uint64_t order_id        # ours, from the client order id; 0 = not one of ours
    int64_t price_ticks      # of this fill
    int64_t size_lots        # of this fill
    int64_t filled_lots      # cumulative, -1 where the message does not say
    int64_t trade_hi         # trade identity
    int64_t trade_lo
    int64_t fee_e8           # paid is positive, in `fee_is_quote` currency
    int32_t fee_is_quote     # 1 quote coin, 0 another coin, -1 this message does not tell the fee
    int32_t code             # venue error code, 0 = none
    int64_t event_ns
    int32_t venue_id_size
    char venue_id[40]


ctypedef struct VerdictRow:
    # VERDICT on the tape: what risk said of one intent.
    Intent intent
    int32_t reason
    int32_t pad
    int64_t value
    int64_t limit
    uint64_t order_id

ctypedef struct FillRow:
    # FILL on the tape: a report that moved the position, and the position behind it.
    Report report
    int64_t position_lots
    int64_t cash

ctypedef struct StateRow:
    # One instrument in a MARK on the tape.
    int32_t instrument
    int32_t state
    int64_t frames
    int64_t bid_ticks
    int64_t bid_lots
    int64_t ask_ticks
    int64_t ask_lots
    int64_t gaps
    int64_t resyncs
    int64_t trades
    int64_t position_lots
    int64_t cash
    int64_t fee_e8
    int64_t open_orders
    int64_t fills

ctypedef struct SentRow:
    # SENT on the tape, written by the link behind the write: when the frame came and when the order had left.
    uint64_t order_id
    int64_t frame_ns         # 0 where no frame caused it: a timer, a shutdown
    int64_t sent_ns
    int64_t written          # 1 = handed to the socket


cdef class Approved:
    """An order that passed risk. Only `ext.risk` can mint or fill one; only this can be encoded and written."""
    cdef Intent intent
    cdef uint64_t order_id
    cdef int64_t now_ns
    cdef bint live           # cleared when written: one approval, one frame


cdef Approved mint()
