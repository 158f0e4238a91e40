"""Imports run one way, heavy ones wait until they are needed, and nothing unpickles."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# design.md's order, with our additions.
ORDER = """
__init__
errors
artifacts
paths
seeds
device
optimizer
columns
manifest
media
datasets
uploads
encoders
pretrain
latents
decoding
batching
extraction
npz
latent_files
ready
bank_import
texts
semantic_tables
semantic_files
semantic_moments
semantics
semantic_preview
compositions
conditions
losses
mixers
posts
recipes
domains
metrics
statistics
bootstrap
rounding
schedulers
strict
settings
config
compare_config
extract_config
allocation
adapter
layer_weights
pool
heads
class_start
low_rank
denoiser
diffusion
held_out
sampler
playground
augmenters
filters
setting_words
studies
grids
finetune
splits
episodes
transfer
protocols
embedding
neighbours
projection
map_costs
nearby
layer_maps
aligned_maps
report
report_folds
report_text
verdicts
contrast
runs
card
recording
experiment_check
experiment
spaces
points
generator_kit
health
selection_health
suspects
kit
edit_steps
edits
edit_figures
edit_text
refit
confirm
run_kit
terminal
adapting
generating
pipeline
curves
costs
arms
arm_progress
compare_costs
compare_check
workbench
choices
compare_report
compare_points
compare_kit
compare
compare_runs
selections
layer_study
extraction_runs
layer_probe
terminal_targets
processes
speech_demo
study_result
ablation
study_text
samples
keeping
slots
jobs
map_jobs
edit_jobs
shipping
executors
sklearn
extract_config
extraction_runs
plans
plan_jobs
plan_outlook
plan_runs
cli_options
cli_compare
cli_layers
cli_maps
cli_semantics
cli_extract
cli_plans
cli_edits
cli_runs
cli_speech
cli_ablate
cli
__main__
""".split()
FILES = sorted((ROOT / "gelda").rglob("*.py"))


def unit(path: Path) -> str:
    """`gelda/augmenters/base.py` belongs to the unit `augmenters`."""
    return path.relative_to(ROOT / "gelda").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Full names of everything a file imports, at module level and inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_the_order_names_every_module():
    missing = {unit(path) for path in FILES} - set(ORDER)
    assert not missing, f"put {missing} into ORDER, where design.md has it"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_gelda_imports_only_what_stands_above(path):
    mine = unit(path)
    for name in imported(path):
        head, _, rest = name.partition(".")
        assert head not in ("app", "pages", "streamlit", "pickle", "cPickle", "dill", "joblib", "shelve"), (
            name
        )
        if head != "gelda" or not rest:
            continue
        theirs = rest.split(".")[0]
        if theirs in ORDER and theirs != mine:
            assert ORDER.index(theirs) < ORDER.index(mine), f"{mine} imports {theirs}, which stands below it"


@pytest.mark.parametrize("folder, forbidden", [("app", {"pages"}), ("gelda", {"app", "pages", "streamlit"})])
def test_layers_do_not_import_upwards(folder, forbidden):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        assert not {name.split(".")[0] for name in imported(path)} & forbidden, path


def test_pages_lie_on_top():
    assert list((ROOT / "pages").glob("*.py"))
    for folder in ("app", "gelda", "pages"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not any(name.split(".")[0] == "pages" for name in imported(path)), path


@pytest.mark.parametrize("folder", ["gelda", "app", "pages"])
def test_nothing_loads_pickles(folder):
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in (
                    "torch.load",
                    "torch.save",
                    "pickle.load",
                    "pickle.loads",
                    "pd.read_pickle",
                ), path
                if called in ("np.load", "numpy.load"):
                    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    assert keywords.get("allow_pickle") == "False", path


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_import_gelda_is_light():
    heavy = ("torch", "streamlit", "transformers", "numpy", "pandas", "diffusers", "umap", "timm")
    done = python(f"import sys, gelda; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_command_line_starts_without_torch():
    done = python(
        "import sys, gelda.cli; print([m for m in ('torch', 'streamlit', 'umap') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_pages_start_without_torch():
    """A cold page waits for what it imports; torch alone takes seconds and 250 MB of the server."""
    views = sorted(path.stem for path in (ROOT / "app").glob("*.py") if path.stem != "main")
    code = f"import sys, importlib\nfor m in {views}: importlib.import_module('app.' + m)\n"
    heavy = ("torch", "scipy", "sklearn", "umap", "diffusers")
    done = python(f"{code}print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


CORE = """
import sys

BLOCKED = {"diffusers", "timm", "umap", "sklearn", "imblearn", "streamlit", "transformers", "scipy", "plotly",
           "torchvision", "rich", "typer", "matplotlib", "PIL"}

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in BLOCKED else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
import torch
torch.set_num_threads(1)
from gelda import adapter, denoiser, diffusion, finetune, heads, sampler
from gelda import losses, mixers, posts
from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.errors import UserError

space = ConditionSpace.build(torch.eye(3), torch.eye(2))
model = diffusion.Model(denoiser.Denoiser(4, 8, width=16, depth=1), ConditionEncoder(space, 8))
data = diffusion.TrainingData(torch.randn(20, 4), torch.arange(20) % 3, torch.arange(20) % 2, torch.ones(20))
model = diffusion.train(model, data, steps=5, batch_size=8, learning_rate=1e-3, weight_decay=0.0, 
                        ema_decay=0.9, drop=0.1, prediction_type="v_prediction", weighting="uniform", seed=0)
out = sampler.sample(model, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 0]), torch.randn(3, 4))
assert out.shape == (3, 4) and torch.isfinite(out).all()
head = adapter.HeadData(torch.randn(20, 4), torch.arange(20) % 3, torch.ones(20))
plans = [adapter.HeadPlan(loss=name) for name in losses.LOSSES]
plans += [adapter.HeadPlan("ce", mix=name) for name in mixers.MIXERS]
plans += [adapter.HeadPlan("ce", post=name) for name in posts.POSTS]
model = adapter.Adapter((4, 5), 3, len(plans))
heads.fit(model, [head] * len(plans), plans, steps=3, batch_size=8)
try:
    sampler.solver_table("ddim", 13)
except UserError as error:
    print(error)
print("loaded:", sorted(BLOCKED & {m.split(".")[0] for m in sys.modules}))
"""


def test_training_core_runs_on_torch_numpy_pandas_pydantic_alone():
    done = python(CORE)
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout
    assert "install diffusers, or use 10, 15, 20, 25 or 50 steps" in done.stdout
