"""Completion: what a shell offers while a command is typed.

The shells' scripts ask the command itself (`strun --complete WORD...`), so that they offer the steps
that are installed now, with the parameters that they have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from stpipe.cli.common import arguments
from stpipe.errors import StpipeError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stpipe.core.step import Step

__all__ = ["SCRIPTS", "script", "words_for_stflow", "words_for_strun"]

SCRIPTS = {
    "bash": """\
# Put into ~/.bashrc:  eval "$(PROGRAM --completion bash)"
_PROGRAM() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(PROGRAM --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
    [[ ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace 2> /dev/null
    return 0
}
complete -o default -F _PROGRAM PROGRAM""",
    "zsh": """\
# Put into ~/.zshrc, after compinit:  eval "$(PROGRAM --completion zsh)"
_PROGRAM() {
    local -a found
    found=("${(@f)$(PROGRAM --complete "${(@)words[2,CURRENT]}" 2> /dev/null)}")
    compadd -S '' -- ${found:#}
    _files
}
compdef _PROGRAM PROGRAM""",
    "fish": """\
# Put into ~/.config/fish/config.fish:  PROGRAM --completion fish | source
complete -c PROGRAM -a '(PROGRAM --complete (commandline -opc)[2..-1] (commandline -ct))'""",
}
_VALUES = {
    "log-level": ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "log-stream": ("stderr", "stdout", "null"),
    "completion": tuple(SCRIPTS),
}


def script(program: str, shell: str) -> str:
    """What a shell has to read to complete the words of `program`.

    Raises
    ------
    UsageError
        When the shell is not supported.
    """
    if shell not in SCRIPTS:
        raise UsageError(
            f"--completion: found {shell!r}, allowed: {', '.join(SCRIPTS)}"
            f"{did_you_mean(shell, SCRIPTS)}"
        )
    return SCRIPTS[shell].replace("PROGRAM", program)


def words_for_strun(words: Sequence[str]) -> Iterator[str]:
    """The possible completions of the last of `words`."""
    *before, current = words or [""]
    target = next((word for word in before if not word.startswith("-")), None)
    return (word for word in _offers(target, current) if word.startswith(current))


def _offers(target: str | None, current: str) -> Iterator[str]:
    name, equals, _ = current.removeprefix("--").partition("=")
    if equals and name in _VALUES:
        yield from (f"--{name}={value}" for value in _VALUES[name])
    elif current.startswith("-"):
        yield from (f"--{flag}" for flag in arguments.FLAGS)
        yield from (f"--{option}=" for option in arguments.VALUED)
        if target is not None:
            yield from _parameters(target, current)
    elif target is None:
        from stpipe import registry

        yield from (entry.alias for entry in registry.entries())


def _parameters(target: str, current: str) -> Iterator[str]:
    """Parameters of a target; those of substeps once a step is named."""
    from stpipe.core import loading

    try:
        cls = loading.load(target)
    except StpipeError:
        return
    prefix = "--"
    for name in current.removeprefix("--").split(".")[:-1]:
        if name != "steps":
            if name not in cls.step_defs:
                return
            cls = cls.step_defs[name]
        prefix += f"{name}."
    if prefix.endswith("steps."):
        yield from (f"{prefix}{name}." for name in cls.step_defs)
    else:
        yield from _of_class(cls, prefix)


def _of_class(cls: type[Step], prefix: str) -> Iterator[str]:
    from stpipe.parameters.specs import rules

    for name, rule in rules(cls).items():
        yield f"{prefix}{name}" if rule.kind == "boolean" else f"{prefix}{name}="
    if cls.step_defs:
        yield f"{prefix}steps."


def words_for_stflow(
    words: Sequence[str], commands: Mapping[str, Sequence[str]], own: Sequence[str]
) -> Iterator[str]:
    """The same for `stflow`: its commands, and the options of each."""
    *before, current = words or [""]
    command = next((word for word in before if word in commands), None)
    offered = [*commands, *own] if command is None else commands[command]
    return (word for word in offered if word.startswith(current))
