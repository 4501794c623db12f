"""``codec completion``: prints the script with which a shell completes codec's commands, options and files."""

import click
from click.shell_completion import get_completion_class


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands, options and files.

    \b
    Examples:
      eval "$(codec completion bash)"                 in ~/.bashrc
      eval "$(codec completion zsh)"                  in ~/.zshrc
      codec completion fish > ~/.config/fish/completions/codec.fish
    """
    script = get_completion_class(shell)
    assert script is not None
    root = ctx.find_root()
    # not source(): it would run bash to ask for its version, though the script may be for another machine
    completer = script(root.command, {}, "codec", "_CODEC_COMPLETE")
    click.echo(completer.source_template % completer.source_vars())
