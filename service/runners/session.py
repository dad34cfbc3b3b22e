"""The one place that opens an ONNX file: digest checked, threads and memory set."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from models.registry import ModelEntry


def open_model(entry: ModelEntry, threads: int = 1) -> onnxruntime.InferenceSession:
    """The session of a model of the registry. Raises `WeightsMismatch` if its file is not the one that is named."""
    return open_session(entry.path(), threads)


def open_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the processor with `threads` threads of its own, which sleep when there is nothing to do."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A plan of memory is kept for every shape that ever came, and saves nothing that could be measured. The arena does:
    # without it 64 texts of 128 tokens take 986 ms instead of 600; models bound what they give it at once.
    options.enable_mem_pattern = False
    # Threads that spin would take the cores from the other processes of the service.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
