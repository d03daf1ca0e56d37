//! Model files: whole, against the safetensors crate, damaged in every place, and failing to be written.

use super::*;
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

fn example() -> ModelFile {
    let mut file = ModelFile::default();
    file.metadata.insert("format".to_owned(), "1".to_owned());
    file.metadata.insert("vocabulary".to_owned(), "[\"a\", \"é\\n\"]".to_owned());
    file.tensors.insert("a.byte".to_owned(), Tensor::new(&[3], &[1u8, 2, 3]).unwrap());
    file.tensors.insert("b.weight".to_owned(), Tensor::new(&[2, 2], &[1.0f32, -0.0, f32::NAN, 4.5]).unwrap());
    file.tensors.insert("c.empty".to_owned(), Tensor::new(&[0, 5], &[0i64; 0]).unwrap());
    file.tensors.insert("d.step".to_owned(), Tensor::new(&[], &[u64::MAX]).unwrap());
    file
}

/// Bytes as a file read back; the error as text.
fn read(bytes: &[u8]) -> std::result::Result<ModelFile, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.seqrs");
    fs::write(&path, bytes).unwrap();
    ModelFile::read(&path).map_err(|error| match error {
        Error::Format { reason, .. } => reason,
        other => panic!("another kind of error: {other}"),
    })
}

fn bytes(file: &ModelFile) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.seqrs");
    file.write(&path).unwrap();
    fs::read(path).unwrap()
}

/// A file with this header and `data` zeros after it.
fn with_header(json: &str, data: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &vec![0; data]].concat()
}

fn tensors() -> impl Strategy<Value = Tensor> {
    let shape = prop::collection::vec(0..4usize, 0..4);
    (shape, 0..4, any::<u64>()).prop_map(|(shape, kind, seed)| {
        let values: Vec<u64> = (0..shape.iter().product::<usize>() as u64).map(|i| seed ^ i).collect();
        match kind {
            0 => Tensor::new(&shape, &values.iter().map(|&v| v as f32).collect::<Vec<_>>()),
            1 => Tensor::new(&shape, &values.iter().map(|&v| f64::from_bits(v)).collect::<Vec<_>>()),
            2 => Tensor::new(&shape, &values.iter().map(|&v| v as i32).collect::<Vec<_>>()),
            _ => Tensor::new(&shape, &values.iter().map(|&v| v as u8).collect::<Vec<_>>()),
        }
        .unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn round_trip(
        metadata in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        tensors in prop::collection::btree_map(any::<String>(), tensors(), 0..6),
    ) {
        let file = ModelFile { metadata, tensors };
        let written = bytes(&file);
        prop_assert_eq!(&written, &bytes(&file));
        prop_assert_eq!(read(&written).unwrap(), file);
    }

    #[test]
    fn garbage_is_refused(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&garbage).is_err());
    }
}

#[test]
fn the_safetensors_crate_reads_it() {
    let (file, written) = (example(), bytes(&example()));
    let theirs = SafeTensors::deserialize(&written).unwrap();
    assert_eq!(theirs.len(), file.tensors.len());
    for (name, tensor) in &file.tensors {
        let view = theirs.tensor(name).unwrap();
        assert_eq!(
            (view.dtype(), view.shape(), view.data()),
            (tensor.dtype, &tensor.shape[..], &tensor.bytes[..])
        );
        let address = view.data().as_ptr().addr() - written.as_ptr().addr();
        assert_eq!(address % (tensor.dtype.bitsize() / 8), 0, "{name} is not aligned");
    }
}

#[test]
fn reads_what_the_safetensors_crate_writes() {
    let file = example();
    let views = file.tensors.iter().map(|(name, tensor)| {
        (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap())
    });
    let theirs = safetensors::serialize(views, Some(file.metadata.clone().into_iter().collect())).unwrap();
    assert_eq!(read(&theirs).unwrap(), file);
    // No metadata at all, and tensors in another order than their names.
    let json = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"b":{"dtype":"I8","shape":[],"data_offsets":[0,1]}}"#;
    let read = read(&with_header(json, 2)).unwrap();
    assert!(read.metadata.is_empty() && read.tensors["b"].dtype == Dtype::I8);
}

#[test]
fn cut_short_anywhere() {
    let written = bytes(&example());
    for length in 0..written.len() {
        let reason = read(&written[..length]).unwrap_err();
        assert!(
            reason.contains("too few for a header") || reason.contains("cut short"),
            "{length}: {reason}"
        );
    }
    assert!(read(&[&written[..], b"x"].concat()).unwrap_err().ends_with("it is damaged"));
}

#[test]
fn damaged_anywhere_never_panics() {
    let written = bytes(&example());
    for at in 0..written.len() {
        for bit in 0..8 {
            let mut damaged = written.clone();
            damaged[at] ^= 1 << bit;
            // A flipped bit in a name or number still makes a file; one in its frame is refused.
            let result = read(&damaged);
            assert!(at >= LENGTH_BYTES || result.is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn hostile_headers() {
    let tensor = |shape: &str, offsets: &str| {
        with_header(&format!(r#"{{"x":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#), 4)
    };
    assert!(read(&tensor("[1]", "[0,4]")).is_ok());
    for (bytes, reason) in [
        (vec![], "0 bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "no safetensors file"),
        (b"PK\x03\x04 a zip archive".to_vec(), "no safetensors file"),
        (with_header("not json", 0), "no safetensors file"),
        (with_header(&"[".repeat(100_000), 0), "no safetensors file"),
        (with_header(r#"{"__metadata__":{"a":1}}"#, 0), "no safetensors file"),
        (tensor("[18446744073709551615,2]", "[0,4]"), "overflow"),
        (tensor("[4000000000]", "[0,16000000000]"), "need 16000000000 bytes, it has 4"),
        (tensor("[1]", "[4,8]"), "invalid offset"),
        (tensor("[1]", "[4,0]"), "invalid offset"),
        (tensor("[2]", "[0,4]"), "invalid shape"),
        (tensor("[-1]", "[0,4]"), "no safetensors file"),
    ] {
        let error = read(&bytes).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn other_paths() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(ModelFile::read(folder.path().join("none")), Err(Error::Io { .. })));
    assert!(ModelFile::read(folder.path()).unwrap_err().to_string().ends_with("it is not a regular file"));
    assert!(matches!(example().write(folder.path().join("none/model")), Err(Error::Io { .. })));
    assert!(matches!(example().write("/"), Err(Error::Io { .. })));
}

#[test]
fn a_failed_write_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.seqrs");
    let names = || fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    example().write(&path).unwrap();
    let before = fs::read(&path).unwrap();

    // A tensor that does not hold what it says is refused before anything is written.
    let mut bad = example();
    bad.tensors.get_mut("a.byte").unwrap().shape = vec![4];
    let message = bad.write(&path).unwrap_err().to_string();
    assert_eq!(message, "a.byte: expected shape of 3 bytes of U8 elements, got (4,)");
    let tensor = bad.tensors.remove("b.weight").unwrap();
    bad.tensors = [(METADATA.to_owned(), tensor)].into();
    assert!(matches!(bad.write(&path), Err(Error::Value { .. })));
    assert_eq!((fs::read(&path).unwrap(), names().len()), (before, 1));

    // The rename fails: a folder is in the way.
    let blocked = folder.path().join("folder");
    fs::create_dir_all(blocked.join("inside")).unwrap();
    assert!(matches!(example().write(&blocked), Err(Error::Io { .. })));
    assert_eq!(names().len(), 2);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    example().write(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(ModelFile::read(&target).unwrap(), example());
}

#[test]
fn tensors_have_one_type() {
    let tensor = Tensor::new(&[2], &[1.5f64, -2.0]).unwrap();
    assert_eq!(tensor.to_vec::<f64>().unwrap(), [1.5, -2.0]);
    assert_eq!(tensor.to_vec::<f32>().unwrap_err().to_string(), "dtype: expected F32, got F64");
    assert!(Tensor::new(&[3], &[1i32, 2]).is_err());
    assert!(Tensor::new(&[usize::MAX, 2], &[1i32]).is_err());
}
