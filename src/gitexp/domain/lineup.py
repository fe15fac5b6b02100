"""Many runs side by side, as values: what each has under each key, where they differ, and which one is best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Final

from gitexp.domain.comparison import MetricChange, metric_changes
from gitexp.domain.direction import best
from gitexp.domain.summary import RunSummary
from gitexp.domain.values import same_value
from gitexp.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


class Section(StrEnum):
    """What a row is about."""

    RUN = "run"
    PARAMS = "params"
    METRICS = "metrics"
    ENVIRONMENT = "environment"
    PACKAGES = "packages"
    ARTIFACTS = "artifacts"


class Absent(Enum):
    """The value of a run that does not have the key, which is not the same as a null param."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One key in all runs.

    Attributes:
        values: one a run, in the order of the lineup; `ABSENT` where a run has none. Of artifacts an `ArtifactState`.
        differs: whether not all runs have the same.
        best: the positions of the runs with the best value of a metric, where its name tells which way that is.
    """

    section: Section
    key: str
    values: tuple[Any, ...]
    differs: bool
    best: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOf:
    """A run's code: runs of one `group` share it exactly; `files` are how many differ from the run compared with."""

    group: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineup:
    """Runs side by side.

    Attributes:
        rows: every key that any of the runs has, by section, keys sorted.
        code: one a run; None where no code was captured.
        baseline: the position of the run that the others are measured against; None where none was named.
        steps: the step that each run's metrics are of; None: its last values.
    """

    runs: tuple[RunSummary, ...]
    rows: tuple[Row, ...]
    code: tuple[CodeOf | None, ...]
    baseline: int | None = None
    steps: tuple[int | None, ...] | None = None

    def section(self, section: Section, *, everything: bool = False) -> list[Row]:
        """The rows of a section that differ, or all."""
        return [row for row in self.rows if row.section is section and (everything or row.differs)]

    def change(self, row: Row, position: int) -> MetricChange | None:
        """How a run's metric differs from the baseline's; None without a baseline, or where one of the two has none."""
        if self.baseline is None or position == self.baseline or row.section is not Section.METRICS:
            return None
        before, after = row.values[self.baseline], row.values[position]
        if before is ABSENT or after is ABSENT:
            return None
        return metric_changes({row.key: before}, {row.key: after})[0]

    def to_pandas(self, *, everything: bool = False) -> pd.DataFrame:
        """One row a run, by its id: `name`, and a column for each key that differs, such as `params.lr`.

        Args:
            everything: also what is the same in all runs.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas as pd  # an extra
        except ImportError as error:
            raise UsageError("pandas is not installed.", hint="pip install 'gitexp[pandas]'") from error
        titles, rows = self.table(everything=everything)
        return pd.DataFrame(rows, columns=titles).set_index("id")

    def table(self, *, everything: bool = False) -> tuple[list[str], list[list[Any]]]:
        """Titles, and one row a run: `id`, `name`, `code.group`, `code.files`, and the keys; None where it has none."""
        shown = [row for row in self.rows if everything or row.differs]
        titles = ["id", "name", "code.group", "code.files", *(f"{row.section}.{row.key}" for row in shown)]
        table = []
        for position, (run, code) in enumerate(zip(self.runs, self.code, strict=True)):
            head = [str(run.record.id), run.record.name, code and code.group, code and code.files]
            table.append([*head, *(_plain(row, position) for row in shown)])
        return titles, table


def rows_of(
    section: Section, mappings: Sequence[Mapping[str, Any]], *, same: Callable[[Any, Any], bool] = same_value
) -> list[Row]:
    """A row for each key of any mapping, keys sorted."""
    return [_row(section, key, mappings, same) for key in sorted({key for mapping in mappings for key in mapping})]


def groups_of(values: Iterable[Any]) -> list[int]:
    """Numbers from 0, in the order of appearance: equal values have the same one."""
    seen: list[Any] = []
    numbers = []
    for value in values:
        if value not in seen:
            seen.append(value)
        numbers.append(seen.index(value))
    return numbers


def _row(section: Section, key: str, mappings: Sequence[Mapping[str, Any]], same: Callable[[Any, Any], bool]) -> Row:
    values = tuple(mapping.get(key, ABSENT) for mapping in mappings)
    differs = any(not _alike(values[0], value, same) for value in values)
    return Row(section=section, key=key, values=values, differs=differs, best=_best(section, key, values))


def _alike(one: Any, other: Any, same: Callable[[Any, Any], bool]) -> bool:
    return one is other or (one is not ABSENT and other is not ABSENT and same(one, other))


def _best(section: Section, key: str, values: Sequence[Any]) -> frozenset[int]:
    if section is not Section.METRICS:
        return frozenset()
    winner = best(key, [None if value is ABSENT else value for value in values])
    return frozenset(at for at, value in enumerate(values) if winner is not None and value == winner)


def _plain(row: Row, position: int) -> Any:
    value = row.values[position]
    if value is ABSENT:
        return None
    if row.section is Section.RUN and row.key == "command":
        import shlex  # only for tables

        return shlex.join(value)
    return getattr(value, "sha256", value)
