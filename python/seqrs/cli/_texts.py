"""The text that a command reads: a file, or standard input."""

import sys
from collections.abc import Sequence
from pathlib import Path


def documents(path: Path | None, kind: str) -> Sequence[str]:
    """Return the documents of a text, of which a model has learned the kind "file" or "line"."""
    from seqrs.text import Corpus

    if path is not None:
        return Corpus.read(path, kind).documents
    text = sys.stdin.read()
    # As a list it stays as it is; as a str that has a line end it is cut into lines.
    return Corpus.read([text] if kind == "file" else text + "\n", kind, name="standard input").documents
