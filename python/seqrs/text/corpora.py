"""Reading texts: from files, strings and iterables, as one stream or as many documents."""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seqrs import _check

DOCUMENTS = ("file", "line")

#: What a text may be: see :meth:`Corpus.read`.
Text = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Corpus:
    """A text, read.

    Attributes
    ----------
    documents : tuple of str
        One document for ``"file"``, each line or item for ``"line"``; none is empty.
    files : tuple of str
        Absolute paths of the files it was read from; empty unless all of it came from files.
    """

    documents: tuple[str, ...]
    files: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: Text, documents: str = "file", *, name: str = "text") -> "Corpus":
        r"""Read a text.

        Parameters
        ----------
        text : str, path, or iterable of them
            A path object is a file. A str is a file where one of that name exists, else the
            text itself; a str that only looks like a file name (one line, ends in something like
            ``.txt``) is taken for a misspelt one. In an iterable, a path object is a file and a
            str always a text.

            Files are UTF-8, with or without a byte order mark; ``\r\n`` becomes ``\n``.
        documents : "file" or "line", default "file"
            ``"file"``: all of it is one stream, each item beginning on a new line. ``"line"``:
            each line of a file or a single str, and each str of an iterable, is a document of
            its own; empty ones are left out.
        name : str, default "text"
            What error messages call the text.

        Returns
        -------
        Corpus

        Raises
        ------
        FileNotFoundError, OSError
            If a file is missing or cannot be read.
        ValueError
            If a file is not UTF-8 (the message says at which byte), or there is no text at all.
        TypeError
            If the text is something else.

        Examples
        --------
        >>> from seqrs.text import Corpus
        >>> Corpus.read("one fish\ntwo fish\n", documents="line").documents
        ('one fish', 'two fish')
        >>> Corpus.read(["red fish", "blue fish"]).documents
        ('red fish\nblue fish\n',)
        """
        _check.choice("documents", documents, DOCUMENTS)
        if isinstance(text, (str, os.PathLike)):
            sources: list[str | os.PathLike[str]] = [_path_or_text(name, text)]
        elif isinstance(text, Iterable) and not isinstance(text, (bytes, bytearray)):
            sources = list(text)
        else:
            raise TypeError(
                f"{name}: expected a str, a path or an iterable of them, got {type(text).__name__}"
            )
        one_item = len(sources) == 1
        parts: list[str] = []
        files: list[str] = []
        for source in sources:
            if isinstance(source, str):
                content, is_file = source, False
            elif isinstance(source, os.PathLike):
                content, is_file = read_file(source), True
                files.append(os.path.abspath(source))
            else:
                raise TypeError(f"{name}: expected str or paths as items, got {type(source).__name__}")
            if documents == "file":
                # A single text stays exactly as it is.
                parts.append(content if one_item or content.endswith("\n") else content + "\n")
            elif is_file or isinstance(text, str):
                parts.extend(content.split("\n"))
            else:
                parts.append(content.removesuffix("\n"))
        if documents == "file":
            parts = ["".join(parts)]
        parts = [part for part in parts if part.strip() or (part and documents == "file")]
        if not parts or not any(part.strip() for part in parts):
            raise ValueError(f"{name}: expected some text, got {_nothing(sources)}")
        return cls(tuple(parts), tuple(files) if len(files) == len(sources) else ())

    @property
    def sha256(self) -> str:
        """A fingerprint of the documents, in hexadecimal."""
        digest = hashlib.sha256()
        for document in self.documents:
            content = document.encode("utf-8", "surrogatepass")
            digest.update(len(content).to_bytes(8, "little"))
            digest.update(content)
        return digest.hexdigest()


def read_file(path: str | os.PathLike[str]) -> str:
    r"""Return a UTF-8 file's text, without a byte order mark, and with ``\n`` for ``\r\n``.

    Raises
    ------
    ValueError
        If the file is not UTF-8; the message says at which byte and line.
    OSError
        If it cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # With a byte order mark the decoder counts from behind it.
        place = error.start + len(content) - len(error.object)
        line = content.count(b"\n", 0, place) + 1
        raise ValueError(
            f"{os.fspath(path)}: expected UTF-8 text, got byte 0x{content[place]:02x} at position {place} "
            f"(line {line}): {error.reason}"
        ) from None
    return text.replace("\r\n", "\n")


def _path_or_text(name: str, text: str | os.PathLike[str]) -> str | os.PathLike[str]:
    if not isinstance(text, str):
        return text
    # The longest name of a file that any common system allows.
    if "\n" in text or not text or len(text.encode("utf-8", "replace")) > 255 or "\0" in text:
        return text
    if Path(text).exists():
        return Path(text)
    if re.search(r"\S\.[A-Za-z][A-Za-z0-9]{0,7}$", text):
        raise FileNotFoundError(
            f"{name}: no file {text!r} (to use these words as the text itself, pass a list: [{text!r}])"
        )
    return text


def _nothing(sources: list[str | os.PathLike[str]]) -> str:
    files = [os.fspath(source) for source in sources if isinstance(source, os.PathLike)]
    return f"nothing but white space from {', '.join(files)}" if files else "nothing but white space"
