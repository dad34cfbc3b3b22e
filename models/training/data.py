"""Where training and evaluation data are, and how a table of them is read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import av
import numpy as np
from pyarrow import parquet

from service.features.speech import SAMPLE_RATE, Samples

HOMES = {
    "text/tweet_sentiment": "cardiffnlp/tweeteval and cbaziotis/datastories-semeval2017-task4",
    "speech/ravdess": "Livingstone & Russo 2018 (zenodo.org/record/1188976)",
    "speech/nemo": "Christop 2024 (nEMO)",
    "face/ferplus": "microsoft/FERPlus with the pictures of FER2013",
    "face/scenes": "muxspace/facial_expressions and BIDS/BSDS500",
    "face/facemask_boxes": "marellanoc/MaskON",
    "face/muxspace_faces": "muxspace/facial_expressions",
}


class DataMissing(FileNotFoundError):
    """The data folder or one of its tables is not there."""


def data_folder() -> Path:
    """The folder named by `SENTIMENT_DATA`, else `shared/data` beside the checkout."""
    return Path(os.environ.get("SENTIMENT_DATA") or Path(__file__).parents[3] / "shared" / "data")


def read_table(name: str, split: str | None = None) -> list[dict]:
    """The rows of a table such as `text/tweet_sentiment`, all or those of one split.

    Raises `DataMissing`, which names the public home of the data.
    """
    path = data_folder() / f"{name}.parquet"
    if not path.exists():
        home = HOMES.get(name, "named in models/cards")
        raise DataMissing(f"{path} is missing; the data's public home: {home}. Set SENTIMENT_DATA.")
    filters = [("split", "=", split)] if split else None
    return parquet.read_table(path, filters=filters).to_pylist()


def decode(encoded: bytes) -> Samples:
    """The sound of an encoded file as mono samples at `SAMPLE_RATE`."""
    with av.open(io.BytesIO(encoded)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frames = [resampled for frame in container.decode(audio=0) for resampled in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
