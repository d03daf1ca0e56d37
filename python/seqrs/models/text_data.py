"""The texts of one training run: what to train on, what to hold out, and how to know them again."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrs import _check
from seqrs.batches import hold_out
from seqrs.text.codec import document_tokens
from seqrs.text.corpora import Corpus, Text
from seqrs.text.tokenizers import Tokenizer

#: Documents as lists of tokens.
Documents = list[list[str]]


@dataclass(frozen=True)
class TextData:
    """A training text and how to validate.

    Attributes
    ----------
    corpus : Corpus
        The text.
    held_out : Corpus, float or None
        Another text to validate with; the part of the first one to hold out; or nothing.
    documents : "file" or "line"
        What a document is.
    """

    corpus: Corpus
    held_out: Corpus | float | None
    documents: str

    @classmethod
    def read(cls, text: Text, validation: Text | float | None, documents: str) -> "TextData":
        """Read the texts; `validation` is a fraction, a text, or None or 0 for nothing."""
        corpus = Corpus.read(text, documents)
        held_out: Corpus | float | None = None
        if isinstance(validation, (int, float)):
            held_out = _check.probability("validation", validation) or None
        elif validation is not None:
            held_out = Corpus.read(validation, documents, name="validation")
        return cls(corpus, held_out, documents)

    def split(self, tokenizer: Tokenizer, seed: int) -> tuple[Documents, Documents | None]:
        """Return the documents to train on and those to validate with.

        A fraction of one text is its last part; a fraction of many documents is drawn by the
        seed.
        """
        documents = [
            document_tokens(tokenizer, document, self.documents) for document in self.corpus.documents
        ]
        if self.held_out is None:
            return documents, None
        if isinstance(self.held_out, Corpus):
            return documents, [
                document_tokens(tokenizer, document, self.documents) for document in self.held_out.documents
            ]
        if self.documents == "file":
            (stream,) = documents
            cut = int(len(stream) * (1 - self.held_out))
            parts: tuple[Documents, Documents] = ([stream[:cut]], [stream[cut:]])
        else:
            training, held = hold_out(len(documents), self.held_out, seed)
            parts = ([documents[n] for n in training], [documents[n] for n in held])
        if not all(any(part) for part in parts):
            raise ValueError(
                f"validation: expected a text long enough to hold out {self.held_out:g} of it, got "
                f"{sum(map(len, documents))} tokens in {len(documents)} document(s); pass validation=None"
            )
        return parts

    @property
    def sha256(self) -> str:
        """A fingerprint of the texts and of how they are divided."""
        held = self.held_out.sha256 if isinstance(self.held_out, Corpus) else repr(self.held_out)
        return hashlib.sha256(f"{self.documents} {self.corpus.sha256} {held}".encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the texts, which is not the texts themselves."""
        other = isinstance(self.held_out, Corpus)
        return {
            "documents": self.documents,
            "files": list(self.corpus.files),
            "validation": None if other else self.held_out,
            "validation_files": list(self.held_out.files) if isinstance(self.held_out, Corpus) else None,
            "sha256": self.sha256,
        }

    @classmethod
    def read_again(cls, record: dict[str, Any], text: Text | None, validation: Text | None) -> "TextData":
        """Read the texts that a checkpoint was trained on; those not given, from where they were.

        Raises
        ------
        ValueError
            If they are not the same, or were not files and are not given.
        """
        held: Text | float | None = validation
        if text is None:
            text = _files("text", record["files"])
        if validation is None:
            files = record["validation_files"]
            held = record["validation"] if files is None else _files("validation", files)
        data = cls.read(text, held, record["documents"])
        if data.sha256 != record["sha256"]:
            names = ", ".join(data.corpus.files) or "this text"
            raise ValueError(
                f"text: {names} is not what this training began with (its SHA-256 differs); "
                "to train on a changed text, begin anew"
            )
        return data


def _files(name: str, files: list[str]) -> Text:
    if not files:
        raise ValueError(f"{name}: training did not begin from a file, so the text has to be given again")
    return [Path(file) for file in files]
