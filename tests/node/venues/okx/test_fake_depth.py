"""Depth beyond what test_fake follows: the RPI book, REST depth, a maintenance reset by a fault."""

from okx_client import PUBLIC, Venue, books, rows_of

from node.venues.fakes import BUY, MS


def test_the_rpi_book_has_levels_of_its_own_shape_and_no_checksum():
    venue = Venue()
    connection = venue.open(PUBLIC)
    frames = venue.subscribe(connection, books(channel="books-rpi"))
    venue.spot.engine.set_level(BUY, 599_000, 7)
    first, update = rows_of(frames + venue.wait(connection, 100 * MS), "books-rpi")
    assert first["asks"][0] == ["60000.1", "0.000001", "0.000001", "1"]
    assert update["prevSeqId"] == first["seqId"]
    assert "checksum" not in first


def test_a_full_book_has_prices_sizes_and_counts_only():
    venue = Venue(levels=9)
    (row,) = venue.get("market/books-full?instId=BTC-USDT&sz=5000")
    assert row["asks"][0] == ["60000.1", "0.000001", "1"]
    assert len(row["bids"]) == 9
    assert "seqId" not in row
    assert venue.ask("GET", "market/books-full?instId=BTC-USDT&sz=5001")[0] == 400
    assert venue.get("market/books-rpi?instId=BTC-USDT")[0]["asks"][0][2] == "0.000001"


def test_a_snapshot_has_the_id_that_updates_go_by():
    venue = Venue()
    connection = venue.open(PUBLIC)
    venue.subscribe(connection, books())
    venue.spot.engine.set_level(BUY, 599_000, 7)
    (update,) = rows_of(venue.wait(connection, 100 * MS), "books")
    assert venue.get("market/books?instId=BTC-USDT&sz=5")[0]["seqId"] == update["seqId"]


def test_a_reset_by_a_fault_is_legal_for_whoever_follows():
    venue = Venue()
    connection = venue.open(PUBLIC)
    (first,) = rows_of(venue.subscribe(connection, books()), "books")
    venue.strike("book.reset", symbol="BTC-USDT")
    venue.spot.engine.set_level(BUY, 599_000, 7)
    (update,) = rows_of(venue.wait(connection, 100 * MS), "books")
    assert update["prevSeqId"] == first["seqId"]
    assert update["seqId"] < first["seqId"]


def test_an_instrument_must_be_named_and_known():
    venue = Venue()
    assert venue.ask("GET", "market/books")[1]["code"] == "50014"
    assert venue.ask("GET", "market/books?instId=NO-SUCH")[1]["code"] == "51001"
