"""From an encoder's name to a folder with its config and weights: local, or fetched from the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from gelda.artifacts import file_sha256, read_json
from gelda.errors import UserError

CONFIG = "config.json"
# All that any family reads; never a pickle. Whisper's repositories also hold fp32 and Flax copies.
SETTINGS = [
    CONFIG,
    "*processor_config.json",
    "modules.json",
    "*_Pooling/config.json",
    "sentence_*config.json",
]
SETTINGS += ["tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model"]
WEIGHTS = ["model.safetensors", "model.safetensors.index.json", "model-?????-of-?????.safetensors"]
CONVERTER = "SFconvertbot"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
OFFLINE = (
    "Offline, a local folder of weights works, and what ships: "
    "mini-image, mini-speech, random-vit, random-whisper"
)


def is_path(name: str) -> bool:
    """Whether `name` can only be a folder; a Hub name has one slash at most."""
    return name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1


def local(name: str) -> Path | None:
    """The local folder of that name; None where it can only be a Hub name."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if is_path(name):
        raise UserError(f"There is no folder {name}: give the folder of a model's config and weights.")
    return None


def config(name: str) -> dict[str, Any]:
    """The config of a local model, or of one on the Hub, of which nothing else is fetched."""
    return read_config(local(name) or _snapshot(name, [CONFIG]))


def fetch(name: str) -> Path:
    """The folder of a local model, or of a Hub repository's config, preprocessing and safetensors.

    Where a repository holds pickles only (WavLM), the safetensors are taken from the pull request that the
    Hub's own conversion bot opened, as transformers does.
    """
    folder = local(name)
    if folder is not None:
        return folder
    folder = _snapshot(name, [*SETTINGS, *WEIGHTS])
    if not any(folder.glob("model*.safetensors")):
        request = _conversion(name, folder)
        if request is None:
            raise UserError(
                f"'{name}' has no model.safetensors on the Hub, and pickled weights are not loaded, as they "
                "can run code when read: save the model as safetensors and give its folder."
            )
        folder = _snapshot(name, [*SETTINGS, *WEIGHTS], request)
    return folder


def _conversion(name: str, folder: Path) -> str | None:
    """The reference of the conversion bot's open pull request; offline, of one in the cache."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import httpx

    try:
        found = HfApi().get_repo_discussions(
            name, author=CONVERTER, discussion_type="pull_request", discussion_status="open"
        )
        return next((d.git_reference for d in found if d.author == CONVERTER), None)
    except (OSError, httpx.HTTPError):  # what being offline is, in any of its forms
        cached = sorted((folder.parents[1] / "refs" / "refs" / "pr").glob("*"))
        return f"refs/pr/{cached[0].name}" if cached else None


def _snapshot(name: str, patterns: list[str], reference: str | None = None) -> Path:
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.utils import httpx

    try:
        return Path(snapshot_download(name, allow_patterns=patterns, revision=reference))
    except errors.GatedRepoError as error:
        raise UserError(
            f"'{name}' is gated: accept its terms on huggingface.co/{name} and log in with `hf auth login`."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise UserError(
            f"The Hub has no public model '{name}': check its spelling on huggingface.co. {OFFLINE}."
        ) from error
    except errors.IncompleteSnapshotError as error:
        raise UserError(
            f"The Hub cannot be reached, and the copy of '{name}' on this disk is not complete. {OFFLINE}."
        ) from error
    except (OSError, httpx.HTTPError) as error:  # offline, a proxy, the Hub down
        raise UserError(
            f"The Hub cannot be reached for '{name}', and no copy of it is on this disk. {OFFLINE}."
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json."""
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"{folder} has no {CONFIG}: give the folder of a transformers or timm model with {CONFIG} and "
            "model.safetensors."
        )
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG} is not the config of a model.")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder; a folder of pickles or without weights is refused."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        shards = read_json(index).get("weight_map")
        names = sorted(set(shards.values())) if isinstance(shards, dict) else []
        if not names or any(not re.fullmatch(r"[\w.-]+\.safetensors", str(n)) for n in names):
            raise UserError(f"{index} does not list the shards of a model.")
        missing = [n for n in names if not (folder / n).is_file()]
        if missing:
            raise UserError(f"{folder} lacks {missing[0]}, one of {len(names)} shards of its weights.")
        return [folder / n for n in names]
    pickled = next((f.name for pattern in PICKLES for f in sorted(folder.glob(pattern))), None)
    if pickled:
        raise UserError(
            f"{folder} holds its weights only as {pickled}, a pickle, which can run code when read: save the "
            "model as safetensors (`save_pretrained` of transformers does)."
        )
    raise UserError(f"{folder} has no weights: model.safetensors is missing.")


def revision(folder: Path) -> str:
    """16 hex digits: the commit of a Hub snapshot, else a hash over weights, config and preprocessing."""
    parts = folder.resolve().parts
    if len(parts) > 1 and parts[-2] == "snapshots" and re.fullmatch(r"[0-9a-f]{40}", parts[-1]):
        return parts[-1][:16]
    settings = {f for pattern in SETTINGS for f in folder.glob(pattern) if f.is_file()}
    files = sorted({*settings, *weight_files(folder)})
    lines = [f"{f.relative_to(folder).as_posix()} {_digest(f, *_stamp(f))}" for f in files]
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


def _stamp(file: Path) -> tuple[int, int]:
    return file.stat().st_size, file.stat().st_mtime_ns


@lru_cache(maxsize=256)
def _digest(file: Path, size: int, changed: int) -> str:
    """The file's hash, read again only where its size or time has changed: weights are gigabytes."""
    return file_sha256(file)


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and its tables of weights that were left out on purpose."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def pretrained(cls: Any, folder: Path, spare: tuple[str, ...] = (), **options: Any) -> tuple[Any, set[str]]:
    """A transformers model in fp32 from a folder's safetensors, and which weights of `spare` it lacks.

    Any other weight that is missing or has another shape is an error: transformers would draw it at random.
    """
    import torch

    weight_files(folder)
    options |= {"dtype": torch.float32, "output_loading_info": True, "use_safetensors": True}
    options |= {"ignore_mismatched_sizes": True}  # they are refused below, with their names
    options |= {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            network, found = cls.from_pretrained(folder, **options)
    except Exception as error:  # transformers raises several unrelated types for what is not a model
        raise UserError(f"The weights in {folder} do not load ({first_line(error)}).") from error
    missing = set(found["missing_keys"])
    lacks = {name for name in missing if not name.startswith(spare)} | {
        key[0] for key in found["mismatched_keys"]
    }
    if lacks:
        raise UserError(
            f"The weights in {folder} do not fit its config: {len(lacks)} are missing or of another shape, "
            f"{min(lacks)} first."
        )
    return network, missing


def preprocessor(cls: Any, folder: Path) -> Any:
    """The processor, feature extractor or tokenizer that a model folder ships."""
    try:
        with quiet():
            return cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the same
        what = "tokenizer" if "Tokenizer" in cls.__name__ else "preprocessor_config.json"
        raise UserError(f"{folder} has no usable {what} ({first_line(error)}).") from error


def first_line(error: Exception) -> str:
    """What another library's error says, for a sentence of ours."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".: ")
