"""What holds for the whole project: import order, public names, docstrings, documentation that is true."""

import argparse
import ast
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard import __main__ as launcher
from seglib.cli import main
from tests.conftest import ROOT, list_imports, list_imports_of

LIBRARY = sorted(path for path in (ROOT / "seglib").rglob("*.py") if path != ROOT / "seglib" / "__init__.py")
MODULES = sorted([*(ROOT / "seglib").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")])


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def find_faults(paths: list[Path], check: Callable[[Path], list[str]]) -> dict[str, list[str]]:
    """What `check` finds in each of these modules, by the module's name; modules without a fault are left out."""
    return {dotted(path): faults for path in paths if (faults := check(path))}


def test_the_library_knows_no_dashboard():
    def check(path: Path) -> list[str]:
        return [name for name in list_imports(path) if name.split(".")[0] in {"streamlit", "plotly", "dashboard"}]

    assert len(LIBRARY) > 50
    assert find_faults(LIBRARY, check) == {}


def test_every_module_says_what_it_is():
    def check(path: Path) -> list[str]:
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        return [] if len(docstring) > 40 else [f"the docstring is too short: {docstring!r}"]

    assert len(MODULES) > 100
    assert find_faults(MODULES, check) == {}


def test_importing_seglib_imports_neither_torch_nor_streamlit_nor_pandas():
    code = "import seglib, sys; assert not {'torch', 'streamlit', 'pandas', 'plotly'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_public_names_exist_and_no_others_do():
    import seglib

    assert sorted(seglib.__all__) == sorted(set(seglib.__all__))
    for name in seglib.__all__:
        assert getattr(seglib, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = seglib.nothing
    assert set(seglib._MODULES) | {"open"} == set(seglib.__all__)
    assert dir(seglib) == sorted(seglib.__all__)


def test_decode_workers_do_not_import_torch():
    code = "import seglib.data.decode_pool, sys; assert not {'torch', 'pandas', 'pyarrow', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# --- documentation ---


def commands() -> dict[str, argparse.ArgumentParser]:
    top = main.build_parser()
    (choices,) = [a.choices for a in top._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(choices)


def walk(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of all commands below it, such as `columns add`."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from walk(below)


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_has_help_with_an_example_that_parses(name):
    command = commands()[name]
    example = re.search(r"example: python -m seglib (.*)", command.epilog or "")
    assert example
    assert main.build_parser().parse_args(shlex.split(example[1])).command
    unexplained = {"what", "inputs", "precision", "device"}
    assert all(a.help or a.dest in unexplained or a.metavar == "DIR" for a in command._actions)


@pytest.mark.parametrize("name", list(commands()))
def test_every_command_has_an_example_on_the_page_of_commands(name):
    assert f"python -m seglib {name}" in (ROOT / "docs" / "commands.md").read_text()


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def find_commands(program: str) -> list[list[str]]:
    """The arguments of every shell example of the documentation that starts `python -m PROGRAM`."""
    text = "\n".join(page.read_text() for page in PAGES)
    lines = [line for block in re.findall(r"```(?:sh|bash)\n(.*?)```", text, re.S) for line in block.splitlines()]
    start = f"python -m {program}"
    parts = [part for line in lines for part in line.split("&&") if start in part]
    return [shlex.split(part.split(start, 1)[1], comments=True) for part in parts]


def test_every_seglib_command_of_the_documentation_parses():
    found = find_commands("seglib")
    assert len(found) > 8
    for arguments in found:
        if "--help" not in arguments:
            main.build_parser().parse_args(arguments)


def test_every_dashboard_command_of_the_documentation_parses():
    found = [arguments for arguments in find_commands("dashboard") if arguments[:1] != ["report"]]
    assert len(found) > 3
    for arguments in found:
        launcher.parser().parse_args(arguments)


def test_every_row_of_the_table_of_models_parses():
    text = (ROOT / "docs" / "models.md").read_text()
    found = [code for line in text.splitlines() if line.startswith("| a") for code in re.findall(r"`(--[^`]+)`", line)]
    assert len(found) > 8
    for options in found:
        parsed = main.build_parser().parse_args(["run", "photos", *shlex.split(options)])
        assert parsed.model or parsed.weights


def test_every_link_of_the_documentation_leads_somewhere():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
            linked = (page.parent / target).resolve() if target else page
            assert linked.exists(), (page.name, target)
            if anchor:
                headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.M)
                names = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
                assert anchor in names, (page.name, target, anchor)


UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}


FORBIDDEN_CALLS = {
    *("eval", "exec", "compile", "__import__", "torch.jit.load", "torch.export.load", "pd.read_pickle", "os.system"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler"),
}

ALLOWED_IMPORTS = {
    "seglib.data.worker_processes": {"pickle"},  # to find out whether something can be sent; it reads no pickle
    "seglib.cluster.engine": {
        "pickle",
        "pickle.loads(row['answer'])",
    },  # tasks and answers, between this program and its own actors
    "seglib.cluster.photo_computer": {"pickle", "pickle.loads(photos)", "pickle.loads(task)"},
}

ALLOWED_CALLS = {
    "seglib.adapters.torch_export.adapter": {
        "torch.export.load(source)",  # after `check_archive`, or with `run_code`
        "torch.jit.load(path, map_location=device)",  # only with `run_code`
    }
}


def find_unsafe_code(source: str) -> list[str]:
    """Imports and calls that unpickle or run what comes from outside.

    `torch.load` reads only tensors if `weights_only` is set; `numpy.load` and pandas can unpickle as well.
    """
    tree = ast.parse(source)
    faults = [name for name in list_imports_of(tree) if name.split(".")[0] in UNPICKLERS]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called, options = ast.unparse(node.func), {one.arg: ast.unparse(one.value) for one in node.keywords}
        if (
            called in FORBIDDEN_CALLS
            or (called in {"np.load", "numpy.load"} and options.get("allow_pickle", "False") != "False")
            or (called == "torch.load" and options.get("weights_only") != "True")
            or options.get("shell", "False") != "False"
        ):
            faults.append(ast.unparse(node))
    return faults


def test_nothing_from_outside_is_unpickled_or_run():
    faults = find_faults(MODULES, lambda path: find_unsafe_code(path.read_text()))
    for module, found in (ALLOWED_CALLS | ALLOWED_IMPORTS).items():
        assert set(faults.pop(module)) == found
    assert faults == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "pickle.loads(data)",
        "from yaml import load",
        "eval(text)",
        "np.load(file, allow_pickle=True)",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "subprocess.run(line, shell=True)",
    ],
)
def test_what_unpickles_or_runs_would_be_noticed(line):
    assert find_unsafe_code(f"def read():\n    {line}\n") != []
    assert find_unsafe_code("torch.load(file, weights_only=True), np.load(file), subprocess.run([program])") == []


def test_every_dependency_is_explained_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    names = re.findall(r"^([\w-]+)[><=]", (ROOT / "requirements.txt").read_text(), re.M)
    assert len(names) > 5
    assert [n for n in names if not re.search(rf"^\| `{n}` \|", readme, re.M)] == []


def test_every_public_name_stands_in_the_reference():
    import seglib

    text = (ROOT / "docs" / "python-reference.md").read_text()
    assert sorted(re.findall(r"^::: seglib[\w.]*\.(\w+)$", text, re.M)) == sorted(seglib.__all__)


def test_the_samples_sources_are_complete():
    import csv

    with (ROOT / "dataset" / "sample" / "SOURCES.csv").open() as file:
        rows = list(csv.DictReader(file))
    files = {p.relative_to(ROOT / "dataset" / "sample").as_posix() for p in (ROOT / "dataset" / "sample").glob("*/*")}
    assert {row["file"] for row in rows} == files
    assert len(files) == 13
    assert all(row["licence"] and row["source"] for row in rows)


def test_every_checkpoint_has_a_card():
    for checkpoint in (ROOT / "seglib" / "checkpoints").glob("*.safetensors"):
        assert checkpoint.stat().st_size < 15_000_000
        card = checkpoint.with_suffix(".md").read_text()
        for heading in ("## Model", "## Data and recipe", "## Figures", "## Limits", "## Licence"):
            assert heading in card


def test_every_module_can_be_imported():
    for path in LIBRARY:
        if path.stem != "__main__":
            importlib.import_module(dotted(path))


@pytest.mark.parametrize("path", [p for p in LIBRARY if not {"cli", "training", "shown"} & set(p.parts)], ids=dotted)
def test_the_library_names_parameters_and_no_options(path):
    """Messages reach Python users too; the command line prints its options in their place (`name_options`).

    `shown` starts a command, whose options it has to name.
    """
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [node.value for node in texts if re.search(r"(^|\s)--\w", node.value) and id(node) not in documentation]


def raised_texts(tree: ast.AST) -> list[str]:
    """Text of every exception raised in a module; values of f-strings are left out."""
    raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    return ["".join(one.value for one in ast.walk(node) if _is_text(one)) for node in raised]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_each_parameter_in_a_message_is_an_option_of_a_command():
    from seglib.cli.common import _OPTIONS, name_options

    options = {option for command in walk(main.build_parser()) for option in command._option_string_actions}
    assert set(_OPTIONS.values()) <= options
    messages = [text for path in LIBRARY for text in raised_texts(ast.parse(path.read_text()))]
    named = {name for text in messages for name in re.findall(r"`(\w+)`", text)}
    assert named <= set(_OPTIONS), named - set(_OPTIONS)
    assert "verify" in named
    assert name_options("Take `device` cpu, or `nothing`.") == "Take --device cpu, or `nothing`."
