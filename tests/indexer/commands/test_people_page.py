"""The example of docs/people.md does what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np

from indexer.album import write_whole
from indexer.archive import read_archive
from indexer.grouping.groups import FILE_NAME, only_groups, write_groups

PAGE = Path(__file__).parents[3] / "docs" / "people.md"
GROUPS = {"party.jpg": [0, 1, 0], "beach.jpg": [3, 3, 0]}
PHOTOS = {"party.jpg": [2, 0, 3], "beach.jpg": [4, 5, 6]}
PHOTOS |= {f"{number}.jpg": [direction] for number, direction in enumerate([0, 0, 1, 1, 4, 5])}
GROUPS |= {f"{number}.jpg": [group] for number, group in enumerate([1, 1, 2, 2, 3, 3])}


def test_the_example_runs_from_the_first_to_the_last_line(make_album, run, tmp_path, monkeypatch) -> None:
    album = make_album({name: [np.eye(8)[d].tolist() for d in faces] for name, faces in PHOTOS.items()})
    archive = read_archive(album)
    group_of = [GROUPS[path.rsplit("/", 1)[1]][archive.box(row)[0] // 100] for row, path in enumerate(archive.paths)]
    album.index.mkdir()
    write_whole(album.index / FILE_NAME, write_groups(only_groups(archive.faces.face_ids, np.array(group_of))))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISAVIS_ALBUM", str(album.root))
    lines = re.findall(r"^    visavis (.*)$", PAGE.read_text().split("## An example")[1].split("##")[0], re.MULTILINE)
    assert len(lines) == 12
    for line in lines:
        result = run(*shlex.split(re.sub(r"\s#.*", "", line)))
        assert result.exit_code == 0, f"visavis {line}: {result.output}"
    state = read_archive(album).people
    assert sorted(state.persons.values()) == ["Ann Lee", "Eva Lee"] and not state.ignored
    assert sorted(state.person_of.values()) == [1, 1, 1, 1, 2], "four faces of Ann, one of Eva"
    assert {path.name for path in tmp_path.glob("*.j*")} == {"group1.jpg", "parts.jpg", "people.json"}
