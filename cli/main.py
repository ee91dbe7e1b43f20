"""The command ``avatar``: arguments in, one call, an exit code out.

Only the command line prints: results to stdout, talk to stderr. Exit codes: 0 done, 1 an error of
ours (one line on stderr), 2 wrong usage, 130 stopped by Ctrl-C (143 by a termination signal) with
nothing half-written left.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import click

from .. import __version__
from ..errors import AvatarVideoError
from ..host.machine import WorkOfOthers
from ..texts import one_line
from .batch import batch, batch_worker
from .doctor import doctor
from .models import models
from .own_process import ENDING, end_by_signal, end_streams, settle
from .run import run
from .score import score
from .session import FAILED, INTERRUPTED, end_log, talk
from .video import video

PROGRAM = "avatar"
MOST_SAID = 2000  # characters of an error


def main(
    arguments: Sequence[str] | None = None, *, settle: Callable[[], WorkOfOthers] = settle
) -> int:
    """Run the command and return its exit code.

    arguments: None takes the command line's; the process is then ours, and ``settle`` sets it up.
    """
    code = _run(arguments, settle)
    if arguments is None:
        ENDING.code = code
    return code


def _run(arguments: Sequence[str] | None, settle: Callable[[], WorkOfOthers]) -> int:
    try:
        others = settle() if arguments is None else None
        code = avatar.main(arguments, prog_name=PROGRAM, standalone_mode=False, obj=others)
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        talk(said.getvalue().rstrip()[:MOST_SAID])
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (AvatarVideoError, OSError, UnicodeEncodeError) as error:  # a name that none can have
        talk(f"Error: {one_line(error, MOST_SAID)}")
        return FAILED
    except (MemoryError, ImportError, RuntimeError) as error:
        if not (sentence := _too_little(error)):
            raise
        talk(f"Error: {sentence}")
        return FAILED
    finally:
        if arguments is None:
            end_by_signal()
            end_streams()
        end_log()
    return code if isinstance(code, int) else 0


def _too_little(error: BaseException) -> str:
    """Return a sentence for what little memory does to libraries, an empty text for others."""
    said = one_line(error) or type(error).__name__
    names = ("cannot allocate", "failed to map", "start new thread", "not enough memory")
    if isinstance(error, ImportError) and not any(name in said.lower() for name in names):
        return f"Expected to load a library, but {said}: install the requirements again."
    if isinstance(error, MemoryError) or any(name in said.lower() for name in names):
        return f"Expected more memory than there is ({said}): raise its limit or ask for less."
    return ""


class Commands(click.Group):
    """Commands; of a subcommand that is written without its group, the error names both."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            for name, group in self.commands.items():
                if isinstance(group, click.Group) and args[0] in group.commands:
                    shown = (one for one, command in self.commands.items() if not command.hidden)
                    ctx.fail(
                        f"Expected one of {', '.join(shown)}, got {args[0]!r}: write "
                        f"'{PROGRAM} {name} {args[0]}'."
                    )
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def avatar() -> None:
    """Make a portrait speak: a picture or video of a person plus speech in, a video out."""


video.add_command(score)
for command in (run, video, batch, batch_worker, models, doctor):
    avatar.add_command(command)
