"""The house: one direction of imports, no cycle, no private name across modules, no long module.

The checks read the source and import nothing. Each takes the folder that the package is in, so
that they are tried on planted faults too, and returns its violations as sentences.
"""

import ast
import pathlib
import textwrap
from dataclasses import dataclass

import pytest

PACKAGE = "lightlayers"
ROOT = pathlib.Path(__file__).parents[1]
MOST_LINES, MOST_OF_A_FUNCTION = 420, 60
THIN_LINES = 2330  # about 650 of them docstrings
# Keras' private side: how it runs a graph, and what an optimiser remembers.
KNOW_KERAS = {f"{PACKAGE}.base", f"{PACKAGE}.graphs"}
HEAVY = {"keras", "tensorflow", "jax"}
HEAVY_IN_THIN = HEAVY | {"numpy"}  # `lightlayers --help` is to take less than half a second
FINDS_PEERS = f"{PACKAGE}.suite.registry", f"{PACKAGE}.peers"  # reads that folder, takes no peer


@dataclass(frozen=True)
class Import:
    """One import of a module of the package, or of a name from it.

    Args:
        line: Integer.
        target: String, the module.
        name: String, what is taken from it, or `""` for the module itself.
        late: Boolean, whether it is inside a function.
    """

    line: int
    target: str
    name: str
    late: bool


class Module:
    """One source file: its tree, its imports of the package, and the libraries at its top."""

    def __init__(self, file, root, names):
        self.source = file.read_text()
        self.tree = ast.parse(self.source)
        self.name = name_of(file, root)
        self.is_package = file.name == "__init__.py"
        self.lines = len(self.source.splitlines())
        self.imports, self.libraries = [], set()
        self._read(self.tree, names, late=False)

    def _read(self, node, names, late):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    self._note(child.lineno, alias.name, "", names, late)
            elif isinstance(child, ast.ImportFrom):
                base = self._resolve(child)
                for alias in child.names:
                    whole = f"{base}.{alias.name}"
                    if whole in names:
                        self._note(child.lineno, whole, "", names, late)
                    else:
                        self._note(child.lineno, base, alias.name, names, late)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                self._read(child, names, late or function)

    def _resolve(self, node):
        """Returns the module that names are taken from, also by a relative import."""
        if not node.level:
            return node.module
        parts = self.name.split(".")
        parts = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def _note(self, line, target, name, names, late):
        if target in names:
            self.imports.append(Import(line, target, name, late))
        elif not late:
            self.libraries.add(target.partition(".")[0])


def name_of(file, root):
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_modules(root):
    """Returns `{name: Module}` of the package in a folder."""
    files = sorted((root / PACKAGE).rglob("*.py"))
    names = {name_of(file, root) for file in files}
    return {name_of(file, root): Module(file, root, names) for file in files}


def part_of(name):
    """Returns the part of the house that a module is in."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ("suite", "peers", "cli") else "thin"


def find_wrong_directions(root):
    """Thin imports thin; peers the registry, peers and thin; suite no peers and no cli."""
    allowed = {
        "thin": {"thin"},
        "peers": {"thin", "peers"},
        "suite": {"thin", "suite"},
        "cli": {"thin", "suite", "peers", "cli"},
    }
    found = []
    for module in read_modules(root).values():
        part = part_of(module.name)
        for each in module.imports:
            registry = part == "peers" and each.target == f"{PACKAGE}.suite.registry"
            finds = (module.name, each.target) == FINDS_PEERS
            if part_of(each.target) not in allowed[part] and not registry and not finds:
                found.append(f"{module.name}:{each.line} ({part}) imports {each.target}")
    return found


def find_cycles(root):
    """No module leads back to itself by imports, those inside functions among them."""
    modules = read_modules(root)
    edges = {name: set() for name in modules}
    for name, module in modules.items():
        for each in module.imports:
            if each.target != name:
                edges[name].add(each.target)
    found, state = [], {}

    def visit(name, path):
        state[name] = "open"
        for target in sorted(edges[name]):
            if state.get(target) == "open":
                cycle = [*path[path.index(target) :], target]
                found.append("a cycle: " + " -> ".join(cycle))
            elif target not in state:
                visit(target, [*path, target])
        state[name] = "done"

    for name in sorted(edges):
        if name not in state:
            visit(name, [name])
    return found


def find_late_imports(root):
    """Inside functions, of ours only slow modules are imported, and nothing in the thin library."""
    modules = read_modules(root)
    heavy = set()
    for name, module in modules.items():
        if module.libraries & (HEAVY_IN_THIN if part_of(name) == "thin" else HEAVY):
            heavy.add(name)
    found = []
    for module in modules.values():
        for each in module.imports:
            finds = (module.name, each.target) == FINDS_PEERS
            may_wait = each.target in heavy and part_of(module.name) != "thin"
            if each.late and not may_wait and not finds:
                place = f"{module.name}:{each.line}"
                found.append(f"{place} imports {each.target} inside a function")
    return found


def is_private(name):
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def read_own_imports(tree):
    """Yields the node, the dotted name and the bound name of each import of the package."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        base = getattr(node, "module", None) or ""
        for alias in node.names:
            dotted = ".".join(filter(None, [base, alias.name]))
            if getattr(node, "level", 0) or dotted.partition(".")[0] == PACKAGE:
                yield node, dotted, alias.asname or alias.name.partition(".")[0]


def find_private_names(root):
    """No module takes a private name, a private module or a private attribute of another."""
    found = []
    for module in read_modules(root).values():
        bound = set()
        for node, dotted, name in read_own_imports(module.tree):
            bound.add(name)
            private = [part for part in dotted.split(".") if is_private(part)]
            found += [f"{module.name}:{node.lineno} imports {part}" for part in private]
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Attribute) or not is_private(node.attr):
                continue
            base = node.value
            while isinstance(base, ast.Attribute):
                base = base.value
            if isinstance(base, ast.Name) and base.id in bound:
                found.append(f"{module.name}:{node.lineno} uses {ast.unparse(node)}")
    return found


def find_private_keras(root):
    """Of the thin library only `base` and `graphs` know Keras' private side."""
    found = []
    for module in read_modules(root).values():
        if part_of(module.name) != "thin" or module.name in KNOW_KERAS:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras.src"):
                found.append(f"{module.name}:{node.lineno} imports {node.module}")
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                if not isinstance(node.value, ast.Name) or node.value.id not in ("self", "cls"):
                    found.append(f"{module.name}:{node.lineno} uses {ast.unparse(node)}")
    return found


def find_long_parts(root):
    """No module and no function is too long to be read at once."""
    found = []
    for module in read_modules(root).values():
        if module.lines > MOST_LINES:
            found.append(f"{module.name} has {module.lines} lines, more than {MOST_LINES}")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MOST_OF_A_FUNCTION:
                    place = f"{module.name}:{node.lineno} {node.name}"
                    found.append(f"{place} has {lines} lines, more than {MOST_OF_A_FUNCTION}")
    return found


def find_growth(root):
    """The thin library stays thin."""
    modules = read_modules(root).values()
    lines = sum(module.lines for module in modules if part_of(module.name) == "thin")
    return [f"the thin library has {lines} lines"] if lines > THIN_LINES else []


def find_slow_peers(root):
    """Peers import Keras and its backends inside functions: tables and `--help` need none."""
    found = []
    for module in read_modules(root).values():
        slow = module.libraries & HEAVY
        if part_of(module.name) == "peers" and slow:
            found.append(f"{module.name} imports {', '.join(sorted(slow))} at its top")
    return found


CHECKS = [
    find_slow_peers,
    find_wrong_directions,
    find_cycles,
    find_late_imports,
    find_private_names,
    find_private_keras,
    find_long_parts,
    find_growth,
]


def name_check(check):
    return check.__name__.removeprefix("find_")


@pytest.mark.parametrize("check", CHECKS, ids=name_check)
def test_the_house_is_in_order(check):
    found = check(ROOT)
    assert not found, "\n".join([check.__doc__, *found])


# ---------------------------------------------------------------- the checks, on planted faults

ORDERLY = {
    "__init__.py": "import importlib\n",
    "base.py": "import keras\nfrom keras.src import x\nx._private()\n",
    "layers.py": "import keras\n",
    "ranks.py": "from dataclasses import dataclass\n",
    "conversion.py": """
        from lightlayers import layers, ranks
        def plan(self):
            from pandas import DataFrame
            return ranks.__name__, layers, self._own
    """,
    "suite/__init__.py": "",
    "suite/registry.py": "def count():\n    from lightlayers import layers\n    return layers\n",
    "suite/store.py": """
        from lightlayers.suite import registry
        from lightlayers.ranks import Budget
    """,
    "peers/__init__.py": "",
    "peers/one.py": "from lightlayers.suite.registry import Block\nfrom lightlayers import ranks\n",
    "peers/two.py": "from lightlayers.peers import one\n",
    "cli/__init__.py": "from lightlayers.cli import main\n",
    "cli/main.py": "from lightlayers.peers import one\nfrom lightlayers.suite import store\n",
}
FAULTS = [
    (find_slow_peers, "peers/one.py", "import keras", "peers.one imports keras"),
    (find_wrong_directions, "ranks.py", "from lightlayers.suite import store", "suite.store"),
    (find_wrong_directions, "ranks.py", "def f():\n    import lightlayers.cli.main", "cli.main"),
    (find_wrong_directions, "ranks.py", "from .suite.store import Store", "suite.store"),
    (find_wrong_directions, "suite/store.py", "from lightlayers.peers import one", "peers.one"),
    (find_wrong_directions, "suite/store.py", "from ..cli import main", "cli.main"),
    (find_wrong_directions, "peers/one.py", "from lightlayers.suite import store", "suite.store"),
    (find_wrong_directions, "peers/one.py", "import lightlayers.cli", "imports lightlayers.cli"),
    (find_cycles, "ranks.py", "from lightlayers import conversion", "ranks -> "),
    (find_cycles, "suite/registry.py", "from .store import Store", "registry -> "),
    (find_cycles, "peers/one.py", "try:\n    from . import two\nexcept E:\n    pass", "two -> "),
    (find_cycles, "layers.py", "def f():\n    from . import conversion", "a cycle"),
    (find_late_imports, "suite/registry.py", "def f():\n    from . import store", "suite.store"),
    (find_late_imports, "ranks.py", "def g():\n    from . import layers", "layers"),
    (find_private_names, "ranks.py", "from lightlayers.conversion import _f", "imports _f"),
    (find_private_names, "ranks.py", "import lightlayers._c", "imports _c"),
    (find_private_names, "ranks.py", "from lightlayers import layers\nlayers._f()", "layers._f"),
    (find_private_names, "ranks.py", "import lightlayers.layers as x\nx.A._b = 1", "x.A._b"),
    (find_private_keras, "ranks.py", "from keras.src.models import Functional", "keras.src.models"),
    (
        find_private_keras,
        "ranks.py",
        "def f(layer):\n    return layer._flatten_layers()",
        "_flatten",
    ),
    (find_long_parts, "ranks.py", "x = 1\n" * 421, "has 42"),
    (find_long_parts, "layers.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
    (find_long_parts, "cli/main.py", "class A:\n  def f():\n" + "    x = 1\n" * 60, "f has 61"),
    (find_growth, "layers.py", "x = 1\n" * 3000, "has 30"),
]


def build_house(folder, changed="", text=""):
    for name, source in ORDERLY.items():
        file = folder / PACKAGE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        source = textwrap.dedent(source)
        file.write_text(source + (f"{text}\n" if name == changed else ""))
    return folder


@pytest.mark.parametrize("check", CHECKS, ids=name_check)
def test_an_orderly_house_passes(check, tmp_path):
    assert check(build_house(tmp_path)) == []


@pytest.mark.parametrize(("check", "file", "text", "said"), FAULTS)
def test_a_fault_is_named(check, file, text, said, tmp_path):
    found = check(build_house(tmp_path, file, text))
    assert len(found) == 1 and said in found[0], found
