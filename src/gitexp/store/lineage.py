"""Which runs made what another one read, found by the content (docs/format.md, 1.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from gitexp.domain.identity import RunId
from gitexp.domain.run import Input, Run
from gitexp.domain.summary import RunSummary

Makers = Callable[[Iterable[str]], Mapping[str, Sequence[RunSummary]]]
"""The runs that have one of these git blobs (hex ids) as an artifact, by blob."""

FindRun = Callable[[RunId], RunSummary | None]


def with_lineage(run: Run, makers: Makers, find: FindRun) -> Run:
    """The run with `Input.run` of what an earlier run made, and with the tips of those runs among `consumed`.

    Of several runs that made the same the first one counts, and none that had read it itself.
    """
    wanted = {blob for item in run.record.inputs for blob in _blobs(run, item)}
    known = makers(wanted) if wanted else {}
    inputs = []
    tips = dict.fromkeys(run.consumed)
    for item in run.record.inputs:
        made_by: Counter[RunId] = Counter()
        for blob in _blobs(run, item):
            maker = _first(known.get(blob, ()), run, item)
            if maker is not None:
                made_by[maker.record.id] += 1
                tips[maker.commit or ""] = None
        if item.run is None and made_by:
            item = replace(item, run=made_by.most_common(1)[0][0])
        elif item.run is not None and item.run != run.record.id:
            said = find(item.run)
            if said is not None and said.commit is not None:
                tips[said.commit] = None
        inputs.append(item)
    return replace(run.changed(inputs=tuple(inputs)), consumed=tuple(tip for tip in tips if tip))


def _blobs(run: Run, item: Input) -> Sequence[str]:
    return run.input_blobs.get(item.digest or "", ()) if item.run is None else ()


def _first(found: Sequence[RunSummary], run: Run, item: Input) -> RunSummary | None:
    earlier = [
        maker
        for maker in found
        if maker.commit is not None
        and maker.record.id != run.record.id
        and maker.record.deleted is None
        and maker.record.start < run.record.start
        and all(read.digest != item.digest for read in maker.record.inputs)
    ]
    return min(earlier, key=lambda maker: (maker.record.start, maker.record.id), default=None)
