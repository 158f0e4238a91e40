"""`python -m gelda.pretrain mini-image | mini-speech | probe NAME`: rebuild what `assets/encoders` holds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gelda.encoders import assets
from gelda.errors import UserError
from gelda.pretrain import image, speech

MODULES = {"mini-image": image, "mini-speech": speech}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gelda.pretrain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in MODULES.items():
        command = commands.add_parser(name, help="train it and write weights, card and README")
        command.add_argument("--out", type=Path, default=assets() / "encoders" / name)
        command.add_argument("--steps", type=int, default=module.STEPS)
        command.add_argument("--seed", type=int, default=0)
    command = commands.add_parser("probe", help="probe it again")
    command.add_argument("encoder", choices=list(MODULES))
    command.add_argument("--out", type=Path, help="folder of the weights")
    options = parser.parse_args(arguments)
    try:
        if options.command == "probe":
            folder = options.out or assets() / "encoders" / options.encoder
            MODULES[options.encoder].probe_again(folder)
        else:
            folder = options.out
            MODULES[options.command].pretrain(folder, steps=options.steps, seed=options.seed)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Written: {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
