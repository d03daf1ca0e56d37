"""Model files: readable by the reference library, and refused when damaged."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import seqrs
from seqrs.exceptions import ModelFileError

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def model() -> seqrs.LanguageModel:
    return seqrs.LanguageModel(hidden_size=12, num_layers=2, embedding_size=4, seed=2**64 - 1).fit(
        "wörter und wörter " * 30, epochs=1, seq_len=10, progress=False
    )


@pytest.fixture
def path(model: seqrs.LanguageModel, tmp_path: Path) -> Path:
    model.save(tmp_path / "model.seqrs")
    return tmp_path / "model.seqrs"


@pytest.mark.parametrize("name", ["language_model", "language_model.last"])
def test_a_language_model_of_the_first_version_is_read(name: str) -> None:
    model = seqrs.load(GOLDEN / f"{name}.seqrs")
    assert model.get_params()["reset"] == "before"
    assert model.documents == "file"
    assert model.log_prob("abc") == pytest.approx(-5.240798, rel=1e-5)
    assert len(model.history) == 1


def test_training_goes_on_from_a_checkpoint_of_the_first_version(tmp_path: Path) -> None:
    last = GOLDEN / "language_model.last.seqrs"
    model = seqrs.LanguageModel.resume(last, "abc cab. " * 20, progress=False)
    assert model.log_prob("abc") == pytest.approx(-5.240798, rel=1e-5)  # it had come to its end
    tensors, metadata = parts(last)
    training = json.loads(metadata["seqrs.training"])
    training["options"]["epochs"], training["progress"]["finished"] = 30, False
    save_file(tensors, tmp_path / "longer.seqrs", metadata | {"seqrs.training": json.dumps(training)})
    model = seqrs.LanguageModel.resume(tmp_path / "longer.seqrs", "abc cab. " * 20, progress=False)
    assert len(model.history) == 30
    assert model.history[-1]["loss"] < model.history[0]["loss"]
    with pytest.raises(ValueError, match="is not what this training began with"):
        seqrs.LanguageModel.resume(tmp_path / "longer.seqrs", "abc cab. " * 21, progress=False)


def test_a_classifier_of_the_first_version_is_read() -> None:
    model = seqrs.load(GOLDEN / "sequence_classifier.seqrs")
    assert model.class_weight == {"up": 2.0, "down": 1.0}
    assert model.layer_options == {"peephole": "prev"}
    np.testing.assert_allclose(model.predict_proba(["a b"]), [[0.6156848, 0.3843152]], rtol=1e-5)


def parts(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What the reference library reads."""
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118 - no mapping


def test_the_safetensors_library_reads_it(model: seqrs.LanguageModel, path: Path) -> None:
    tensors, metadata = parts(path)
    weights = model.state_dict()
    assert tensors.keys() == weights.keys()
    assert all((tensors[name] == weights[name]).all() for name in weights)
    assert (metadata["seqrs.format"], metadata["seqrs.kind"]) == ("1", "language_model")
    config = json.loads(metadata["seqrs.config"])
    assert (config["cell"], config["form"], config["hidden_size"]) == ("lstm", "none", 12)
    assert config["seed"] == str(2**64 - 1)
    assert json.loads(metadata["seqrs.vocabulary"])["tokens"] == list(model.vocabulary)


def test_what_the_safetensors_library_writes_is_read(
    model: seqrs.LanguageModel, path: Path, tmp_path: Path
) -> None:
    tensors, metadata = parts(path)
    save_file(tensors, tmp_path / "other.seqrs", metadata)
    assert seqrs.load(tmp_path / "other.seqrs").log_prob("wörter") == model.log_prob("wörter")


def test_the_same_model_is_the_same_file(path: Path, tmp_path: Path) -> None:
    seqrs.load(path).save(tmp_path / "again.seqrs")
    assert (tmp_path / "again.seqrs").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"milk, bread",
        b"\x00" * 100,
        b"\xff" * 100,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        b"PK\x03\x04 a zip file" * 10,
    ],
    ids=["empty", "text", "zeros", "ones", "huge header", "no object", "zip"],
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.seqrs"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"other\.seqrs"):
        seqrs.load(path)
    assert path.read_bytes() == content


def test_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for size in [*range(0, len(content) - 1, len(content) // 50), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError, match=r"model\.seqrs"):
            seqrs.load(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(ModelFileError, match=r"model\.seqrs"):
        seqrs.load(path)


def test_bytes_changed_in_the_header_are_refused_or_harmless(path: Path) -> None:
    """Whatever a byte becomes, there is a model or a ModelFileError, and nothing else."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    refused = 0
    for place in range(0, size + 8, 37):
        for value in (0, ord('"'), ord("9"), 255):
            path.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
            try:
                seqrs.load(path)
            except ModelFileError:
                refused += 1
    assert refused > 100


def changed(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: config.update(values)


@pytest.mark.parametrize(
    "damage",
    [
        changed(hidden_size=13),
        changed(hidden_size=10**9),
        changed(num_layers=10**9),
        changed(embedding_size=10**9),
        changed(vocab_size=3),
        changed(cell="transformer"),
        changed(form="full"),
        changed(documents="page"),
        changed(seed="x"),
        changed(surprise=1),
        lambda config: config.pop("cell"),
        lambda config: config.pop("level"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(damage: Callable[[Any], object], path: Path) -> None:
    tensors, metadata = parts(path)
    config = json.loads(metadata["seqrs.config"])
    damage(config)
    save_file(tensors, path, metadata | {"seqrs.config": json.dumps(config)})
    with pytest.raises(ModelFileError, match=r"model\.seqrs: the model is damaged"):
        seqrs.load(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"seqrs.format": "2"}, "of format '2'; this version of seqrs reads format '1'"),
        ({"seqrs.kind": "oracle"}, "of kind 'oracle'"),
        ({"seqrs.config": "{"}, "the metadata are damaged"),
        ({"seqrs.vocabulary": "{}"}, "the model is damaged: vocabulary"),
        ({"seqrs.training": "[]"}, "the model is damaged"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(metadata: dict[str, str], message: str, path: Path) -> None:
    tensors, own = parts(path)
    save_file(tensors, path, own | metadata)
    with pytest.raises(ModelFileError, match=message):
        seqrs.load(path)


def test_foreign_safetensors_and_foreign_weights_are_refused(path: Path) -> None:
    tensors, metadata = parts(path)
    save_file(tensors, path)
    with pytest.raises(ModelFileError, match="a safetensors file, but not a seqrs model"):
        seqrs.load(path)
    name = next(iter(tensors))
    for weights in (
        {"other": np.zeros(3, np.float32)},
        {**tensors, name: tensors[name][:-1]},
        {**tensors, name: tensors[name].astype(np.int32)},
        {**tensors, name: tensors[name].astype(np.float16)},
        {**tensors, name: tensors[name] * np.float32("nan")},
    ):
        save_file(weights, path, metadata)
        with pytest.raises(ModelFileError, match=r"model\.seqrs: .*(damaged|cannot be read)"):
            seqrs.load(path)


def test_missing_files_and_folders(model: seqrs.LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        seqrs.load(tmp_path / "missing.seqrs")
    with pytest.raises(ModelFileError, match="not a regular file"):
        seqrs.load(tmp_path)
    with pytest.raises(OSError, match="No such file"):
        model.save(tmp_path / "nowhere" / "model.seqrs")


def test_a_full_disk_leaves_the_old_file(path: Path) -> None:
    """A limit on the size of files stands for the disk: permissions do not bind root."""
    before = path.read_bytes()
    code = f"""
import resource, seqrs
model = seqrs.LanguageModel(hidden_size=64, seed=0).fit("abc" * 200, epochs=0, progress=False)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before)}, resource.RLIM_INFINITY))
try:
    model.save({str(path)!r})
except OSError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "File too large" in run.stdout
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]  # and nothing half written beside it
