"""`make sanitize`: the native code under AddressSanitizer, UBSan and Cython's own checks of bounds.

A copy of the sources in build/sanitize is built there, so that the build beside the sources stays as it is;
its tests of `ext` and the fuzz run follow. It ends at the first error, with what the sanitizer says of it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import typer

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "sanitize"
PARTS = ("bench", "deploy", "docs", "ext", "node", "tests")
FILES = ("README.md", "pyproject.toml", "setup.py")
BUILT = {".so", ".html", ".pyc"}  # never copied; nor is the C that Cython makes
# What cannot run there, and why. Names of tests, each with all of its parameters.
SKIPPED: dict[str, str] = {}
CASES = re.compile(r"(.+): ([\d,]+) cases")


class Failed(Exception):
    """A step found something, or could not be done; its text says what."""


def is_source(path: Path) -> bool:
    """Not what a build makes: the C files of `bench` are sources, those of `ext` are Cython's."""
    made = path.suffix in BUILT or path.name == "_build.json" or "__pycache__" in path.parts
    return not made and not (path.suffix == ".c" and "ext" in path.parts)


def copy(root: Path, place: Path) -> int:
    """Bring the copy up to date with its times, so that only what changed is built again; returns how many
    files were copied or taken away. What a build made there stays."""
    wanted = {x.relative_to(root) for part in PARTS for x in (root / part).rglob("*") if x.is_file()}
    wanted = {x for x in wanted if is_source(x)} | {Path(x) for x in FILES}
    changed = 0
    for name in sorted(wanted):
        old, new = root / name, place / name
        if not new.exists() or old.stat().st_mtime_ns != new.stat().st_mtime_ns:
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(old, new)
            changed += 1
            if name == Path("setup.py"):
                unbuild(place)
    for path in [x for part in PARTS for x in (place / part).rglob("*") if x.is_file()]:
        name = path.relative_to(place)
        if is_source(name) and name not in wanted:
            path.unlink()
            changed += 1
    return changed


def unbuild(place: Path) -> None:
    """Take away what was built: setup.py has the flags, and nothing else notices that those changed."""
    for path in [
        x for x in (place / "ext").rglob("*") if x.is_file() and not is_source(x.relative_to(place))
    ]:
        path.unlink()


def library() -> str:
    """Where gcc has its libasan: it must be in the process before Python's first allocation."""
    told = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False)
    if not Path(told.stdout.strip()).is_absolute():
        raise Failed("gcc has no libasan.so here: install the sanitizers of gcc (on Debian, libgcc-12-dev)")
    return told.stdout.strip()


def environment(place: Path, root: Path) -> dict[str, str]:
    """Of what runs there. Memory comes from malloc piece by piece, for the sanitizer sees no end of an object
    inside Python's own arenas. Recordings lie beside the project, and not beside its copy."""
    recordings = str(root.parent / "shared" / "recordings")
    return os.environ | {
        "LD_PRELOAD": library(),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(place),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TICKGATE_RECORDINGS": os.environ.get("TICKGATE_RECORDINGS", recordings),
    }


def build(place: Path) -> None:
    env = os.environ | {"TICKGATE_SANITIZE": "1"}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "-j", "2"]
    if subprocess.run(command, cwd=place, env=env, check=False).returncode:
        raise Failed("it does not build")


def test(place: Path, env: dict[str, str]) -> str:
    """Run tests/ext; what ran, in words. Standard error is left alone: the sanitizers' reports go there."""
    told = place / "tests.xml"
    command = [sys.executable, "-m", "pytest", "tests/ext", "-x", "-n", "2", "--capture=sys"]
    command += ["--max-worker-restart=0"]  # who ends with a report is not replaced
    command += ["-p", "no:faulthandler", "-W", "error::pytest.PytestUnraisableExceptionWarning"]
    command += [f"--junit-xml={told}"]
    for name in SKIPPED:
        command += ["--deselect", name]
    if subprocess.run(command, cwd=place, env=env, check=False).returncode:
        raise Failed("a test failed")
    (suite,) = ElementTree.parse(told).getroot()
    ran = int(suite.attrib["tests"]) - int(suite.attrib["skipped"])
    return f"{ran:,} tests of tests/ext ({suite.attrib['skipped']} skipped)"


def fuzz(place: Path, env: dict[str, str], count: int, seed: int) -> str:
    """Run tests/fuzz.py; what ran, in words."""
    where = place / "round"
    command = [sys.executable, "tests/fuzz.py", "--count", str(count), "--seed", str(seed)]
    command += ["--where", str(where)]
    cases = {}
    with subprocess.Popen(command, cwd=place, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := CASES.match(line):
                cases[found[1]] = found[2]
    if process.returncode:
        last = where.read_text().strip() if where.exists() else ""
        raise Failed(f"fuzz: it ended in the round {last}")
    return "mutated: " + "; ".join(f"{name} {n}" for name, n in cases.items())


def main(count: int = 20_000, seed: int = 1, only_fuzz: bool = False) -> None:
    """Build, test and fuzz. `count`: mutated frames for each decoder (others have a share of it)."""
    try:
        print(f"sanitize: {copy(ROOT, PLACE)} files changed in {PLACE}; building", flush=True)
        env = environment(PLACE, ROOT)
        build(PLACE)
        done = []
        if not only_fuzz:
            for name, why in SKIPPED.items():
                print(f"sanitize: without {name}: {why}", flush=True)
            done.append(test(PLACE, env))
        print(f"sanitize: fuzzing, seed {seed}", flush=True)
        done.append(fuzz(PLACE, env, count, seed))
    except Failed as failed:
        print(f"sanitize: {failed}", file=sys.stderr)
        raise SystemExit(1) from None
    print(f"sanitize: no error. {'; '.join(done)}")


if __name__ == "__main__":
    typer.run(main)
