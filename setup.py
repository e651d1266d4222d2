"""Build the native rooms under ext/.

Every `ext/**/*.pyx` becomes one extension. Optimised builds use this machine's own instruction set;
`TICKGATE_PORTABLE=1` builds binaries that run on any machine of the same architecture;
`TICKGATE_SANITIZE=1` builds with AddressSanitizer, UBSan and Cython's own checks of bounds (`make sanitize`).
After a build, `ext/_build.json` records what it was made from, so that a stale binary is refused at import
(see `ext/__init__.py`).
"""

import json
import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))
os.environ["TICKGATE_BUILDING"] = "1"
from ext import source_hash  # noqa: E402  (the one definition of "what the binaries are made from")

PORTABLE = os.environ.get("TICKGATE_PORTABLE") == "1"
SANITIZE = os.environ.get("TICKGATE_SANITIZE") == "1"
SANITIZERS = ["-fsanitize=address,undefined"]


def flags() -> list[str]:
    out = [
        "-O3",
        "-fno-strict-aliasing",
        "-Wno-unused-function",
        "-Wno-unreachable-code",
        "-Wno-sign-compare",
        "-g0",
    ]
    if not PORTABLE:
        # generic tuning: gcc's own choice for these machines spills integers to vector registers (5 % slower,
        # measured)
        out += ["-march=native", "-mtune=generic"]
    if SANITIZE:
        out += [*SANITIZERS, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1", "-O1"]
    return out


def extensions() -> list[Extension]:
    return [
        Extension(
            ".".join(path.relative_to(ROOT).with_suffix("").parts),
            [str(path.relative_to(ROOT))],
            include_dirs=["ext"],
            depends=[str(p.relative_to(ROOT)) for p in sorted(ROOT.glob("ext/**/*.h"))],
            extra_compile_args=flags(),
            extra_link_args=SANITIZERS if SANITIZE else [],
        )
        for path in sorted(ROOT.glob("ext/**/*.pyx"))
    ]


class BuildAndStamp(build_ext):
    """Compile, then write the stamp that import compares with the sources."""

    def run(self) -> None:
        stamp = Path(self.build_lib if not self.inplace else ROOT) / "ext" / "_build.json"
        stamp.unlink(missing_ok=True)
        super().run()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(
            json.dumps({"source": source_hash(ROOT / "ext"), "portable": PORTABLE, "sanitize": SANITIZE})
            + "\n"
        )


Options.emit_code_comments = False  # half the size of the C files, which is what compiling them costs
setup(
    # TICKGATE_BUILT=1: the extensions lie beside their sources; an editable install would compile them again
    ext_modules=[]
    if os.environ.get("TICKGATE_BUILT") == "1"
    else cythonize(
        extensions(),
        nthreads=os.cpu_count() or 1,
        force=os.environ.get("TICKGATE_ANNOTATE")
        == "1",  # annotated HTML comes out only where C is made anew
        annotate=os.environ.get("TICKGATE_ANNOTATE") == "1",
        compiler_directives={
            "language_level": 3,
            "boundscheck": SANITIZE,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": SANITIZE,
            "binding": True,
            "auto_pickle": False,
        },
    ),
    cmdclass={"build_ext": BuildAndStamp},
)
