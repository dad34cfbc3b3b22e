"""The Multimodal Sentiment service: media in, one calibrated and fused verdict out."""

__version__ = "0.1.0"
