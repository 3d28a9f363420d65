"""What `/health/ready` makes of Serve's status."""

from __future__ import annotations

from ray.serve._private.common import DeploymentStatus, DeploymentStatusTrigger, ReplicaState
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, DeploymentStatusOverview

from deployments.ingress.state import Standing
from deployments.standing import judge

# As Ray 2.60 says it (serve/_private/deployment_state.py).
NO_PLACE = (
    "Deployment 'transcriber' in application 'clearcast' has 1 replicas that have taken more than 10s to be"
    ' scheduled. Resources required for each replica: {"CPU": 1.0, "GPU": 0.3}, total resources available: '
    "{}. Use `ray status` for more details."
)


def standing(
    deployment: DeploymentStatus,
    running: int = 0,
    starting: int = 0,
    message: str = "",
    app: ApplicationStatus = ApplicationStatus.RUNNING,
    name: str = "transcriber",
) -> Standing:
    one = DeploymentStatusOverview(
        status=deployment,
        status_trigger=DeploymentStatusTrigger.CONFIG_UPDATE_STARTED,
        replica_states={ReplicaState.RUNNING: running, ReplicaState.STARTING: starting},
        message=message,
    )
    overview = ApplicationStatusOverview(
        status=app, message="", last_deployed_time_s=0.0, deployments={name: one}
    )
    return judge(overview, "clearcast")


def test_an_application_that_is_not_there_is_missing() -> None:
    assert judge(None, "clearcast") == Standing({"clearcast": "NOT_STARTED"})


def test_a_deployment_whose_first_replica_starts_is_missing() -> None:
    assert standing(DeploymentStatus.UPDATING, starting=1) == Standing({"transcriber": "UPDATING"})


def test_a_model_at_zero_replicas_is_well() -> None:
    assert standing(DeploymentStatus.HEALTHY) == Standing()


def test_a_deployment_that_answers_while_its_next_version_starts_is_not_missing() -> None:
    assert standing(DeploymentStatus.UPDATING, running=1, starting=1) == Standing()


def test_a_next_version_that_found_no_gpu_is_told_of_and_is_no_reason_to_send_no_traffic() -> None:
    told = standing(DeploymentStatus.UPDATING, running=2, starting=1, message=NO_PLACE)
    assert told.missing == {}
    assert told.waiting == {"transcriber": "found no node with 0.3 GPU and 1 CPU free"}


def test_a_first_version_that_found_no_gpu_is_missing_and_it_is_told_why() -> None:
    told = standing(DeploymentStatus.UPDATING, starting=2, message=NO_PLACE)
    assert told.missing == {"transcriber": "UPDATING"}
    assert "0.3 GPU" in told.waiting["transcriber"]


def test_a_failed_update_beside_an_old_version_that_answers_is_told_of_only() -> None:
    failed = DeploymentStatus.DEPLOY_FAILED
    told = standing(failed, running=1, app=ApplicationStatus.DEPLOY_FAILED)
    assert told.missing == {}
    assert "new version" in told.waiting["transcriber"]


def test_a_first_version_that_failed_is_missing() -> None:
    told = standing(DeploymentStatus.DEPLOY_FAILED, app=ApplicationStatus.DEPLOY_FAILED)
    assert told.missing == {"transcriber": "DEPLOY_FAILED", "clearcast": "DEPLOY_FAILED"}


def test_ingresses_answer_while_the_runner_of_jobs_is_made_anew() -> None:
    told = standing(DeploymentStatus.UPDATING, starting=1, name="jobs")
    assert told.missing == {}
    assert "jobs are accepted" in told.waiting["jobs"]
