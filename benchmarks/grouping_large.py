"""What grouping costs at a hundred thousand and a million faces, and when photos are added. By hand, some 10 minutes.

python -m benchmarks.grouping_large [--faces 100000 1000000] [--by-cells]

The faces are synthetic (``benchmarks.synthetic``). Each size has a process of its own, held to one thread, and prints
a JSON line: CPU seconds for the neighbour lists and for the groups, memory at most, how good the groups are, and the
CPU seconds to enter 100 more faces into the lists and to group again. ``--by-cells`` makes the lists cell by cell at
every size, where `visavis cluster` would compare all with all in a smaller archive.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.frame import ROOT
from benchmarks.synthetic import face_blocks, read_calibration

ADDED = 100
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


def measure(faces: int, *, by_cells: bool) -> dict[str, Any]:
    """Group so many faces, then add some."""
    from indexer.grouping import neighbour_lists
    from indexer.grouping.archive_groups import settings_for
    from indexer.grouping.cluster import cluster_faces
    from indexer.grouping.face_constraints import no_facts
    from trainer.metrics import clustering_figures

    blocks = [(b.embeddings.astype(np.float16), b.people) for b in face_blocks(read_calibration(), faces, seed=1)]
    embeddings, people = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
    blocks.clear()
    order = np.random.default_rng(0).permutation(faces)
    embeddings, people = embeddings[order], people[order]
    with mock.patch.object(neighbour_lists, "EXACT_FACES", 0 if by_cells else neighbour_lists.EXACT_FACES):
        times = [time.process_time()]
        lists = neighbour_lists.new_lists(embeddings[:-ADDED])
        times.append(time.process_time())
        cluster_faces(lists.neighbours, lists.similarities, no_facts(faces - ADDED), settings_for("sface"))
        times.append(time.process_time())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        lists = neighbour_lists.updated_lists(lists, np.arange(faces - ADDED), embeddings)
        times.append(time.process_time())
        found = cluster_faces(lists.neighbours, lists.similarities, no_facts(faces), settings_for("sface"))
        times.append(time.process_time())
    right = clustering_figures(people, found.labels)
    spent = np.round(np.diff(times), 2).tolist()
    return {
        "faces": faces,
        "CPU s": dict(zip(("lists", "groups", "lists with 100 more", "groups with 100 more"), spent, strict=True)),
        "peak MB": round(peak / 1e3),
        "BCubed F": round(right.bcubed.f, 4),
        "pairwise F": round(right.pairwise.f, 4),
        "threshold": round(found.threshold.similarity, 4),
    }


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--by-cells", action="store_true")
    options = parser.parse_args()
    if len(options.faces) == 1:
        print(json.dumps(measure(options.faces[0], by_cells=options.by_cells)), flush=True)
        return
    more = ["--by-cells"] if options.by_cells else []
    for faces in options.faces:
        command = [sys.executable, "-m", "benchmarks.grouping_large", "--faces", str(faces), *more]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **_ONE_THREAD}, check=True)


if __name__ == "__main__":
    main()
