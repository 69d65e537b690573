"""The area under the ROC curve, from all rows or, if there are too many probabilities to keep, from a sample."""

from __future__ import annotations

import numpy as np

MOST_NUMBERS = 2**24  # probabilities kept


class Curves:
    """Collects probabilities to compute the area; with several classes, the mean of one-versus-rest areas.

    The area is the fraction of pairs, one row of the class and one of another class, in which the first has the higher
    probability; ties count half. If the rows exceed `MOST_NUMBERS` probabilities, the pairs come from a uniform sample
    of all rows and, for each class, from a uniform sample of its own rows.
    """

    def __init__(self, n_classes: int):
        self.classes = [1] if n_classes == 2 else range(n_classes)
        room = max(1, MOST_NUMBERS // len(self.classes))
        self.probabilities, self.truth = Reservoir(1, room, seed=0), Reservoir(1, room, seed=0)
        self.own = Reservoir(n_classes, max(1, MOST_NUMBERS // 4 // n_classes), seed=1)
        self.narrow = np.min_scalar_type(n_classes)

    @property
    def sampled(self) -> int | None:
        """The size of the sample; None if all rows are used."""
        room = self.truth.room
        return room if self.truth.seen[0] > room else None

    def add(self, probabilities: np.ndarray, truth: np.ndarray) -> None:
        """Add rows."""
        self.probabilities.add(probabilities[:, self.classes[0] :], np.zeros_like(truth))
        self.truth.add(truth.astype(self.narrow), np.zeros_like(truth))
        self.own.add(probabilities[np.arange(len(truth)), truth], truth)

    def area(self) -> float | None:
        """The area; None if a class is absent, or a probability is NaN."""
        if not self.own.seen.all():
            return None
        columns = self.probabilities.of(0).T
        areas = [self._area(column, k) for column, k in zip(columns, self.classes, strict=True)]
        known = [area for area in areas if area is not None]
        return float(np.mean(known)) if len(known) == len(areas) else None

    def _area(self, column: np.ndarray, k: int) -> float | None:
        is_class = self.truth.of(0) == k
        of_class, others = column[is_class] if self.sampled is None else self.own.of(k), column[~is_class]
        if not others.size or np.isnan(of_class).any() or np.isnan(others).any():
            return None
        others = np.sort(others)
        below = np.searchsorted(others, of_class, "left") + np.searchsorted(others, of_class, "right")
        return float(below.mean() / (2 * len(others)))


class Reservoir:
    """A uniform sample of the rows of each group, of at most `room` rows: algorithm R of Vitter (1985).

    The sample depends on the seed and on the order of the rows, not on the batches.
    """

    def __init__(self, groups: int, room: int, seed: int):
        self.room, self.seen, self.rng = room, np.zeros(groups, int), np.random.default_rng(seed)
        self.kept: np.ndarray | None = None

    def add(self, values: np.ndarray, group: np.ndarray) -> None:
        """Add values (rows, ...) with their groups (rows,)."""
        number = self.seen[group] + _earlier_alike(group)
        self.seen += np.bincount(group, minlength=len(self.seen))
        drawn = (self.rng.random(len(group)) * (number + 1)).astype(int)
        place = np.where(number < self.room, number, drawn)
        rows = np.flatnonzero(place < self.room)
        kept = self._with_room(int(place[rows].max(initial=-1)) + 1, values)
        kept[group[rows], place[rows]] = values[rows]  # the last row with a place wins
        self.kept = kept

    def of(self, group: int) -> np.ndarray:
        """The sampled values of a group."""
        return np.empty(0) if self.kept is None else self.kept[group, : min(self.seen[group], self.room)]

    def _with_room(self, needed: int, like: np.ndarray) -> np.ndarray:
        """The sample, enlarged to hold `needed` values per group."""
        have = 0 if self.kept is None else self.kept.shape[1]
        if self.kept is not None and needed <= have:
            return self.kept
        larger = np.empty((len(self.seen), min(self.room, max(needed, 2 * have)), *like.shape[1:]), like.dtype)
        if self.kept is not None:
            larger[:, :have] = self.kept
        return larger


def _earlier_alike(group: np.ndarray) -> np.ndarray:
    """The number of earlier rows of the same group, for each row."""
    order = np.argsort(group, kind="stable")
    ordered, places = group[order], np.arange(len(group))
    begins = np.maximum.accumulate(np.where(np.diff(ordered, prepend=-1) != 0, places, 0))
    earlier = np.empty_like(places)
    earlier[order] = places - begins
    return earlier
