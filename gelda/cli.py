"""The command line. Exit codes: 0 done, 1 a run failed, 2 the user's input is wrong, 130 cancelled."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gelda import __version__, cli_compare, cli_extract, cli_layers, cli_semantics, cli_speech
from gelda.cli_options import Device, JsonFile, Precision, Seeds, Set, check_writable, overrides
from gelda.cli_plans import run_plan
from gelda.errors import UserError, nearest, unknown

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
DEMOS = ("digits", "speech")


@app.command()
def demo(
    name: Annotated[str, typer.Argument(help="Which demo: digits or speech (synthetic).")] = "digits",
    open_app: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the app on the finished run.")
    ] = True,
    json_file: JsonFile = None,
    seeds: Seeds = None,
    preset: Annotated[str | None, typer.Option(help="The demo's own, or tiny for a quick look.")] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    set_: Set = None,
    port: Annotated[int, typer.Option(help="Port of the app.")] = 8501,
) -> None:
    """Run a demo from raw images or clips to the comparison table, offline, then open the app on it."""
    if name not in DEMOS:
        raise UserError(f"There is no demo called '{name}'.{nearest(name, DEMOS)}")
    if open_app:
        check_port(port)
    if json_file:
        check_writable(json_file)
    from gelda.config import merged, resolve_config

    flags: dict[str, Any] = {"device": device, "precision": precision}
    if seeds is not None:
        flags["seeds"] = seeds
    chosen = preset or os.environ.get("GELDA_DEMO_PRESET") or name
    values = merged(flags, overrides(set_ or []))
    if name == "speech":
        run_id = cli_speech.demo(values, chosen, json_file)
    else:
        run_id = _run_here(resolve_config(values, chosen), name, json_file)
    if open_app:
        launch(port, run_id)


@app.command()
def run(
    spec: Annotated[
        Path | None, typer.Argument(help="A JSON file with settings, or a run id to resume.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="Where settings start: digits, tiny; or, of your own --data, a plan's name.")
    ] = "digits",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the data of a plan: imagenet-lt, emobox, pacs …")
    ] = None,
    encoder: Annotated[str, typer.Option(help="Another encoder than the plan's own.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved settings, or what a plan takes, and stop.")
    ] = False,
    set_: Set = None,
    json_file: JsonFile = None,
) -> None:
    """Run a spec, resume a run by its id, or encode and compare your own data by a plan."""
    from gelda import runs
    from gelda.artifacts import check_format, read_json
    from gelda.config import PRESETS, merged, resolve_config
    from gelda.plans import PLANS

    if json_file:
        check_writable(json_file)
    if preset not in PRESETS and preset not in PLANS:
        raise unknown("preset", preset, [*PRESETS, *PLANS])
    if preset in PLANS:
        if spec is not None:
            raise UserError(f"The preset '{preset}' takes --data DIR, not a spec: leave {spec} out.")
        run_plan(preset, data, encoder, overrides(set_ or []), dry_run, json_file)
        return
    if data or encoder:
        raise UserError(f"--data and --encoder belong to a plan ({', '.join(PLANS)}): name it with --preset.")
    if spec is not None and not spec.suffix and not spec.is_file():
        state = runs.read_state(runs.find_run(str(spec)))
        work = _stored(state)
        runs.forget_cancel(state.path)
        _shown(work, state, json_file)
        return
    values = read_json(spec) if spec else {}
    if not isinstance(values, dict):
        raise UserError(f"{spec} is not a spec: it must hold one JSON object of settings.")
    if spec is not None and "config" in values:
        check_format(values, spec)
    given = values.get("config", values)
    if not isinstance(given, dict):
        raise UserError(f"{spec} is not a spec: its config must be one JSON object of settings.")
    config = resolve_config(merged(given, overrides(set_ or [])), preset)
    if dry_run:
        _check(config)
        typer.echo(config.model_dump_json(indent=1))
        return
    _run_here(config, config.data.dataset, json_file)


@app.command("run-stored", hidden=True)
def run_stored(run_id: str) -> None:
    """What a background job does: run or resume a stored run without a display."""
    from gelda import runs

    state = runs.read_state(runs.find_run(run_id))
    try:
        _stored(state)(None)
    except runs.Cancelled:
        sys.exit(130)


@app.command(hidden=True)
def project(
    run_id: str,
    layer: str,
    scope: Annotated[str, typer.Option()] = "all",
    name: Annotated[str, typer.Option()] = "",
) -> None:
    """What a background job does: make one map of a run."""
    from gelda.jobs import make_projection

    make_projection(run_id, layer, scope, name)


@app.command()
def report(
    run_id: Annotated[str, typer.Argument(help="A run id; `latest` is the newest finished run.")] = "latest",
    form: Annotated[str, typer.Option("--format", help="md, csv, latex or json.")] = "md",
) -> None:
    """Print a finished run's report."""
    from gelda import runs
    from gelda.report import load_report
    from gelda.report_text import render

    if run_id == "latest":
        finished = [s for s in runs.list_runs() + runs.shipped_runs() if s.status == "done" and s.reported]
        if not finished:
            raise UserError("There is no finished run yet: start one with `gelda demo`.")
        path = finished[0].path
        if finished[0].shipped:
            typer.echo("gelda: no finished run in this workspace; this is the one that ships.", err=True)
    else:
        path = runs.find_run(run_id)
        state = runs.read_state(path)
        if state.status == "broken":
            raise UserError(state.error or f"The run '{run_id}' cannot be read.")
        runs.require_report(state)
    typer.echo(render(load_report(path), form), nl=False)


@app.command(hidden=True)
def ship(
    run_id: str,
    name: Annotated[str, typer.Option()] = "digits",
    layers: Annotated[str, typer.Option(help="Layers whose latents and maps go along.")] = "",
    remark: Annotated[str, typer.Option(help="What must stand beside the figures.")] = "",
) -> None:
    """Make a finished run the one that ships in assets/runs (for releases)."""
    from gelda import projection, runs
    from gelda.shipping import ship as ship_run

    path = runs.find_run(run_id)
    chosen = layers.split(",") if layers else [layer.name for layer in projection.layers(path)]
    typer.echo(f"Shipped as {ship_run(path, name, chosen, remark, typer.echo)}.")


app.command("compare")(cli_compare.compare)
app.command("import")(cli_compare.import_)
app.command("layers")(cli_layers.layers)
app.command("semantics")(cli_semantics.semantics)
app.command("extract")(cli_extract.extract)


@app.command("app")
def app_command(
    port: Annotated[int, typer.Option(help="Port on localhost.")] = 8501,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser window.")] = True,
) -> None:
    """Open the explorer in a browser."""
    check_port(port)
    launch(port, None, open_browser)


@app.command()
def doctor(
    speed: Annotated[bool, typer.Option("--speed", help="Measure matrix products too.")] = False,
    device: Annotated[str, typer.Option(help="Device to check.")] = "auto",
    precision: Annotated[str, typer.Option(help="Precision to check.")] = "auto",
) -> None:
    """Say what this machine has, what GeLDA would use, and what is missing."""
    import shutil

    from gelda import device as devices
    from gelda import encoders, runs
    from gelda.report import versions

    chosen = devices.resolve(device)
    dtype = devices.resolve_precision(precision, chosen)
    lines: dict[str, Any] = {f"version of {k}": v for k, v in versions().items()}
    lines |= devices.describe()
    lines["device that would be used"] = f"{chosen}, {str(dtype).removeprefix('torch.')}"
    if speed:
        lines["matrix products"] = f"{devices.speed(chosen, dtype):.0f} GFLOP/s"
    home = runs.home()
    lines["workspace"] = f"{home} ({len(runs.list_runs())} runs)"
    probe = home if home.exists() else next(p for p in home.parents if p.exists())
    lines["free disk"] = f"{shutil.disk_usage(probe).free / 2**30:.1f} GiB"
    lines["writable"] = probe.is_dir() and os.access(probe, os.W_OK)
    for name, spec in encoders.ENCODERS.items():
        lines[f"encoder {name}"] = f"weights {spec.revision()}"
    lines["shipped runs"] = ", ".join(s.id for s in runs.shipped_runs()) or "none"
    width = max(len(key) for key in lines)
    for key, value in lines.items():
        typer.echo(f"{key:<{width}}  {', '.join(value) or 'none' if isinstance(value, list) else value}")


def main() -> None:
    """Console entry: a user's mistake is one sentence on stderr, never a traceback."""
    from gelda.runs import Cancelled

    try:
        app()
    except UserError as error:
        typer.echo(f"gelda: {error}", err=True)
        sys.exit(2)
    except Cancelled:
        typer.echo("gelda: cancelled; what was finished is kept. Resume with `gelda run RUN_ID`.", err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)


def studio_root() -> Path:
    """The folder that holds app/, pages/ and assets/: gelda/studio in a wheel, the repository else."""
    inside = Path(__file__).resolve().parent / "studio"
    return inside if inside.is_dir() else Path(__file__).resolve().parent.parent


def launch(port: int, run_id: str | None, open_browser: bool = True) -> None:
    """Start Streamlit on localhost in the foreground, on a run if there is one."""
    root = studio_root()
    url = f"http://localhost:{port}" + (f"/?run={run_id}" if run_id else "")
    typer.echo(f"The explorer is at {url} (stop it with Ctrl-C).")
    has_display = sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if open_browser and has_display:
        import threading
        import webbrowser

        threading.Timer(2.0, webbrowser.open, [url]).start()
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "streamlit", "run", str(root / "app" / "main.py")]
    command += ["--server.port", str(port), "--server.headless", "true"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())  # else the port stays taken
        sys.exit(server.wait())


def check_port(port: int) -> None:
    """Refuse a port that is taken, before anything long is started."""
    if not 1 <= port <= 65535:
        raise UserError(f"Port {port} cannot be used: ports go from 1 to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = (error.strerror or "it is taken").lower()
            raise UserError(f"Port {port} cannot be used ({reason}): choose another with --port.") from error


def _run_here(config: Any, demo: str, json_file: Path | None) -> str:
    from gelda import runs

    _check(config)
    state = runs.create_run(config.model_dump(mode="json"), config.name, demo)
    from gelda.pipeline import execute

    _shown(lambda listener: execute(config, state, listener), state, json_file)
    return state.id


def _check(config: Any) -> None:
    """Refuse names and devices that cannot work before a run folder exists."""
    from gelda import datasets
    from gelda.experiment import check_names

    check_names(config, datasets.get(config.data.dataset).manifest())


def _shown(work: Callable[[Any], dict[str, Any]], state: Any, json_file: Path | None) -> None:
    """Do a run's work with its progress on the terminal, then print its report."""
    from gelda import runs, terminal

    with terminal.progress(state) as listener:
        result = work(listener)
    shown = {runs.EXTRACTION: terminal.print_extraction, runs.PROBE: terminal.print_probe}
    shown.get(state.demo, terminal.print_report)(result)
    if json_file:
        from gelda.artifacts import write_json

        write_json(json_file, result)
        typer.echo(f"{'Report' if state.reported else 'Result'} written to {json_file}.")


def _stored(state: Any) -> Callable[[Any], dict[str, Any]]:
    """The work of a run that is to go on; what is broken or too new is refused and left as it is."""
    from gelda import compare_runs, extraction_runs, layer_probe, pipeline, runs
    from gelda.config import resolve_config
    from gelda.extract_config import resolve_extract

    if state.shipped:
        raise UserError(
            f"The run '{state.id}' ships with GeLDA and is finished: start your own with `gelda demo`."
        )
    if state.status == "broken":
        raise UserError(state.error)
    if state.comparison:
        return lambda listener: compare_runs.resume(state, listener)
    if state.probe:
        return lambda listener: layer_probe.execute(state, listener)
    if state.extraction:
        extraction = resolve_extract(runs.read_spec(state.path))
        return lambda listener: extraction_runs.execute(extraction, state, listener)
    config = resolve_config(runs.read_spec(state.path))
    return lambda listener: pipeline.execute(config, state, listener)


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


if __name__ == "__main__":
    main()
