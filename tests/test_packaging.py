"""What setup.cfg declares is what the code imports."""

from __future__ import annotations

import ast
import glob
import re
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ocean_actors"
CHILD = PACKAGE / "ocean" / "child"

PRIVATE_PARTS_ARE_USED = {"kafka-python", "pykka", "urllib3", "waitress"}
UPPER_BOUND = re.compile(r"(?:<=?|[=~]=) ?[\d.]+")


def options() -> ConfigParser:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def requirements(text: str) -> dict[str, str]:
    """What may be installed, by the name of the distribution."""
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    found = (re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?\s*(.*)", line) for line in lines)
    return {match[1].lower(): match[2] for match in found if match}


def upper_bounds_and_comments(text: str) -> Iterator[tuple[str, str, str]]:
    """The requirements with an upper bound, that bound, and the comment above or beside each.

    `text` is that of setup.cfg, as a ConfigParser leaves comments out.
    """
    comments: list[str] = []
    for line in text.splitlines():
        value, _, comment = map(str.strip, line.partition("#"))
        comments.append(comment)
        if not value:
            continue
        requirement = value.partition(";")[0]
        if line.startswith("    ") and (bound := UPPER_BOUND.search(requirement)):
            yield requirement, bound[0], " ".join(comments).strip()
        comments = []


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below `node`, save for what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from run_time_nodes(child)


def imported() -> Iterator[tuple[str, str]]:
    """Every package that a file of ours imports, and the file.

    The child of Port Ocean runs in another Python, with the packages of the integration.
    """
    for file in PACKAGE.rglob("*.py"):
        if CHILD in file.parents:
            continue
        for node in run_time_nodes(ast.parse(file.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in modules:
                yield module.partition(".")[0], str(file.relative_to(ROOT))


def test_every_package_that_is_imported_is_declared() -> None:
    config = options()
    declared = requirements(config["options"]["install_requires"])
    for extra in ("broker", "jq", "kubernetes", "postgres", "ray"):
        declared |= requirements(config["options.extras_require"][extra])
    distributions = packages_distributions()
    python = {*sys.stdlib_module_names, "tomllib"}  # which is part of it since 3.11
    undeclared = {
        (package, file)
        for package, file in imported()
        if package not in {*python, "ocean_actors"}
        and not {name.lower().replace("_", "-") for name in distributions.get(package, [package])}
        & set(declared)
    }
    assert undeclared == set()


def test_packages_whose_private_parts_are_used_have_an_upper_bound() -> None:
    declared = requirements(options()["options"]["install_requires"])
    assert declared.keys() >= PRIVATE_PARTS_ARE_USED
    assert {name for name in PRIVATE_PARTS_ARE_USED if "<" not in declared[name]} == set()


def test_every_upper_bound_has_its_reason_beside_it() -> None:
    config = options()
    lists = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    count = sum(len(re.findall(rf"^[^;\n]*{UPPER_BOUND.pattern}", each, re.M)) for each in lists)
    found = list(upper_bounds_and_comments((ROOT / "setup.cfg").read_text()))
    assert len(found) == count
    unexplained = {
        requirement
        for requirement, bound, comment in found
        if not re.search(rf"{re.escape(bound)}(:|, as) \w|^as the extra \w", comment)
    }
    assert unexplained == set(), "the comment has to say why: `# < 3: …`"


def test_an_upper_bound_without_its_reason_would_be_found() -> None:
    text = """
    # < 3: its private parts are used
    a >= 1, < 3
    b >= 1, < 3
    # older ones fail
    c[d] == 1.2; python_version < "3.11"
    e < 2  # as the extra f
    """
    assert list(upper_bounds_and_comments(text)) == [
        ("a >= 1, < 3", "< 3", "< 3: its private parts are used"),
        ("b >= 1, < 3", "< 3", ""),
        ("c[d] == 1.2", "== 1.2", "older ones fail"),
        ("e < 2", "< 2", "as the extra f"),
    ]


def test_packages_with_private_names_that_are_imported_are_known_to_have_private_parts() -> None:
    private = {
        node.module.partition(".")[0]
        for file in PACKAGE.rglob("*.py")
        for node in run_time_nodes(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for name in (*node.module.split("."), *(alias.name for alias in node.names))
        if name.startswith("_") and not name.startswith("__")
    } - {"ocean_actors"}
    assert private
    assert private <= PRIVATE_PARTS_ARE_USED


def test_every_requirement_has_a_lower_bound_for_the_lowest_environment() -> None:
    declared = requirements(options()["options"]["install_requires"])
    assert {name for name, bounds in declared.items() if ">=" not in bounds} == set()


def test_the_readme_names_every_package_that_is_installed() -> None:
    section = (ROOT / "README.md").read_text().partition("## Dependencies")[2].partition("## ")[0]
    table = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    named = set(re.findall(r"[\w-]+", " ".join(table).lower()))
    config = options()
    assert requirements(config["options"]["install_requires"]).keys() - named == set()
    broker = requirements(config["options.extras_require"]["broker"])
    assert {name for name in broker if name not in section} == set()


@pytest.mark.parametrize("folder", ["control/static", "scaffold/template"])
def test_every_file_that_is_no_module_is_installed(folder: str) -> None:
    """`packages = find:` takes modules only; the patterns of package_data take the rest."""
    patterns = options()["options.package_data"]["ocean_actors"].split()
    # like setuptools, and unlike Path.glob, it takes `.gitignore` only if the pattern begins so
    found = (glob.glob(pattern, root_dir=PACKAGE) for pattern in patterns)
    installed = {PACKAGE / file for files in found for file in files}
    files = {file for file in (PACKAGE / folder).rglob("*") if file.is_file()}
    assert files
    assert files <= installed


@pytest.mark.parametrize("page", sorted(map(str, (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))))
def test_pages_install_extras_that_exist_and_those_for_contributors_from_a_clone(page: str) -> None:
    """`broker` and its like are of use in the repository only, which has the tests and the demo."""
    text = Path(page).read_text()
    extras = set(options()["options.extras_require"])
    for place, names in re.findall(r"pip install '([\w.-]+)\[([\w,]+)\]'", text):
        assert set(names.split(",")) <= extras
        assert place == "." or names in ("jq", "ray")
