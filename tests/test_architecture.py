"""The house rules that a reader cannot hold in mind: who imports whom, who touches files, how long a module is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("trainer", "embedder", "indexer")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_MODULE = 350  # lines

# Data flows trainer → embedder → indexer; imports run the other way.
FORBIDDEN_IMPORTS = {
    "trainer": {"embedder", "indexer", "pyarrow", "faiss", "PIL"},
    "embedder": {"indexer", "faiss"},
    "indexer": set(),
}

# The trainer knows no photo: only what reads, changes or cuts a crop again may use OpenCV.
OPENCV_IN_TRAINER = {"trainer/crops.py", "trainer/augment.py", "trainer/teacher.py"}

# Arrays in, arrays out. Those that are not written yet are no failure.
PURE = ("embedder/align.py", "indexer/naming/*.py", "indexer/grouping/c*.py", "indexer/grouping/[dflmn]*.py")
PURE += ("embedder/turning.py", "indexer/review/[blq]*.py", "indexer/review/replies.py")
PURE += ("trainer/metrics/**/*.py", "trainer/mining.py", "trainer/losses/**/*.py", "trainer/recipes.py")
PURE += ("trainer/augment.py", "trainer/layers.py", "trainer/schedule.py", "trainer/settings.py")
PURE += ("trainer/batch_statistics.py", "trainer/watch.py", "trainer/sampler.py", "trainer/gradient_cache.py")
IMPURE_IMPORTS = {"pathlib", "os", "io", "shutil", "tempfile", "sqlite3", "subprocess", "time", "click", "rich"}
IMPURE_CALLS = {"open", "print", "input"}

UNSAFE_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch.load"}
UNSAFE_CALLS = {"torch.load", "numpy.load(allow_pickle)", "np.load(allow_pickle)"}

# Nothing is sent anywhere. The one way out is pull.py, which fetches a weight file when asked to.
NETWORK_IMPORTS = {"requests", "httpx", "aiohttp", "urllib3", "socketserver", "ssl", "ftplib", "smtplib"}
NETWORK_IMPORTS |= {"http", "urllib.request", "xmlrpc", "asyncio"}
# Asking for this machine's name (socket.gethostname) is no connection; these are.
SOCKETS = {"socket.socket", "socket.create_connection", "socket.create_server", "socket.socketpair"}
NETWORK_MODULES = {"embedder/pull.py"}

# `visavis --help` must answer before these could be imported.
HEAVY = ("torch", "faiss", "cv2", "pyarrow", "onnx", "scipy")


def imported(tree: ast.AST) -> set[str]:
    """Every module that is imported anywhere in ``tree``, with its parents: a.b.c gives a, a.b and a.b.c."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 2)}


def called(tree: ast.AST) -> Iterator[str]:
    """Every call in ``tree`` by name, as it is written: "open", "torch.load", "np.load(allow_pickle)"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield name
            yield from (f"{name}({word.arg})" for word in node.keywords)


def parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_the_detectors_detect():
    """The two functions on which everything below stands find what they must."""
    tree = ast.parse(
        "import os.path\n"
        "from torch import load, nn\n"
        "from . import sibling\n"
        "def f():\n    import faiss as x\n    np.load('a', allow_pickle=True)\n    open('b')\n"
    )
    assert imported(tree) == {"os", "os.path", "torch", "torch.load", "torch.nn", "faiss"}
    assert set(called(tree)) == {"np.load", "np.load(allow_pickle)", "open"}


def test_there_are_modules_to_check():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} >= {"trainer", "embedder"}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_in_one_direction(package: str):
    modules = [path for path in MODULES if path.relative_to(ROOT).parts[0] == package]
    wrong = {str(path): imported(parsed(path)) & FORBIDDEN_IMPORTS[package] for path in modules}
    assert not {path: names for path, names in wrong.items() if names}


def test_the_trainer_opens_no_photo():
    modules = [path for path in MODULES if path.relative_to(ROOT).parts[0] == "trainer"]
    users = {path.relative_to(ROOT).as_posix() for path in modules if "cv2" in imported(parsed(path))}
    assert users == OPENCV_IN_TRAINER


def test_pure_modules_touch_no_file_and_no_screen():
    wrong = []
    for path in (path for pattern in PURE for path in ROOT.glob(pattern)):
        tree = parsed(path)
        wrong += [f"{path} imports {name}" for name in imported(tree) & IMPURE_IMPORTS]
        wrong += [f"{path} calls {name}" for name in called(tree) if name in IMPURE_CALLS]
    assert not wrong


def test_nothing_unpickles():
    wrong = []
    for path in MODULES:
        tree = parsed(path)
        wrong += [f"{path} imports {name}" for name in imported(tree) & UNSAFE_IMPORTS]
        wrong += [f"{path} calls {name}" for name in called(tree) if name in UNSAFE_CALLS]
    assert not wrong


def test_only_pull_reaches_the_network():
    wrong = {}
    for path in (path for path in MODULES if path.relative_to(ROOT).as_posix() not in NETWORK_MODULES):
        tree = parsed(path)
        wrong[str(path)] = imported(tree) & (NETWORK_IMPORTS | SOCKETS) | set(called(tree)) & SOCKETS
    assert not {path: names for path, names in wrong.items() if names}


def test_no_module_is_too_long_to_read():
    lengths = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE}


@pytest.mark.skipif(not (ROOT / "indexer" / "cli.py").exists(), reason="there is no command line yet")
def test_help_imports_nothing_heavy():
    """`visavis --help` answers in under 0.3 s; the time itself is not tested, as machines differ."""
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from indexer.cli import cli\n"
        "result = CliRunner().invoke(cli, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
