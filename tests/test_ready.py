"""Ready latents: what goes in comes out, also through a bank folder, and every broken file is a sentence."""

import io
import json
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from bank_fixtures import ITEMS, npz_arrays, photo_items, planted_latents, speech_items, write_npz
from safetensors.numpy import save_file

from gelda.bank_import import import_bank
from gelda.errors import UserError
from gelda.latent_files import LATENT_FILES
from gelda.protocols import long_tail, validation, zero_shot
from gelda.ready import open_bank

ARRAYS = npz_arrays(speech_items())


def same_items(a, b):
    for name in ("label", "subdomain", "group", "split"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype.kind == getattr(b, name).dtype.kind
    assert (a.class_names, a.subdomain_names, a.grouped) == (b.class_names, b.subdomain_names, b.grouped)


@pytest.mark.parametrize("kind", ITEMS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_npz_and_the_folder_made_of_it_are_the_same_bank(kind, dtype, tmp_path):
    items = ITEMS[kind]()
    layers = {"mid": planted_latents(items, 5), "l-12.out+1": planted_latents(items, 3)}
    arrays = npz_arrays(items, **layers)
    arrays |= {f"z_{name}": z.numpy().astype(dtype) for name, z in layers.items()}
    arrays["class_semantics"] = np.arange(8).reshape(4, 2)
    arrays["subdomain_semantics"] = np.eye(3, dtype=np.float16)
    arrays["id"] = np.array([f"clip/{i:04d}.wav" for i in range(len(items))])
    file = open_bank(write_npz(tmp_path / "bank.npz", arrays))
    same_items(file.items, items)
    import_bank(tmp_path / "bank.npz", tmp_path / "bank", shard_size=50)
    folder = open_bank(tmp_path / "bank")
    same_items(folder.items, items)
    assert file.name == folder.name == "bank"
    assert dict(file.layers) == dict(folder.layers) == {"mid": 5, "l-12.out+1": 3}
    np.testing.assert_array_equal(file.ids, arrays["id"])
    np.testing.assert_array_equal(folder.ids, arrays["id"])
    for name, z in layers.items():
        expected = torch.from_numpy(z.numpy().astype(dtype).astype(np.float32))
        assert torch.equal(file.load(name), expected) and torch.equal(folder.load(name), expected)
        assert file.load(name).dtype == torch.float32
    for table, made in (("class_semantics", arrays["class_semantics"]), ("subdomain_semantics", np.eye(3))):
        for bank in (file, folder):
            np.testing.assert_array_equal(getattr(bank, table).numpy(), made.astype(np.float32))
    # the same seed draws the same episodes from both: speakers must sort alike (9 before 10)
    for seed in range(2):
        a, b = (zero_shot(bank.items, seed, target=1, kept=0, rotations=2) for bank in (file, folder))
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one.train, other.train)
        a, b = (long_tail(bank.items, seed, imbalance=4) for bank in (file, folder))
        for one, other in zip(validation(items, a), validation(items, b), strict=True):
            np.testing.assert_array_equal(one.test, other.test)


def test_keys_stay_and_follow_the_content(tmp_path):
    path = write_npz(tmp_path / "a.npz", ARRAYS)
    assert open_bank(path).key == open_bank(path).key
    keys = {open_bank(path).key}
    for number, change in enumerate((
        {"z_pool": ARRAYS["z_pool"] + 1},
        {"y": ARRAYS["y"][::-1]},
        {"class_semantics": np.ones((4, 2))},
        {"class_semantics": np.zeros((4, 2))},
        {"split": np.where(np.arange(len(ARRAYS["y"])) % 2, "test", "train")},
    )):  # fmt: skip
        file = write_npz(tmp_path / f"{number}.npz", {**ARRAYS, **change})
        import_bank(file, tmp_path / f"folder-{number}")
        import_bank(file, tmp_path / f"again-{number}")
        assert open_bank(tmp_path / f"folder-{number}").key == open_bank(tmp_path / f"again-{number}").key
        keys |= {open_bank(file).key, open_bank(tmp_path / f"folder-{number}").key}
    assert len(keys) == 1 + 2 * 5


def test_what_may_be_left_out_has_its_default(tmp_path):
    arrays = {k: ARRAYS[k] for k in ("z_pool", "y", "class_names")}
    items = open_bank(write_npz(tmp_path / "a.npz", arrays)).items
    assert items.cells == (4, 1) and items.subdomain_names == ("all",) and not items.grouped
    assert (items.split == "").all() and len(set(items.group)) == len(items)
    more = open_bank(write_npz(tmp_path / "b.npz", {**arrays, "subdomain": ARRAYS["subdomain"]})).items
    assert more.subdomain_names == ("subdomain 0", "subdomain 1", "subdomain 2")
    both = {**arrays, "group": ARRAYS["y"], "speaker": ARRAYS["speaker"]}
    np.testing.assert_array_equal(open_bank(write_npz(tmp_path / "c.npz", both)).items.group, ARRAYS["y"])


def test_texts_may_be_bytes_or_numbers(tmp_path):
    arrays = {**ARRAYS, "class_names": np.array([b"neutral", b"anger", b"joy", b"fear"])}
    arrays["speaker"] = np.array([f"s{i}".encode() for i in ARRAYS["speaker"]])
    arrays["id"] = np.arange(len(ARRAYS["y"]))[::-1]
    bank = open_bank(write_npz(tmp_path / "a.npz", arrays))
    assert bank.items.class_names == ("neutral", "anger", "joy", "fear")
    assert bank.items.group[0] == "s0" and bank.ids[0] == str(len(ARRAYS["y"]) - 1)


def test_a_bank_is_not_written_over_another(tmp_path):
    write_npz(tmp_path / "a.npz", ARRAYS)
    import_bank(tmp_path / "a.npz", tmp_path / "bank")
    with pytest.raises(UserError, match="holds a bank already"):
        import_bank(tmp_path / "a.npz", tmp_path / "bank")
    with pytest.raises(UserError, match="is not empty"):
        import_bank(tmp_path / "a.npz", tmp_path)
    with pytest.raises(UserError, match="needs no import"):
        import_bank(tmp_path / "bank", tmp_path / "copy")


# -- the same arrays in other files ------------------------------------------------


def write_safetensors(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    texts = {k: json.dumps(v.tolist()) for k, v in arrays.items() if v.dtype.kind == "U"}
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items() if k not in texts}, path, metadata=texts)
    return path


def write_parquet(path: Path, arrays: dict[str, np.ndarray], fixed: bool = True) -> Path:
    """Names instead of numbers, in the order of the alphabet, as Parquet has no other."""
    columns = {
        "label": pa.array(arrays["class_names"][arrays["y"]].tolist()),
        "subdomain": pa.array(arrays["subdomain_names"][arrays["subdomain"]].tolist()),
    }
    for name, values in arrays.items():
        if name.startswith("z_"):
            flat = pa.array(values.ravel())
            lists = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
            columns[name] = lists if fixed else lists.cast(pa.list_(flat.type))
        elif name in ("split", "id", "speaker"):
            columns[name] = pa.array(values.tolist())
    parquet.write_table(pa.table(columns), path)
    return path


WRITERS = {".npz": write_npz, ".safetensors": write_safetensors, ".parquet": write_parquet}


def test_every_kind_of_file_has_a_writer_here():
    assert set(WRITERS) == set(LATENT_FILES)


@pytest.mark.parametrize("suffix", LATENT_FILES)
@pytest.mark.parametrize("kind", ITEMS)
def test_every_kind_of_file_is_the_same_bank(suffix, kind, tmp_path):
    items = ITEMS[kind]()
    items = replace(items, class_names=("anger", "fear", "joy", "neutral"), subdomain_names=("a", "b", "c"))
    arrays = npz_arrays(items, mid=planted_latents(items, 5), last=planted_latents(items, 3))
    arrays["z_last"] = arrays["z_last"].astype(np.float16)
    arrays["id"] = np.array([f"clip/{i:04d}.wav" for i in range(len(items))])
    bank = open_bank(WRITERS[suffix](tmp_path / f"bank{suffix}", arrays))
    same_items(bank.items, items)
    assert dict(bank.layers) == {"mid": 5, "last": 3}
    np.testing.assert_array_equal(bank.ids, arrays["id"])
    for layer in bank.layers:
        np.testing.assert_array_equal(bank.load(layer).numpy(), arrays[f"z_{layer}"].astype(np.float32))
    import_bank(tmp_path / f"bank{suffix}", tmp_path / "folder")
    same_items(open_bank(tmp_path / "folder").items, items)


def test_lists_of_no_fixed_length_and_numbers_as_classes(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", ARRAYS, fixed=False)
    np.testing.assert_array_equal(open_bank(path).load("pool").numpy(), ARRAYS["z_pool"])
    table = (
        parquet.read_table(path).drop(["label", "subdomain"]).append_column("y", pa.array(ARRAYS["y"] * 5))
    )
    parquet.write_table(table, path)
    bank = open_bank(path)
    assert bank.items.class_names == ("0", "5", "10", "15") and bank.items.subdomain_names == ("all",)
    np.testing.assert_array_equal(bank.items.label, ARRAYS["y"])


def test_bfloat16_is_read(tmp_path):
    from safetensors.torch import save_file as save_torch

    names = json.dumps(["a", "b"])
    tensors = {"z_last": torch.tensor([[1.5], [2.0]], dtype=torch.bfloat16), "y": torch.tensor([0, 1])}
    save_torch(tensors, tmp_path / "a.safetensors", metadata={"class_names": names})
    assert open_bank(tmp_path / "a.safetensors").load("last").tolist() == [[1.5], [2.0]]


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_other_files_cut_short(suffix, share, tmp_path):
    content = WRITERS[suffix](tmp_path / f"whole{suffix}", ARRAYS).read_bytes()
    (tmp_path / f"wrong{suffix}").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=f"wrong{suffix} cannot be read as .*broken or cut short"):
        open_bank(tmp_path / f"wrong{suffix}")


def test_wrong_columns_and_headers(tmp_path):
    labels, z = ["a", "b"], [[1.0, 2.0], [3.0, 4.0]]
    for columns, words in [
        ({"z_last": z}, "it has no 'y'"),
        ({"label": labels}, "it has no array z_<layer>"),
        ({"label": labels, "z_last": [1.0, 2.0]}, "a row a label"),
        ({"label": labels, "z_last": [["x"], ["y"]]}, "not floats"),
        ({"label": ["a", None], "z_last": z}, "the column 'label' has 1 empty rows"),
        ({"label": labels, "z_last": [[1.0, 2.0], [3.0]]}, "z_last needs 2 numbers in every row"),
        ({"label": labels, "z_last": [[1.0, 2.0], [3.0, None]]}, "z_last needs 2 numbers in every row"),
        ({"label": labels, "z_last": z, "split": ["train", "dev"]}, "split holds 'dev'"),
        ({"label": labels, "z_last": z, "id": ["a", "a"]}, "the id 'a' appears more than once"),
    ]:
        parquet.write_table(pa.table(columns), tmp_path / "wrong.parquet")
        with pytest.raises(UserError, match=words):
            open_bank(tmp_path / "wrong.parquet").load("last")
    for names in ("no json", '{"a": 1}', "[]", "[[1]]"):
        tensors = {"z_last": np.array(z, "f4"), "y": np.arange(2)}
        save_file(tensors, tmp_path / "wrong.safetensors", metadata={"class_names": names})
        with pytest.raises(UserError, match="'class_names' in the header must be a list of texts, as JSON"):
            open_bank(tmp_path / "wrong.safetensors")


def test_a_bank_outside_the_data_roots(tmp_path, monkeypatch):
    path = write_npz(tmp_path / "a.npz", ARRAYS)
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(tmp_path / "else"))
    with pytest.raises(UserError, match="outside the folders that may be opened"):
        open_bank(path)


# -- files that are wrong ------------------------------------------------------------

N = len(ARRAYS["y"])
COUNT = np.arange(N)
WRONG = {
    "no latents": ({"z_pool": None}, "it has no array z_<layer>"),
    "no labels": ({"y": None}, "it has no 'y'"),
    "no names": ({"class_names": None}, "it has no 'class_names'"),
    "objects": ({"class_names": np.array(["a", 1, None, 2], object)}, "holds Python objects"),
    "objects aside": ({"notes": np.array([{}], object)}, "'notes.npy' holds Python objects"),
    "short latents": ({"z_pool": ARRAYS["z_pool"][:-1]}, rf"shape \({N - 1}, 6\); it needs \[{N}, D\]"),
    "flat latents": ({"z_pool": np.zeros(N, "f4")}, "a row a label"),
    "three-way latents": ({"z_pool": np.zeros((N, 2, 2), "f4")}, "a row a label"),
    "latents of no width": ({"z_pool": np.zeros((N, 0), "f4")}, "a row a label"),
    "whole latents": ({"z_pool": np.zeros((N, 3), int)}, "z_pool holds int64, not floats"),
    "complex latents": ({"z_pool": np.zeros((N, 3), "c8")}, "not floats"),
    "a layer that is a path": ({"z_../../out": ARRAYS["z_pool"]}, "the layer name '../../out' may hold"),
    "float labels": ({"y": ARRAYS["y"].astype(float)}, "'y' must be a list of whole numbers"),
    "true or false as labels": ({"y": ARRAYS["y"] > 0}, "'y' must be a list of whole numbers"),
    "a table of labels": ({"y": ARRAYS["y"][:, None]}, "'y' must be a list of whole numbers"),
    "no items": ({"y": ARRAYS["y"][:0], "z_pool": np.zeros((0, 3), "f4")}, "'y' must be a list"),
    "a label too far": ({"y": np.where(COUNT == 5, 4, ARRAYS["y"])}, "'y' holds 4, but there are 4 names"),
    "a label below 0": ({"y": np.where(COUNT == 5, -1, ARRAYS["y"])}, "'y' holds -1"),
    "a label beyond int64": ({"y": np.full(N, 2**64 - 1, np.uint64)}, "'y' holds -1"),
    "float subdomains": ({"subdomain": np.zeros(N)}, "'subdomain' must be a list of whole numbers"),
    "few subdomains": ({"subdomain": np.zeros(3, int)}, f"'subdomain' has 3 rows where y has {N}"),
    "an odd subdomain": ({"subdomain": np.full(N, 3)}, "'subdomain' holds 3, but there are 3 names"),
    "a subdomain at the end of the world": (
        {"subdomain": np.full(N, 2**60), "subdomain_names": None}, "'subdomain' holds 1152921504606846976"),
    "one name twice": ({"class_names": np.array(["a", "b", "a", "c"])}, "holds a name twice"),
    "an empty name": ({"class_names": np.array(["a", "b", " ", "c"])}, "or an empty one"),
    "a table of names": ({"class_names": np.array([["a", "b"], ["c", "d"]])}, "must be a list of texts"),
    "names that are floats": ({"class_names": np.arange(4.0)}, "'class_names' must be a list of texts"),
    "an unknown split": ({"split": np.full(N, "dev")}, "split holds 'dev'; it may say train, valid or test"),
    "one split for all": ({"split": np.array("train")}, "'split' must be a list of texts"),
    "a short split": ({"split": np.full(3, "train")}, f"'split' has 3 rows where y has {N}"),
    "float groups": ({"speaker": np.full(N, np.nan)}, "'speaker' must be a list of whole numbers or names"),
    "a table of groups": ({"speaker": np.zeros((N, 2), int)}, "'speaker' must be a list"),
    "few groups": ({"speaker": np.zeros(2, int)}, f"'speaker' has 2 rows where y has {N}"),
    "an id twice": ({"id": np.where(COUNT == 7, "3", COUNT.astype(str))}, "the id '3' appears more"),
    "few ids": ({"id": np.array(["a"])}, f"'id' has 1 rows where y has {N}"),
    "class semantics of another count": ({"class_semantics": np.ones((3, 2))}, "each of 4 names needs a row"),
    "flat class semantics": ({"class_semantics": np.ones(4)}, r"'class_semantics' has shape \(4,\)"),
    "semantics of no width": ({"class_semantics": np.ones((4, 0))}, r"shape \(4, 0\)"),
    "semantics that are texts": ({"class_semantics": np.full((4, 2), "x")}, "a row of finite numbers"),
    "semantics with NaN": ({"subdomain_semantics": np.full((3, 2), np.nan)}, "of 3 names needs a row of fin"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_are_one_sentence(case, tmp_path, gelda, gelda_home):
    change, words = WRONG[case]
    arrays = {k: v for k, v in {**ARRAYS, **change}.items() if v is not None}
    path = write_npz(tmp_path / "wrong.npz", arrays)
    with pytest.raises(UserError, match=words) as refused:
        open_bank(path)
    sentence(str(refused.value))
    for command in (["compare", path], ["import", path, "--out", tmp_path / "bank"]):
        done = gelda(*command)
        assert (done.returncode, done.stdout) == (2, ""), (done.stdout, done.stderr)
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("gelda: wrong.npz")
    assert not (gelda_home / "runs").exists() and not (tmp_path / "bank").exists()


def sentence(text: str) -> None:
    assert "wrong.npz" in text and text.endswith(".") and "\n" not in text and len(text) < 250


def member(shape: object, body: bytes = b"", descr: str = "<f4") -> bytes:
    """A .npy whose header says what it likes."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def with_member(path: Path, name: str, content: bytes) -> Path:
    write_npz(path, {k: v for k, v in ARRAYS.items() if f"{k}.npy" != name})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)
    return path


@pytest.mark.parametrize("shape", [
    (N, 10**9), (N, 10**400), (10**10, 10**10), (N, -1), (-N, 6), (N, 7), (N, 5), (), (N, 0), (2.5, 6),
])  # fmt: skip
def test_a_header_that_claims_what_is_not_there(shape, tmp_path, gelda):
    path = with_member(tmp_path / "wrong.npz", "z_pool.npy", member(shape, b"\0" * (4 * 6 * N)))
    with pytest.raises(UserError, match="the file is broken|cannot be read as an .npz file") as refused:
        open_bank(path)
    sentence(str(refused.value))
    done = gelda("compare", path)
    assert done.returncode == 2 and not done.stdout


@pytest.mark.parametrize("content", [
    b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00" + b"x" * 90, b"not an array", member((3,), b"", "nonsense"),
    b"\x93NUMPY\x01\x00\xff\xff{'shape': (",
    b"\x93NUMPY\x01\x00\x10\x00__import__('os')",
])  # fmt: skip
def test_members_that_are_no_arrays(content, tmp_path):
    path = with_member(tmp_path / "wrong.npz", "y.npy", content)
    with pytest.raises(UserError, match="broken or cut short") as refused:
        open_bank(path)
    sentence(str(refused.value))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_cut_short(share, save, tmp_path, gelda):
    save(tmp_path / "whole.npz", **ARRAYS)
    content = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "wrong.npz"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="broken or cut short"):
        open_bank(path)
    done = gelda("compare", path)
    assert done.returncode == 2 and done.stderr.startswith("gelda: wrong.npz cannot be read"), done.stderr


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("name", ["y", "z_pool"])
def test_bytes_that_changed_on_the_way(save, name, tmp_path, gelda, gelda_home):
    """The header is whole and the data are not: found by the archive's checksum or by the decompressor."""
    path = tmp_path / "wrong.npz"
    save(path, **ARRAYS)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
    end = info.header_offset + info.compress_size
    for place in range(end - 40, end):
        content[place] ^= 0x5A
    path.write_bytes(content)
    done = gelda("compare", path, "--preset", "tiny", "--methods", "ce")
    assert done.returncode == 2 and not done.stdout, (done.stdout, done.stderr)
    assert done.stderr == "gelda: wrong.npz cannot be read as an .npz file: it is broken or cut short.\n"
    assert not (gelda_home / "runs").exists(), "found before a run folder exists"


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"z,y\n1,2\n", b"\x80\x04K\x01."]
)
def test_what_is_no_archive(content, tmp_path):
    path = tmp_path / "wrong.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="wrong.npz cannot be read as an .npz file"):
        open_bank(path)


def test_an_encrypted_archive(tmp_path):
    path = write_npz(tmp_path / "wrong.npz", ARRAYS)
    content = path.read_bytes()
    marked = content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
    marked = marked.replace(b"PK\x01\x02-\x03-\x00\x00\x00", b"PK\x01\x02-\x03-\x00\x01\x00")
    assert marked != content
    path.write_bytes(marked)
    with pytest.raises(UserError, match="broken or cut short"):
        open_bank(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_latent_that_is_not_finite_is_named_before_a_run(bad, tmp_path, gelda, gelda_home):
    z = ARRAYS["z_pool"].copy()
    z[17, 2] = bad
    path = write_npz(tmp_path / "wrong.npz", {**ARRAYS, "z_pool": z})
    done = gelda("compare", path, "--preset", "tiny", "--methods", "ce")
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stderr == "gelda: wrong.npz: latent 17 ('17') of z_pool is not finite: remove it.\n"
    assert not (gelda_home / "runs").exists()
    done = gelda("import", path, "--out", tmp_path / "bank")
    assert done.returncode == 2 and not (tmp_path / "bank" / "manifest.json").exists()


@pytest.mark.parametrize("name, words", [
    ("missing.npz", "There is no bank at missing.npz"),
    ("notes.txt", "notes.txt is neither a bank folder nor a file of latents"),
    ("empty", "manifest.json"),
])  # fmt: skip
def test_what_is_no_bank_at_all(name, words, tmp_path, gelda):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    done = gelda("compare", name)
    assert done.returncode == 2 and words in done.stderr and not done.stdout


# -- folders that are wrong ------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    import_bank(write_npz(tmp_path / "a.npz", npz_arrays(photo_items())), tmp_path / "bank")
    return tmp_path / "bank"


def edit_manifest(folder, **change):
    file = folder / "manifest.json"
    info = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({k: v for k, v in info.items() if v is not None}))


def edit_index(folder, **change):
    index = pd.read_parquet(folder / "index.parquet").assign(
        **{k: v for k, v in change.items() if v is not None}
    )
    index.drop(columns=[k for k, v in change.items() if v is None]).to_parquet(folder / "index.parquet")


@pytest.mark.parametrize("damage, words", [
    (lambda f: (f / "manifest.json").write_text("{"), "not valid JSON"),
    (lambda f: edit_manifest(f, format=99), "format 99"),
    (lambda f: edit_manifest(f, rows=None), "has no 'rows'"),
    (lambda f: edit_manifest(f, layers=None), "has no 'layers'"),
    (lambda f: edit_manifest(f, classes=None), "has no 'classes'"),
    (lambda f: edit_manifest(f, sha256=None), "has no 'sha256'"),
    (lambda f: edit_manifest(f, classes=["a", "b"]), "'label' does not fit the 2 names"),
    (lambda f: edit_manifest(f, rows=3), "says 3 rows"),
    (lambda f: edit_manifest(f, layers={"pool": 7}), "holds"),
    (lambda f: (f / "index.parquet").write_bytes(b"PAR1"), "cannot be read as Parquet"),
    (lambda f: (f / "index.parquet").unlink(), "There is no file"),
    (lambda f: edit_index(f, label=None), "lacks the column"),
    (lambda f: edit_index(f, label=-1), "'label' does not fit"),
    (lambda f: edit_index(f, label="x"), "must be whole numbers"),
    (lambda f: edit_index(f, subdomain=9), "'subdomain' does not fit the 3 names"),
    (lambda f: (f / "pool" / "shard-00000.safetensors").write_bytes(b"1234"), "missing or broken"),
    (lambda f: (f / "pool" / "shard-00000.safetensors").unlink(), "missing or broken"),
])  # fmt: skip
def test_damaged_folders_are_sentences(damage, words, folder, gelda, gelda_home):
    damage(folder)
    done = gelda("compare", folder, "--preset", "tiny", "--methods", "ce")
    assert done.returncode == 2 and words in done.stderr and not done.stdout, (done.stdout, done.stderr)
    assert not (gelda_home / "runs").exists()


def test_a_pickle_in_the_place_of_an_array_is_never_run(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    buffer = io.BytesIO()
    buffer.write(member((1,), b"", "|O"))
    buffer.write(pickle.dumps(Trap()))
    path = with_member(tmp_path / "wrong.npz", "y.npy", buffer.getvalue())
    with pytest.raises(UserError, match="Python objects"):
        open_bank(path)
    assert not (tmp_path / "sprung").exists()


def test_a_small_file_that_would_fill_the_memory_is_refused_by_its_header(tmp_path):
    path = tmp_path / "many.npz"
    same = np.zeros(6_000_000, np.int8)  # without ids: each would be made
    np.savez_compressed(path, y=same, z_a=same.astype("f2")[:, None], class_names=["ant"])
    with pytest.raises(UserError, match="would take 1.2 GB of memory"):
        open_bank(path)
