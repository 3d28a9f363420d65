"""All settings, typed, in one place; read once at start.

A profile is a YAML file (`config/local.yaml`, `gpu.yaml`, `cluster.yaml`, or any path); environment
variables `CLEARCAST__SECTION__NAME` override it; unknown names are refused. `docs/settings.md` lists every
field (`python -m clearcast.settings` prints it, and a test compares).
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import yaml
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from clearcast.errors import SettingsInvalid
from clearcast.settings_live import LiveSettings
from clearcast.settings_section import EngineChoice, Section

CONFIG_DIR = Path(__file__).resolve().parent.parent / "config"


class AudioSettings(Section):
    """Limits on what comes in. Decoding runs in a child process that is held to them."""

    max_upload_bytes: int = Field(default=200_000_000, gt=0, description="Largest file accepted, in bytes.")
    max_part_bytes: int = Field(
        default=200_000_000,
        ge=1 << 16,
        description="Largest part of a resumable upload, in bytes; its size costs no memory.",
    )
    max_duration_s: float = Field(
        default=8 * 3600.0, gt=0, description="Longest recording accepted, in decoded seconds."
    )
    decode_timeout_s: float = Field(
        default=600.0, gt=0, description="Wall-clock seconds one decoding may take."
    )
    decode_memory_bytes: int = Field(
        default=1 << 30,
        ge=1 << 28,  # the decoder itself needs 202 MiB of address space
        description="Address space one decoding may use, in bytes.",
    )


class ModelSettings(Section):
    """Where models lie and how they may be fetched. Nothing is fetched while a request is served."""

    dir: Path = Field(default=Path("~/.cache/clearcast/models"), description="Folder of downloaded models.")
    hub_token: SecretStr | None = Field(
        default=None, description="Hugging Face token for gated models; used by `models pull` only."
    )


class EngineSettings(Section):
    """Which engine does what."""

    voice_activity: EngineChoice = EngineChoice(engine="silero")
    embed: EngineChoice = EngineChoice(engine="resemblyzer")
    diarize: EngineChoice = EngineChoice(engine="vbx")
    identify: EngineChoice = EngineChoice(engine="cosine")
    transcribe: EngineChoice = EngineChoice(engine="pocketsphinx")
    boost: EngineChoice = EngineChoice(engine="dsp")
    denoise: EngineChoice = EngineChoice(engine="rnnoise")
    separate: EngineChoice = EngineChoice(engine="centre")
    extract: EngineChoice = EngineChoice(engine="gating")
    measure: EngineChoice = EngineChoice(engine="meter")
    classify: EngineChoice = EngineChoice(engine="residual_cnn")


class DeploymentSettings(Section):
    """How one model runs on Ray Serve."""

    num_cpus: float = Field(default=0.5, ge=0, description="CPU share reserved for each replica.")
    num_gpus: float = Field(default=0.0, ge=0, description="GPU share reserved for each replica.")
    min_replicas: int = Field(default=0, ge=0, description="0 lets the model leave memory when idle.")
    initial_replicas: int = Field(default=1, ge=0, description="Replicas started with the service.")
    max_replicas: int = Field(default=1, ge=1, description="Most replicas under load.")
    busy_s: float = Field(default=10.0, ge=0, description="Seconds with too much work before scaling up.")
    idle_s: float = Field(default=600.0, ge=0, description="Seconds without work before scaling down.")
    max_ongoing_requests: int = Field(
        default=1,
        ge=1,
        description="Requests one replica takes at once; more where it batches or does the urgent first.",
    )
    busy_requests: int | None = Field(
        default=None,
        ge=1,
        description="More than this per replica are too much work; not set: max_ongoing_requests.",
    )
    max_queued_requests: int = Field(
        default=32, ge=1, description="Requests that may wait; further ones get `overloaded`."
    )
    timeout_s: float = Field(
        default=3600.0, gt=0, description="Seconds a call may take before it counts as lost."
    )
    threads: int = Field(default=1, ge=1, description="CPU threads the model may use.")


class ServeSettings(Section):
    """The deployments. A laptop runs one replica of each, a cluster many."""

    ingress_replicas: int = Field(default=1, ge=1, description="Replicas of the HTTP ingress.")
    max_running_meetings: int = Field(
        default=2, ge=1, description="Pipelines one ingress replica runs at a time; others wait."
    )
    max_waiting_meetings: int = Field(
        default=16, ge=0, description="Pipelines that may wait; further ones get `overloaded`."
    )
    drain_s: float = Field(
        default=20.0, ge=0, description="Seconds a replica that is to stop may take for what it has begun."
    )
    diarizer: DeploymentSettings = DeploymentSettings()
    embedder: DeploymentSettings = DeploymentSettings()
    transcriber: DeploymentSettings = DeploymentSettings(max_ongoing_requests=8, busy_requests=1)
    booster: DeploymentSettings = DeploymentSettings(num_cpus=0.25, initial_replicas=0)
    denoiser: DeploymentSettings = DeploymentSettings(num_cpus=0.25, initial_replicas=0)
    separator: DeploymentSettings = DeploymentSettings(num_cpus=0.25, initial_replicas=0)
    extractor: DeploymentSettings = DeploymentSettings(num_cpus=0.25, initial_replicas=0)
    classifier: DeploymentSettings = DeploymentSettings(num_cpus=0.25, initial_replicas=0)


class HttpSettings(Section):
    """The front door."""

    host: str = Field(default="127.0.0.1", description="Address to listen on; loopback by default.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    require_key: bool = Field(
        default=True, description="Ask for an API key everywhere but /health. Off only for tests."
    )
    request_timeout_s: float = Field(default=3600.0, gt=0, description="Seconds one HTTP request may take.")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description="Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed.",
    )


class StorageSettings(Section):
    """Where records and bytes are kept, how much each person may keep, and for how long."""

    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME; empty: SQLite in data_dir.",
    )
    blobs_url: str = Field(
        default="file://", description="file:///FOLDER or s3://BUCKET; `file://` alone: in the data folder."
    )
    s3_endpoint: str = Field(default="", description="HOST:PORT of the S3 service.")
    s3_is_secure: bool = Field(default=True, description="Whether the S3 service speaks HTTPS.")
    s3_region: str = Field(default="us-east-1", description="Region of the bucket.")
    s3_access_key: SecretStr = Field(default=SecretStr(""), description="Access key of the S3 service.")
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="Secret key of the S3 service.")
    quota_bytes: int = Field(
        default=20_000_000_000,
        gt=0,
        description="Bytes each person may keep, uploads and results together.",
    )
    upload_expiry_s: float = Field(
        default=24 * 3600.0, gt=0, description="Seconds without a new part until an upload is dropped."
    )
    audio_retention_s: float | None = Field(
        default=30 * 86400.0, gt=0, description="Seconds uploads and made sound are kept; null: for ever."
    )
    transcript_retention_s: float | None = Field(
        default=None, gt=0, description="Seconds transcripts are kept; null: for ever."
    )
    recording_retention_s: float | None = Field(
        default=None, gt=0, description="Seconds recordings of live rooms are kept; null: for ever."
    )
    voice_retention_s: float | None = Field(
        default=None, gt=0, description="Seconds a voice is kept after it was enrolled; null: for ever."
    )
    link_expiry_s: int = Field(
        default=3600, gt=0, le=7 * 86400, description="Seconds a signed download link works by default."
    )


class JobSettings(Section):
    """The durable queue."""

    max_running: int = Field(default=2, ge=1, description="Files worked on at a time by the job runner.")
    max_queued: int = Field(
        default=100_000, ge=1, description="Files that may wait, of all people together; then `overloaded`."
    )
    poll_s: float = Field(default=0.2, gt=0, description="Seconds between looks at the queue.")
    timeout_s: float = Field(default=6 * 3600.0, gt=0, description="Seconds one file may be worked on.")
    max_attempts: int = Field(default=5, ge=1, description="Tries of a stage whose service fails or dies.")
    s3_sources: tuple[str, ...] = Field(
        default=(),
        description="Prefixes s3://BUCKET/PREFIX that jobs may read recordings from, with the S3 service"
        " and keys of storage; {owner} in one is the account's id. None: only uploaded files.",
    )
    s3_destinations: tuple[str, ...] = Field(
        default=(),
        description="Prefixes s3://BUCKET/PREFIX that jobs may write results to, as s3_sources. None:"
        " results stay with the server.",
    )
    webhook_attempts: int = Field(
        default=6, ge=1, description="Tries to deliver a webhook, with growing pauses."
    )
    webhook_private_networks: bool = Field(
        default=False, description="Whether webhooks may go to private and loopback addresses."
    )


class AccountSettings(Section):
    """Who may come in, and how long a log-in lasts."""

    sign_up: bool = Field(default=False, description="Whether strangers may make an account.")
    access_token_s: int = Field(default=900, gt=0, description="Seconds an access token works.")
    refresh_token_s: int = Field(default=30 * 86400, gt=0, description="Seconds a refresh token works.")
    max_failed_logins: int = Field(default=8, ge=1, description="Wrong passwords before a lock-out.")
    lock_out_s: int = Field(default=300, gt=0, description="Seconds a lock-out lasts.")
    requests_per_minute: int = Field(
        default=1200, ge=1, description="Requests a person may make each minute."
    )
    key_requests_per_minute: int = Field(
        default=600, ge=1, description="Requests a key may make each minute."
    )
    logins_per_minute: int = Field(
        default=20, ge=1, description="Log-ins and sign-ups one network address may try each minute."
    )
    limits_url: SecretStr = Field(
        default=SecretStr("memory://"),
        description="Where requests are counted: memory:// (each ingress by itself) or redis://HOST:PORT.",
    )


class Settings(BaseSettings):
    """ClearCast's settings."""

    model_config = SettingsConfigDict(
        env_prefix="CLEARCAST__", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Field(
        default=Path("~/.local/share/clearcast"),
        description="Folder for what is kept: uploads in work, voices, keys.",
    )
    config_dir: Path = Field(
        default=Path("~/.config/clearcast"),
        description="Folder of the command line's own things: its keys for servers.",
    )
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severe log level."
    )
    audio: AudioSettings = AudioSettings()
    models: ModelSettings = ModelSettings()
    engines: EngineSettings = EngineSettings()
    serve: ServeSettings = ServeSettings()
    http: HttpSettings = HttpSettings()
    storage: StorageSettings = StorageSettings()
    jobs: JobSettings = JobSettings()
    accounts: AccountSettings = AccountSettings()
    live: LiveSettings = LiveSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment wins over the profile, which arrives as constructor arguments.
        return env_settings, init_settings

    @property
    def data_path(self) -> Path:
        return self.data_dir.expanduser()

    @property
    def config_path(self) -> Path:
        return self.config_dir.expanduser()

    @property
    def database_url(self) -> str:
        """The address of the records."""
        given = self.storage.database_url.get_secret_value()
        return given or f"sqlite:///{self.data_path / 'clearcast.sqlite'}"

    @property
    def recordings_path(self) -> Path:
        return self.data_path / "live"  # recordings until they are stored, a folder each

    @property
    def models_path(self) -> Path:
        return self.models.dir.expanduser()


def profile_path(profile: str) -> Path:
    """The file of a profile given by name ("local") or by path. Raises SettingsInvalid."""
    named = CONFIG_DIR / f"{profile}.yaml"
    path = named if named.is_file() else Path(profile).expanduser()
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in CONFIG_DIR.glob("*.yaml")))
        raise SettingsInvalid(
            f"There is no profile {profile!r}.",
            hint=f"Profiles: {known}, or the path of a YAML file.",
        )
    return path


def load_settings(profile: str | None = None) -> Settings:
    """Read a profile and the environment. `profile` None takes $CLEARCAST_PROFILE, then "local".

    Raises SettingsInvalid with the place and the reason of the first thing that is wrong.
    """
    path = profile_path(profile or os.environ.get("CLEARCAST_PROFILE") or "local")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        _refuse_unknown_environment()
        return Settings(**values)
    except yaml.YAMLError as error:
        raise SettingsInvalid(f"{path.name} is not valid YAML: {error}") from error
    except (TypeError, ValidationError) as error:
        raise SettingsInvalid(f"Settings ({path.name} and environment): {_reason(error)}") from error


def _refuse_unknown_environment() -> None:
    # pydantic-settings drops unknown top-level variables silently; a typo must not pass.
    for name in os.environ:
        if name.startswith("CLEARCAST__"):
            top = name.removeprefix("CLEARCAST__").split("__")[0].lower()
            if top not in Settings.model_fields:
                raise SettingsInvalid(
                    f"The environment variable {name} names no setting.",
                    hint="docs/settings.md lists them all.",
                )


def _reason(error: TypeError | ValidationError) -> str:
    if isinstance(error, TypeError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
