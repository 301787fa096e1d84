"""`stflow`: make Snakemake projects from pipelines, draw and explain them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stpipe.cli.common.errors import guarded
from stpipe.cli.stflow import show
from stpipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

_MAY_HOLD_SPACES = ("--steps.", "--pre_hooks=", "--post_hooks=", "--override_")


def main(words: Sequence[str] | None = None) -> int:
    """Entry point of the command."""
    given = sys.argv[1:] if words is None else list(words)
    if given[:1] in (["--complete"], ["--completion"]):
        return guarded("stflow", lambda: _complete(*given), debug=False)
    if given[:1] == ["run"] and not {"-h", "--help"} & set(given):
        return guarded("stflow", lambda: _run(given[1:]), debug="--debug" in given)
    parser = _parser()
    # argparse takes an unknown option with a space in it for a file.
    spaced = [word for word in given if word.startswith(_MAY_HOLD_SPACES)]
    ours = [w for w in given if w != "--debug" and w not in spaced]
    options, extra = parser.parse_known_args(ours)
    extra += spaced
    action: Callable[[argparse.Namespace, list[str]], None] = options.action
    return guarded("stflow", lambda: action(options, extra), debug="--debug" in given)


def _complete(request: str, *words: str) -> None:
    from stpipe.cli.common import completion

    if request == "--completion":
        print(completion.script("stflow", " ".join(words)))
        return
    parser = _parser()
    (commands,) = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]  # noqa: SLF001 - argparse has no other way to ask
    known = {
        name: [o for o in inner._option_string_actions if o.startswith("--")]  # noqa: SLF001
        for name, inner in commands.choices.items()
    }
    own = ("--help", "--version", "--completion")
    print("\n".join(completion.words_for_stflow(words, known, own)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stflow",
        allow_abbrev=False,
        description="Make Snakemake projects from pipelines, draw and explain them; show products.",
        epilog="exit codes: 0 done, 1 failed, 2 usage or parameters, 3 input unusable, "
        "4 reference file missing",
    )
    parser.add_argument("--version", action="version", version=_version())
    parser.add_argument(
        "--completion", metavar="SHELL", help="print the completion script for bash, zsh or fish"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_init(commands)
    _add(commands, "generate", _generate, "regenerate the Snakefile")
    diagram = _add(commands, "graph", _graph, "draw the steps that the exposures take")
    diagram.add_argument("--format", choices=("mermaid", "svg"), default="mermaid")
    diagram.add_argument("--output", metavar="FILE", help="write into a file")
    _add_lock(commands)
    _add_references(commands)
    _add_report(commands)
    why = _add(commands, "why", _why, "say why a product will be rebuilt, or that it will not")
    why.add_argument("target", metavar="TARGET", help="a product, such as cal/ROOT_rate.fits")
    ran = _add(commands, "run", _generate, "run the project; other arguments go to snakemake")
    ran.epilog = "--unlock removes the locks of a run that was killed"
    checked = _add(commands, "verify", _verify, "set aside products that were truncated or changed")
    checked.add_argument(
        "--keep", action="store_true", help="only report them, leave them in place"
    )
    show.add_commands(commands, _refuse)
    return parser


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "make a project: Snakefile, config.yaml and parameter files"
    init = commands.add_parser("init", help=text, description=text, allow_abbrev=False)
    init.add_argument("folder", metavar="DIR")
    init.add_argument("inputs", metavar="INPUT", nargs="+", help="exposures")
    init.add_argument(
        "--pipeline",
        required=True,
        action="append",
        help="alias, class path or file.py:Class; repeat it for stages that follow each other",
    )
    init.add_argument("--parameters", metavar="FILE.cfg", help="a parameter file to start from")
    init.add_argument("--references", metavar="DIR", help="a directory with rules instead of CRDS")
    init.epilog = "Parameters are given as to strun: --steps.jump.rejection_threshold=5"
    init.set_defaults(action=_init)


def _add_lock(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "compare the reference files that are selected now with those in the lock file"
    lock = _add(commands, "lock", _lock, text)
    lock.add_argument("--update", action="store_true", help="record those selected now")
    lock.add_argument(
        "--context", metavar="NAME", help="with --update: another CRDS context, or `latest`"
    )


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "write a page about a run: quick-look images, how products were made, run time"
    report = _add(commands, "report", _report, text)
    report.add_argument(
        "products", metavar="PRODUCT", nargs="*", help="products to show (default: all results)"
    )
    report.add_argument("--all", action="store_true", help="show intermediate products, too")
    report.add_argument("--output", metavar="FILE", help="default: report.html in the project")


def _add_references(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "show the reference files that an exposure would be calibrated with, and why"
    parser = commands.add_parser("references", help=text, description=text, allow_abbrev=False)
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="exposures")
    parser.add_argument("--pipeline", default="calwebb_detector1", help="a step or a pipeline")
    parser.add_argument(
        "--references", metavar="DIR", help="a directory with rules instead of CRDS"
    )
    parser.add_argument(
        "--context", metavar="NAME", help="a CRDS context instead of the current one"
    )
    parser.add_argument("--json", action="store_true", help="print everything, as JSON")
    parser.set_defaults(action=_references)


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    action: Callable[[argparse.Namespace, list[str]], None],
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.add_argument(
        "--directory", metavar="DIR", default=".", help="the project (default: here)"
    )
    parser.set_defaults(action=action)
    return parser


def _version() -> str:
    from stpipe.system.software import VERSION

    return f"stpipe-flow {VERSION}"


def _init(options: argparse.Namespace, extra: list[str]) -> None:
    from stpipe.cli.common.arguments import parse
    from stpipe.project import init

    words = parse(extra)
    if words.positional or words.flags or words.options:
        raise UsageError(f"unknown arguments: {' '.join(extra)}. See stflow init --help.")
    request = init.Request(
        options.folder,
        tuple(options.pipeline),
        tuple(options.inputs),
        options.parameters,
        options.references,
    )
    for line in init.init(request, words.parameters):
        print(line)


def _lock(options: argparse.Namespace, extra: list[str]) -> None:
    from stpipe.cli.stflow import lock as locking

    _refuse(extra)
    if options.context and not options.update:
        raise UsageError("--context needs --update.")
    for line in locking.run(options.directory, update=options.update, context=options.context):
        print(line)


def _references(options: argparse.Namespace, extra: list[str]) -> None:
    from stpipe.cli.stflow import references

    _refuse(extra)
    request = references.Request(
        tuple(options.inputs), options.pipeline, options.references, options.context
    )
    print(references.as_json(request) if options.json else "\n".join(references.lines(request)))


def _report(options: argparse.Namespace, extra: list[str]) -> None:
    from pathlib import Path

    from stpipe.project.report import build

    _refuse(extra)
    folder = Path(options.directory)
    output = Path(options.output) if options.output else folder / "report.html"
    for line in build.write(folder, output, options.products, everything=options.all):
        print(line)


def _generate(options: argparse.Namespace, extra: list[str]) -> None:
    from stpipe.project import init

    _refuse(extra)
    for line in init.generate(options.directory):
        print(line)


def _graph(options: argparse.Namespace, extra: list[str]) -> None:
    from pathlib import Path

    from stpipe.project import diagram
    from stpipe.system.atomic import write_text

    _refuse(extra)
    text = diagram.draw(options.directory, options.format)
    if options.output:
        write_text(Path(options.output), text)
    else:
        print(text, end="")


def _why(options: argparse.Namespace, extra: list[str]) -> None:
    from stpipe.project import why

    _refuse(extra)
    for line in why.explain(options.directory, options.target):
        print(line)


def _run(words: list[str]) -> None:
    """All words are passed to snakemake, except --debug and --directory."""
    from stpipe.cli.stflow import run

    rest, folder = [], "."
    left = iter(word for word in words if word != "--debug")
    for word in left:
        name, equals, value = word.partition("=")
        if name == "--directory":
            folder = value if equals else next(left, ".")
        else:
            rest.append(word)
    run.run(folder, rest)


def _verify(options: argparse.Namespace, extra: list[str]) -> None:
    from stpipe.cli.stflow import run

    _refuse(extra)
    run.verify(options)


def _refuse(extra: list[str]) -> None:
    if extra:
        raise UsageError(f"unknown arguments: {' '.join(extra)}.")


if __name__ == "__main__":
    sys.exit(main())
