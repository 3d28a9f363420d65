"""`clearcast plan`: what a pile of recordings would take."""

from __future__ import annotations

import os

import click
from rich.table import Table

from clearcast.cli.batch_view import in_words
from clearcast.cli.session import Session, pass_session
from clearcast.cli.sounds import services_of
from clearcast.errors import OptionInvalid
from pipelines.batch.measured import Rate, measured_rates
from pipelines.recipes import all_recipes


@click.command(short_help="What many hours of sound would take, from measurements.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), required=True, help="Of sound.")
@click.option("--pipeline", default="meeting", metavar="NAME", help="What is to be done. (meeting)")
@click.option("--cores", type=click.IntRange(min=1), metavar="N", help="Of each machine. (as many as here)")
@click.option(
    "--within",
    "within_h",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="How soon it must be done: tells how many machines that takes.",
)
@pass_session
def plan(session: Session, hours: float, pipeline: str, cores: int | None, within_h: float | None) -> None:
    """CPU-hours, time and machines for so many hours of sound, from the figures of `make bench`.

    It says which figures it used. They were measured on the machine that made bench/results.json, with the
    engines of the profile; `clearcast bench` measures yours. Engines that run on a GPU are not estimated.

    \b
    clearcast plan --hours 1000 --pipeline meeting
    clearcast plan --hours 1000 --pipeline enhance --cores 16 --within 24
    """
    if pipeline not in all_recipes() or pipeline == "chain":
        known = ", ".join(name for name in all_recipes() if name != "chain")
        raise OptionInvalid(
            f"There is nothing known of the pipeline {pipeline!r}.", hint=f"Known: {known}."
        )
    rates = measured_rates(sorted(services_of(pipeline, {})), session.settings)
    session.results.print(_table(rates, hours))
    missing = [f"{rate.service} by {rate.engine}" for rate in rates if rate.cpu_s_per_s is None]
    if missing:
        session.results.print(f"Nothing was measured for {', '.join(missing)}: no estimate.", markup=False)
        return
    cpu_h = hours * sum(rate.cpu_s_per_s or 0.0 for rate in rates)
    cores = cores or len(os.sched_getaffinity(0))
    show = session.results
    show.print(f"{cpu_h:.1f} CPU-hours for {hours:g} hours of sound: {pipeline}.", markup=False)
    show.print(f"One machine with {cores} cores: {in_words(3600 * cpu_h / cores)}.", markup=False)
    if within_h is not None:
        machines = max(1, -int(-cpu_h // (cores * within_h)))
        show.print(f"Within {within_h:g} hours: {machines} machines with {cores} cores.", markup=False)


def _table(rates: tuple[Rate, ...], hours: float) -> Table:
    table = Table("what", "engine", "CPU-seconds per second", "CPU-hours", "from")
    for rate in rates:
        known = rate.cpu_s_per_s
        figures = ("?", "?") if known is None else (f"{known:.4f}", f"{known * hours:.1f}")
        table.add_row(rate.service, rate.engine, *figures, rate.row)
    return table
