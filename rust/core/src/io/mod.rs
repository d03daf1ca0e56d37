//! Model files: safetensors files with metadata, read with suspicion and written all or nothing.
//!
//! A file is the length n of its header (8 bytes, little-endian), n bytes of JSON, then the bytes of
//! all tensors without gaps. The JSON names each tensor's type, shape and place, and under
//! `__metadata__` texts by name. Nothing in it can be run.

mod tensor;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Serialize;
pub use tensor::{Dtype, Element, Tensor};

const LENGTH_BYTES: usize = size_of::<u64>();
/// The longest header that readers of the format accept.
const MAX_HEADER: u64 = 100_000_000;
const METADATA: &str = "__metadata__";

/// Everything in a model file.
///
/// # Examples
/// ```
/// use seqrs::io::{ModelFile, Tensor};
/// let path = std::env::temp_dir().join("seqrs-example.safetensors");
/// let mut file = ModelFile::default();
/// file.metadata.insert("format".into(), "1".into());
/// file.tensors.insert("weight".into(), Tensor::new(&[2], &[1.0f32, 2.0])?);
/// file.write(&path)?;
/// assert_eq!(ModelFile::read(&path)?, file);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), seqrs::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFile {
    /// Texts by name.
    pub metadata: BTreeMap<String, String>,
    /// Arrays by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// The JSON of a file, its entries in order of their names.
#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

impl ModelFile {
    /// Read and check the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Format`] where it is cut short, damaged or
    /// something else than a safetensors file.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let format = |reason: String| Error::Format { path: path.to_owned(), reason };
        let file = File::open(path).map_err(io_error(path))?;
        let about = file.metadata().map_err(io_error(path))?;
        if !about.is_file() {
            return Err(format("it is not a regular file".to_owned()));
        }
        let Some(size) = about.len().checked_sub(LENGTH_BYTES as u64) else {
            return Err(format(format!("it has {} bytes, too few for a header", about.len())));
        };
        // Every length is held against the size of the file before memory is taken for it.
        let take = |length: u64| {
            let mut bytes = Vec::new();
            let wanted = usize::try_from(length).unwrap_or(usize::MAX);
            bytes.try_reserve_exact(wanted).map_err(|_| format("it does not fit in memory".to_owned()))?;
            (&file).take(length).read_to_end(&mut bytes).map_err(io_error(path))?;
            if bytes.len() == wanted {
                Ok(bytes)
            } else {
                Err(format("it shrank while it was read".to_owned()))
            }
        };
        let length = take(LENGTH_BYTES as u64)?.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte));
        if length > size.min(MAX_HEADER) {
            let reason = "its header does not end within it; it is cut short, or no safetensors file";
            return Err(format(reason.to_owned()));
        }
        let header: Metadata = serde_json::from_slice(&take(length)?).map_err(|error| {
            format(format!("its header is damaged, or it is no safetensors file: {error}"))
        })?;
        let (needed, found) = (header.data_len() as u64, size - length);
        if needed != found {
            let what = if found < needed { "cut short" } else { "damaged" };
            return Err(format(format!("its tensors need {needed} bytes, it has {found}; it is {what}")));
        }
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut tensors = BTreeMap::new();
        for name in header.offset_keys() {
            if let Some(TensorInfo { dtype, shape, data_offsets: (start, end) }) = header.info(&name) {
                let bytes = take((end - start) as u64)?;
                tensors.insert(name, Tensor { dtype: *dtype, shape: shape.clone(), bytes });
            }
        }
        Ok(Self { metadata, tensors })
    }

    /// Write the file at `path`, all or nothing: under another name beside it, through to the disk,
    /// then renamed. The same content gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Shape`] or [`Error::Value`] for a tensor that no file can hold;
    /// a file that was there is then as it was, and no other file is left.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let (header, order) = self.header()?;
        // The file behind a link is replaced, not the link.
        let path = fs::canonicalize(&path).unwrap_or_else(|_| path.as_ref().to_owned());
        let (file, temporary) = create_beside(&path).map_err(io_error(&path))?;
        let written = (|| {
            let mut file = BufWriter::new(file);
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            for tensor in order {
                file.write_all(&tensor.bytes)?;
            }
            file.into_inner()?.sync_all()?;
            fs::rename(&temporary, &path)
        })();
        if let Err(error) = written {
            // Nothing more can be done where this fails too; the first error is the one to tell.
            fs::remove_file(&temporary).ok();
            return Err(io_error(&path)(error));
        }
        // The rename itself reaches the disk with its directory. Not every file system can do this,
        // and the new file is complete without it.
        #[cfg(unix)]
        if let Some(Ok(folder)) = path.parent().map(File::open) {
            folder.sync_all().ok();
        }
        Ok(())
    }

    /// The JSON, padded to whole 8 bytes, and the tensors in the order of their bytes: the widest
    /// elements first, so that all are aligned.
    fn header(&self) -> Result<(Vec<u8>, Vec<&Tensor>)> {
        let mut order: Vec<_> = self.tensors.iter().collect();
        order.sort_by_key(|(_, tensor)| Reverse(tensor.dtype));
        let mut tensors = BTreeMap::new();
        let mut start = 0;
        for &(name, tensor) in &order {
            tensor.validate(name)?;
            if name == METADATA {
                return Err(Error::value("tensors", "another name for a tensor", METADATA));
            }
            let data_offsets = (start, start + tensor.bytes.len());
            start = data_offsets.1;
            tensors.insert(
                name.as_str(),
                TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets },
            );
        }
        let json = serde_json::to_vec(&Header { metadata: &self.metadata, tensors });
        let mut json = json.map_err(|error| Error::value("tensors", "names and shapes for JSON", error))?;
        json.resize(json.len().next_multiple_of(LENGTH_BYTES), b' ');
        if json.len() as u64 > MAX_HEADER {
            return Err(Error::value(
                "metadata",
                format!("at most {MAX_HEADER} bytes with all names"),
                json.len(),
            ));
        }
        Ok((json, order.into_iter().map(|(_, tensor)| tensor).collect()))
    }
}

/// A new file in the folder of `path`, under a name that no other process and no other call has.
fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut number = 0;
    loop {
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(hidden);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
