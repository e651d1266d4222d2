"""The latency suite: runs benchmarks by name and prints what they found.

A result is one dict: a key per benchmark, each with its figures, its budget and `within_budget`, and
`conditions`, without which an absolute figure says little.
"""

from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.table import Table

from bench import book, check_names, encode, risk, stop, tape, wire
from bench.conditions import Progress, conditions, silent

BUDGET_RATIO_P50, BUDGET_RATIO_P99 = 1.5, 2.0
BUDGET_SECOND_LINE = 1.1  # a target: what redundancy may cost
Bench = Callable[..., dict]
BENCHES: dict[str, Bench] = {
    "book": book.run,
    "risk": risk.run,
    "stop": stop.run,
    "encode": encode.run,
    "tape": tape.run,
    "wire": lambda **sizes: run_wire(**sizes),
}
# Seconds instead of a minute, for a first look and for the tests. The figures are noisier.
QUICK: dict[str, dict] = {
    "book": {"rounds": 2, "frames": 300},
    "risk": {"rounds": 20, "count": 500},
    "stop": {"trials": 50, "crash": False},
    "encode": {"rounds": 10, "count": 200},
    "tape": {"batches": 40, "rounds": 1, "seconds": 0.05},
    "wire": {"rounds": 1, "frames": 300, "warmup": 50},
}


def run(
    names: list[str],
    *,
    progress: Progress = silent,
    node: wire.ArgvBuilder | None = None,
    node_options: dict | None = None,
    quick: bool = False,
) -> dict:
    """Runs the named benchmarks (all of them where none is named), in the order of `BENCHES`.

    `node(port)` is the command that starts the node for `wire`; without it only floor and naive run.
    `node_options` go to `bench.wire.run` as they are. Raises UserError for a name that is not known, and
    BenchError where a benchmark cannot run or what it timed was wrong.
    """
    check_names(names)
    result: dict = {}
    for name in BENCHES:
        if name in names or not names:
            sizes = dict(QUICK[name]) if quick else {}
            if name == "wire":
                sizes |= {"node": node} | (node_options or {})
            result[name] = BENCHES[name](progress=partial(tell, progress, name), **sizes)
    return result | {"conditions": conditions()}


def tell(progress: Progress, name: str, text: str) -> None:
    progress(text if text.startswith(f"{name}:") else f"{name}: {text}")


def run_wire(**sizes) -> dict:
    """`bench.wire.run` with its budgets, for signed orders and behind a log-on alike: None where there was no
    node to hold against them."""
    result = wire.run(**sizes)["wire"]
    budgets = {"p50": BUDGET_RATIO_P50, "p99": BUDGET_RATIO_P99}
    held = [
        result[f"ratio_{key}{ending}"] <= budget
        for ending in ("", "_logon")
        for key, budget in budgets.items()
        if result[f"ratio_{key}{ending}"] is not None
    ]
    second = [result[f"second_line_{key}_ratio"] for key in budgets]
    held += [ratio <= BUDGET_SECOND_LINE for ratio in second if ratio is not None]
    return result | {
        "budget_ratio_p50": BUDGET_RATIO_P50,
        "budget_ratio_p99": BUDGET_RATIO_P99,
        "budget_second_line_ratio": BUDGET_SECOND_LINE,
        "within_budget": all(held) if held else None,
    }


# ---- tables ------------------------------------------------------------------------------------------------


def print_tables(result: dict, console: Console) -> None:
    """One table per benchmark, then the conditions."""
    for name, rows_of in TABLES.items():
        if name in result:
            console.print(table(name, result[name], rows_of(result[name])))
            console.print(noise(result[name]), highlight=False)
    about = Table(title="conditions", show_header=False, title_justify="left")
    for key, value in result["conditions"].items():
        about.add_row(key.replace("_", " "), str(value))
    console.print(about)


Row = tuple[str, object, object, object]  # what, figure, budget, remark


def table(name: str, found: dict, rows: list[Row]) -> Table:
    verdict = {True: "within budget", False: "OVER BUDGET", None: "nothing to hold against the budget"}
    out = Table(title=f"{name}: {verdict[found['within_budget']]}", title_justify="left")
    out.add_column("what")
    for column in ("figure", "budget"):
        out.add_column(column, justify="right")
    out.add_column("remark")
    for row in rows:
        out.add_row(*("" if cell is None else str(cell) for cell in row))
    return out


def noise(found: dict) -> str:
    """How far the figures can be trusted, in one line."""
    if "preempted" not in found:
        quiet = found["conditions"]["quiet"]
        return f"  {'quiet' if quiet else 'NOISY: other processes made the p99, run it on an idle machine'}"
    quiet = (
        "quiet" if found["quiet"] else "NOISY: other processes took the CPU, medians and percentiles suffer"
    )
    return f"  {quiet} ({found['preempted']} preemptions in {found['seconds']} s)"


def book_rows(found: dict) -> list[Row]:
    size = f"{found['levels']} levels in {found['frames']} frames, {found['frames_from']}"
    return [
        ("frame to book, ns per level", found["ns_per_level"], found["budget_ns_per_level"], size),
        ("  median", found["ns_per_level_median"], None, None),
        ("orjson.loads alone", found["orjson_ns_per_level"], None, None),
        ("  times ours", found["ratio_orjson"], f"at least {found['budget_ratio_orjson']}", None),
        ("orjson + SortedDict", found["naive_ns_per_level"], None, None),
        ("  times ours", found["ratio_naive"], None, None),
        *(venue_row(name, row) for name, row in found["venues"].items()),
    ]


def venue_row(name: str, row: dict) -> Row:
    sums = f", {row['checksums_per_frame']} checksums a frame" if row["checksums_per_frame"] else ""
    remark = (
        f"{row['ns_per_frame']} ns a frame of {row['levels'] / row['frames']:.1f} levels; "
        f"orjson {row['ratio_orjson']} times{sums}"
    )
    return f"{name}, ns per level", row["ns_per_level"], None, remark


def risk_rows(found: dict) -> list[Row]:
    return [
        ("all checks, ns per order", found["ns_per_order"], found["budget_ns"], "the slower of both sides"),
        ("  median", found["ns_per_order_median"], None, None),
    ]


def stop_rows(found: dict) -> list[Row]:
    rows: list[Row] = [
        (
            "frame to first exit frame, us, p99",
            found["exit_us_p99"],
            found["budget_us_p99"],
            "the slowest market",
        ),
        *(
            (
                f"  {market}, p50",
                row["exit"]["p50_us"],
                None,
                f"p99 {row['exit']['p99_us']}, max {row['exit']['max_us']}; "
                f"{found['resting_orders']} cancels behind it: "
                f"last p50 {row['last_cancel']['p50_us']}, p99 {row['last_cancel']['p99_us']}",
            )
            for market, row in found["markets"].items()
        ),
    ]
    for market, row in found.get("crash", {}).get("venues", {}).items():
        about = f"stop at {row['stop']:g}, crossed at {row['loss_at_stop']:.2f}, "
        about += f"{row['exits']} exits, {row['left_lots']} lots left"
        rows.append(
            (
                f"10 % in 100 ms, {market}: loss, quote coin",
                f"{row['loss']:.2f}",
                f"{row['bound']:.2f}",
                about,
            )
        )
    return rows


def encode_rows(found: dict) -> list[Row]:
    return [
        (f"{market} {what}{how}, ns", row["ns"], budget, f"median {row['ns_median']}")
        for how, key, budget in (("", "markets", found["budget_ns"]), (" signed", "signed", None))
        for market, rows in found[key].items()
        for what, row in rows.items()
    ]


def tape_rows(found: dict) -> list[Row]:
    rows: list[Row] = []
    for size, row in found["records"].items():
        rows.append(
            (
                f"{size} record, ns, p50",
                row["ns_per_record"],
                row["budget_ns"],
                f"p99 {row['p99_ns']}, mean {row['mean_ns']}; prepare p50 {row['prepare_p50_us']} us; "
                f"in {found['directory']}",
            )
        )
        rows.append(
            (
                f"{size} record by itself, ns, p99.9 with rotation",
                row["single_p999_ns"],
                None,
                f"p50 {row['single_p50_ns']}, p99 {row['single_p99_ns']}, max {row['single_max_ns']}; "
                f"{row['rotations']} rotations, p50 {row['rotation_p50_ns']}, max {row['rotation_max_ns']}",
            )
        )
        rows.append((f"{size} record read, ns", row["read_ns"], None, f"passed over {row['skip_ns']}"))
    return [*rows, reader_row(found["reader"])]


def reader_row(row: dict) -> Row:
    return (
        f"reader at {row['rate']} a second, late at the end, ms",
        row["late_at_end_ms"],
        row["late_budget_ms"],
        f"late p50 {row['late_p50_ms']}, p99 {row['late_p99_ms']} ms; {row['reader_cpu_share']} of a core; "
        f"writer's p99.9 {row['writer_p999_ns']} ns, followed {row['writer_p999_ns_followed']} ns: "
        f"{row['ratio_p999']} times",
    )


def wire_rows(found: dict) -> list[Row]:
    about = found["conditions"]
    clients = [
        name
        for name in ("node", "floor", "node_two_lines", "node_logon", "floor_plain", "naive")
        if name in found
    ]
    rows: list[Row] = [
        (
            f"{name}, us, p50",
            found[name]["p50_us"],
            None,
            f"p99 {found[name]['p99_us']}, p99.9 {found[name]['p999_us']}, max {found[name]['max_us']}, "
            f"{about['loops'][name]}, {about['order_entry'][name]}",
        )
        for name in clients
    ]
    for what, ending in (("node / floor", ""), ("node_logon / floor_plain", "_logon")):
        for key in ("p50", "p99"):
            ratio = found[f"ratio_{key}{ending}"]
            if ratio is not None or not ending:
                rows.append((f"{what}, {key}", ratio, found[f"budget_ratio_{key}"], None))
    for key in ("p50", "p99"):
        if (ratio := found[f"second_line_{key}_ratio"]) is not None:
            rows.append((f"node_two_lines / node, {key}", ratio, found["budget_second_line_ratio"], None))
    return rows


TABLES: dict[str, Callable[[dict], list[Row]]] = {
    "book": book_rows,
    "risk": risk_rows,
    "stop": stop_rows,
    "encode": encode_rows,
    "tape": tape_rows,
    "wire": wire_rows,
}
