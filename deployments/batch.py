"""A batch on many workers: Ray Data with a pool of actors for each set of models.

What lives here: which pools there are, starting Ray, and the records as they come. What does not: what is
done with a file (`pipelines/batch`).

On CPUs one pool does everything, a worker for each core. Where the profile gives models shares of a GPU,
each of them has a pool of its own, and a file goes from one to the next: decoding on the CPU, then model by
model, so that none of them waits for another. Every worker loads its models once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import pickle
import shutil
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clearcast.audio.limited import start_at_once
from clearcast.errors import ClearCastError, SettingsInvalid
from clearcast.local import local_services
from clearcast.settings import Settings
from deployments.private_ray import environment, start_private_ray
from pipelines.batch.file_work import BatchStopped, FileWork
from pipelines.batch.plan import BatchOrder, Item
from pipelines.batch.record import Record
from pipelines.recipe import Recipe
from pipelines.recipes.chain import ChainRecipe

# The models, by their names in the profile's `serve`, that each group of stages calls.
_MODELS = {
    "diarize": ("diarizer",),
    "identify": ("embedder",),
    "listen": ("embedder",),
    "match": ("embedder",),
    "transcribe": ("transcriber",),
    "denoise": ("denoiser",),
    "boost": ("booster",),
    "separate": ("separator",),
    "extract": ("extractor", "embedder"),
    "classify": ("classifier",),
}
_CPU_GROUPS = ("decode", "score")  # before everything else
_MOST_BLOCKS = 4000  # more cost more to keep track of than an idle worker at the end
_MOST_TOGETHER = 8  # files of a task, which costs Ray about 10 ms of processor time however short they are
_TASKS_OF_A_WORKER = 32  # at least, so that all come to their end at about the same time
_MOST_BEGUN = 3  # files for each worker, decoded and not finished
_LOOK_EVERY_S = 0.2
_MOST_DEAD_STARTS = 5  # of workers that die before they can begin; by default one ends everything
_IN_FLIGHT = 2  # files each worker has at hand, so that none waits for the next


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers with the same models.

    Attributes:
        groups: the groups of stages that they do; None: all.
        num_gpus: the share of a GPU each of them has.
    """

    groups: frozenset[str] | None
    workers: int
    num_gpus: float = 0.0

    @property
    def is_last(self) -> bool:
        """Whether files are finished here."""
        return self.groups is None

    def is_ours(self, group: str) -> bool:
        return self.groups is None or group in self.groups


def plan_pools(
    recipe: Recipe, settings: Settings, workers: int, num_gpus: float, steps: Collection[str] = ()
) -> tuple[Pool, ...]:
    """The pools that a file goes through, for so many CPU workers and GPUs. `steps`: of a chain, the
    pipelines in it, which share one pool: which models it calls when is not known before.

    Raises SettingsInvalid when the profile's shares need more GPUs than there are.
    """
    groups = [*recipe.weights]
    if isinstance(recipe, ChainRecipe):
        called = {group for step in steps for group in ChainRecipe.groups_of(step)}
        models = {model for group in called for model in _MODELS[group]}
        share = sum(_share(settings, model) for model in models)
        return (Pool(None, _copies(share, num_gpus) if share else workers, share),)
    shares = [sum(_share(settings, model) for model in _MODELS.get(group, ())) for group in groups]
    if not any(shares):
        return (Pool(None, workers),)
    copies = _copies(sum(shares), num_gpus)
    pools = [Pool(frozenset(_CPU_GROUPS), workers)]
    for group, share in zip(groups, shares, strict=True):
        last = pools[-1]
        if not share and not last.num_gpus and last.groups is not None:
            pools[-1] = replace(last, groups=last.groups | {group})
        else:
            pools.append(Pool(frozenset({group}), copies if share else workers, share))
    return (*pools[:-1], replace(pools[-1], groups=None))


def _share(settings: Settings, model: str) -> float:
    return float(getattr(settings.serve, model).num_gpus)


def _copies(share: float, num_gpus: float) -> int:
    """How many workers of every pool fit on the GPUs."""
    if share > num_gpus:
        raise SettingsInvalid(
            f"The profile's models need {share:g} of a GPU together, and there are {num_gpus:g}.",
            hint="Lower num_gpus in the profile's serve section, or take the profile local.",
        )
    return int(num_gpus / share + 1e-9)


class BegunFiles:
    """Marks of files that were decoded and are not finished, so that decoding does not run far ahead of the
    models and fill the disk."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most

    def add(self, item: Item) -> None:
        """Waits until there is room. A file that was begun before has its place already."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark = self._mark(item)
        while not mark.exists() and len(list(self._folder.iterdir())) >= self._most:
            time.sleep(_LOOK_EVERY_S)
        mark.touch()

    def remove(self, item: Item) -> None:
        self._mark(item).unlink(missing_ok=True)

    def _mark(self, item: Item) -> Path:
        return self._folder / hashlib.sha256(item.name.encode()).hexdigest()[:32]


class BatchWorker:
    """One actor of a pool: does files one after the other with models that it loads once."""

    def __init__(self, order: BatchOrder, pool: Pool, begun: BegunFiles | None) -> None:
        """`begun`: the files that are on their way through several pools, None where there is one."""
        start_at_once()
        self._pool, self._begun = pool, begun
        self._work = FileWork(order, local_services(order.settings), pool.is_ours)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """`ends` is b"" as long as the files go on to the next pool, else the record of each; what stops
        all is the last of them."""
        if row["ends"]:
            return row
        items: Sequence[Item] = pickle.loads(row["items"])  # noqa: S301 - our driver's
        ends: list[Record | ClearCastError | None] = []
        for item in items:
            ends.append(self._end_of(item))
            if isinstance(ends[-1], ClearCastError):
                break
        return {"items": row["items"], "ends": b"" if None in ends else pickle.dumps(ends)}

    def _end_of(self, item: Item) -> Record | ClearCastError | None:
        if self._begun is not None and self._pool.is_ours("decode") and not self._pool.is_last:
            self._begun.add(item)
        try:
            end: Record | ClearCastError | None = asyncio.run(self._work.do(item))
        except BatchStopped as stopped:
            end = stopped.error
        if self._begun is not None and end is not None:
            self._begun.remove(item)
        return end


def run_batch(
    order: BatchOrder, items: Sequence[Item], workers: int
) -> Generator[tuple[Item, Record], None, None]:
    """Work on the items with so many CPU workers; gives each with its record as it comes.

    Ray goes when the iterator is closed. Raises SettingsInvalid, and what stops a batch: ModelError,
    StorageFull, what the destination refuses with.
    """
    with _ray(order, workers) as pools:
        yield from over_pools(order, items, pools)


def over_pools(
    order: BatchOrder, items: Sequence[Item], pools: Sequence[Pool]
) -> Generator[tuple[Item, Record], None, None]:
    """As `run_batch`, on a Ray that is running, where there is room for the pools."""
    import ray.data

    _quieten(ray.data)
    # Through several pools each file goes by itself: none of them waits for another.
    together = tasks_of(items, pools[-1].workers) if len(pools) == 1 else ((item,) for item in items)
    again = ((item,) for item in _again(items, pools[-1].workers))
    rows = [{"items": pickle.dumps(task), "ends": b""} for task in (*together, *again)]
    dataset: Any = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
    folder = order.work_path / f"begun-{order.run_id}"
    most = _MOST_BEGUN * sum(pool.workers for pool in pools)
    begun = BegunFiles(folder, most) if len(pools) > 1 else None
    for pool in pools:
        dataset = dataset.map(
            BatchWorker,
            fn_constructor_args=(replace(order), pool, begun),
            compute=ray.data.ActorPoolStrategy(size=pool.workers, max_tasks_in_flight_per_actor=_IN_FLIGHT),
            num_cpus=1,
            num_gpus=pool.num_gpus or None,
        )
    try:
        yield from _records(dataset)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _records(dataset: Any) -> Iterator[tuple[Item, Record]]:
    """Each file once. Raises what stops the batch."""
    told: set[str] = set()
    for row in dataset.iter_rows():
        items, ends = pickle.loads(row["items"]), pickle.loads(row["ends"])  # noqa: S301 - our workers'
        for item, end in zip(items, ends, strict=False):  # after what stops all there are none
            if isinstance(end, ClearCastError):
                raise end
            if item.name not in told:
                told.add(item.name)
                yield item, end


def tasks_of(items: Sequence[Item], workers: int) -> Iterator[tuple[Item, ...]]:
    """The items in their order, a large one alone, small ones together: so that what Ray does for a task is
    little beside the work, and no task is more than a small share of a worker's. The first of each worker
    is alone, too: whoever watches soon sees a result."""
    most_bytes = sum(item.size_bytes for item in items) / (workers * _TASKS_OF_A_WORKER)
    task: list[Item] = []
    for number, item in enumerate(items):
        size_bytes = sum(other.size_bytes for other in task) + item.size_bytes
        if task and (number <= workers or len(task) == _MOST_TOGETHER or size_bytes > most_bytes):
            yield tuple(task)
            task = []
        task.append(item)
    if task:
        yield tuple(task)


def _again(items: Sequence[Item], workers: int) -> Iterator[Item]:
    """The largest files once more at the end: who has nothing left to do helps with those still in work.
    For a finished one that is a look at its record."""
    for item in items[:workers]:
        for _ in range(workers - 1):
            yield item


@contextlib.contextmanager
def _ray(order: BatchOrder, workers: int) -> Iterator[tuple[Pool, ...]]:
    """A private Ray with room for the pools, or the cluster that RAY_ADDRESS names."""
    import ray

    steps = [step["pipeline"] for step in order.options.get("steps", ())]
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            ray.init(address=address, log_to_driver=False, runtime_env={"env_vars": environment(1)})
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            num_gpus = resources.get("GPU", 0.0)
            yield plan_pools(order.recipe, order.settings, workers, num_gpus, steps)
        else:
            pools = plan_pools(order.recipe, order.settings, workers, float(_gpus_here()), steps)
            start_private_ray(num_cpus=sum(pool.workers for pool in pools))
            yield pools
    finally:
        ray.shutdown()


def _gpus_here() -> int:
    from ray._private.accelerators import NvidiaGPUAcceleratorManager

    return int(NvidiaGPUAcceleratorManager.get_current_node_num_accelerators())


def _quieten(data: Any) -> None:
    """Ray Data tells its own progress in its own way; ours is told by those who call this."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.enable_auto_log_stats = False
    context.memory_usage_poll_interval_s = None  # a thread for each task
    context.execution_options.preserve_order = False
    context.max_consecutive_actor_init_deaths = _MOST_DEAD_STARTS
