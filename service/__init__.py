"""The Multimodal Sentiment service: media in, one calibrated and fused verdict out."""

import os

__version__ = "0.1.0"

# ONNX Runtime tells Microsoft about each process and model since 1.29, unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
