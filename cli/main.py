"""The command ``avatar``: arguments in, one call, an exit code out.

Only the command line prints: results to stdout, talk to stderr. Exit codes: 0 done, 1 an error of
ours (one line on stderr), 2 wrong usage, 130 stopped by Ctrl-C (143 by a termination signal) with
nothing half-written left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from .. import __version__
from ..errors import AvatarVideoError
from ..host.machine import WorkOfOthers
from .doctor import doctor
from .models import models
from .own_process import settle
from .run import run
from .session import FAILED, INTERRUPTED, end_log
from .video import video

PROGRAM = "avatar"


def main(
    arguments: Sequence[str] | None = None, *, settle: Callable[[], WorkOfOthers] = settle
) -> int:
    """Run the command and return its exit code.

    arguments: None takes the command line's; the process is then ours, and ``settle`` sets it up.
    """
    others = settle() if arguments is None else None
    try:
        code = avatar.main(arguments, prog_name=PROGRAM, standalone_mode=False, obj=others)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (AvatarVideoError, OSError) as error:
        click.echo(f"Error: {' '.join(str(error).split())}", err=True)
        return FAILED
    finally:
        end_log()
    return code if isinstance(code, int) else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def avatar() -> None:
    """Make a portrait speak: a picture or video of a person plus speech in, a video out."""


for command in (run, video, models, doctor):
    avatar.add_command(command)
