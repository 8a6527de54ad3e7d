"""A run that is killed at random moments goes on to the same rows; benchmarks/kills.py does it a hundred times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system: left out killing runs")
def test_killed_runs_go_on_to_the_same_rows(weights: Callable[[str], Path]):
    weights("centerface"), weights("sface")
    command = [sys.executable, "-m", "benchmarks.kills", "--kills", "3", "--photos", "24", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == 3
