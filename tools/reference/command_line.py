"""Every command of ``danzar`` with its arguments and options, asked of the command line itself."""

from collections.abc import Iterator
from typing import Any

import typer

from danzar.cli import app
from tools.reference.markdown import code, page, sentence, table

ABOUT = """
`danzar COMMAND --help` says the same. Exit status 0 is success, 1 a failure with one line on
standard error, 2 a call that was wrong. `--json` gives JSON, whose form is a contract:
[json.md](../json.md).
`--config DIR` names the folder of the settings; without it, see
[configuration](../configuration.md#where-the-folder-is).
"""
# typer's commands are click's, which typer carries itself and does not name in its interface.
Command = Any
_EVERYWHERE = ("as_json", "config")  # told once, above
_KINDS = {"int": "N", "float": "N", "str": "TEXT", "Path": "PATH"}


def command_line_page() -> str:
    """docs/reference/command-line.md."""
    root = typer.main.get_command(app)
    parts = ["## `danzar`", _options(root)]
    for names, command in commands():
        parts += _command(names, command)
    return page("Every command of the command line", ABOUT, parts)


def commands() -> Iterator[tuple[tuple[str, ...], Command]]:
    """Every command that does something, with the words that call it."""
    yield from _inside((), typer.main.get_command(app))


def _inside(names: tuple[str, ...], group: Command) -> Iterator[tuple[tuple[str, ...], Command]]:
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        inside = hasattr(command, "commands")
        if not inside or command.invoke_without_command:
            yield (*names, name), command
        if inside:
            yield from _inside((*names, name), command)


def _command(names: tuple[str, ...], command: Command) -> list[str]:
    words = " ".join(("danzar", *names, *(_usage(p) for p in command.params if _shown(p))))
    told = sentence((command.help or "").replace("``", "`"))
    return [
        f"## `danzar {' '.join(names)}`",
        told,
        f"```text\n{words.strip()}\n```",
        *filter(None, [_options(command)]),
    ]


def _options(command: Command) -> str:
    rows = [_row(p) for p in command.params if _shown(p) and p.name not in _EVERYWHERE]
    return table(("argument or option", "meaning", "default"), rows) if rows else ""


def _shown(parameter: Any) -> bool:  # noqa: ANN401 - click's
    return not getattr(parameter, "hidden", False) and parameter.name != "help"


def _usage(parameter: Any) -> str:  # noqa: ANN401 - click's
    if parameter.param_type_name == "argument":
        name = _metavar(parameter)
        return name if parameter.required or name.startswith("[") else f"[{name}]"
    name = max(parameter.opts, key=len)
    value = "" if parameter.is_flag else f" {_metavar(parameter)}"
    return f"{name}{value}" if parameter.required else f"[{name}{value}]"


def _row(parameter: Any) -> tuple[str, str, str]:  # noqa: ANN401 - click's
    if parameter.param_type_name == "argument":
        name = code(_metavar(parameter))
    else:
        names = ", ".join(map(code, (*parameter.opts, *parameter.secondary_opts)))
        name = names if parameter.is_flag else f"{names} {code(_metavar(parameter))}"
    return name, sentence(getattr(parameter, "help", None) or ""), _default(parameter)


def _metavar(parameter: Any) -> str:  # noqa: ANN401 - click's
    if parameter.metavar:
        return str(parameter.metavar)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    shown = str(parameter.display_type(None)).strip("<>").removesuffix(" range")
    return _KINDS.get(shown, shown)


def _default(parameter: Any) -> str:  # noqa: ANN401 - click's
    if parameter.required:
        return "needed"
    value = parameter.default
    if value is None or callable(value) or value is False or value in ((), []):
        return ""
    if value is True:
        return code(parameter.opts[0])
    return code(getattr(value, "value", value))
