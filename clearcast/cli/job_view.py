"""Jobs for a person at the terminal: as they stand, and while they go on."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from clearcast.cli.progress import JobBars, title_of
from clearcast.cli.session import Session
from clearcast.cli.view import clock
from clearcast.client import ClearCast
from clearcast.client.types import Job

_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan", "queued": "dim"}


def show_job(console: Console, job: Job) -> None:
    """The job, its files, what failed and why, and the results there are."""
    line = Text(job.id, style="bold").append(f"  {job.pipeline}", style="not bold")
    if job.label:
        line.append(f"  {job.label}", style="not bold dim")
    console.print(line.append("  ").append(job.state, style=_STYLES[job.state]))
    facts = [f"{job.fraction:.0%} done"]
    if job.eta_s is not None and not job.has_ended:
        facts.append(f"about {clock(job.eta_s)} left")
    if job.files_ahead:
        facts.append(f"{job.files_ahead} files ahead in the queue")
    console.print(", ".join(facts), style="dim", markup=False)
    for task in job.tasks:
        about = Text(f"{task.number:>4}  {task.file_name}  ").append(task.state, style=_STYLES[task.state])
        if task.state == "running" and task.stage:
            stage = task.stage.partition("/")[0]
            about.append(f"  {title_of(stage)}, {task.fraction:.0%}", style="dim")
        console.print(about)
        if task.error is not None:
            console.print(Text(f"      {task.error.detail} [{task.error.code}]", style="red"))
            if task.error.hint:
                console.print(Text(f"      → {task.error.hint}"))
        for warning in task.warnings:
            console.print(Text(f"      {warning}", style="yellow"))
    for result in job.results:
        partial = " (partial)" if result.is_partial else ""
        console.print(Text(f"      {result.task}: {result.name}{partial}", style="dim"))


def follow_job(session: Session, client: ClearCast, job_id: str) -> Job:
    """Bars by stage until the job has ended, then how it ended. After Ctrl-C says how to go on."""
    names = {task.number: task.file_name for task in client.jobs.get(job_id).tasks}
    try:
        with JobBars(session, names) as bars:
            job = client.jobs.wait(job_id, bars.hear)
    except KeyboardInterrupt:
        server = f" --server {client.base_url}"
        session.note("The job goes on. Follow it again with:", style="yellow")
        session.note(f"  clearcast jobs follow {job_id}{server}")
        session.note(f"To stop it: clearcast jobs cancel {job_id}{server}")
        raise
    show_job(session.notes, job)
    return job
