"""Model folders: safetensors only, hashed by content, put in place whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from alignment.method.errors import MoraError
from alignment.model_folders import check_heads, check_model, check_writer
from tests.builders import write_weights
from workers.engines.folders import fingerprint, publish


def model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_weights(folder, "weight")
    return folder


def writing(name: str) -> Callable[[Path], None]:
    return lambda aside: (aside / name).touch()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "sub/old.pkl", "a.ckpt"])
def test_a_folder_with_a_format_that_can_run_code_is_refused(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "m")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    with pytest.raises(MoraError, match=Path(name).name):
        check_model(folder)


def test_a_folder_that_lacks_a_part_of_its_weights_is_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"weight": "one.safetensors", "other": "more.safetensors"}}')
    with pytest.raises(MoraError, match=r"lacks more\.safetensors"):
        check_model(folder)
    index.write_text("[]")
    with pytest.raises(MoraError, match="cannot be read"):
        check_model(folder)
    (folder / "one.safetensors").rename(folder / "model.safetensors")
    check_model(folder)


def test_weights_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    header = b'{"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    whole = len(header).to_bytes(8, "little") + header + bytes(8)
    file = folder / "model.safetensors"
    file.write_bytes(whole)
    check_model(folder)
    for size in (len(whole) - 1, 20, 3):
        file.write_bytes(whole[:size])
        with pytest.raises(MoraError, match="cannot be read as safetensors"):
            check_model(folder)


def test_a_model_that_gives_classes_is_no_policy_and_has_the_heads_it_says(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    check_writer(folder)
    check_heads(folder, (9,))
    config = '{"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "a"}}'
    (folder / "config.json").write_text(config)
    with pytest.raises(MoraError, match="writes no text"):
        check_writer(folder)
    check_heads(folder, (0,))
    with pytest.raises(MoraError, match="has 1 head, numbered from 0, so none is numbered 1"):
        check_heads(folder, (0, 1))


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    check_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(MoraError, match=r"holds no .*safetensors"):
        check_model(folder)


def test_an_adapter_alone_is_no_model(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    (folder / "config.json").rename(folder / "adapter_config.json")
    with pytest.raises(MoraError, match=r"config\.json"):
        check_model(folder)


def test_the_fingerprint_sees_every_byte_and_name_of_the_weights_and_nothing_else(
    tmp_path: Path,
) -> None:
    folder = model(tmp_path / "m")
    first = fingerprint(folder)
    (folder / "README.md").write_text("another text")
    assert fingerprint(folder) == first
    (folder / "model.safetensors").write_bytes(b"weightz")
    changed = fingerprint(folder)
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert len({first, changed, fingerprint(folder)}) == 3


def test_publishing_replaces_a_folder_as_a_whole_and_leaves_nothing_aside(tmp_path: Path) -> None:
    target = tmp_path / "merged"
    (tmp_path / "merged.aside").mkdir()
    (tmp_path / "merged.aside" / "rest of a killed attempt").touch()
    publish(target, writing("one"))
    publish(target, writing("two"))
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]
    assert [path.name for path in target.iterdir()] == ["two"]


def test_a_write_that_fails_leaves_the_folder_before(tmp_path: Path) -> None:
    target = tmp_path / "merged"
    publish(target, writing("one"))

    def fail(aside: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(target, fail)
    assert [path.name for path in target.iterdir()] == ["one"]
