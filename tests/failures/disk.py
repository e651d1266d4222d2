"""Disks that fail on command: a library that stands in front of the C library's calls of a child process, and
file systems of a few megabytes where this machine lets us mount one."""

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# `inject(call, error)`: every such call on a tape's next segment fails from now on with that errno; 0 = no
# more. With -1 it does not come back before that, a disk that does not answer; `stuck()`: one waits so.
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static volatile int open_fails, allocate_fails, map_fails, rename_fails;
void inject(const char* call, int error) {
    if (!strcmp(call, "open")) open_fails = error;
    if (!strcmp(call, "posix_fallocate")) allocate_fails = error;
    if (!strcmp(call, "mmap")) map_fails = error;
    if (!strcmp(call, "rename")) rename_fails = error;
}
static volatile int waiting;
int stuck(void) { return waiting; }
static int hit(volatile int* fails) {
    for (; *fails == -1; usleep(1000)) waiting = 1;
    waiting = 0;
    return *fails;
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
int posix_fallocate(int fd, off_t at, off_t size) {
    int error = hit(&allocate_fails);
    return error ? error : REAL(posix_fallocate)(fd, at, size);
}
int posix_fallocate64(int fd, off_t at, off_t size) { return posix_fallocate(fd, at, size); }
int open(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    if (strstr(path, ".tape.new") && hit(&open_fails)) { errno = open_fails; return -1; }
    return REAL(open)(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return open(path, flags, mode);
}
void* mmap(void* at, size_t size, int how, int flags, int fd, off_t from) {
    int ours = fd >= 0 && (how & PROT_WRITE) && (flags & MAP_SHARED);
    if (ours && hit(&map_fails)) { errno = map_fails; return MAP_FAILED; }
    return REAL(mmap)(at, size, how, flags, fd, from);
}
void* mmap64(void* at, size_t size, int how, int flags, int fd, off_t from) {
    return mmap(at, size, how, flags, fd, from);
}
int rename(const char* from, const char* to) {
    if (strstr(from, ".tape.new") && hit(&rename_fails)) { errno = rename_fails; return -1; }
    return REAL(rename)(from, to);
}
"""


def library(folder: Path) -> Path:
    """The library, compiled; skips where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here to make the failing calls with")
    source, made = folder / "inject.c", folder / "inject.so"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-w", "-o", made, source, "-ldl"], check=True)
    return made


def child(code: str, *args: object, preload: Path | None = None) -> subprocess.Popen:
    """A Python process of this tree; its output is a pipe. With `preload`, it has `inject` and `stuck`."""
    before = "import ctypes\ninject = lambda call, error: ctypes.CDLL(None).inject(call.encode(), error)\n"
    before += "stuck = lambda: ctypes.CDLL(None).stuck()\n"
    text = (before if preload else "") + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, args)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.PIPE,
        env={"LD_PRELOAD": str(preload)} if preload else None,
    )


def told(process: subprocess.Popen) -> str:
    """What a child said to its end; fails where it did not end well."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    return out


@contextlib.contextmanager
def small_disk(where: Path, options: str) -> Iterator[Path]:
    """A tmpfs of its own; skips where we may not mount."""
    where.mkdir()
    with mounted(["-t", "tmpfs", "-o", options, "tmpfs", str(where)], where):
        yield where


@contextlib.contextmanager
def failing_disk(where: Path) -> Iterator[Callable[[], None]]:
    """An ext4 of its own in a file. What is yielded has the kernel find a fault in it and make it read-only
    under whoever uses it, as after an I/O error. Skips where this machine has no such thing."""
    image = where.with_suffix(".image")
    image.touch()
    os.truncate(image, 16 << 20)
    where.mkdir()
    if not shutil.which("mkfs.ext4") or subprocess.run(["mkfs.ext4", "-q", "-F", image]).returncode:
        pytest.skip("no ext4 can be made here")
    with mounted(["-o", "loop,errors=remount-ro", str(image), str(where)], where):
        source = next(
            x.split()[0] for x in Path("/proc/self/mounts").read_text().splitlines() if f" {where} " in x
        )
        trigger = Path("/sys/fs/ext4") / Path(source).name / "trigger_fs_error"
        if not os.access(trigger, os.W_OK):
            pytest.skip("this kernel fails no file system on command")
        yield lambda: trigger.write_text("1") and None


@contextlib.contextmanager
def mounted(arguments: list[str], where: Path) -> Iterator[None]:
    if shutil.which("mount") is None:
        pytest.skip("no mount command here")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this run may not mount a file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)
