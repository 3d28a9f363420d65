"""What manifests may say, more strictly than those who read them: every unknown name is a fault.

Serve and KubeRay take a misspelt option for one that is not there. The shapes below are those of Serve's
own schema (Ray 2.60), of the published schemas of Kubernetes, and of KubeRay's custom resources as far as
we use them (docs.ray.io: KubeRay CRD API reference, 1.6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import kubernetes_validate
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from ray.serve.schema import ServeDeploySchema

KUBERNETES = "1.34"


def serve_faults(values: Any) -> list[str]:
    """What is wrong with a Serve file."""
    try:
        ServeDeploySchema.model_validate(values)
    except ValidationError as error:
        return [str(error)]
    return list(_unknown(values, ServeDeploySchema, ""))


def _unknown(values: Mapping[str, Any], schema: type[BaseModel], place: str) -> Iterator[str]:
    for name, value in values.items():
        field = schema.model_fields.get(name)
        if field is None:
            yield f"{place}{name}: no such option"
            continue
        inner = [one for one in _models(field.annotation) if isinstance(value, (dict, list))]
        for model in inner[:1]:
            for one in value if isinstance(value, list) else [value]:
                yield from _unknown(one, model, f"{place}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def kubernetes_fault(resource: Mapping[str, Any]) -> str | None:
    """What is wrong with a resource of Kubernetes, or a RayService."""
    try:
        if resource["kind"] == "RayService":
            _RayService.model_validate(resource)
        else:
            _check(dict(resource))
    except (ValidationError, kubernetes_validate.ValidationError) as error:
        return str(error)
    return None


def _check(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def _pod_template(template: dict[str, Any]) -> dict[str, Any]:
    try:
        _check({"apiVersion": "v1", "kind": "PodTemplate", "template": template})
    except kubernetes_validate.ValidationError as error:
        raise ValueError(str(error)) from error
    return template


def _containers(values: dict[str, Any]) -> dict[str, Any]:
    """Those options of the autoscaler that go to its container."""
    _pod_template({"spec": {"containers": [{"name": "autoscaler", **values}]}})
    return values


def _serve_text(text: str) -> str:
    faults = serve_faults(yaml.safe_load(text))
    if faults:
        raise ValueError("; ".join(faults))
    return text


PodTemplate = Annotated[dict[str, Any], AfterValidator(_pod_template)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _SecretValue(_Strict):
    value: str | None = None
    valueFrom: dict[Literal["secretKeyRef"], dict[Literal["name", "key"], str]] | None = None  # noqa: N815


class _Redis(_Strict):
    redisAddress: str  # noqa: N815
    redisUsername: _SecretValue | None = None  # noqa: N815
    redisPassword: _SecretValue | None = None  # noqa: N815
    externalStorageNamespace: str | None = None  # noqa: N815


class _Autoscaler(_Strict):
    idleTimeoutSeconds: int | None = None  # noqa: N815
    upscalingMode: Literal["Default", "Aggressive", "Conservative"] | None = None  # noqa: N815
    env: list[dict[str, Any]] = Field(default_factory=list)
    volumeMounts: list[dict[str, Any]] = Field(default_factory=list)  # noqa: N815
    resources: dict[str, Any] = Field(default_factory=dict)


class _Head(_Strict):
    rayStartParams: dict[str, str]  # noqa: N815
    template: PodTemplate
    serviceType: Literal["ClusterIP", "NodePort", "LoadBalancer"] | None = None  # noqa: N815


class _Workers(_Strict):
    groupName: str = Field(pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$")  # noqa: N815
    replicas: int | None = Field(default=None, ge=0)
    minReplicas: int = Field(ge=0)  # noqa: N815
    maxReplicas: int = Field(ge=0)  # noqa: N815
    rayStartParams: dict[str, str]  # noqa: N815
    template: PodTemplate
    idleTimeoutSeconds: int | None = None  # noqa: N815


class _Auth(_Strict):
    mode: Literal["token", "disabled"]
    secretName: str | None = None  # noqa: N815


class _Cluster(_Strict):
    rayVersion: str  # noqa: N815
    authOptions: _Auth | None = None  # noqa: N815
    enableInTreeAutoscaling: bool | None = None  # noqa: N815
    autoscalerOptions: _Autoscaler | None = None  # noqa: N815
    gcsFaultToleranceOptions: _Redis | None = None  # noqa: N815
    headGroupSpec: _Head  # noqa: N815
    workerGroupSpecs: list[_Workers]  # noqa: N815


class _Upgrade(_Strict):
    type: Literal["NewCluster", "None"]


class _Spec(_Strict):
    serveConfigV2: Annotated[str, AfterValidator(_serve_text)]  # noqa: N815
    rayClusterConfig: _Cluster  # noqa: N815
    upgradeStrategy: _Upgrade | None = None  # noqa: N815
    rayClusterDeletionDelaySeconds: int | None = Field(default=None, ge=0)  # noqa: N815


class _RayService(_Strict):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayService"]
    metadata: dict[str, Any]
    spec: _Spec
