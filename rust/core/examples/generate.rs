//! Writes text with a saved language model, token by token as it is drawn.
//!
//! ```text
//! $ seqrs train corpus.txt -o model.seqrs
//! $ cargo run --release -p seqrs --example generate -- model.seqrs --prompt "Once" --length 200 \
//!       --temperature 0.8 --seed 1
//! ```
//! The same options write the same text as `seqrs sample` does.

use seqrs::models::SavedLanguageModel;
use seqrs::prelude::*;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;
use std::str::FromStr;

const USAGE: &str = "usage: generate MODEL [--prompt TEXT] [--length N] [--temperature X] [--seed N]";
const EOS: &str = "<EOS>";
const UNK: &str = "<UNK>";

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Options {
    model: String,
    prompt: String,
    length: usize,
    temperature: f64,
    seed: u64,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Outcome<Self> {
        let seed = RandomState::new().hash_one(0);
        let (mut prompt, mut length, mut temperature, mut seed) = (String::new(), 200, 0.8, seed);
        let mut model = None;
        while let Some(argument) = arguments.next() {
            let name = argument.as_str();
            let mut value = || arguments.next().ok_or_else(|| format!("{name}: expected a value\n{USAGE}"));
            match name {
                "--prompt" => prompt = value()?,
                "--length" => length = number(name, "a number of tokens", &value()?)?,
                "--temperature" => temperature = number(name, "a number", &value()?)?,
                "--seed" => seed = number(name, "a whole number of at least 0", &value()?)?,
                _ if model.is_none() && !name.starts_with('-') => model = Some(argument),
                _ => return Err(format!("{name}: unknown argument\n{USAGE}").into()),
            }
        }
        Ok(Self { model: model.ok_or(USAGE)?, prompt, length, temperature, seed })
    }
}

fn number<T: FromStr>(name: &str, expected: &str, text: &str) -> Outcome<T> {
    text.parse().map_err(|_| format!("{name}: expected {expected}, got {text:?}").into())
}

/// What a model's tokens are.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Char,
    Byte,
    Word,
}

impl Level {
    fn parse(name: &str) -> Outcome<Self> {
        match name {
            "char" => Ok(Self::Char),
            "byte" => Ok(Self::Byte),
            "word" => Ok(Self::Word),
            _ => {
                Err(format!("this example knows the levels char, byte and word; the model's is {name}")
                    .into())
            }
        }
    }

    /// Characters; bytes, each as the character of its number; or what stands between white space,
    /// with `<EOS>` for each line end.
    fn tokenize(self, text: &str) -> Vec<String> {
        match self {
            Self::Char => text.chars().map(String::from).collect(),
            Self::Byte => text.bytes().map(|byte| char::from(byte).to_string()).collect(),
            Self::Word => {
                let words = |line: &str| -> Vec<String> {
                    let spelt = |word: &str| if word.to_uppercase() == UNK { UNK } else { word }.to_owned();
                    line.split_whitespace().map(spelt).collect()
                };
                text.split('\n').map(words).collect::<Vec<_>>().join(&EOS.to_owned())
            }
        }
    }
}

/// Turns tokens into text as they come.
struct Detokenizer {
    level: Level,
    /// Words: whether the next one starts a line.
    line_start: bool,
    /// Bytes that do not yet make a character.
    bytes: Vec<u8>,
}

impl Detokenizer {
    fn text(&mut self, token: &str) -> String {
        match self.level {
            Level::Char => token.to_owned(),
            Level::Byte => {
                self.bytes.extend(token.chars().map(|byte| byte as u8));
                match std::str::from_utf8(&self.bytes) {
                    Err(error) if error.error_len().is_none() => String::new(),
                    _ => self.rest(),
                }
            }
            Level::Word => {
                let start = std::mem::replace(&mut self.line_start, token == EOS);
                match token {
                    EOS => "\n".to_owned(),
                    _ if start => token.to_owned(),
                    _ => format!(" {token}"),
                }
            }
        }
    }

    /// The text of the bytes held back; what is no UTF-8 becomes U+FFFD.
    fn rest(&mut self) -> String {
        let bytes = std::mem::take(&mut self.bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn write(options: &Options, out: &mut impl Write) -> Outcome<()> {
    let saved = SavedLanguageModel::read(&options.model)?;
    let level = Level::parse(&saved.level)?;
    let network: Network<f32> = saved.network(Device::open("cpu")?)?;
    let find = |token: &str| saved.tokens.iter().position(|known| known == token).map(|n| n as i32);
    let (eos, unk) = (find(EOS), find(UNK));

    let read = level.tokenize(&options.prompt);
    // First of all the zero vector. A token that training has not seen is the unknown word or,
    // where there is none, the zero vector again.
    let mut prompt = vec![-1];
    prompt.extend(read.iter().map(|token| find(token).or(unk).unwrap_or(-1)));
    if prompt[1..].contains(&-1) {
        eprintln!("prompt: it has characters not seen in training, read as the zero vector");
    }
    let stop = eos.filter(|_| saved.documents == "line");
    let banned: Vec<i32> = unk.into_iter().collect();
    let sampler = Sampler::new(saved.tokens.len(), options.temperature, None, None, &banned)?;
    let start = Start { prompt: &prompt, state: None, stop, seed: options.seed };
    let mut generator = Generator::new(&network, start, sampler)?;

    let line_start = read.last().is_none_or(|last| last == EOS);
    let mut text = Detokenizer { level, line_start, bytes: Vec::new() };
    for _ in 0..options.length {
        let token = generator.draw(&network)?.token;
        if generator.done() {
            break;
        }
        out.write_all(text.text(&saved.tokens[token as usize]).as_bytes())?;
        out.flush()?;
    }
    writeln!(out, "{}", text.rest())?;
    Ok(())
}

fn main() -> ExitCode {
    let outcome = Options::read(std::env::args().skip(1)).and_then(|o| write(&o, &mut stdout().lock()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the text has seen enough.
        Err(error) if broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {error}");
            ExitCode::from(2)
        }
    }
}

fn broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
