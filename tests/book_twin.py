"""A naive order book: two dicts and the venues' continuity rules as their documents state them. Slow on
purpose."""

RANGE, PREV, STEP, NONE = 0, 1, 2, 3  # records.Rule
UPDATE, SNAPSHOT, SEED = 0, 1, 2  # records.DepthKind


class Levels:
    """Bids and asks of one instrument, price -> size; no sequence."""

    def __init__(self):
        self.sides = ({}, {})

    def apply(self, bids, asks):
        for side, levels in zip(self.sides, (bids, asks), strict=True):
            for price, size in levels:
                if size:
                    side[price] = size
                else:
                    side.pop(price, None)

    def clear(self):
        self.sides = ({}, {})

    def bids(self):
        return sorted(self.sides[0].items(), reverse=True)

    def asks(self):
        return sorted(self.sides[1].items())

    def ranked(self, side):
        return self.asks() if side else self.bids()

    def crossed(self):
        bids, asks = self.sides
        return bool(bids and asks) and max(bids) >= min(asks)

    def size(self, side, price):
        return self.sides[side].get(price, 0)

    def cumulative(self, side, limit):
        return sum(q for p, q in self.sides[side].items() if (p <= limit if side else p >= limit))

    def cost(self, side, lots):
        """(filled, worst price, sum of price * lots or -1 beyond 64 bits) of an order of `side`."""
        left, worst, total = lots, 0, 0
        for price, size in self.ranked(1 - side):
            if not left:
                break
            here = min(left, size)
            left, worst, total = left - here, price, total + price * here
        return lots - left, worst, total if total < 2**63 else -1


class Feed:
    """A spot book by request: buffer events, splice a snapshot in, apply what continues. Binance's own
    recipe."""

    def __init__(self, rule):
        self.rule, self.levels, self.last, self.joined = rule, Levels(), None, False

    def event(self, first, last, prev, bids, asks):
        """True where the event was applied; ValueError where something is missing before it."""
        if self.rule == RANGE:  # spot: "U should be previous u + 1"; the first straddles the snapshot
            if last <= self.last:
                return False
            if first > self.last + 1:
                raise ValueError("gap")
        elif (
            not self.joined
        ):  # USD-M: "The first processed event should have U <= lastUpdateId AND u >= lastUpdateId"
            if last <= self.last and prev != self.last:
                return False
            if prev != self.last and not first <= self.last <= last:
                raise ValueError("gap")
        elif prev != self.last:  # "each new event's pu should be equal to the previous event's u"
            if last <= self.last:
                return False
            raise ValueError("gap")
        self.levels.apply(bids, asks)
        self.last, self.joined = last, True
        return True
