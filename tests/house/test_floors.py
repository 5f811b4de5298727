"""The house: a file imports only from floors below its own (design.md), and nothing runs in a circle."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "medprm_hf"
FLOORS = (
    ("errors", "ids"),
    ("schema", "registry", "together"),
    ("text", "imaging", "hub"),
    ("labels",),
    ("specs", "specs_labels", "specs_report", "specs_train"),
    ("recipe", "loading", "backends", "review", "formats", "retrieval"),
    ("scoring", "publishing", "sources"),
    ("stages", "phantom", "training", "evaluation", "rewards"),
    ("runs",),
    ("app",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, also inside functions; type-only imports count too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("medprm_hf"):
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= set(names) if node.module == "medprm_hf" else {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("medprm_hf.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_run_down(path: Path) -> None:
    here = room_of(path)
    if here == "__init__":
        return
    assert here in FLOOR, f"{here} has no floor: add it to FLOORS and to CONTRIBUTING.md"
    for module in imports(path):
        there = module.split(".")[1]
        if there != here:
            said = f"{path.name} ({here}, floor {FLOOR[here]}) imports {module} (floor {FLOOR[there]})"
            assert FLOOR[there] < FLOOR[here], said


def test_no_circle_between_files() -> None:
    names = {
        ".".join(("medprm_hf", *p.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): p
        for p in FILES
    }
    arrows = {
        name: {m for m in imports(path) if m in names and m != name}
        for name, path in names.items()
        if name != "medprm_hf"
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for target in arrows.get(name, ()):
                visit(target, (*trail, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


def test_every_file_says_what_it_is() -> None:
    silent = [
        str(p.relative_to(PACKAGE))
        for p in FILES
        if p.read_text().strip() and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert not silent


def test_files_stay_readable() -> None:
    long = {str(p.relative_to(PACKAGE)): n for p in FILES if (n := p.read_text().count("\n")) > 350}
    assert not long
