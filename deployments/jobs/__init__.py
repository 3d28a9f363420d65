"""The durable job queue: recipes run as DBOS workflows, so that work survives every crash.

How a job goes, in five steps:

1. The ingress writes the job and its tasks (one per file) into our tables; from then on it will be done.
2. The runner (`runner.py`, one Serve replica) hands waiting tasks to the DBOS queue in the order of their
   fair places, never more than a few ahead.
3. DBOS starts a workflow per task (`engine.py`). It decodes the file, then runs the recipe (`task_run.py`);
   each stage is a DBOS step, and what it gives is a blob (`stage_store.py`).
4. Progress, results and the ending go into our tables, where the ingress reads them.
5. Killed at any moment, the runner comes back, DBOS starts the unfinished workflows again, and the stages
   whose blobs are there are answered from them.

What does not live here: the records (`clearcast/storage/job_*.py`), the recipes (`pipelines/recipes`) and
the routes (`deployments/ingress/jobs.py`).
"""
