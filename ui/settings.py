"""Every setting of the user interface, once. `python -m ui.settings` prints them with their values and meanings."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _private_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"multimodal-sentiment-ui-{os.getuid()}"


def _secrets() -> Path | None:
    """Where containers are given files named as the variables (`ui_api_key`), which the variables outrank."""
    return Path("/run/secrets") if Path("/run/secrets").is_dir() else None


class Settings(BaseSettings):
    """What an operator can set: environment variables with the prefix `UI_`, and the service's address."""

    model_config = SettingsConfigDict(env_prefix="UI_", frozen=True, extra="ignore", secrets_dir=_secrets())

    api_url: str = Field(
        default="http://127.0.0.1:8000",
        validation_alias=AliasChoices("SENTIMENT_API_URL", "UI_API_URL"),
        description="Address of the service.",
    )
    api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("UI_API_KEY", "SENTIMENT_API_KEY"),
        description="Key or token for the service; without one, visitors may enter their own if it asks for one.",
    )
    auth: SecretStr | None = Field(
        default=None, description="Who may see the page: entries that `python -m ui.login NAME` makes, with commas."
    )
    auth_file: Path | None = Field(default=None, description="The same in a file, one a line.")
    host: str = Field(default="127.0.0.1", description="Address that the page listens on.")
    port: int = Field(default=7860, description="Port of the page.")
    timeout_seconds: float = Field(default=330.0, gt=0, description="Longest wait for an answer of the service.")
    max_upload_bytes: int = Field(default=100_000_000, gt=0, description="Largest file; the service has its own limit.")
    uploads: Path = Field(
        default_factory=_private_folder,
        description="Folder of uploads, readable by this user alone; `<port>` below it is wiped at start and stop.",
    )
    keep_seconds: float = Field(default=300.0, gt=0, description="An upload is deleted after this long at the latest.")
    at_once: int = Field(default=8, ge=1, description="Analyses that run at the same time.")


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()


def main() -> None:
    """Print every setting with its value and meaning."""
    now = settings()
    for name, info in Settings.model_fields.items():
        value = getattr(now, name)
        variable = "SENTIMENT_API_URL" if name == "api_url" else f"UI_{name.upper()}"
        print(f"{variable:22} {value!s:34} {info.description}")


if __name__ == "__main__":
    main()
