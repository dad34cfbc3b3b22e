"""What can be said on the command line."""

from __future__ import annotations

import argparse

from ui.client.command import analyze, history, jobs, service
from ui.client.command.documents import KINDS

EPILOG = """SENTIMENT_API_URL and SENTIMENT_API_KEY name the service and the key to send; a key is never an argument,
where other users of the machine could read it."""


def parser() -> argparse.ArgumentParser:
    """The whole command line; `run` of what it parses is the function to call."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help="address of the service (SENTIMENT_API_URL, else http://127.0.0.1:8000)")
    common.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="longest wait for an answer")
    whole = argparse.ArgumentParser(
        prog="python -m ui.client", description="Ask a Multimodal Sentiment service.", epilog=EPILOG
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    _analyze(commands, common)
    for name, run, about in (
        ("models", service.models, "the models that answer"),
        ("health", service.health, "how the service is; ends with 1 if it is unhealthy"),
    ):
        command = commands.add_parser(name, parents=[common], help=about)
        command.add_argument("--json", action="store_true", help="as JSON")
        command.set_defaults(run=run)
    _jobs(commands.add_parser("jobs", help="work that outlives its request").add_subparsers(required=True), common)
    _history(commands.add_parser("history", help="what was sent with --store").add_subparsers(required=True), common)
    return whole


def _analyze(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "analyze",
        parents=[common],
        help="judge texts, recordings, pictures and videos",
        description="Judge each FILE: a text, a recording, a picture, a video, or a table of texts (CSV, TSV, JSON "
        "Lines). Tables, and media too long to be answered at once, go as jobs.",
    )
    command.add_argument("files", nargs="*", metavar="FILE", help="what to judge; - reads the standard input")
    command.add_argument("--text", action="append", default=[], help="a text to judge; may be repeated")
    shape = command.add_mutually_exclusive_group()
    for kind, about in KINDS.items():
        shape.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=about)
    command.add_argument("--output", metavar="DIR", help="write a document for each file into this folder")
    command.add_argument("--explain", action="store_true", help="say which words decide")
    command.add_argument("--language", help="language of text and speech (BCP 47)")
    command.add_argument("--no-transcribe", action="store_true", help="judge the voice alone, not the words")
    command.add_argument("--min-confidence", type=_share, metavar="SHARE", help="abstain below this (0 to 1)")
    command.add_argument(
        "--coverage", type=_share, metavar="SHARE", help="add the labels that hold the true one so often (0.8 to 0.99)"
    )
    command.add_argument("--store", action="store_true", help="keep the answers in the service's history")
    command.add_argument("--job", action="store_true", help="send everything as jobs; a .txt then holds a text a line")
    command.add_argument("--detach", action="store_true", help="name the jobs and do not wait for them")
    command.add_argument("--column", help="column of a table that holds the texts (text)")
    command.set_defaults(run=analyze.run, usage=command.error)


def _jobs(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    listed = commands.add_parser("list", parents=[common], help="the newest jobs")
    listed.add_argument("--limit", type=_count, default=20, help="how many (20)")
    listed.set_defaults(run=jobs.show_all)
    for name, run, about in (
        ("show", jobs.show, "follow a job until it is over"),
        ("cancel", jobs.cancel, "stop a job and remove its media and result"),
        ("result", jobs.result, "what a job came to"),
    ):
        command = commands.add_parser(name, parents=[common], help=about)
        command.add_argument("id")
        command.set_defaults(run=run)
        if name == "result":
            command.add_argument("--format", choices=("json", "csv", "jsonl"), default="json", help="(json)")
            command.add_argument("--output", metavar="FILE", help="write it there")


def _history(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--label", choices=("negative", "neutral", "positive", "abstained"))
    chosen.add_argument("--modality", choices=("text", "speech", "face"))
    chosen.add_argument("--since", metavar="TIME", help="not before (RFC 3339)")
    chosen.add_argument("--until", metavar="TIME", help="before (RFC 3339)")
    listed = commands.add_parser("list", parents=[common, chosen], help="the newest")
    listed.add_argument("--limit", type=_count, default=20, help="how many (20)")
    listed.set_defaults(run=history.show_all)
    exported = commands.add_parser("export", parents=[common, chosen], help="all of it as one document")
    exported.add_argument("file", help="where to; - writes to the standard output")
    exported.add_argument("--format", choices=("csv", "json"), help="(as the file's name ends, else json)")
    exported.set_defaults(run=history.export)
    deleted = commands.add_parser("delete", parents=[common], help="delete some or all, for good")
    deleted.add_argument("ids", nargs="*", metavar="ID")
    deleted.add_argument("--all", action="store_true", help="everything")
    deleted.add_argument("--yes", action="store_true", help="do not ask")
    deleted.set_defaults(run=history.delete, usage=deleted.error)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be between 0 and 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
