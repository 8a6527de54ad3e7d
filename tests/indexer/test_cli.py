"""The command line as a whole: help, examples, and what the pages say about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from indexer.cli import cli

PAGES = [*Path(__file__).parents[2].glob("*.md"), *Path(__file__).parents[2].glob("docs/*.md")]


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


@pytest.mark.parametrize(("path", "command"), list(_commands(cli)), ids=lambda value: str(value))
def test_every_help_has_an_example_that_runs_this_command(path: tuple[str, ...], command: click.Command) -> None:
    text = CliRunner().invoke(cli, [*path, "--help"]).output
    example = re.search(r"Examples?:\n((?:    .*\n)+)", text)
    assert example and f"visavis {' '.join(path)}" in example[1], text
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{' '.join(path)} {option.name} has no help"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_in_the_pages_exist(page: Path) -> None:
    known = dict(_commands(cli))
    for line in re.findall(r"(?<![\w./-])visavis ((?:[a-z]+ ?)+[^`\n#|]*)", page.read_text()):
        words = line.split()
        path = tuple(words[:2]) if tuple(words[:2]) in known else tuple(words[:1])
        if path not in known:
            continue  # a sentence about visavis, as in "visavis finds"
        options = {name for option in known[path].params for name in option.opts} | {"--help"}
        for option in re.findall(r"--[a-z-]+", line):
            assert option in options, f"{page.name}: visavis {line}"


def test_the_commands_to_know_are_there() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    section = readme.split("## The six commands to know")[1].split("##")[0]
    names = re.findall(r"^    visavis ([a-z]+)", section, re.MULTILINE)
    assert len(names) == 6 and set(names) <= set(cli.commands)


def test_misuse_is_exit_code_2() -> None:
    assert CliRunner().invoke(cli, ["whom"]).exit_code == 2
    assert CliRunner().invoke(cli, ["who"]).exit_code == 2
    assert CliRunner().invoke(cli, ["who", "--false-alarm", "1.5", "x.jpg"]).exit_code == 2
