"""The nouns, seen from Python: the enums, and `Approved`, which Python cannot create."""


cdef bint _minting = False


cdef class Approved:
    def __cinit__(self):
        if not _minting:
            raise TypeError("Approved is made by the risk gate only")

    @property
    def order_id(self):
        return self.order_id


cdef Approved mint():
    """A blank Approved. `ext.risk` is the only caller (a test reads the sources to make sure)."""
    global _minting
    _minting = True
    try:
        return Approved.__new__(Approved)
    finally:
        _minting = False
