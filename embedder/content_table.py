"""What a run knows of the contents it has seen, in 55 to 90 bytes each: millions of them shall not fill the memory."""

from __future__ import annotations

from array import array
from datetime import datetime, timedelta

from embedder.rows import Content, with_zone, without_zone

_EPOCH = datetime(1970, 1, 1)
_NEVER, _NO_OFFSET = -(1 << 63), -(1 << 15)
_LEAST_SLOTS = 1 << 10
_FULL = 0.6  # share of the slots from which on there are more of them


class ContentTable:
    """photo_id → ``Content``. One thread may add while others look up: what is just being added may not be found."""

    def __init__(self) -> None:
        self._sizes, self._times, self._offsets = array("i"), array("q"), array("h")
        self._slots = _Slots(_LEAST_SLOTS)

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, photo_id: str) -> bool:
        return self._slots.row(*_key(photo_id)) is not None

    def get(self, photo_id: str) -> Content | None:
        """Give what is known of a content; None if it was not added."""
        row = self._slots.row(*_key(photo_id))
        if row is None:
            return None
        width, height, n_faces = self._sizes[3 * row : 3 * row + 3]
        time, offset = self._times[row], self._offsets[row]
        local = None if time == _NEVER else _EPOCH + timedelta(milliseconds=time)
        return Content(width, height, with_zone(local, None if offset == _NO_OFFSET else offset), n_faces)

    def add(self, photo_id: str, content: Content) -> None:
        """Add a content; one that is there already stays as it is."""
        key = _key(photo_id)
        if self._slots.row(*key) is not None:
            return
        local, offset = without_zone(content.taken_at)
        self._sizes.extend((content.width, content.height, content.n_faces))
        self._times.append(_NEVER if local is None else (local - _EPOCH) // timedelta(milliseconds=1))
        self._offsets.append(_NO_OFFSET if offset is None else offset)
        if len(self) > _FULL * self._slots.count:
            self._slots = self._slots.doubled()
        self._slots.put(*key, len(self) - 1)


class _Slots:
    """A hash table with open addressing: two halves of a key → row."""

    def __init__(self, count: int) -> None:
        """Make an empty table of ``count`` slots, a power of two."""
        self.count = count
        self._keys = array("Q", bytes(16 * count))
        self._rows = array("i", b"\xff\xff\xff\xff" * count)  # −1: free

    def row(self, first: int, second: int) -> int | None:
        """Give the row of a key; None if it has none."""
        row = self._rows[self._place(first, second)]
        return None if row < 0 else row

    def put(self, first: int, second: int, row: int) -> None:
        """Give a new key its row."""
        place = self._place(first, second)
        self._keys[2 * place], self._keys[2 * place + 1] = first, second
        self._rows[place] = row  # last: whoever looks up meanwhile finds the key whole, or not at all

    def doubled(self) -> _Slots:
        """Make a table of twice as many slots with the same keys."""
        larger = _Slots(2 * self.count)
        for place, row in enumerate(self._rows):
            if row >= 0:
                larger.put(self._keys[2 * place], self._keys[2 * place + 1], row)
        return larger

    def _place(self, first: int, second: int) -> int:
        """Find the slot of a key, or the free one where it belongs."""
        place = first % self.count
        while self._rows[place] >= 0 and (self._keys[2 * place], self._keys[2 * place + 1]) != (first, second):
            place = (place + 1) % self.count
        return place


def _key(photo_id: str) -> tuple[int, int]:
    return int(photo_id[:16], 16), int(photo_id[16:], 16)
