"""What is shipped: a wheel that holds the app and works from another folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("gelda-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def python(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(installed), "GELDA_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, env=environment
    )


def test_the_wheel_holds_the_app_its_pages_and_assets(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("app", "pages", "assets"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".tmp", ".pyc"):
                assert f"gelda/studio/{path.relative_to(ROOT)}" in names, path
    for path in (ROOT / "gelda").rglob("*.py"):
        assert str(path.relative_to(ROOT)) in names, path


def test_the_wheel_puts_nothing_else_into_site_packages(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gelda"}
    assert not [
        n for n in zipfile.ZipFile(wheel).namelist() if n.endswith((".pyc", ".tmp")) or "/tests/" in n
    ]


def test_the_wheel_names_its_licence_and_script(wheel):
    archive = zipfile.ZipFile(wheel)
    info = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
    metadata = archive.read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata and "Requires-Python: >=3.11" in metadata
    assert "gelda = gelda.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in archive.namelist()


def test_it_runs_from_another_folder(installed, tmp_path):
    where = python(installed, tmp_path, "-c", "import gelda; print(gelda.__file__)")
    assert Path(where.stdout.strip()).is_relative_to(installed), (
        "the installed one is under test, not the checkout"
    )
    version = python(installed, tmp_path, "-m", "gelda", "--version")
    assert version.returncode == 0 and version.stdout.strip() == installed_version(installed)
    doctor = python(installed, tmp_path, "-m", "gelda", "doctor")
    assert doctor.returncode == 0, doctor.stderr
    assert "device that would be used" in doctor.stdout
    if (ROOT / "assets" / "encoders" / "mini-image" / "model.safetensors").is_file():
        line = next(line for line in doctor.stdout.splitlines() if line.startswith("encoder mini-image"))
        assert "missing" not in line


def installed_version(installed: Path) -> str:
    (info,) = installed.glob("gelda-*.dist-info")
    return info.name.removeprefix("gelda-").removesuffix(".dist-info")


def test_the_app_is_found_inside_the_package(installed, tmp_path):
    code = "from gelda import cli, encoders; print(cli.studio_root(), encoders.assets(), sep='\\n')"
    done = python(installed, tmp_path, "-c", code)
    studio, assets = map(Path, done.stdout.split())
    assert studio == installed / "gelda" / "studio" and assets == studio / "assets"
    assert (studio / "app" / "main.py").is_file() and (assets / "schedulers.json").is_file()
    assert list((studio / "pages").glob("*.py"))


def test_the_sampler_finds_its_tables_there(installed, tmp_path):
    # without diffusers to build them: what is found is what ships
    code = (
        "import sys; sys.modules['diffusers'] = None\n"
        "from gelda.schedulers import solver_table\n"
        "print(len(solver_table('dpm-solver++', 20).timesteps))"
    )
    assert python(installed, tmp_path, "-c", code).stdout.strip() == "20"
