"""The nouns: plain C structs that rooms hand to each other.

Units, everywhere: prices are ticks, sizes are lots (of the venue's own size unit: base coin, or contracts on OKX
derivatives), money is quote currency * 10**8, times are nanoseconds since 1970 unless the name says otherwise.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

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
    STOP_MARKET = 2     # rests at the venue until `trigger_ticks` is reached, then a market order; protects, so reduce-only

cpdef enum TimeInForce:
    GTC = 0
    IOC = 1
    FOK = 2
    POST_ONLY = 3

cpdef enum Action:
    NEW = 0
    CANCEL = 1
    AMEND = 2           # change price and whole size of an order, in place
    REPLACE = 3         # one request: cancel an order, then a NEW with an id of its own (Binance spot)

cpdef enum OrderState:
    """Order life, in the only direction it can go (rank never falls)."""
    FREE = 0
    INTENT = 1      # decided, approved, on the tape; exposure is reserved from here
    SENT = 2        # bytes handed to the socket
    ACKED = 3       # the venue took the request; whether it rests, a report or a query must say
    LIVE = 4
    PARTIAL = 5
    UNKNOWN = 6     # fate not known: exposure stays reserved
    FILLED = 7
    CANCELED = 8
    REJECTED = 9
    EXPIRED = 10    # closed by the venue: time in force, self-trade prevention, price rules
    NEVER_EXISTED = 11  # the proof of absence was complete; evidence to the contrary opens it again
    STATES = 12

cpdef enum Outcome:
    """The four answers to "what became of the request?" (a fill is a later, separate fact)."""
    NOT_SENT = 0
    REFUSED = 1
    ACCEPTED = 2
    UNCERTAIN = 3

cpdef enum ErrorGroup:
    """What an error says beyond the fate of its request. `node/venues/<v>/rules.py` has a group for each documented code."""
    GROUP_NONE = 0
    GROUP_LIMIT = 1      # too many requests: wait; the report may say until when
    GROUP_ACCESS = 2     # key, signature, permission, address: stop on this venue until somebody mends it
    GROUP_CLOCK = 3      # time stamp outside the window: measure the clock again
    GROUP_FILTER = 4     # tick, lot, minimum, price band: our instrument rules are old or wrong
    GROUP_FUNDS = 5      # balance or margin
    GROUP_MARKET = 6     # halted, cancel-only, delisted
    GROUP_NOT_OPEN = 7   # the order named is not open (any more, or yet)
    GROUP_DUPLICATE = 8  # an order with this id exists
    GROUP_UNKNOWN = 9    # the venue does not know itself
    GROUP_POST_ONLY = 10 # would have taken
    GROUP_OTHER = 11
    GROUP_POST_PHASE = 12  # only post-only orders are taken now
    GROUP_AUCTION = 13   # an auction: no such order, amend or cancel is taken now

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
    REPORT_EXPIRED = 8   # terminal without our asking: time in force, self-trade prevention, price rules
    REPORT_AMENDED = 9   # price and whole size now in force are in `order_ticks`, `order_lots` (-1: not said)
    REPORT_AMEND_REJECT = 10  # the amend was refused or failed; the order stands as it was, if it stands
    REPORT_ODD = 11      # a state that this decoder does not know: never guessed

cpdef enum Nature:
    """What made a fill. Only TRADE is our doing."""
    TRADE_FILL = 0
    LIQUIDATION = 1
    ADL = 2
    SETTLEMENT = 3       # delivery, delisting

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
    TRIGGER = 21         # a stop without a trigger, on the wrong side of the market, or not reduce-only
    UNSUPPORTED = 22     # this venue has no such request
    PRICE_STEP = 23      # not a multiple of the venue's order tick (the data may show finer prices)
    SIZE_STEP = 24
    NUMBER = 25          # the sum of money does not fit: a size or price beyond any sense
    HALTED = 26          # this symbol is stopped; `value` is the HaltReason
    REDUCE_ONLY = 27     # this symbol may only be reduced; `value` is the HaltReason
    RECONCILE_STALE = 28 # no complete reconciliation for too long
    CLOCK = 29           # the venue's clock is not known well enough
    VENUE_RATE = 30      # the venue's own request budget
    UNKNOWN_NOTIONAL = 31  # too much of this symbol is in orders of unknown fate
    AMENDING = 32        # one amend at a time for each order
    PRIVATE_DOWN = 33    # the private stream is not proven
    UNACKED = 34         # too many requests without an answer
    OPEN_VENUE = 35      # the venue's own cap of open orders
    STRATEGY_OFF = 36    # this strategy is latched off; `value` is the StrategyOff
    LEASE = 37           # no valid lease: another node may be the leader
    NOT_ALLOWED = 38     # not on this strategy's list, or the compliance profile forbids it
    UNWATCHED = 39       # the stops were not evaluated for too long: nobody would notice a loss
    NO_REFERENCE = 40    # no own reference price, or its sources disagree too much
    PRICE_WALK = 41      # collar over time: too far from where the reference was a while ago
    SLIPPAGE = 42        # what it would cost against the mid, walking the book
    SELF_TRADE = 43      # would meet a resting order of our own
    OPEN_NOTIONAL = 44   # of all open orders of the symbol
    OPEN_TOTAL = 45      # open orders over everything
    COIN = 46            # worst-case notional of one coin over all venues
    VENUE = 47           # ... of one venue
    TOTAL = 48           # ... of everything
    EQUITY_UNKNOWN = 49  # nobody told the capital yet
    LEVERAGE = 50
    MARGIN = 51          # margin buffer
    LIQUIDATION_NEAR = 52
    AMEND_RATE = 53
    CANCEL_RATE = 54     # cancels themselves pass; new risk waits
    CANCEL_RATIO = 55    # cancels to fills
    TRADE_RATIO = 56     # orders to trades, over the day (compliance)
    SPREAD = 57
    VOLATILITY = 58      # range of the mid within a while
    JUMP = 59            # the mid jumped a short while ago
    DAILY_LOSS = 60
    POSITION_LOSS = 61
    DRAWDOWN = 62
    WINDOW = 63          # time rules: no new positions now
    DAY_TRADES = 64
    FUNDING_WINDOW = 65
    LEG = 66             # hedge mode: which leg; one-way mode: none
    EXIT_PENDING = 67    # another exit of this position is not finished: never two at once
    COOLDOWN = 68        # a stop fired here a short while ago
    NOT_OWNER = 69       # an order of somebody else; a REPLACE of another instrument, side or leg than its order's
    PHASE = 70           # the venue's phase takes no such order: an auction (2), or only post-only ones (1)
    REASONS = 80

cpdef enum Sense:
    """How value and limit of a check compare where it passes."""
    AT_MOST = 0
    AT_LEAST = 1
    BELOW = 2
    ABOVE = 3
    MULTIPLE = 4         # value is a whole number of limits
    HOLDS = 5            # a matter of yes or no: the two say what was looked at

cpdef enum Latch:
    """Why nothing new is sent at all; bits of `RiskGate.latched`."""
    LATCH_OPERATOR = 1   # `tickgate halt`, `tickgate flatten`
    LATCH_TAPE = 2       # the tape cannot take another record
    LATCH_ENCODE = 3     # an approved order could not be encoded: our own fault
    LATCH_FAULT = 4      # an invariant of ours failed in the middle of a frame
    LATCH_STOPPING = 5   # the node is ending
    LATCH_STOP = 6       # a loss stop of the whole account fired
    LATCH_GUARD = 7      # the guard took over while this process stood still
    LATCH_TWIN = 8       # another node with this deployment's name trades on the account
    LATCH_LOOP = 9       # one start after the other ended badly
    LATCHES = 16

cpdef enum StrategyOff:
    """Why a strategy is switched off. Only a person switches it on again."""
    OFF_NOT = 0
    OFF_OPERATOR = 1
    OFF_FAULTS = 2       # it raised, hung or proposed nonsense too often
    OFF_REPEAT = 3       # the same execution again and again

cpdef enum Desk:
    """Who proposes what no strategy does; `Intent.strategy` of it."""
    DESK_ADOPTED = -1    # orders of earlier runs
    DESK_EXIT = -2       # flattening, by a stop or an operator
    DESK_PROTECT = -3    # protective stop orders that rest at the venue

cpdef enum LegKind:
    """Which position an order or fill is of. One-way accounts have NET only."""
    NET = 0
    LONG_LEG = 1
    SHORT_LEG = 2
    LEGS = 3

cpdef enum HaltReason:
    """Why a symbol is reduce-only or stopped. The strictest reason that holds decides."""
    HALT_NONE = 0
    HALT_OPERATOR = 1
    HALT_DRIFT = 2       # position or balance differs from the venue's and nobody can explain it
    HALT_UNKNOWN = 3     # an order of unknown fate is older than 10 s
    HALT_FOREIGN = 4     # somebody else trades here, and the config says stop
    HALT_ODD = 5         # the venue said something that the decoder does not know
    HALT_MODE = 6        # position mode, leverage or margin mode are not as configured
    HALT_LIQUIDATION = 7
    HALT_ACCESS = 8      # key, permission or address refused
    HALT_CLOCK = 9
    HALT_VENUE = 10      # the venue halted the symbol, or is in maintenance
    HALT_START = 11      # not reconciled yet
    HALT_FILTER = 12     # the same filter refused again and again
    HALT_STOP = 13       # a loss stop fired here: until an operator resumes
    HALT_WINDOW = 14     # time rules: flat by now
    HALT_CAPITAL = 15    # the account's equity and the venue's differ, or nobody knows it
    HALT_MARGIN = 16     # too near to liquidation
    HALT_PHASE = 18      # level 1: the venue takes post-only orders alone; 2: an auction, where it takes nothing of what we send
    HALTS = 24

cpdef enum WindowKind:
    """What a time rule asks for while it holds."""
    NO_NEW = 0           # no new positions; what there is may stay
    FLAT = 1             # ... and it is closed

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
    int64_t max_market_lots  # largest market order
    int64_t max_notional_e8
    int32_t max_orders       # open orders that the venue allows on this symbol
    int32_t up_ppm           # percent-price filter: furthest above and below the venue's reference, millionths of it
    int32_t down_ppm
    int64_t money_mul        # money_e8 = ticks * lots * money_mul / money_div, exact in 128 bits
    int64_t money_div
    int32_t symbol_size
    char symbol[44]
    char base[16]            # coins, "" where not told
    char quote[16]

ctypedef struct Intent:
    # What a strategy wants. Nothing here has been checked.
    int32_t instrument
    int32_t strategy
    int32_t action           # Action
    int32_t side
    int32_t type             # OrderType
    int32_t tif              # TimeInForce
    int32_t reduce_only
    int32_t leg              # LegKind
    int64_t price_ticks      # AMEND, REPLACE: the new price and the new whole size (filled included)
    int64_t size_lots
    int64_t trigger_ticks    # STOP_MARKET only
    uint64_t order_id        # CANCEL, AMEND, REPLACE: the order's id, so that a reused row is never hit
    uint64_t epoch           # of that order's client id; 0 = this process's own

ctypedef struct Report:
    # What the venue says of one of our orders, on any channel.
    int32_t kind             # ReportKind
    int32_t instrument       # -1 where the message does not say
    int32_t side
    int32_t maker            # 1 = this fill made liquidity
    uint64_t order_id        # the sequence in the client order id, 0 = not an id of this deployment
    uint64_t epoch           # the epoch in it
    int64_t price_ticks      # of this fill
    int64_t size_lots        # of this fill
    int64_t filled_lots      # cumulative, -1 where the message does not say
    int64_t trade_hi         # trade identity
    int64_t trade_lo
    int64_t fee_e8           # paid is positive, in `fee_is_quote` currency
    int32_t fee_is_quote     # 1 quote coin, 2 base coin, 0 another coin, -1 this message does not tell the fee
    int32_t code             # venue error code, 0 = none
    int32_t group            # ErrorGroup of `code`
    int32_t nature           # Nature of a fill
    int64_t order_ticks      # the order's own limit price, whole size and trigger, -1 where the message does not say
    int64_t order_lots
    int64_t event_ns
    int32_t leg              # LegKind; -1 where the message does not say
    int32_t venue_id_size
    char venue_id[40]
    char fee_coin[12]        # of `fee_e8`, as the venue spells it; "" where it does not say or does not fit


ctypedef struct Budget:
    # The server's own count of our requests, as an answer told it.
    int32_t market
    int32_t kind             # BudgetKind
    int64_t interval_ns      # 0 where the venue does not say
    int64_t used             # -1 where it does not say
    int64_t limit            # -1 where it does not say
    int64_t until_ns         # nothing before this time of the VENUE's clock (retry-after, ban); 0 = no such thing

cpdef enum BudgetKind:
    BUDGET_ORDERS = 0        # new orders (Binance ORDERS, Bybit create)
    BUDGET_CANCELS = 1
    BUDGET_AMENDS = 2
    BUDGET_WEIGHT = 3        # REQUEST_WEIGHT, or all requests together
    BUDGET_KINDS = 4

ctypedef struct VerdictRow:
    # VERDICT on the tape: what risk said of one intent.
    Intent intent
    int32_t reason
    int32_t pad
    int64_t value
    int64_t limit
    uint64_t order_id

cpdef enum:
    DECISION_LEVELS = 5

ctypedef struct CheckRow:
    # One check that was asked of an order. `whole` 0: value is in the unit of limit. Above 0: value / whole was compared, in
    # thousandths (LEVERAGE, CANCEL_RATIO, TRADE_RATIO) or millionths. -1: value is in ticks times lots, limit in 1e-8.
    int64_t value
    int64_t limit
    int64_t whole
    uint16_t reason          # Reason that it would have been refused for
    uint16_t sense           # Sense
    uint32_t pad

ctypedef struct DecisionRow:
    # DECISION on the tape, behind a VERDICT: the market as it decided. The CheckRows follow, in the order asked; the last one of
    # a refused order is the one that refused.
    uint64_t order_id        # as in the VERDICT
    int32_t instrument       # -1 = it named none that there is
    int32_t checks           # CheckRows behind this
    int64_t low2             # the reference in half ticks: the same twice, but where there are two sources; 0 = nobody asked
    int64_t high2
    int64_t changed_ns       # when the book last changed
    int64_t last_id          # and by which message
    int32_t state            # BookState: but for SYNCED, the levels are what was left
    int32_t bid_count        # levels told of each side
    int32_t ask_count
    int32_t pad
    Level bids[DECISION_LEVELS]
    Level asks[DECISION_LEVELS]

ctypedef struct SignalRow:
    # SIGNAL on the tape: why a strategy proposes what follows. CONFIG has the names of kinds and of a to d.
    int32_t strategy
    int32_t instrument       # of the book, fill or trade that it was told of, -1 = a timer
    int32_t kind
    int32_t pad
    int64_t a
    int64_t b
    int64_t c
    int64_t d

ctypedef struct FillRow:
    # FILL on the tape: a report that moved the position, and the position behind it.
    Report report
    int64_t position_lots    # all legs together
    int64_t cash
    int64_t cost             # of what is open, tick * lot: realised = cash + cost
    int32_t leg              # LegKind that it was booked on
    int32_t pad
    int64_t leg_lots         # that leg alone
    int64_t leg_cash
    int64_t leg_cost

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

cpdef enum Door:
    """Cold doors of the engine: what the cold side found out or was told to do."""
    DOOR_WANT_CANCEL = 1     # order_id
    DOOR_ABSENT = 2          # order_id, a = epoch, b = sequence: the proof of absence is complete
    DOOR_ADOPT = 3           # a = epoch, b = sequence, c = filled lots; order_id = 0, or when it was intended: of unknown fate; the venue's id stands behind the row
    DOOR_POSITION = 4        # order_id = LegKind, a = lots, b = cash, c = cost
    DOOR_FOREIGN = 5         # a = buy lots, b = sell lots
    DOOR_HALT = 6            # a = HaltReason, b = level
    DOOR_RESUME = 7          # a = HaltReason
    DOOR_RECONCILED = 8
    DOOR_CLOCK = 9           # instrument = market, a = offset ns, b = error ns
    DOOR_PRIVATE = 10        # instrument = market, a = proven
    DOOR_WITHDRAW = 11       # order_id
    DOOR_SETTLE = 12         # order_id
    DOOR_PAUSE = 13          # instrument = market, a = until when (our clock)
    DOOR_LATCH = 14          # a = Latch, b = 1 set, 0 released
    DOOR_CAPITAL = 15        # instrument = purse, a = capital e8 without the profit of what is counted here, b = coin number + 1
    DOOR_FLOW = 16           # instrument = purse, a = amount e8: deposit, withdrawal, transfer, b = coin number + 1 (0: ours)
    DOOR_FUNDING = 17        # a = amount e8, received > 0
    DOOR_LEASE = 18          # a = until when (our clock)
    DOOR_FLATTEN = 19        # -1 = everything; a = HaltReason
    DOOR_STRATEGY = 20       # instrument = strategy number, a = StrategySwitch, b = StrategyOff, or the call that timed out
    DOOR_GAP = 21            # a = ns for which this process stood still, b = whether proofs are dropped too
    DOOR_PEAK = 22           # a = peak e8, b = equity at the start of the day e8, c = that day (days since 1970)
    DOOR_WINDOW = 23         # a = from, b = until, c = WindowKind
    DOOR_LIMITS = 24         # a = version; the LIMITS record in front of it has them
    DOOR_COIN = 25           # instrument = coin number, a = price e8 in the account's currency, b, c = its name
    DOOR_DAY_TRADES = 26     # a = day trades of earlier runs, b = of which day
    DOOR_STOPPING = 27       # the node ends: strategies are not asked any more
    DOOR_MARK = 28           # a state mark was asked for
    DOOR_UNSENT = 29         # a = number of the request among all that were encoded: its socket did not take it
    DOOR_DAY_COUNTS = 30     # a = orders, b = fills of earlier runs, c = of which day
    DOOR_RATIO_COUNTS = 31   # a = cancels, b = fills of earlier runs, c = about when (ns)
    DOOR_OPENED = 32         # order_id = LegKind: it grew on day a and was not reduced since

cpdef enum StrategySwitch:
    """What DOOR_STRATEGY did."""
    SWITCH_OFF = 0
    SWITCH_ON = 1
    CALL_INTERRUPTED = 2     # the watchdog ended a call: the one thing that a replay cannot come to by itself

ctypedef struct DoorRow:
    # DOOR on the tape: a call of one of the engine's cold doors, with its arguments.
    int32_t door             # Door
    int32_t instrument
    uint64_t order_id
    int64_t a
    int64_t b
    int64_t c
    Intent intent            # DOOR_ADOPT

ctypedef struct StopRow:
    # STOP on the tape: a loss stop that was crossed, and what was done at once.
    int32_t reason           # Reason: DAILY_LOSS, POSITION_LOSS, DRAWDOWN, LIQUIDATION_NEAR, MARGIN, WINDOW, LATCHED (operator)
    int32_t instrument       # -1 = everything
    int32_t policy           # StopPolicy
    int32_t purse            # LIQUIDATION_NEAR: whose perpetuals; else -1
    int64_t value            # e8 or ppm, as the limit of that reason is
    int64_t limit
    int64_t equity_e8

ctypedef struct EquityRow:
    # EQUITY on the tape: one purse, or everything (purse -1). All in 1e-8 of the account's currency.
    int32_t purse
    int32_t known            # its capital was told
    int64_t capital_e8
    int64_t profit_e8        # marked, before fees and funding
    int64_t fees_e8
    int64_t funding_e8
    int64_t equity_e8
    int64_t margin_e8
    int64_t maintenance_e8
    int64_t gross_e8         # worst case
    int64_t peak_e8          # purse -1 only
    int64_t day_e8           # equity when the day began, purse -1 only
    int64_t day              # days since 1970, purse -1 only
    int64_t open_e8          # of profit, what open positions have made against their average cost

ctypedef struct HashRow:
    # HASH on the tape, behind each state mark: a hash of what each room decides by. A replay must come to the same.
    uint64_t books           # with the lines that they come by
    uint64_t orders
    uint64_t account
    uint64_t equity
    uint64_t risk            # with limits, budgets, throttles, stops
    uint64_t strategies

cpdef enum StopPolicy:
    """What crossing a stop does; each does what the one above it does, too."""
    STOP_CANCEL = 0          # no new risk, everything resting is cancelled
    STOP_REDUCE = 1          # ... and strategies may still reduce
    STOP_FLATTEN = 2         # ... and the position is closed, bounded in price

ctypedef struct SentRow:
    # SENT on the tape, written by the link behind the write: when the frame came and when the order had left.
    uint64_t order_id
    int64_t frame_ns         # 0 where no frame caused it: a timer, a shutdown
    int64_t sent_ns
    int64_t written          # 1 = handed to the socket


cdef inline uint64_t mix(uint64_t hash, uint64_t word) noexcept nogil:
    """A running hash with one more word."""
    hash = (hash ^ word) * <uint64_t>0x9E3779B97F4A7C15
    return hash ^ (hash >> 29)


cdef class Approved:
    """An order that passed risk. Only `ext.risk` can mint or fill one; only this can be encoded and written."""
    cdef Intent intent
    cdef uint64_t order_id
    cdef int64_t now_ns
    cdef bint live           # cleared when written: one approval, one frame


cdef Approved mint()
