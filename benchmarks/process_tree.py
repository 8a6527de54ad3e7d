"""What Linux tells of a process and of all that it started."""

from __future__ import annotations

from pathlib import Path


def process_tree(root: int) -> dict[int, list[str]]:
    """Read /proc: process id → the fields of its ``stat`` after the name (proc(5)), ``root`` first.

    Empty if ``root`` has ended.
    """
    status: dict[int, list[str]] = {}
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            status[int(entry.name)] = fields
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [root]
    for process in tree:
        tree += children.get(process, [])
    return {process: status[process] for process in tree if process in status}
