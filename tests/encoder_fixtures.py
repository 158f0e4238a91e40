"""Tiny models of every family with random weights, saved as people save theirs, and what a direct call gives.

A case is `make(folder)`: it writes the folder and returns direct(item) -> {layer: latent [D]}, computed with
timm or transformers alone, for one item by itself, by the pooling that the model has the habit of.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from conftest import text_model
from PIL import Image

from gelda.media import Clip

Direct = Callable[[Any], dict[str, torch.Tensor]]
RATE = 16000


def pictures(count: int = 5) -> list[Image.Image]:
    rng = np.random.default_rng(3)
    sizes = [(48, 40), (40, 64), (33, 33), (90, 50), (64, 64)][:count]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def clips() -> list[Clip]:
    rng = np.random.default_rng(4)
    seconds = ((0.31, 22050), (1.0, RATE), (0.7, 8000), (1.63, 44100), (0.05, RATE))
    return [Clip(0.1 * rng.normal(size=int(s * rate)).astype(np.float32), rate) for s, rate in seconds]


TEXTS = ["a dog", "a very much longer name.", "x", "long " * 30, "7 cats"]
ITEMS = {"image": pictures, "audio": clips, "text": lambda: TEXTS}


def at_rate(clip: Clip) -> np.ndarray:
    return soxr.resample(clip.samples, clip.rate, RATE)


def named(hidden: list[torch.Tensor], **own: torch.Tensor) -> dict[str, torch.Tensor]:
    """embed, block1 … of hidden states, then the model's own layers."""
    names = ["embed", *(f"block{i}" for i in range(1, len(hidden)))]
    return dict(zip(names, hidden, strict=True)) | own


# -- timm -------------------------------------------------------------------------------------------------


def timm_case(architecture: str, habit: str, **shape: Any) -> Callable[[Path], Direct]:
    """Blocks by timm's own forward_intermediates where the network has it as tokens, else by its stages."""

    def make(folder: Path) -> Direct:
        import timm
        from timm.data import create_transform, resolve_data_config
        from timm.models import save_for_hf

        torch.manual_seed(0)
        model = timm.create_model(architecture, pretrained=False, **shape).eval()
        save_for_hf(model, folder, safe_serialization=True)
        size = {"input_size": (3, shape["img_size"], shape["img_size"])} if "img_size" in shape else {}
        transform = create_transform(**resolve_data_config(size, model=model), is_training=False)

        @torch.no_grad()
        def direct(picture):
            pixels = transform(picture)[None]
            features = model.forward_features(pixels)
            made = {"pooled": model.forward_head(features, pre_logits=True)[0]}
            if "clip" in architecture:
                made["projected"] = model(pixels)[0]
            if hasattr(model, "blocks") and hasattr(model, "num_prefix_tokens"):
                blocks = model.forward_intermediates(
                    pixels, return_prefix_tokens=True, intermediates_only=True, output_fmt="NLC"
                )
                for i, block in enumerate(blocks, 1):
                    tokens, prefix = block if isinstance(block, tuple) else (block, None)
                    made[f"block{i}"] = prefix[0, 0] if habit == "cls" else tokens[0].mean(0)
            else:
                maps = model.forward_intermediates(pixels, intermediates_only=True)
                for width, stage in zip(reversed(ends(model)), reversed(maps), strict=False):
                    made[width] = stage[0].mean((1, 2))
            return made

        return direct

    return make


def ends(model) -> list[str]:
    """The last block of each stage of a ConvNeXt."""
    return [f"stage{s}.{len(stage.blocks) - 1}" for s, stage in enumerate(model.stages)]


# -- transformers: images ---------------------------------------------------------------------------------

VIT = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8)
MLP = {"intermediate_size": 48}
TEXT = dict(vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48)
TEXT |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def square(name: str, resize: int = 0) -> Any:
    import transformers

    side = {"height": 32, "width": 32}
    if resize:
        return getattr(transformers, name)(size={"shortest_edge": resize}, crop_size=side)
    return getattr(transformers, name)(size=side)


def image_case(
    model: str,
    config: dict[str, Any],
    processor: str,
    *,
    body: str = "",
    habit: str = "cls",
    resize: int = 0,
) -> Callable[[Path], Direct]:
    """`model` of transformers with `config`; body: the attribute that holds the image tower."""

    def make(folder: Path) -> Direct:
        import transformers

        torch.manual_seed(0)
        cls = getattr(transformers, model)
        network = cls(cls.config_class(**config)).eval()
        network.save_pretrained(folder)
        preprocess = square(processor, resize)
        preprocess.save_pretrained(folder)
        tower = getattr(network, body) if body else network

        @torch.no_grad()
        def direct(picture):
            pixels = preprocess(images=picture, return_tensors="pt")["pixel_values"]
            output = tower(pixel_values=pixels, output_hidden_states=True)
            hidden = [h[0, 0] if habit == "cls" else h[0].mean(0) for h in output.hidden_states]
            if "Siglip" in model or "CLIP" in model:
                pooled = output.pooler_output[0]
            else:
                pooled = output.last_hidden_state[0, 0]
            made = named(hidden, pooled=pooled)
            if hasattr(network, "visual_projection"):
                made["projected"] = network.visual_projection(output.pooler_output)[0]
            return made

        return direct

    return make


# -- transformers: audio ----------------------------------------------------------------------------------

WAVE = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48)
WAVE |= dict(conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4)
MASKED = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}


def wave_case(model: str, body: str = "", **config: Any) -> Callable[[Path], Direct]:
    def make(folder: Path) -> Direct:
        import transformers

        torch.manual_seed(0)
        cls = getattr(transformers, model)
        network = cls(cls.config_class(**WAVE, **config)).eval()
        network.save_pretrained(folder)
        extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask="feat_extract_norm" in config)
        extractor.save_pretrained(folder)
        encoder = getattr(network, body) if body else network

        @torch.no_grad()
        def direct(clip):
            values = extractor(at_rate(clip), sampling_rate=RATE, return_tensors="pt")
            output = encoder(values["input_values"], output_hidden_states=True)
            return named(
                [h[0].mean(0) for h in output.hidden_states], pooled=output.last_hidden_state[0].mean(0)
            )

        return direct

    return make


def whisper_case(folder: Path) -> Direct:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    torch.manual_seed(0)
    layers = dict(encoder_layers=3, encoder_attention_heads=2, encoder_ffn_dim=48, decoder_layers=1)
    layers |= dict(decoder_attention_heads=2, decoder_ffn_dim=48, d_model=32, max_source_positions=100)
    ids = dict(vocab_size=40, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3)
    network = WhisperForConditionalGeneration(WhisperConfig(**layers, **ids)).eval()
    network.save_pretrained(folder)
    extractor = WhisperFeatureExtractor(chunk_length=2)
    extractor.save_pretrained(folder)
    network.model.encoder.config.tie_last_hidden_states = False

    @torch.no_grad()
    def direct(clip):
        samples = at_rate(clip)
        features = extractor(samples, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
        output = network.model.encoder(features["input_features"], output_hidden_states=True)
        heard = features["attention_mask"].sum(1)  # frames of the spectrogram
        real = int(network.model._get_feat_extract_output_lengths(heard))
        return named([h[0, :real].mean(0) for h in output.hidden_states], pooled=output[0][0, :real].mean(0))

    return direct


def ast_case(folder: Path) -> Direct:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    shape = {k: v for k, v in VIT.items() if k not in ("image_size", "patch_size")}
    network = ASTForAudioClassification(ASTConfig(**shape, **MLP, num_mel_bins=32, max_length=192)).eval()
    network.save_pretrained(folder)
    extractor = ASTFeatureExtractor(num_mel_bins=32, max_length=192)
    extractor.save_pretrained(folder)

    @torch.no_grad()
    def direct(clip):
        values = extractor(at_rate(clip), sampling_rate=RATE, return_tensors="pt")["input_values"]
        output = network.audio_spectrogram_transformer(values, output_hidden_states=True)
        return named([h[0, :2].mean(0) for h in output.hidden_states], pooled=output.pooler_output[0])

    return direct


# -- transformers: text -----------------------------------------------------------------------------------


def text_case(kind: str, **config: Any) -> Callable[[Path], Direct]:
    def make(folder: Path) -> Direct:
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        text_model(folder, "bert")  # for its tokenizer
        torch.manual_seed(0)
        shape = TEXT | {"max_position_embeddings": 42, "vocab_size": 64} | config
        network = AutoModel.from_config(AutoConfig.for_model(kind, **shape)).eval()
        network.save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        network.config.tie_last_hidden_states = False

        @torch.no_grad()
        def direct(text):
            tokens = tokenizer(text, truncation=True, max_length=42, return_tensors="pt")
            output = network(**tokens, output_hidden_states=True)
            return named([h[0].mean(0) for h in output.hidden_states], pooled=output[0][0].mean(0))

        return direct

    return make


SMALL_VIT = dict(embed_dim=24, depth=3, num_heads=2)
CASES: dict[str, Callable[[Path], Direct]] = {
    "timm ViT": timm_case("test_vit", "cls"),
    "timm ViT with registers": timm_case("test_vit2", "mean"),
    "timm DINOv2": timm_case("vit_small_patch14_dinov2.lvd142m", "cls", img_size=70, **SMALL_VIT),
    "timm DINOv3": timm_case("vit_small_patch16_dinov3.lvd1689m", "mean", **SMALL_VIT),
    "timm EVA": timm_case("eva02_tiny_patch14_224", "mean", **SMALL_VIT),
    "timm CLIP": timm_case("vit_base_patch16_clip_224.openai", "cls", **SMALL_VIT),
    "timm CLIP ConvNeXt": timm_case(
        "convnext_base.clip_laion2b", "mean", dims=(8, 16, 24, 32), depths=(1, 1, 2, 1)
    ),
    "timm SigLIP": timm_case("vit_base_patch16_siglip_224.webli", "mean", **SMALL_VIT),
    "timm ConvNeXt": timm_case("test_convnext", "mean"),
    "clip": image_case(
        "CLIPModel",
        {"text_config": TEXT, "vision_config": VIT | MLP, "projection_dim": 20},
        "CLIPImageProcessor",
        body="vision_model",
        resize=32,
    ),
    "clip_vision_model": image_case("CLIPVisionModel", VIT | MLP, "CLIPImageProcessor", resize=32),
    "siglip": image_case(
        "SiglipModel",
        {"text_config": TEXT, "vision_config": VIT | MLP},
        "SiglipImageProcessor",
        body="vision_model",
        habit="mean",
    ),
    "siglip_vision_model": image_case("SiglipVisionModel", VIT | MLP, "SiglipImageProcessor", habit="mean"),
    "dinov2": image_case("Dinov2Model", VIT | {"mlp_ratio": 2}, "BitImageProcessor", resize=36),
    "dinov2_with_registers": image_case(
        "Dinov2WithRegistersModel", VIT | {"mlp_ratio": 2}, "BitImageProcessor", resize=36
    ),
    "dinov3_vit": image_case(
        "DINOv3ViTModel", VIT | MLP | {"num_register_tokens": 4}, "DINOv3ViTImageProcessor"
    ),
    "vit": image_case("ViTForImageClassification", VIT | MLP, "ViTImageProcessor", body="vit"),
    "deit": image_case("DeiTModel", VIT | MLP, "DeiTImageProcessor", resize=36),
    "whisper": whisper_case,
    "wav2vec2": wave_case("Wav2Vec2Model"),
    "wav2vec2 with a mask": wave_case("Wav2Vec2ForCTC", "wav2vec2", mask_time_prob=0.0, **MASKED),
    "hubert": wave_case("HubertModel"),
    "hubert with a mask": wave_case("HubertModel", **MASKED),
    "wavlm": wave_case("WavLMModel"),
    "wavlm with a mask": wave_case("WavLMModel", **MASKED),
    "audio-spectrogram-transformer": ast_case,
    "bert": text_case("bert"),
    "roberta": text_case("roberta", max_position_embeddings=43),
    "xlm-roberta": text_case("xlm-roberta", max_position_embeddings=43),
    "camembert": text_case("camembert", max_position_embeddings=43),
    "distilbert": text_case("distilbert", dim=32, n_layers=2, n_heads=2, hidden_dim=48),
    "mpnet": text_case("mpnet", max_position_embeddings=44),
    "electra": text_case("electra", embedding_size=16),
    "modernbert": text_case("modernbert"),
}
