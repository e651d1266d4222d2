"""Does a depth message continue a feed? (For Python callers; the rule itself is inline in the .pxd.)"""


def place(int rule, int64_t first_id, int64_t last_id, int64_t prev_id, int64_t applied, bint seeded=False) -> int:
    """`classify` of a message with these ids against the last applied id; returns an Order."""
    cdef DepthHead head
    head.rule = rule
    head.first_id = first_id
    head.last_id = last_id
    head.prev_id = prev_id
    return classify(&head, applied, seeded)
