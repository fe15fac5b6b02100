"""Runs of all shapes with the real PyTorch: torchrun's ranks and the DataLoader's workers."""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

import pytest

import gitexp.store
from framework_runs import PYTHON, needs_frameworks
from gitexp.reading import RunView
from gitexp.repo import Repository

pytestmark = [pytest.mark.frameworks, pytest.mark.slow, needs_frameworks]

SOURCE = str(Path(gitexp.__file__).parent.parent)

TRAIN = """
    import sys, torch, torch.distributed as dist, gitexp
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gitexp.start_run("ddp", params={"lr": 0.1, "world": dist.get_world_size()}, ranks=sys.argv[1]):
        for step in range(5):
            x = torch.randn(8, 4, generator=torch.Generator().manual_seed(10 * rank + step))
            loss = ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()
            optimizer.zero_grad(); loss.backward(); optimizer.step()
            gitexp.log_metric("loss", loss, step=step)
        gitexp.log_batch({"weights": model.module.weight[0]})
        dist.barrier()
    dist.destroy_process_group()
"""

LOADER = """
    import sys, torch, gitexp
    from torch.utils.data import DataLoader, Dataset

    class Numbers(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            worker = torch.utils.data.get_worker_info()
            gitexp.log_metric(f"worker{worker.id}/seen", index, step=index)
            return torch.tensor(float(index))

    if __name__ == "__main__":
        for name in ("one", "two"):
            with gitexp.start_run(name):
                loader = DataLoader(Numbers(), batch_size=2, num_workers=2, multiprocessing_context=sys.argv[1])
                gitexp.log_metric("sum", sum(batch.sum() for batch in loader))
"""


def train(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(textwrap.dedent(text))
    done = subprocess.run(
        [PYTHON, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def runs(folder: Path) -> dict[str, RunView]:
    repository = Repository.open(folder)
    return {run.record.name: repository.view(run) for run in repository.search()}


@pytest.mark.parametrize("launched", [False, True])
@pytest.mark.parametrize("ranks", ["first", "all"])
def test_torchrun(repo_dir: Path, ranks: str, launched: bool) -> None:
    """Two ranks on gloo make one run: the first's values, and those of both on request; as a launch, too."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py", ranks]
    train(repo_dir, TRAIN, *(["-m", "gitexp", "run", "--", PYTHON] if launched else []), *torchrun)
    [run] = runs(repo_dir).values()
    assert (run.name, run.params["world"], run.status) == ("ddp", 2, "finished")
    assert len(run.history("loss")) == 5 and len(run.history("weights")) == 4
    assert run.metrics["loss"] < run.history("loss")[0].value
    beyond = {key for key in run.metrics if key.startswith("rank")}
    assert beyond == (set() if ranks == "first" else {"rank1/loss", "rank1/weights"})
    if ranks == "all":
        assert run.history("rank1/weights").values == run.history("weights").values
        assert run.history("rank1/loss").values != run.history("loss").values
    assert run.record.warnings == ()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_dataloader_workers(repo_dir: Path, method: str) -> None:
    """What the workers of a DataLoader log is in the run that the loader is used in."""
    train(repo_dir, LOADER, "train.py", method)
    found = runs(repo_dir)
    assert set(found) == {"one", "two"}
    for run in found.values():
        seen = [point.step for worker in (0, 1) for point in run.history(f"worker{worker}/seen")]
        assert sorted(seen) == list(range(8)) and run.metrics["sum"] == 28
