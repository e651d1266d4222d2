"""The shape of the tree: who may import whom, no clock where time is an argument, a test for every source."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VENUES = ("binance", "bybit", "okx")
FUNCTION_LINES_MAX = 70


def sources() -> list[Path]:
    """Every source file of the two packages, relative to the project."""
    found = [
        p
        for folder in ("ext", "node")
        for p in (ROOT / folder).rglob("*")
        if p.suffix in (".py", ".pyx", ".pxd")
    ]
    return sorted(p.relative_to(ROOT) for p in found)


def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def code_lines(path: Path):
    """(number, line) without docstrings and comments: what is left is code."""
    source = re.sub(r'("""|\'\'\')(?:.|\n)*?\1', lambda m: "\n" * m.group().count("\n"), text(path))
    for number, line in enumerate(source.splitlines(), 1):
        yield number, re.sub(r"(^|\s)#.*", "", line)


# ---- arrows ----

IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(.*)|c?import\s+([\w.]+(?:\s*,\s*[\w.]+)*))")


def module_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(p) for p in sources()}


def resolve(base: str, names: str) -> set[str]:
    """`from base import a, b`: the modules that are meant, a and b themselves where they are modules."""
    found = {f"{base}.{name}" for name in re.findall(r"\w+", names)} & MODULES
    return found or {base}


def imports(path: Path) -> set[str]:
    """Modules of the two packages that a file imports, in Python or in Cython."""
    out, here = set(), module_of(path).split(".")
    body = "\n".join(line for _, line in code_lines(path)).replace("\\\n", " ")
    # names in brackets: one line
    body = re.sub(r"\(([^()]*)\)", lambda m: m.group(1).replace("\n", " "), body)
    for line in body.splitlines():
        match = IMPORT.match(line)
        if match is None:
            continue
        if match[1] is None:
            out.update(re.split(r"\s*,\s*", match[3]))
        elif match[1].startswith("."):
            dots = len(match[1]) - len(match[1].lstrip("."))
            base = here if path.name == "__init__.py" else here[:-1]
            base = base[: len(base) - dots + 1]
            out |= resolve(".".join([*base, *filter(None, match[1].lstrip(".").split("."))]), match[2])
        else:
            out |= resolve(match[1], match[2])
    return {name for name in out if name.split(".")[0] in ("ext", "node")} - {"ext", module_of(path)}


COMMON = {"ext.records", "ext.text"}
SEES = {"ext.book", "ext.orders", "ext.account", "ext.dials", "ext.instruments"}
ALL_EXT = {name for name in MODULES if name.startswith("ext.")}
LOWER = {"node.venues*", "node.config", "node.errors", "node.amounts", "node.phrases"}
NODE = {
    "node.assembly",
    "node.control",
    "node.credentials",
    "node.latch",
    "node.limits",
    "node.linestats",
    "node.recall",
    "node.regrid",
    "node.restore",
    "node.states",
    "node.strategies",
    "node.truth*",
}  # a node without its sockets
# the simulated venues' base, from the bottom up
FAKE_ROOMS = ["faults", "ledger", "parts", "register", "terms", "desk", "injectors", "fakes"]
FAKE_MODULES = {f"node.venues.{x}" for x in FAKE_ROOMS}
VENUE_ROOMS = {"node.venues.values", "node.venues.keys"} | FAKE_MODULES

# The first pattern that fits a module says which modules it may import, or, ending in a star, which families.
ALLOWED: list[tuple[str, set[str]]] = [
    (r"ext\.(records|text|sequence|dials|segments)", COMMON),
    (r"ext\.spare", {"ext.segments"}),
    (r"ext\.tape", {"ext.crash", "ext.segments", "ext.spare"}),
    (r"ext\.instruments", COMMON),
    (r"ext\.wire", COMMON | {"ext.instruments"}),
    (r"ext\.venues\.\w+", COMMON | {"ext.wire", "ext.instruments"}),
    (r"ext\.held", COMMON),
    (r"ext\.(book|arbiter)", COMMON | {"ext.sequence", "ext.held"}),
    (r"ext\.(orders|account)", COMMON),
    (r"ext\.strategy", COMMON | SEES),
    (r"ext\.strategies\.\w+", COMMON | SEES | {"ext.strategy"}),
    (r"ext\.(budget|throttle)", COMMON),
    (r"ext\.equity", COMMON | {"ext.account", "ext.orders", "ext.instruments"}),
    (r"ext\.reference", COMMON | {"ext.instruments"}),
    (r"ext\.(exits|shields)", COMMON | SEES | {"ext.exits", "ext.reference"}),
    (
        r"ext\.stops",
        COMMON | SEES | {f"ext.{x}" for x in ("equity", "exits", "limits", "reference", "shields")},
    ),
    (r"ext\.limits", COMMON | {"ext.instruments"}),
    (
        r"ext\.(checks|risk)",
        COMMON
        | SEES
        | {f"ext.{x}" for x in ("budget", "checks", "equity", "limits", "reference", "throttle", "wire")},
    ),
    (r"ext\.match", COMMON),
    (r"ext\.link", {"ext.crash", "ext.engine", "ext.records", "ext.tape", "ext.wire"}),
    (
        r"ext\.digest",
        COMMON
        | SEES
        | {f"ext.{x}" for x in ("arbiter", "checks", "equity", "exits", "limits", "reference", "shields")}
        | {"ext.stops", "ext.strategy", "ext.throttle"},
    ),
    (
        r"ext\.engine",
        ALL_EXT - {"ext.link", "ext.match"} - {n for n in ALL_EXT if n.startswith("ext.venues.")},
    ),
    (r"node\.cli|node\.main|node\.demo|node\.drill|node\.soak|node\.crashes", {"*"}),
    (r"node\.synced", {"node.beat"}),
    (r"node\.sockets", set()),
    (
        r"node\.(beat|errors|guarded|latch)",
        set(),
    ),  # pages beside a tape, which the hot and the slow process share
    (r"node\.reel", {"node.errors"}),  # recordings on disk: written by the recorder, and out of tapes
    (r"node\.restarts", set()),
    (r"node\.amounts", {"ext.instruments"}),
    (r"node\.phrases", {"ext.records"}),
    (r"node\.resting", {"ext.records", "ext.strategy"}),
    (r"node\.reading", {"node.errors"}),
    (r"node\.compliance", {"node.errors", "node.reading", "ext.records"}),
    (r"node\.environment", {"node.errors", "ext.records"} | {f"node.venues.{v}.rules" for v in VENUES}),
    (
        r"node\.config",
        {"node.compliance", "node.environment", "node.errors", "node.reading"}
        | {"ext.limits", "ext.records", "ext.wire"},
    ),
    (r"node\.limits", LOWER | {"node.compliance", "ext.engine", "ext.instruments", "ext.records"}),
    (r"node\.shown", {"node.limits", "node.phrases", "node.sheet"}),
    (
        r"node\.operate",
        {"node.errors", "node.latch", "node.phrases", "node.reading", "node.recall", "node.synced"}
        | {"node.net.console", "node.slow.finding", "ext.tape"},
    ),
    (
        r"node\.control",
        {"node.assembly", "node.config", "node.errors", "node.latch", "node.limits", "node.recall"}
        | {
            "node.guarded",
            "node.amounts",
            "node.linestats",
            "node.phrases",
            "node.truth.halts",
            "node.truth.release",
        }
        | {"ext.records"},
    ),
    (r"node\.linestats", {"ext.engine"}),
    (r"node\.companion", set()),
    (r"node\.tapes", {"node.errors", "node.operate", "node.reading", "node.sheet", "node.slow*", "ext.tape"}),
    (r"node\.report", {"node.errors", "node.slow.summary", "ext.records"}),
    (r"node\.venues\.(values|keys|depth)", set()),
    (r"node\.venues\.markets", LOWER | ALL_EXT - {"ext.link", "ext.match"}),
    (r"node\.strategies", {"node.errors"} | ALL_EXT - {"ext.link", "ext.match"}),
    (r"node\.tracked", set()),
    (r"node\.states", {"node.recall", "node.tracked", "ext.crash", "ext.tape"}),
    (r"node\.regrid", set()),
    (r"node\.recall", {"node.config", "node.regrid", "node.tracked", "ext.tape", "ext.records"}),
    (
        r"node\.restore",
        {"node.assembly", "node.config", "node.errors", "node.recall", "node.regrid", "node.tracked"}
        | {"node.truth.keeper", "node.truth.settings", "ext.records"},
    ),
    (r"node\.credentials", {"node.config", "node.errors", "node.venues.keys"}),
    (
        r"node\.assembly",
        LOWER
        | {
            "node.truth*",
            "node.strategies",
            "node.recall",
            "node.regrid",
            "node.tracked",
            "node.limits",
            "node.linestats",
            "node.compliance",
            "node.credentials",
        }
        | ALL_EXT - {"ext.link", "ext.match"},
    ),
    *[
        (rf"node\.venues\.{x}", {"ext.match", "ext.text"} | {f"node.venues.{y}" for y in FAKE_ROOMS[:i]})
        for i, x in enumerate(FAKE_ROOMS)
    ],
    *[
        (
            rf"node\.venues\.{v}(\.\w+)*",
            VENUE_ROOMS | {f"ext.venues.{v}", "ext.wire", "ext.text", "ext.records", f"node.venues.{v}*"},
        )
        for v in VENUES
    ],
    (r"node\.truth(\.\w+)*", LOWER | {"node.truth*"} | ALL_EXT - {"ext.link", "ext.match"}),
    (
        r"node\.net(\.\w+)*",
        LOWER
        | NODE
        | {"node.beat", "node.latch", "node.reel", "node.restarts", "node.sockets", "node.synced"}
        | {"node.net*", "ext*"},
    ),
    (
        r"node\.sim(\.\w+)*",
        LOWER
        | NODE
        | {"node.sim*", "node.reading", "node.sheet", "node.sockets", "ext*"}
        | {"node.backtest.sources", "node.backtest.instruments"},
    ),
    (
        # a tape again: the node's own assembly, without its sockets
        r"node\.backtest\.(doors|rebuild|rerun|tapes|whatif|wording)",
        (
            LOWER
            | {"node.backtest*", "node.assembly", "node.compliance", "node.strategies", "node.sheet"}
            | {"node.linestats", "node.slow.finding", "node.slow.records"}
            | ALL_EXT
        )
        - {"ext.link"},
    ),
    (
        r"node\.backtest(\.\w+)*",
        (LOWER | {"node.backtest*", "node.linestats", "node.reel", "node.sheet"} | ALL_EXT) - {"ext.link"},
    ),
    (
        r"node\.slow(\.\w+)*",
        {"node.slow*", "node.errors", "ext.tape", "ext.segments", "ext.dials", "ext.records", "ext.text"}
        | {f"node.venues.{v}.rules" for v in VENUES}
        # the guard: whose orders are ours, where the venues are, its own credentials, the hot process's pages
        | {"ext.wire", "ext.instruments", "node.config", "node.credentials", "node.beat", "node.latch"}
        | {"node.phrases", "node.guarded"}
        # the archiver: the page of what is durable; and how wide a table is
        | {"node.synced", "node.sheet"},
    ),
    (r"ext|node|ext\.\w+|node\.\w+(\.\w+)*", set()),
]


def allowed(module: str) -> set[str]:
    return next(names for pattern, names in ALLOWED if re.fullmatch(pattern, module))


def is_allowed(name: str, names: set[str]) -> bool:
    families = [n[:-1] for n in names if n.endswith("*")]
    return name in names or any(name == f or name.startswith(f + ".") or not f for f in families)


@pytest.mark.parametrize("path", sources(), ids=str)
def test_a_room_imports_only_what_it_may(path):
    names = allowed(module_of(path))
    wrong = sorted(name for name in imports(path) if not is_allowed(name, names))
    assert not wrong, (
        f"{path} imports {', '.join(wrong)}: see the arrows in docs/ARCHITECTURE.md and ALLOWED here"
    )


def test_the_native_side_never_imports_the_cold_side():
    assert not [
        f"{p}: {i}" for p in sources() if p.parts[0] == "ext" for i in imports(p) if i.startswith("node")
    ]


def test_nobody_imports_the_commands_but_each_other():
    top = {"node.cli", "node.main", "node.demo", "node.drill", "node.soak", "node.crashes"}
    assert not [f"{p}: {top & imports(p)}" for p in sources() if module_of(p) not in top and top & imports(p)]


def test_only_the_gate_imports_the_mint():
    """`mint` makes an Approved: whoever has it can send what risk has not seen."""
    users = [p for p in sources() if any(re.search(r"\bmint\b", line) for _, line in code_lines(p))]
    assert [str(p) for p in users] == ["ext/records.pxd", "ext/records.pyx", "ext/risk.pyx"]


def test_only_the_gate_fills_an_approved_and_only_outlets_spend_it():
    grants = re.compile(r"\.(approved\.\w+|live)\s*=[^=]|Approved\.__new__|<\s*Approved\s*>")
    users = {str(p) for p in sources() if any(grants.search(line) for _, line in code_lines(p))}
    assert users <= {"ext/records.pyx", "ext/risk.pyx", "ext/engine.pyx", "ext/link.pyx"}, users
    opened = [
        str(p) for p in sources() if any(re.search(r"\.live\s*=\s*True", line) for _, line in code_lines(p))
    ]
    assert opened == ["ext/risk.pyx"]


# ---- clocks and chance ----

CLOCKS = re.compile(
    r"\btime\.\w|\bimport\s+time\b|\bfrom\s+time\b|\bmonotonic(_ns)?\s*\(|\bperf_counter|\bclock_gettime|\bgettimeofday"
    r"|\bdatetime\.now|\butcnow|\bdate\.today|\brdtsc"
    r"|\bos\.urandom|\buuid[14]\b|\bimport\s+secrets\b|\bsecrets\.\w"
    r"|\brandom\.(random|randrange|randint|choice|choices|shuffle|sample|uniform|gauss|seed|randbytes)\b"
    r"|\brandom\.Random\(\s*\)|\brand\s*\(\s*\)"
)


def is_timeless(path: Path) -> bool:
    if path.parts[0] == "ext":
        return path.stem != "link"
    return path.parts[1] in ("venues", "backtest")


def test_no_clock_is_read_where_time_is_an_argument():
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in [*sources(), *[p.relative_to(ROOT) for p in (ROOT / "ext").rglob("*.h")]]
        if is_timeless(path)
        for number, line in code_lines(path)
        if CLOCKS.search(line)
    ]
    assert not found, "time is an argument here (now_ns), and chance comes from a seed:\n" + "\n".join(found)


def test_the_words_are_found_where_they_stand():
    """The patterns above, against what they must and must not catch."""
    caught = [
        "t = time.time()",
        "import time",
        "from time import sleep",
        "x = perf_counter_ns()",
        "datetime.now(UTC)",
    ]
    caught += ["random.random()", "r = random.Random()", "clock_gettime(CLOCK_REALTIME, &t)", "uuid4()"]
    for line in caught:
        assert CLOCKS.search(line), line
    for line in (
        "now_ns",
        "rng = random.Random(seed)",
        "event_time = row[0]",
        "self.monotonic_scale",
        "timestamp_ms",
    ):
        assert not CLOCKS.search(line), line
    assert imports(Path("ext/risk.pxd")) >= {"ext.book", "ext.records", "ext.account", "ext.orders"}
    assert imports(Path("ext/engine.pyx")) >= {"ext.tape", "ext.wire", "ext.strategy", "ext.book"}
    assert not is_allowed("ext.book", allowed("ext.venues.okx"))
    assert not is_allowed("node.venues.okx.rest", allowed("node.venues.bybit.fake"))
    assert not is_allowed("node.sim.market", allowed("node.net.http"))


# ---- tests ----


def mirror(path: Path) -> Path:
    """Where the test of a source stands."""
    return Path("tests", *path.parts[:-1], f"test_{path.stem}.py")


def test_every_source_has_a_test_of_the_same_name():
    wanted = {
        p: mirror(p) for p in sources() if p.stem != "__init__" and (p.suffix != ".pxd" or not is_pyx(p))
    }
    missing = sorted(f"{source} -> {test}" for source, test in wanted.items() if not (ROOT / test).exists())
    assert not missing, "sources without a test of the same name:\n" + "\n".join(missing)


def is_pyx(path: Path) -> bool:
    return (ROOT / path).with_suffix(".pyx").exists()


def test_every_test_has_a_source_of_the_same_name():
    """A test whose source was renamed or taken away is found here. Tests of whole venues against other
    people's clients have no one source."""
    known = {mirror(p) for p in sources()}
    found = [
        p.relative_to(ROOT)
        for folder in ("ext", "node")
        for p in (ROOT / "tests" / folder).rglob("test_*.py")
    ]
    stray = sorted(str(p) for p in found if p not in known and not p.stem.startswith("test_interop_"))
    assert not stray, "tests without a source of the same name:\n" + "\n".join(stray)


# ---- habits ----


def python_functions(path: Path):
    """(name, first line, lines) of the functions of a Python file."""
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


HEAD = re.compile(
    r"^(\s*)(?:async\s+)?(?:def|cdef|cpdef)\s+(?!class\b|enum\b|extern\b|struct\b)[^=]*?(\w+)\s*\("
)


def cython_functions(path: Path):
    """(name, first line, lines) by indentation: a function ends where a line is no deeper than its head."""
    lines = text(path).splitlines()
    for start, line in enumerate(lines):
        head = HEAD.match(line)
        if head is None:
            continue
        end = start + 1
        while end < len(lines) and not lines[end - 1].split("#")[0].rstrip().endswith(":"):
            end += 1  # a head over several lines
        last = end - 1
        while end < len(lines) and (
            not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > len(head[1])
        ):
            last = end if lines[end].strip() else last
            end += 1
        yield head[2], start + 1, last - start + 1


@pytest.mark.parametrize("path", [p for p in sources() if p.suffix != ".pxd"], ids=str)
def test_no_function_is_longer_than_a_screen(path):
    functions = cython_functions(path) if path.suffix == ".pyx" else python_functions(path)
    long = [f"{path}:{line}: {name} has {n} lines" for name, line, n in functions if n > FUNCTION_LINES_MAX]
    assert not long, "\n".join(long)


def test_the_length_of_native_functions_is_measured():
    found = {name: n for name, _, n in cython_functions(Path("ext/book.pyx"))}
    assert found["crossed"] == 3
    assert 15 < found["ladder_apply"] < FUNCTION_LINES_MAX


CONTAINS = "ext/strategy.pyx"  # other people's code runs there: what it raises, once, whatever it is


def test_nothing_is_left_for_later_and_nothing_is_caught_blindly():
    words = re.compile(r"\b(TODO|FIXME|XXX)\b")
    blind = re.compile(r"\bexcept\s*:|\bexcept\s+\(?\s*(?:[\w.]+\s*,\s*)*(Base)?Exception\b")
    found = []
    for path in sources():
        found += [
            f"{path}:{n}: {line.strip()}"
            for n, line in enumerate(text(path).splitlines(), 1)
            if words.search(line)
        ]
        caught = [f"{path}:{n}: {line.strip()}" for n, line in code_lines(path) if blind.search(line)]
        found += caught[1:] if str(path) == CONTAINS else caught
    assert not found, "\n".join(found)


def test_the_hot_process_never_loads_what_only_the_slow_one_needs():
    """ccxt is 100 MB, and what it does is no business of the process that trades."""
    code = (
        "import sys, node.main, node.net.live; print([x for x in ('ccxt', 'node.slow') if x in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]", told.stdout
