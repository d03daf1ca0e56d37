"""From a text to its tokens and back: by characters, bytes or words.

A token is a str. What a tokenizer of your own needs is two methods, those of :class:`Tokenizer`.
"""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from seqrs.text.vocabulary import EOS, UNK


@runtime_checkable
class Tokenizer(Protocol):
    """What a model asks of a tokenizer.

    ``detokenize(tokenize(text))`` should be `text`, as nearly as the tokens allow. A model adds
    ``"<UNK>"`` (for tokens that training has not seen) and ``"<EOS>"`` (the end of a document)
    of its own; ``detokenize`` may meet the first as a token.

    Examples
    --------
    >>> class Pairs:
    ...     def tokenize(self, text):
    ...         return [text[place : place + 2] for place in range(0, len(text), 2)]
    ...
    ...     def detokenize(self, tokens):
    ...         return "".join(tokens)
    >>> from seqrs.text import Tokenizer
    >>> isinstance(Pairs(), Tokenizer)
    True
    """

    def tokenize(self, text: str) -> Sequence[str]:
        """Cut a text into tokens."""

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Put tokens together again."""


@dataclass(frozen=True)
class CharTokenizer:
    """Every character (Unicode code point) is a token. Lossless.

    Examples
    --------
    >>> from seqrs.text import CharTokenizer
    >>> CharTokenizer().tokenize("añ!")
    ['a', 'ñ', '!']
    """

    def tokenize(self, text: str) -> list[str]:
        """Return the characters."""
        return list(text)

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the tokens joined."""
        return "".join(tokens)


@dataclass(frozen=True)
class ByteTokenizer:
    r"""Every byte of the UTF-8 form is a token. Lossless, and no text has an unknown token.

    A token is the one-character str whose code point is the byte, so that ``"\xc3"`` is byte
    0xC3. Tokens that are no valid UTF-8, as a model may draw them, become U+FFFD. A lone
    surrogate, which UTF-8 has no form for, becomes "?".

    Examples
    --------
    >>> from seqrs.text import ByteTokenizer
    >>> ByteTokenizer().tokenize("ñ!")
    ['Ã', '±', '!']
    """

    def tokenize(self, text: str) -> list[str]:
        """Return the bytes, each as a str of one character."""
        return list(text.encode("utf-8", "replace").decode("latin-1"))

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the text that the bytes stand for."""
        return "".join(tokens).encode("latin-1", "replace").decode("utf-8", "replace")


@dataclass(frozen=True)
class WordTokenizer:
    """Words are what stands between white space; a line ends in ``"<EOS>"``.

    This is how word models are counted in the literature (Penn Treebank, WikiText). What is lost
    is the kind and amount of white space: a run of it within a line becomes one space, and none
    is left at the ends of a line. Line ends are kept. ``<unk>`` in a text, in letters of any
    case, is the unknown word.

    Parameters
    ----------
    split_punctuation : bool, default False
        Cut punctuation off the words, for text as people write it ("Hello, world!"); without it
        "world" and "world!" are two words. A mark says where a token touches its neighbour, so
        that nothing more is lost, except the mark itself, ￭ (U+FFED), where a text has it.

    Examples
    --------
    >>> from seqrs.text import WordTokenizer
    >>> WordTokenizer().tokenize("The cat.  The end.")
    ['The', 'cat.', 'The', 'end.']
    >>> natural = WordTokenizer(split_punctuation=True)
    >>> natural.tokenize("(Hello, world!)")
    ['(￭', 'Hello', '￭,', 'world', '￭!', '￭)']
    >>> natural.detokenize(_)
    '(Hello, world!)'
    """

    split_punctuation: bool = False

    def tokenize(self, text: str) -> list[str]:
        """Return the words, with ``"<EOS>"`` at each line end."""
        tokens: list[str] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                tokens.append(EOS)
            for word in line.split():
                if word.upper() == UNK:
                    tokens.append(UNK)
                elif self.split_punctuation:
                    tokens.extend(_split(word))
                else:
                    tokens.append(word)
        return tokens

    def detokenize(self, tokens: Sequence[str]) -> str:
        """Return the words with a space between any two that do not touch, lines as lines."""
        text: list[str] = []
        touches = True  # no space at the start of a line
        for token in tokens:
            if token == EOS:
                text.append("\n")
                touches = True
                continue
            if self.split_punctuation:
                touches = touches or token.startswith(_MARK)
                after = token.endswith(_MARK) and len(token) > 1
                token = token.strip(_MARK)
            else:
                after = False
            text.append(token if touches else " " + token)
            touches = after
        return "".join(text)


_MARK = "￭"
# A word, with the apostrophes and hyphens inside it, or one character of punctuation.
_PIECE = re.compile(r"\w+(?:['’\-]\w+)*|[^\w]")


def _split(word: str) -> list[str]:
    """Cut punctuation off a word, with a mark on the side where it touched something."""
    pieces = _PIECE.findall(word.replace(_MARK, ""))
    tokens = []
    for place, piece in enumerate(pieces):
        is_word = piece[0].isalnum() or piece[0] == "_"
        if is_word:
            tokens.append(piece)
            continue
        before = _MARK if place else ""
        # Two neighbours in a row carry one mark between them, on the left of the second.
        follows_word = place + 1 < len(pieces) and re.match(r"\w", pieces[place + 1])
        tokens.append(before + piece + (_MARK if follows_word else ""))
    return tokens


class Detokenizer:
    """Turns tokens into text as they come, for streaming.

    The pieces it returns, put together, are the text of all tokens. A piece is held back while
    it ends in the middle of a character (U+FFFD, as bytes give it).

    Parameters
    ----------
    tokenizer : Tokenizer
        Whose tokens come. For one of your own, what a token adds to the text may depend on the
        8 tokens before it, not on later ones.
    context : sequence of str, default ()
        Tokens whose text is already there, such as a prompt's.

    Examples
    --------
    >>> from seqrs.text import ByteTokenizer, Detokenizer, WordTokenizer
    >>> stream = Detokenizer(ByteTokenizer())
    >>> [stream.feed([token]) for token in ["Ã", "±", "!"]]
    ['', 'ñ', '!']
    >>> Detokenizer(WordTokenizer(), context=["Once"]).feed(["upon"])
    ' upon'
    """

    _CONTEXT = 8

    def __init__(self, tokenizer: Tokenizer, context: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self._recent = list(context[-self._CONTEXT :])
        self._pending: list[str] = []

    def feed(self, tokens: Sequence[str]) -> str:
        """Return the text that these tokens add; possibly none yet."""
        if isinstance(self._tokenizer, CharTokenizer):
            return "".join(tokens)
        if isinstance(self._tokenizer, ByteTokenizer):
            return self._bytes.decode("".join(tokens).encode("latin-1", "replace"))
        self._pending.extend(tokens)
        piece = self._added()
        return "" if piece.endswith("\ufffd") else self._advance(piece)

    def finish(self) -> str:
        """Return what is still held back; to be called once, after the last token."""
        if isinstance(self._tokenizer, ByteTokenizer):
            return self._bytes.decode(b"", final=True)
        return self._advance(self._added())

    def _added(self) -> str:
        before = self._tokenizer.detokenize(self._recent)
        return self._tokenizer.detokenize(self._recent + self._pending)[len(before) :]

    def _advance(self, piece: str) -> str:
        self._recent = (self._recent + self._pending)[-self._CONTEXT :]
        self._pending = []
        return piece
