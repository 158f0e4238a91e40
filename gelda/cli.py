"""The command line. Exit codes: 0 done, 1 a run failed, 2 the user's input is wrong, 130 cancelled."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gelda import (
    __version__,
    cli_ablate,
    cli_compare,
    cli_edits,
    cli_extract,
    cli_layers,
    cli_maps,
    cli_plans,
    cli_runs,
    cli_semantics,
    cli_speech,
)
from gelda.cli_options import Device, JsonFile, Precision, Seeds, Set, check_writable, overrides
from gelda.cli_runs import run_here
from gelda.errors import RunFailed, UserError, nearest

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
        run_id = run_here(resolve_config(values, chosen), name, json_file)
    if open_app:
        launch(port, run_id)


@app.command("draw-stored", hidden=True)
def draw_stored(run_id: str, key: str) -> None:
    """What a background job does: draw latents of a run's generator that a page asked for."""
    from gelda.jobs import make_samples

    make_samples(run_id, key)


@app.command()
def report(
    run_id: Annotated[str, typer.Argument(help="A run id; `latest` is the newest finished run.")] = "latest",
    form: Annotated[str, typer.Option("--format", help="md, csv, latex, json or card.")] = "md",
) -> None:
    """Print a finished run's report."""
    from gelda import runs
    from gelda.card import render
    from gelda.report import load_report

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


app.command("run")(cli_runs.run)
app.command("run-stored", hidden=True)(cli_runs.run_stored)


@app.command(hidden=True)
def queued(run_id: str, command: list[str]) -> None:
    """Another command of this program, when it is a run's turn: a job of several runs is one in the line."""
    from gelda import recording, runs, slots

    path = runs.find_run(run_id)
    with slots.turn(path):
        try:
            app(command, standalone_mode=False)
        except BaseException as error:
            state = runs.read_state(path)
            if state.status == "queued":  # the command ended before its work began: nobody else says why
                with recording.tracked(state):
                    raise error
            raise


app.command("edit-job", hidden=True)(cli_edits.edit_job)
app.command("project")(cli_maps.project)
app.command("project-stored", hidden=True)(cli_maps.project_stored)
app.command("compare")(cli_compare.compare)
app.command("plan-stored", hidden=True)(cli_plans.plan_stored)
app.command("import")(cli_compare.import_)
app.command("ablate")(cli_ablate.ablate)
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
    from gelda.recording import Cancelled

    try:
        app()
    except RunFailed as error:
        typer.echo(f"gelda: {error}", err=True)
        sys.exit(1)
    except UserError as error:
        typer.echo(f"gelda: {error}", err=True)
        sys.exit(2)
    except Cancelled:
        typer.echo(
            "gelda: cancelled; what was finished is kept. `gelda run` with the id of the run goes on.",
            err=True,
        )
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
