"""PLANS: what the paper did, and other data that people have, from files to a comparison. Adding one = one
entry.

`gelda run --preset NAME --data DIR` reads DIR, encodes it and compares. The settings follow the paper's
abstract and the field's habits; nobody has tuned them on these data, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CLIP = "timm/vit_base_patch16_clip_224.openai"
CLIP_TEXT = "openai/clip-vit-base-patch16"
WHISPER = "openai/whisper-large-v3"


@dataclass(frozen=True)
class Place:
    """Where people get something: what it is, the official page, the terms in a word."""

    what: str
    url: str
    terms: str


WEIGHTS = {
    CLIP: Place("CLIP's image tower", f"https://huggingface.co/{CLIP}", "Apache-2.0"),
    CLIP_TEXT: Place("CLIP's text tower", f"https://huggingface.co/{CLIP_TEXT}", "OpenAI's CLIP, MIT"),
    WHISPER: Place("Whisper-large-v3", f"https://huggingface.co/{WHISPER}", "Apache-2.0"),
}


@dataclass(frozen=True)
class Known:
    """What is known of a plan's own encoder without its weights: widths of its layers, and the work of one
    item (FLOP: 2 × parameters × tokens)."""

    widths: Mapping[str, int]
    flop: float


@dataclass(frozen=True)
class Plan:
    """Reader options, encoder, layers and settings of the comparisons.

    needs: pattern under DIR → what it is; where one fits nothing, data are missing. lists: patterns of lists
    whose lines are the items, counted where the items themselves are not here. source: what of DIR is opened,
    where it is there. items: published counts by split. subdomains: the published number of them. compare:
    CompareConfig's values, one comparison each; a target `each` stands for every subdomain. text: the model
    whose text vectors start the heads.
    """

    title: str
    note: str
    places: tuple[Place, ...]
    needs: Mapping[str, str]
    items: tuple[tuple[str, int], ...]
    classes: int
    compare: tuple[Mapping[str, Any], ...]
    media: str = "image"
    lists: tuple[str, ...] = ()
    source: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = CLIP
    known: Known = Known({"pooled": 768, "projected": 512}, 2 * 86e6 * 197)
    layers: str = "pooled,projected"
    subdomains: int = 1
    text: str = ""


UNTUNED = (
    "Nobody has run it on these data with GeLDA yet: the settings are untuned, and no table is reproduced."
)
ARMS = (
    "ce",
    "balanced-softmax",
    "logit-adjustment",
    "smote",
    "residual-transfer",
    "gelda-paper",
    "gelda",
    "gelda-uncond",
    "gelda-shuffled",
)
IMAGENET = Place(
    "ImageNet (ILSVRC 2012), train and val",
    "https://image-net.org/download.php",
    "account, non-commercial research",
)
LT_LISTS = Place(
    "lists and class names (ImageNet_LT_*.txt, Places_LT_*.txt, classnames.txt)",
    "https://github.com/shijxcs/LIFT/tree/main/datasets",
    "after OLTR, https://github.com/zhmiao/OpenLongTailRecognition-OLTR (BSD-3)",
)
PLACES365 = Place(
    "Places365-Standard, small images (256 × 256), train and val",
    "http://places2.csail.mit.edu/download.html",
    "non-commercial research and education",
)


def _long_tail(
    width: int, steps: int, batch: int, template: str, generator: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Cosine heads started from text, logit adjustment, the data's own cut."""
    return {
        "protocol": "longtail",
        "cut": "given",
        "methods": ARMS,
        "selection_seeds": 1,
        "adapter": {
            "head": "cosine",
            "class_start": f"text:{CLIP_TEXT}",
            "hidden": (width,),
            "steps": steps,
            "tune_steps": steps,
            "batch_size": batch,
            "learning_rate": 1e-3,
        },
        "generator": {"text_template": template, **generator},
    }


PLANS: dict[str, Plan] = {
    "imagenet-lt": Plan(
        title="ImageNet-LT with CLIP ViT-B/16",
        note="Long tail of 1 000 classes, 1 280 to 5 training images each; tail = classes under 20. "
        + UNTUNED,
        places=(IMAGENET, LT_LISTS),
        needs={
            "ImageNet_LT_train.txt": "list of the training images, 'train/n01440764/….JPEG 0' a line",
            "ImageNet_LT_test.txt": "list of the test images, which are ImageNet's val images",
            "classnames.txt": "names of the classes, 'n01440764 tench' a line",
            "train/*": "ImageNet's training images, a folder a class",
            "val/*": "ImageNet's validation images, a folder a class",
        },
        lists=("ImageNet_LT_*.txt",),
        source="ImageNet_LT_train.txt",
        options={"reader": "list"},
        items=(("train", 115_846), ("valid", 20_000), ("test", 50_000)),
        classes=1000,
        compare=(
            _long_tail(
                512,
                4000,
                512,
                # seven of CLIP's prompts for ImageNet, by its authors' forward selection
                "itap of a {}. | a bad photo of the {}. | a origami {}. | a photo of the large {}. | "
                "a {} in a video game. | art of the {}. | a photo of the small {}.",
                {"size": "base", "steps": 20_000, "batch_size": 512, "class_rank": 64},
            ),
        ),
        text=CLIP_TEXT,
    ),
    "places-lt": Plan(
        title="Places-LT with CLIP ViT-B/16",
        note="Long tail of 365 scenes, 4 980 to 5 training images each; tail = classes under 20. " + UNTUNED,
        places=(PLACES365, LT_LISTS),
        needs={
            "Places_LT_train.txt": "list of the training images, 'train/airfield/….jpg 0' a line",
            "Places_LT_test.txt": "list of the test images, which are from Places' val images",
            "classnames.txt": "names of the classes, one a line",
            "train/*": "Places' training images, a folder a class",
            "val/*": "Places' validation images, a folder a class",
        },
        lists=("Places_LT_*.txt",),
        source="Places_LT_train.txt",
        options={"reader": "list"},
        items=(("train", 62_500), ("valid", 7_300), ("test", 36_500)),
        classes=365,
        compare=(
            _long_tail(
                512,
                2500,
                512,
                "a photo of a {}. | a photo of the {}.",
                {"size": "base", "steps": 15_000, "batch_size": 512, "class_rank": 48},
            ),
        ),
        text=CLIP_TEXT,
    ),
    "cifar100-lt": Plan(
        title="CIFAR-100-LT, imbalance 100, with CLIP ViT-B/16",
        note="The published cut (LDAM's), 500 to 5 training images a class. " + UNTUNED,
        places=(
            Place(
                "CIFAR-100, binary version (cifar-100-binary.tar.gz, unpacked)",
                "https://www.cs.toronto.edu/~kriz/cifar.html",
                "free, no licence stated",
            ),
        ),
        needs={
            "**/train.bin": "CIFAR-100's training images in their binary form",
            "**/test.bin": "its test images",
            "**/fine_label_names.txt": "the names of its classes",
        },
        options={"reader": "cifar-100-lt", "imbalance": 100},
        items=(("train", 10_847), ("test", 10_000)),
        classes=100,
        compare=(
            _long_tail(
                256,
                1000,
                256,
                "a photo of a {}. | a blurry photo of a {}. | a low contrast photo of a {}.",
                {"size": "small", "steps": 5000, "batch_size": 256, "class_rank": 16},
            ),
        ),
        text=CLIP_TEXT,
    ),
    "emobox": Plan(
        title="EmoBox with Whisper-large-v3, every language left out in turn",
        note="Four emotions; the language left out keeps neutral speech only; UAR on its speakers. "
        + UNTUNED,
        places=(
            Place("EmoBox's manifests (its data folder)", "https://github.com/emo-box/EmoBox", "MIT"),
            Place(
                "the recordings of each of its sets, at the paths that the manifests name",
                "https://github.com/emo-box/EmoBox#datasets",
                "each set its own, some on request",
            ),
        ),
        needs={
            "**/*.jsonl": "a manifest of each set, as in EmoBox's data/<set>, or <set>/<set>.jsonl with "
            "`language` and `speaker` in each line",
            "**/*.wav": "their recordings, at the paths that the manifests name",
        },
        lists=("data/*/*.jsonl", "*/*.jsonl"),
        options={
            "reader": "emobox",
            "emotions": "four",
            "complete": True,
        },
        source="data",
        items=(("", 262_020),),
        classes=4,
        subdomains=14,
        media="audio",
        compare=(
            {
                "protocol": "zero-shot",
                "target": "each",
                "keep": "neutral",
                "methods": (*ARMS[:5], "mean-shift", "subdomain-norm", *ARMS[5:]),
                "adapter": {"steps": 1000, "tune_steps": 1000, "batch_size": 256},
                "generator": {"size": "small", "steps": 5000, "batch_size": 256},
            },
        ),
        encoder=WHISPER,
        known=Known(dict.fromkeys(("block8", "block16", "block24", "block32"), 1280), 2 * 637e6 * 1500),
        layers="8,16,24,32",
    ),
    "pacs": Plan(
        title="PACS, pictures in four styles, with an image encoder of your choice",
        note="A long tail over the classes, and every style in turn with five pictures a class.",
        places=(
            Place(
                "PACS (pictures by style and class)",
                "https://domaingeneralization.github.io",
                "research; photos and sketches partly from other sets",
            ),
        ),
        needs={"*/*/*": "pictures in folders style/class, such as art_painting/dog/pic_001.jpg"},
        options={"reader": "folder", "layout": "domain/class", "test_share": 0.25},
        items=(("", 9_991),),
        classes=7,
        subdomains=4,
        compare=(
            {"protocol": "longtail", "imbalance": 100},
            {"protocol": "few-shot", "target": "each", "shots": 5},
        ),
        layers="pooled",
        known=Known({"pooled": 768}, 2 * 86e6 * 197),
    ),
}
