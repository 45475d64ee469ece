"""Completion by a shell: the script that asks us, installing it, and answering it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import shellingham  # type: ignore[import-untyped]
from typer._click.shell_completion import CompletionItem, add_completion_class
from typer._completion_classes import ZshComplete, completion_init
from typer._completion_shared import get_completion_script
from typer._completion_shared import install as install_script

from apps.cli.errors import CliError

PROGRAM, VARIABLE = "dstack", "_DSTACK_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
# Typer's own takes words with a hyphen for none of its candidates, so that no flag is completed,
# evaluates what it is answered, and completes nothing the first time that it is loaded.
ZSH = r"""#compdef dstack

_dstack_completion() {
  local -a found
  found=("${(@f)$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" \
      _DSTACK_COMPLETE=complete_zsh dstack 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then
    _describe -V dstack found
  else
    _files
  fi
}

if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
  _dstack_completion "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
  compdef _dstack_completion dstack
fi"""


class _Zsh(ZshComplete):
    """Answers a line for each candidate, `value:help`, which is what `_describe` reads."""

    def format_completion(self, item: CompletionItem) -> str:
        value = str(item.value).replace(":", r"\:")
        return f"{value}:{' '.join(item.help.split())}" if item.help else value

    def complete(self) -> str:
        found = self.get_completions(*self.get_completion_args())
        return "\n".join(map(self.format_completion, found))


def answer(command: Callable[[], Any]) -> None:
    """Answer a shell that has a half-typed line: errors would only be printed into it."""
    completion_init()
    add_completion_class(_Zsh, "zsh")
    with Path(os.devnull).open("w") as nowhere:
        sys.stderr = nowhere
        try:
            command()
        except Exception:
            raise SystemExit(1) from None


def commands(known: Mapping[str, str], incomplete: str) -> list[CompletionItem]:
    """Return the commands that begin so, without loading any."""
    fitting = [name for name in known if name.startswith(incomplete)]
    return [CompletionItem(name, help=known[name]) for name in fitting]


def script(shell: str | None) -> str:
    """Return the script of a shell, None: the one that this process was started from."""
    chosen = shell or current_shell()
    if chosen == "zsh":
        return ZSH
    return get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=chosen)


def install(shell: str | None) -> tuple[str, Path]:
    """Make a shell load its script at each start; return which shell, and where the script is."""
    chosen = shell or current_shell()
    try:
        _, path = install_script(shell=chosen, prog_name=PROGRAM, complete_var=VARIABLE)
        path.write_text(f"{script(chosen)}\n")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CliError(
            f"Completion of {chosen} cannot be installed: {reason}. "
            f"Load it yourself: dstack completion {chosen}."
        ) from error
    return chosen, path


def current_shell() -> str:
    """Return the shell that this process was started from. Raise CliError where it is none."""
    try:
        name: str = shellingham.detect_shell()[0]
    except (shellingham.ShellDetectionFailure, OSError):
        name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise CliError(f"Which shell is this? Say it: dstack completion {'|'.join(SHELLS)}.")
    return name
