"""What a decoding process gives up before it looks at a file. Whatever a system lacks is left out there."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
import tempfile
from contextlib import suppress

_ON_LINUX = sys.platform == "linux"
_MAX_DESCRIPTORS = 32
_CPU_GRACE_SECONDS = 5
"""The soft limit sends SIGXCPU, which says why the process ended; SIGKILL follows if that was not enough."""

_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000

_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Every right over files that a version of Landlock knows (linux/landlock.h)."""
_LANDLOCK_NETWORK_RIGHTS = 0b11
_LANDLOCK_SCOPES = 0b11


def leave_surroundings() -> None:
    """Once, in the process that forks: no network, no environment, and an empty folder that is already removed."""
    with suppress(OSError):  # Without a temporary folder it stays where it is, and can't write there either.
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
    os.environ.clear()
    if _ON_LINUX:
        libc = ctypes.CDLL(None, use_errno=True)
        # Root may leave the network at once; others need a user namespace for it, which a system may forbid.
        if libc.unshare(_CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def close_all_but(kept: int) -> None:
    """Close every descriptor beyond the standard ones that the forking process had open."""
    os.closerange(3, kept)
    os.closerange(kept + 1, kept + _MAX_DESCRIPTORS)


def limit_resources(memory_bytes: int, cpu_seconds: int) -> None:
    """Memory, processor time, descriptors; no file written, no core dumped, and but for root no process or thread."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_DESCRIPTORS)
    _limit(resource.RLIMIT_NPROC, 0)
    _limit(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + _CPU_GRACE_SECONDS)
    # macOS knows the name and refuses the limit.
    with suppress(OSError, ValueError):
        _limit(resource.RLIMIT_AS, memory_bytes)


def lock_files() -> None:
    """Linux 5.13 and later: no path can be opened any more, and newer still: no port and no signal to others."""
    if not _ON_LINUX:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return
    rules = _ruleset(version)
    handle = libc.syscall(_LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    if handle >= 0:
        libc.syscall(_LANDLOCK_RESTRICT_SELF, handle, 0)
        os.close(handle)


def _ruleset(version: int) -> bytes:
    """`struct landlock_ruleset_attr` that handles everything and so, without a rule, forbids it."""
    files = _LANDLOCK_FILE_RIGHTS[min(version, max(_LANDLOCK_FILE_RIGHTS))]
    if version < 4:
        return struct.pack("=Q", files)
    if version < 6:
        return struct.pack("=QQ", files, _LANDLOCK_NETWORK_RIGHTS)
    return struct.pack("=QQQ", files, _LANDLOCK_NETWORK_RIGHTS, _LANDLOCK_SCOPES)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit for good, never above what the process was given."""
    _, given = resource.getrlimit(kind)
    ceiling = soft if hard is None else hard
    if given != resource.RLIM_INFINITY:
        ceiling = min(ceiling, given)
    resource.setrlimit(kind, (min(soft, ceiling), ceiling))
