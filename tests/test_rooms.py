"""The package's structure: rooms whose imports point one way, names that stand once, an import that does no work."""

from __future__ import annotations

import ast
import collections
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "histogan_tf"
# From the top down: a room may import from its own row and from those below it.
ROWS = (
    ("__init__", "cli"),
    ("paper",),
    ("serving", "synthesis", "classifier"),
    ("trained",),
    ("training",),
    ("clustering",),
    ("data", "models"),
    ("metrics",),
    ("reporting",),
    ("runs",),
    ("machine",),
    ("config",),
    ("errors",),
)
ROW_OF = {room: number for number, rooms in enumerate(ROWS) for room in rooms}


def modules() -> dict[str, ast.Module]:
    """Each module of the package, parsed, by its dotted name below it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imported(tree: ast.Module) -> set[str]:
    """Modules of the package that a module imports, anywhere in it, below histogan_tf; "" is the package itself."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "histogan_tf":
            below = node.module.removeprefix("histogan_tf").lstrip(".")
            names |= {f"{below}.{alias.name}".lstrip(".") for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {
                alias.name.removeprefix("histogan_tf").lstrip(".")
                for alias in node.names
                if alias.name.split(".")[0] == "histogan_tf"
            }
    return names


def test_imports_point_one_way():
    wrong = [
        f"{name} imports {other}"
        for name, tree in modules().items()
        for other in imported(tree)
        if other and ROW_OF[other.split(".")[0]] < ROW_OF[name.split(".")[0]]
    ]
    assert wrong == []


def test_no_two_rooms_import_each_other():
    arrows = {name.split(".")[0]: set() for name in modules()}
    for name, tree in modules().items():
        arrows[name.split(".")[0]] |= {other.split(".")[0] for other in imported(tree) if other}
    both_ways = [(here, there) for here in arrows for there in arrows[here] if here < there and here in arrows[there]]
    assert both_ways == []


def test_only_the_door_and_errors_lie_at_the_top():
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "errors.py"]


def test_no_two_modules_share_a_name():
    counts = collections.Counter(path.stem for path in PACKAGE.rglob("*.py") if path.stem != "__init__")
    assert [name for name, count in counts.items() if count > 1] == []


def test_no_two_public_functions_classes_or_constants_share_a_name():
    places = collections.defaultdict(list)
    for name, tree in modules().items():
        if name == "__init__":
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names = [node.name]
            elif isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names = [node.target.id]
            else:
                names = []
            for public in names:
                if not public.startswith("_") and public != "logger":
                    places[public].append(name)
    assert {public: found for public, found in places.items() if len(found) > 1} == {}


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("tensorflow", "keras", "keras_hub", "matplotlib", "cv2", "sklearn", "scipy", "PIL")
    script = f"import sys, histogan_tf; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    assert done.stdout.strip() == "[]"
