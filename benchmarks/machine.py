"""Where and when something was measured, and of which visavis."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Instructions that decide how fast networks run.
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "neon", "asimd")


def machine_facts() -> dict[str, Any]:
    """Describe the machine: processor, cores, telling instructions, memory, system."""
    entries = _cpu_entries()
    flags = entries.get("flags", entries.get("Features", "")).split()
    return {
        "processor": entries.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instructions": [flag for flag in _TELLING_FLAGS if flag in flags],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
    }


def now() -> str:
    """Give the time, ISO 8601 in UTC, to the minute."""
    return datetime.now(UTC).isoformat(timespec="minutes")


def commit() -> str:
    """Name the commit that is checked out; "unknown" where there is no git, a "+" where files were changed since."""
    try:
        name = _git("rev-parse", "--short=10", "HEAD")
        return name + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def _cpu_entries() -> dict[str, str]:
    """Read what Linux says of the first core; elsewhere nothing."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    lines = path.read_text().split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
