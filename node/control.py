"""What an operator may tell a running node, without its socket: one request as a dict in, one reply as a
dict out.

Everything asked for and what came of it is on the tape. A node can be held back by anybody who may talk to
it; only `resume`
lets it go on, with a reason, and not while the cause still holds. Limits can be tightened here and never
be loosened.
A file beside the tape says the same to a node that does not run, or does not listen (`node.latch`).
"""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ext import build_id
from ext.records import Desk, HaltReason, Latch, StrategyOff
from node.amounts import amount_text
from node.assembly import MARKET_NAMES, Assembly
from node.config import Config
from node.errors import UserError, cause
from node.guarded import Guarded
from node.latch import NAME, Latched, read_latch, utc_text, write_latch
from node.limits import AT_START, changes
from node.linestats import line_rows, line_states
from node.phrases import RELEASED, RESTARTED, command, latch_name, latches_of, resume_command, way_out
from node.recall import Recalled
from node.truth.halts import Tell
from node.truth.release import Released

OK, USAGE, HELD = 0, 2, 3  # exit codes that a reply can ask for
SECONDS = 1_000_000_000
DAY_NS = 86_400 * SECONDS
PPM = 1_000_000
STOP = 2
OPERATOR = int(Latch.LATCH_OPERATOR)
FREED = (HaltReason.HALT_OPERATOR, HaltReason.HALT_STOP, HaltReason.HALT_MARGIN)
OFF_WORDS = {
    int(StrategyOff.OFF_OPERATOR): "by a person",
    int(StrategyOff.OFF_FAULTS): "it raised, hung or proposed nonsense too often",
    int(StrategyOff.OFF_REPEAT): "it made the same trade again and again",
}
KEYS: dict[str, set[str]] = {
    "status": set(),
    "halt": {"reason"},
    "flatten": {"reason"},
    "resume": {"reason", "reset_peak"},
    "stop": {"reason"},
    "limits": {"file"},
}  # what a request may have besides `do`
REASON_MOST = 500
PATH_MOST = 4096
NOTHING: Mapping[tuple[int, int], str] = {}
Request = dict[str, Any]
Answer = dict[str, Any]


class Control:
    """Over one node. `reread` gives the config file as it is now (None: there is none), `stop` ends the
    node, `note` puts a dict
    on the tape."""

    def __init__(
        self,
        desk: Assembly,
        directory: Path,
        tell: Tell,
        note: Callable[[dict[str, Any]], None],
        *,
        started_ns: int = 0,
        reread: Callable[[], Config] | None = None,
        stop: Callable[[], None] | None = None,
        file: Path | None = None,
    ):
        self.desk, self.engine, self.directory = desk, desk.engine, directory
        self.tell, self.note = tell, note
        self.started_ns, self.reread, self.stop = started_ns, reread, stop
        self.file = None if file is None else file.absolute()  # that the node was started from
        self.resumed: Callable[[], None] = lambda: None  # a person let go what held the node
        self.release: Callable[[int], Released] = lambda now_ns: Released()  # ... and the halts of the keeper
        self.look_now: Callable[[int], None] = lambda now_ns: None  # ask the venues for every list at once
        self.listed: Callable[[], dict[int, int]] = dict  # market -> its last list was asked for, ns
        self.tape_causes: Callable[[], list[str]] = list  # what is the matter with the record, in words
        self.because: dict[int, tuple[str, int]] = {}  # latch -> why, and since when (ns; 0: not known)
        self.bare_ns: dict[int, int] = {}  # instrument -> since when part of its position has no protection
        self.seen: tuple[int, int] | None = None  # the latch file that was obeyed: its change and its number
        self.guarded = None if desk.config.guard is None else Guarded(directory, started_ns)

    # ---- at start ----

    def begin(self, recalled: Recalled, now_ns: int, *, looping: bool = False) -> list[str]:
        """What earlier runs were held by holds again, and what a latch file says; to be called before any
        line is up. `looping`: one start after the other ended badly, and this one only looks and cancels.
        Returns a line for each."""
        told = []
        if looping and int(Latch.LATCH_LOOP) not in recalled.latches:
            self.engine.latch(int(Latch.LATCH_LOOP), True, now_ns)
            self.because[int(Latch.LATCH_LOOP)] = ("one start after the other ended badly", now_ns)
            told.append(
                "latched: one start after the other ended badly: open orders are cancelled, nothing new is "
                f"sent; find out why, then {resume_command(self.directory)}"
            )
        if recalled.damage:
            self.engine.latch(OPERATOR, True, now_ns)
            self.because[OPERATOR] = ("the tape is damaged", now_ns)
            told.append(
                f"latched: the tape is damaged, and what held an earlier run may be behind that: "
                f"{recalled.damage}; look at it (docs/TAPE.md), then {resume_command(self.directory)}"
            )
        if recalled.peak is not None:
            told += self._restore_peak(recalled.peak, now_ns)
        for day, count in recalled.day_trades.items():
            self.engine.restore_day_trades(count, day, now_ns)
        for why in sorted(recalled.latches):
            self.engine.latch(why, True, now_ns)
            self.because.setdefault(why, ("since an earlier run", 0))
            release = f"{resume_command(self.directory)} releases it"
            told.append(f"latched since an earlier run: {latch_name(why)}; {release}")
        for (place, why), level in sorted(recalled.halts.items()):
            number = self.desk.numbers.get(place)
            if number is not None:
                self.engine.halt(number, why, level, now_ns)
                word = "stopped" if level == STOP else "reduce only"
                told.append(f"{self._name(number)}: still {word}: {self._halt_word(why)}")
        for number, why in sorted(recalled.off.items()):
            if number < len(self.engine.strategies):
                self.engine.strategy_off(number, why, now_ns)
                told.append(f"strategy {number}: still switched off")
        if recalled.flattening:
            self.engine.flatten(-1, int(HaltReason.HALT_OPERATOR), now_ns)
            told.append("flatten: goes on until everything is closed")
        for place in sorted(recalled.closing):
            number = self.desk.numbers.get(place)
            if number is not None:
                self.engine.flatten(number, int(HaltReason.HALT_STOP), now_ns)
                told.append(f"{self._name(number)}: a loss stop goes on closing the position")
        return told + self.poll(now_ns)

    def _restore_peak(self, peak: tuple[int, int, int], now_ns: int) -> list[str]:
        """A day that is yet to come was told by a clock that has gone back since: the peak holds."""
        peak_e8, day_e8, day = peak
        today = now_ns // DAY_NS
        self.engine.restore_peak(peak_e8, day_e8, min(day, today), now_ns)
        if day <= today:
            return []
        return [
            f"the clock went back: the tape's equity is of {_date(day)} and today is {_date(today)}; "
            "its peak holds, and its day counts as today"
        ]

    def poll(self, now_ns: int) -> list[str]:
        """Obey the latch file, if there is one that was not obeyed yet; see what has no protection. Returns
        what is to be told. Cheap where there is none."""
        self._see_bare(now_ns)
        self._look(now_ns)
        told = [] if self.guarded is None else self.guarded.look(now_ns)
        return told + self._poll_file(now_ns)

    def _poll_file(self, now_ns: int) -> list[str]:
        key = _file_key(self.directory / NAME)
        if key is None or key == self.seen:
            self.seen = key
            return []
        self.seen = key
        found = read_latch(self.directory)
        if found is None:
            return []
        behind = [x for x in found.behind if self.because.get(_latch_of(x)) != _said(x)]
        return [self._obey(x, now_ns) for x in (*behind, found)]

    def _obey(self, found: Latched, now_ns: int) -> str:
        """One latch of the file; what is to be told of it."""
        why = _latch_of(found)
        asked = self._hold(why, found.flatten, now_ns)
        self.because[why] = _said(found)
        self.note(
            {
                "event": "latch file",
                "latch": found.latch,
                "flatten": found.flatten,
                "reason": found.reason,
                "orders": asked,
            }
        )
        word = "flatten" if found.flatten else "halt"
        return f"{NAME}: {word} by the {found.latch}: {found.reason or 'no reason given'}"

    # ---- requests ----

    def do(self, request: Any, now_ns: int, uid: int = -1) -> Answer:
        """Carry out one request: {"do": status | halt | flatten | resume | stop | limits, ...}. Never
        raises for what somebody
        asked: the reply has `ok`, `code` (an exit code) and, where it is not ok, `error`."""
        try:
            name = self._checked(request)
            answer = getattr(self, f"_{name}")(request, now_ns)
        except UserError as error:
            name, answer = "refused", {"code": USAGE, "error": str(error)}
        answer.setdefault("code", OK)
        answer["ok"] = answer["code"] == OK
        if name != "status":
            told = {k: answer[k] for k in ("code", "error", "cancelling", "cleared", "held") if k in answer}
            asked = request if isinstance(request, dict) else None
            self.note({"event": "control", "uid": uid, "request": asked, "outcome": told})
            self.tell("control", f"{name}: {answer.get('error') or 'done'}")
        return answer

    def _checked(self, request: Any) -> str:
        """The name of a request that can be meant. Raises UserError."""
        if not isinstance(request, dict) or not isinstance(request.get("do"), str):
            raise UserError('a request must be a JSON object with "do"')
        name = request["do"]
        if name not in KEYS:
            raise UserError(f"{name[:40]!r}: must be one of {', '.join(KEYS)}")
        unknown = sorted(set(map(str, request)) - KEYS[name] - {"do"})
        if unknown:
            raise UserError(f"{name}: unknown key {unknown[0][:40]!r}")
        reason = request.get("reason", "")
        if not isinstance(reason, str) or len(reason) > REASON_MOST:
            raise UserError(f"{name}: reason: must be text of at most {REASON_MOST} characters")
        file = request.get("file", "")
        if not isinstance(file, str) or len(file) > PATH_MOST or "\0" in file:
            raise UserError(f"{name}: file: must be a path")
        if not isinstance(request.get("reset_peak", False), bool):
            raise UserError(f"{name}: reset_peak: must be true or false")
        return name

    def _halt(self, request: Request, now_ns: int) -> Answer:
        return self._held_back(request, False, now_ns)

    def _flatten(self, request: Request, now_ns: int) -> Answer:
        return self._held_back(request, True, now_ns)

    def _held_back(self, request: Request, flatten: bool, now_ns: int) -> Answer:
        """Latch and cancel first; then the file, so that a start without this tape knows of it too."""
        asked = self._hold(OPERATOR, flatten, now_ns)
        self.look_now(now_ns)  # that nothing is open is a fact once a list says so
        answer: Answer = {"cancelling": asked, "asked_ns": now_ns, **self._left()}
        latched = Latched("operator", flatten, str(request.get("reason", "")), now_ns)
        self.because[OPERATOR] = _said(latched)
        try:
            write_latch(self.directory, latched)
            self.seen = _file_key(self.directory / NAME)
        except OSError as error:  # the tape has the latch
            answer["warning"] = f"{NAME}: {cause(error)}: the latch is on the tape only"
        return answer

    def _hold(self, why: int, flatten: bool, now_ns: int) -> int:
        """Nothing new, everything cancelled now; what protects or closes a position stays. Returns how
        many orders that is."""
        engine = self.engine
        engine.latch(why, True, now_ns)
        resting = [x for x in engine.orders.open_orders() if not self._is_own(x)]
        if flatten:
            engine.flatten(-1, int(HaltReason.HALT_OPERATOR), now_ns)
        else:
            for number in range(engine.instruments.count):
                engine.halt(number, int(HaltReason.HALT_OPERATOR), STOP, now_ns)
        return sum(engine.want_cancel(x, now_ns) for x in resting)

    def _is_own(self, order_id: int) -> bool:
        """An exit or a protective order: of no strategy, and no new risk."""
        row = self.engine.orders.order(order_id)
        return row is not None and (row["strategy"] <= Desk.DESK_EXIT or self.engine.protects(order_id))

    def _left(self) -> Answer:
        """What is still open, and positions with a leg that is not flat. What is too small for any order is
        dust, and no position."""
        engine = self.engine
        held = [i for i in range(engine.instruments.count) if not engine.is_flat(i)]
        return {**self._open(engine.orders.open_orders()), "open_positions": len(held)}

    def _open(self, orders: list[int]) -> Answer:
        """How many of these open orders are of strategies and earlier runs, how many protect a position, and
        how many close one."""
        stops = sum(map(self.engine.protects, orders))
        own = sum(map(self._is_own, orders))
        return {"open_orders": len(orders) - own, "protective_stops": stops, "exits": own - stops}

    def _resume(self, request: Request, now_ns: int) -> Answer:
        """Let go what a person or a loss stop held, unless its cause is still there."""
        reason = request.get("reason", "").strip()
        if not reason:
            raise UserError("resume: give a reason (--reason TEXT): it is recorded")
        engine, resets = self.engine, bool(request.get("reset_peak"))
        if resets and not engine.equity.known:
            raise UserError("resume: --reset-peak: the equity is not known yet")
        causes = self.causes(from_here=resets)
        causes += [f"latched meanwhile: {x}: look, and resume again" for x in self._take_file(now_ns)]
        if causes:
            return {"code": HELD, "error": f"not resumed: {'; '.join(causes)}", "held": causes}
        self.note({"event": "resume", "reason": reason, "reset_peak": resets})  # in front of what it does
        if resets:
            self._reset_peak(now_ns)
        cleared = [latch_name(x) for x in RELEASED if engine.risk.latches >> int(x) & 1]
        for number in range(engine.instruments.count):
            held = engine.risk.halts(number)
            for why in FREED:
                if why.name in held:
                    cleared.append(f"{self._name(number)}: {self._halt_word(int(why))}")
                engine.resume(number, int(why), now_ns)
        for why in RELEASED:
            engine.latch(int(why), False, now_ns)
        released = self.release(now_ns)
        cleared += [f"{self._name(number)}: {self._halt_word(why)}" for number, why in released.ended]
        self.resumed()
        for number in range(len(engine.strategies)):
            if engine.risk.off(number):
                engine.strategy_on(number, now_ns)
                cleared.append(f"strategy {number}: switched off")
        return {"cleared": cleared, "held": self._held(now_ns, released.stays)}

    def _take_file(self, now_ns: int) -> list[str]:
        """Remove the latch file that was obeyed. One that somebody wrote since is put back and obeyed:
        returns what is to be told of it. (The latch itself is on the tape until it is released there.)"""
        path, aside = self.directory / NAME, self.directory / f"{NAME}.resumed"
        told = self._poll_file(now_ns)
        if told or self.seen is None:
            return told
        try:
            path.replace(aside)  # looked at where nobody replaces it any more
        except OSError as error:
            return [f"{NAME} cannot be removed: {error.strerror}"]
        if _file_key(aside) != self.seen:
            aside.replace(path)
            return self._poll_file(now_ns)
        aside.unlink(missing_ok=True)
        self.seen = None
        return []

    def _reset_peak(self, now_ns: int) -> None:
        """From now on drawdown is measured from here. What was, is on the tape."""
        equity = self.engine.equity
        worth = equity.sums()["equity_e8"]
        self.note({"event": "peak reset", "from_e8": equity.peak_e8, "to_e8": worth})
        self.engine.restore_peak(worth, equity.day_e8, equity.day, now_ns)

    def causes(self, from_here: bool = False) -> list[str]:
        """Why nobody should resume now: a loss that is still beyond its limit (`from_here`: but for the
        drawdown, as a new peak is about to begin), a fault that only a restart mends."""
        held = latches_of(self.engine.risk.latches)
        broken = sum(1 << int(x) for x in RESTARTED if x in held)
        out = [way_out(broken, self.directory, self.directory)] if broken else []
        if Latch.LATCH_TAPE in held:
            why = "; ".join(self.tape_causes()) or "the record cannot be written"
            out.append(f"tape: {why}: {way_out(1 << int(Latch.LATCH_TAPE), '', self.directory)}; then resume")
        return out + self._losses(from_here)

    def _losses(self, from_here: bool) -> list[str]:
        equity, limits = self.engine.equity, self.engine.risk.table.as_dict()
        account, out = limits["account"], []
        if equity.measured:  # as the stops do
            worth = equity.sums()["equity_e8"]
            most_ppm, lost = account["max_drawdown_ppm"], equity.peak_e8 - worth
            if (
                not from_here
                and most_ppm >= 0
                and equity.peak_e8 > 0
                and lost * PPM > most_ppm * equity.peak_e8
            ):
                out.append(
                    f"equity {money(worth)} is {lost * 10_000 // equity.peak_e8} bps below its "
                    f"peak {money(equity.peak_e8)} and the "
                    f"limit is {most_ppm // 100} bps; --reset-peak starts a new peak, on the record"
                )
            lost = equity.day_e8 - worth
            if 0 <= account["max_daily_loss_e8"] < lost:
                out.append(
                    f"the day's loss of {money(lost)} is beyond the limit of "
                    f"{money(account['max_daily_loss_e8'])}; "
                    "the day ends at midnight UTC"
                )
        for number, row in enumerate(limits["instruments"]):
            if (
                self.engine.account.position(number)["lots"]
                and 0 <= row["max_loss_e8"] < -equity.worth(number)["open_e8"]
            ):
                out.append(
                    f"{self._name(number)}: the open loss is beyond the limit of "
                    f"{money(row['max_loss_e8'])}; close it first"
                )
        return out

    def _stop(self, request: Request, now_ns: int) -> Answer:
        """End the node in order: it cancels what is open."""
        if self.stop is None:
            raise UserError("stop: nobody can stop this node from here")
        self.stop()
        return self._left()

    def _limits(self, request: Request, now_ns: int) -> Answer:
        """Take over the limits of the config file, where none is looser than what is in force."""
        if self.reread is None:
            raise UserError("limits: this node was not started from a file")
        asked = request.get("file", "")
        if asked and self.file is not None and not _is_same(Path(asked), self.file):
            raise UserError(
                f"limits: {asked} is not the file that this node was started from: it takes over the limits "
                f"of {self.file} only; change that one, and name it"
            )
        new = self.desk.effective_of(self.reread())
        old = self.desk.effective.tables
        if old.keys() != new.tables.keys():
            scope = sorted(old.keys() ^ new.tables.keys())[0]
            raise UserError(
                f"limits: {scope}: instruments and tables cannot come or go while the node runs: restart it"
            )
        found = changes(old, new.tables)
        looser = [x.to_json() for x in found if x.is_looser]
        if looser:
            first = looser[0]
            return {
                "code": HELD,
                "error": f"limits: {first['scope']}: {first['key']} {first['old']} -> "
                f"{first['new']} is looser: "
                "limits can only be tightened here; a restart compares them with the last run's",
                "changes": looser,
            }
        fixed = [x for x in found if x.scope == "stops" or x.key in AT_START]
        if fixed:
            raise UserError(
                f"limits: {fixed[0].scope}: {fixed[0].key}: cannot change while the node runs: restart it"
            )
        cancelling = self.desk.tighten(new, now_ns)
        self.note({"event": "limits", "limits": new.tables})
        return {"changes": [x.to_json() for x in found], "cancelling": cancelling}

    # ---- how it is ----

    def _status(self, request: Request, now_ns: int) -> Answer:
        engine, config = self.engine, self.desk.config
        answer: Answer = {
            "build": build_id(),
            "mode": config.mode,
            "strategy": config.strategy,
            "deployment": config.deployment,
            "uptime_s": round((now_ns - self.started_ns) / SECONDS, 3),
            "held": self._held(now_ns),
            "latches": [
                {"latch": latch_name(x), "why": why, "since_ns": since_ns}
                for x, (why, since_ns) in sorted(self.because.items())
            ],
            "way_out": way_out(engine.risk.latches, self.directory, self.directory),
            "equity": self._equity(),
            "instruments": [self._instrument(i, now_ns) for i in range(engine.instruments.count)],
            "lines": line_states(engine),
            "feeds": line_rows(engine),
            "refusals": {k: v for k, v in engine.risk.refusals().items() if v},
            "latched_refusals": {latch_name(Latch[k]): v for k, v in engine.risk.latched_refusals().items()},
            "limits_version": engine.risk.limits_version,
            "guard": self._guard(now_ns),
            "listed": [
                {"market": MARKET_NAMES[market], "at_ns": at_ns} for market, at_ns in self.listed().items()
            ],
        }
        return answer | self._left()

    def _guard(self, now_ns: int) -> Answer | None:
        """Does one watch, and for how long has none; None where the config has no [guard]."""
        if self.guarded is None:
            return None
        watches = self.guarded.watches
        gone_s = 0.0 if watches else (now_ns - self.guarded.since_ns) / SECONDS
        return {"watches": watches, "gone_s": round(gone_s, 3)}

    def _held(self, now_ns: int, stays: Mapping[tuple[int, int], str] = NOTHING) -> list[str]:
        """Everything that holds the node back, in words. `stays`: (instrument, HaltReason) -> why it was not
        ended just now."""
        engine = self.engine
        self._look(now_ns)
        out = [f"latched: {self.described(x, now_ns)}" for x in sorted(self.because)]
        for number in range(engine.instruments.count):
            for name, level in engine.risk.halts(number).items():
                word = "stopped" if level == STOP else "reduce only"
                halt = HaltReason[name]
                why = stays.get((number, int(halt)), "")
                text = f"{self._name(number)}: {word}: {self._halt_word(halt)}"
                out.append(f"{text}: {why}" if why else text)
            if (cool_ns := engine.risk.cooling_ns(number, now_ns)) > 0:
                out.append(
                    f"{self._name(number)}: cools down after a stop or a flatten: no new risk for "
                    f"{-(-cool_ns // SECONDS)} s more ([stops] cooldown_s)"
                )
        if self.desk.rest and not engine.equity.known:
            out.append("equity is not known: nothing new is sent where a limit needs it")
        if self.guarded is not None and self.guarded.is_missing(now_ns):
            start = command("guard", "CONFIG")
            out.append(
                f"{self.guarded.text(now_ns)}; it still trades; the log says why, or start one: {start}"
            )
        off = [n for n in range(len(engine.strategies)) if engine.risk.off(n)]
        return out + [f"{self._off_text(n)}: {self._mended()}" for n in off]

    def _off_text(self, number: int) -> str:
        """A strategy that is switched off: its number and name, and why."""
        why = OFF_WORDS.get(self.engine.risk.off(number), "its cause is not known")
        name = type(self.engine.strategies[number]).__name__
        return f"strategy {number} ({name}): switched off: {why}"

    def _mended(self) -> str:
        return (
            f"the log says what it did; mend it and start the node again, or {resume_command(self.directory)}"
        )

    def _look(self, now_ns: int) -> None:
        """What latched by itself is known from here on; what was released is forgotten."""
        held = [int(x) for x in latches_of(self.engine.risk.latches)]
        self.because = {x: why for x, why in self.because.items() if x in held}
        for latch in (x for x in held if x not in self.because):
            fired = self.engine.stops.state()["fired"] if latch == Latch.LATCH_STOP else []
            self.because[latch] = (", ".join(fired), now_ns)
        if Latch.LATCH_TAPE in self.because and (causes := self.tape_causes()):
            self.because[int(Latch.LATCH_TAPE)] = ("; ".join(causes), self.because[int(Latch.LATCH_TAPE)][1])

    def described(self, latch: int, now_ns: int) -> str:
        """A latch that is on: its name, why, and since when."""
        self._look(now_ns)
        why, since_ns = self.because.get(latch, ("", 0))
        since = f" (since {utc_text(since_ns)})" if since_ns else ""
        return f"{latch_name(latch)}{': ' if why else ''}{why}{since}"

    def _equity(self) -> Answer | None:
        """In the account's currency; None where the capital was not told yet."""
        equity = self.engine.equity
        if not equity.known:
            return None
        worth, peak = equity.sums()["equity_e8"], equity.peak_e8
        lost_bps = max(0, (peak - worth) * 10_000 // peak) if peak > 0 else 0
        day = money(worth - equity.day_e8)
        return {"equity": money(worth), "peak": money(peak), "drawdown_bps": lost_bps, "today": day}

    def _see_bare(self, now_ns: int) -> None:
        bare = self.engine.stops.shields.bare
        found = [i for i in range(self.engine.instruments.count) if bare(i)]
        self.bare_ns = {i: self.bare_ns.get(i, now_ns) for i in found}

    def _instrument(self, number: int, now_ns: int) -> Answer:
        engine = self.engine
        lots, bare = engine.account.position(number)["lots"], engine.stops.shields.bare(number)
        return {
            "name": self._name(number),
            "position": amount_text(engine.instruments, number, lots),
            "position_base": self.desk.base_text(number, lots),
            **self._open(engine.orders.open_orders(number)),
            "halts": engine.risk.halts(number),
            "halted_by": [self._halt_word(HaltReason[x]) for x in engine.risk.halts(number)],
            "cooldown_s": -(-engine.risk.cooling_ns(number, now_ns) // SECONDS),
            "unprotected": amount_text(engine.instruments, number, bare),
            "unprotected_base": self.desk.base_text(number, bare),
            "unprotected_s": round((now_ns - self.bare_ns.get(number, now_ns)) / SECONDS, 3),
        }

    def _halt_word(self, why: int) -> str:
        """A HaltReason for people. The guard's latch holds each symbol as an operator's does, and is none."""
        latches = latches_of(self.engine.risk.latches)
        is_guard = Latch.LATCH_GUARD in latches and Latch.LATCH_OPERATOR not in latches
        return "guard" if why == HaltReason.HALT_OPERATOR and is_guard else halt_name(why)

    def _name(self, number: int) -> str:
        instruments = self.engine.instruments
        return f"{MARKET_NAMES[instruments.market(number)]} {instruments.symbol(number)}"


def _file_key(path: Path) -> tuple[int, int] | None:
    """What tells one latch file from the next: its change and its number. None where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return -1, error.errno or 0
    return stat.st_mtime_ns, stat.st_ino


def _is_same(one: Path, other: Path) -> bool:
    """Do both paths lead to one file?"""
    try:
        return one.resolve() == other.resolve() or one.samefile(other)
    except (OSError, RuntimeError):  # one is not there; links in a circle
        return False


def _latch_of(latched: Latched) -> int:
    return int(Latch.LATCH_GUARD) if latched.latch == "guard" else OPERATOR


def _said(latched: Latched) -> tuple[str, int]:
    """Why a person or the guard latched, in words, and when."""
    return f"{'flatten' if latched.flatten else 'halt'}, {latched.reason or 'no reason given'}", latched.at_ns


def _date(day: int) -> str:
    return str(date(1970, 1, 1) + timedelta(days=day))


def money(e8: int) -> str:
    """1e-8 of a currency as plain text with two decimals, rounded towards zero."""
    cents = abs(e8) // 1_000_000
    return f"{'-' if e8 < 0 else ''}{cents // 100}.{cents % 100:02d}"


def halt_name(why: int) -> str:
    return HaltReason(why).name.removeprefix("HALT_").lower()
