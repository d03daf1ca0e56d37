"""From text to tokens and back: vocabulary, tokenizers, corpora."""

from seqrs.text.corpora import Corpus as Corpus
from seqrs.text.tokenizers import ByteTokenizer as ByteTokenizer
from seqrs.text.tokenizers import CharTokenizer as CharTokenizer
from seqrs.text.tokenizers import Detokenizer as Detokenizer
from seqrs.text.tokenizers import Tokenizer as Tokenizer
from seqrs.text.tokenizers import WordTokenizer as WordTokenizer
from seqrs.text.vocabulary import Vocabulary as Vocabulary

__all__ = [
    "ByteTokenizer",
    "CharTokenizer",
    "Corpus",
    "Detokenizer",
    "Tokenizer",
    "Vocabulary",
    "WordTokenizer",
]
