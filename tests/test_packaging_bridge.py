"""The bridge to lm-eval: packaging/_yoco_lm_eval_bridge.py and the files that start it.

Each test is a Python of its own, since the bridge changes `sys.meta_path` and what lm_eval holds.
All but the last use a stand-in for lm_eval, of the few lines that the bridge relies on.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
PACKAGING = REPO / "packaging"

LM_EVAL = {
    "__init__.py": "",
    "api/__init__.py": "",
    "api/registry.py": """
class Registry(dict):
    def register(self, alias, target):
        assert alias not in self
        self[alias] = target

model_registry = Registry()

def get_model(name):
    if not model_registry:
        import lm_eval.models
    return model_registry[name]
""",
    "models/__init__.py": """
from lm_eval.api.registry import model_registry
model_registry.register("hf", target="lm_eval.models.huggingface:HFLM")
""",
    "tasks/__init__.py": "from lm_eval.tasks.manager import TaskManager",
    "tasks/manager.py": """
class TaskManager:
    def __init__(self, verbosity=None, include_path=None, include_defaults=True):
        self.include_path = include_path
""",
    "_cli/__init__.py": "",
    "evaluator.py": """
import subprocess

def get_git_commit_hash():
    subprocess.run(["git", "describe", "--always"])
    return "theirs"
""",
}

INSTALL = "import _yoco_lm_eval_bridge as bridge; bridge.install()\n"
REGISTRY = "from lm_eval.api.registry import get_model, model_registry\n"
TASKS = "from lm_eval.tasks import TaskManager\n"


class Stage:
    """A working folder, and beside it the folders that Python finds modules in."""

    def __init__(self, folder: Path) -> None:
        self.cwd = folder / "cwd"
        self.cwd.mkdir()
        self.lm_eval = folder / "site" / "lm_eval"
        for name, text in LM_EVAL.items():
            path = self.lm_eval / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.path = [self.lm_eval.parent, PACKAGING, REPO]

    def run(self, script: str, *options: str, **environment: str) -> subprocess.CompletedProcess:
        """Runs a script as `python -m` would: the working folder comes first on sys.path."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "YOCO_"))}
        # -S: without the packages of this environment, a bridge installed there among them.
        return subprocess.run(
            [sys.executable, *(options or ["-S"]), "-c", script],
            cwd=self.cwd,
            env=inherited | {"PYTHONPATH": os.pathsep.join(map(str, self.path))} | environment,
            capture_output=True,
            text=True,
        )

    def output(self, script: str, *options: str, **environment: str) -> str:
        """Returns what a script prints that must succeed and have nothing to report."""
        result = self.run(script, *options, **environment)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        return result.stdout.strip()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.mark.parametrize("package", ["evals", "tasks", "yoco"])
def test_our_packages_are_found_without_importing_them(stage, package):
    script = f"{INSTALL}print(bridge.folder_of({package!r}), {package!r} in bridge.sys.modules)"
    assert stage.output(script) == f"{REPO / package} False"


def test_start_of_python_imports_nothing_but_the_bridge(stage):
    # os is what the start of Python has loaded in any case, were it not for -S.
    script = f"import os, sys; before = set(sys.modules); {INSTALL}print(set(sys.modules) - before)"
    assert stage.output(script) == "{'_yoco_lm_eval_bridge'}"


def test_start_of_python_in_its_folder_installs_the_bridge(stage):
    script = (
        f"import site, sys; site.addsitedir({str(PACKAGING)!r})\nprint(sys.meta_path[0].__module__)"
    )
    assert stage.output(script) == "_yoco_lm_eval_bridge"


def test_start_file_names_the_same_function():
    assert (PACKAGING / "yoco_lm_eval.start").read_text() == "_yoco_lm_eval_bridge:install\n"


def test_project_ships_every_file_and_names_the_same_backend():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    shipped = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    files = {path.name for path in PACKAGING.iterdir() if path.is_file()}
    assert shipped == {f"packaging/{name}": name for name in files}
    entry_points = project["project"]["entry-points"]
    assert entry_points == {
        "lm_eval.models": {"yoco": "evals.backend:YOCOLM"},
        "lm_eval.tasks": {"yoco": "tasks"},
    }


def test_backend_is_registered_beside_the_others_and_not_imported(stage):
    script = f"import sys; {INSTALL}{REGISTRY}print(get_model('yoco'), list(model_registry))\n"
    assert stage.output(script + "assert 'evals' not in sys.modules") == (
        "evals.backend:YOCOLM ['hf', 'yoco']"
    )


@pytest.mark.parametrize(
    ("arguments", "theirs"),
    [
        ("", []),
        ("include_path='x'", ["x"]),
        ("None, ['x', 'y'], include_defaults=False", ["x", "y"]),
        (f"include_path={str(REPO / 'tasks' / 'yaml')!r}", []),
    ],
)
def test_task_folder_comes_before_the_users_own(stage, arguments, theirs):
    found = stage.output(f"{INSTALL}{TASKS}print(TaskManager({arguments}).include_path)")
    assert found == str([str(REPO / "tasks" / "yaml"), *theirs])


@pytest.mark.parametrize("imported_first", [False, True])
def test_installing_again_changes_nothing(stage, imported_first):
    imports = f"import sys; {REGISTRY}{TASKS}import lm_eval.models\n"
    script = (
        (imports if imported_first else "")
        + (INSTALL * 2)
        + ("" if imported_first else imports)
        + INSTALL
        + "print(sys.meta_path.count(bridge._Finder), model_registry['yoco'],"
        "      hasattr(TaskManager.__init__, '__wrapped__'),"
        "      hasattr(TaskManager.__init__.__wrapped__, '__wrapped__'))"
    )
    assert stage.output(script) == "1 evals.backend:YOCOLM True False"


def test_kill_switch(stage):
    script = (
        f"{INSTALL}{REGISTRY}{TASKS}import lm_eval.models\n"
        "print(list(model_registry), TaskManager().include_path)\n"
        "bridge.install(force=True)\n"
        "print(list(model_registry), TaskManager().include_path is None)"
    )
    off, forced = stage.output(script, YOCO_LM_EVAL_BRIDGE="0").splitlines()
    assert off == "['hf'] None"
    assert forced == "['hf', 'yoco'] False"


@pytest.mark.parametrize("value", ["", "1", "false", "0\n", "\udcff", "\x1b[2J", "0" * 10_000])
def test_kill_switch_takes_no_other_value(stage, value):
    script = f"{INSTALL}{REGISTRY}import lm_eval.models\nprint(list(model_registry))"
    assert stage.output(script, YOCO_LM_EVAL_BRIDGE=value) == "['hf', 'yoco']"


def test_release_with_plugins_of_its_own_is_left_alone(stage):
    models = stage.lm_eval / "models" / "__init__.py"
    models.write_text(models.read_text() + "model_registry.register('yoco', target='native')\n")
    manager = stage.lm_eval / "tasks" / "manager.py"
    manager.write_text(manager.read_text() + "def discover_plugin_task_paths(): ...\n")
    script = f"{INSTALL}{REGISTRY}{TASKS}print(get_model('yoco'), TaskManager().include_path)"
    assert stage.output(script) == "native None"


def test_release_that_looks_different_goes_on_working(stage):
    (stage.lm_eval / "tasks" / "__init__.py").write_text("")
    (stage.lm_eval / "tasks" / "manager.py").write_text("class Manager: ...")
    result = stage.run(f"{INSTALL}import lm_eval.tasks.manager as m; print(m.Manager.__name__)")
    assert (result.returncode, result.stdout) == (0, "Manager\n")
    assert result.stderr.startswith("yoco-evals: lm_eval.tasks.manager could not be extended")
    assert result.stderr.count("\n") == 1


def test_namespace_folder_does_not_hide_ours(stage):
    for package in ("evals", "tasks", "yoco"):
        (stage.cwd / package / "yaml").mkdir(parents=True)
    script = f"{INSTALL}{REGISTRY}{TASKS}print(get_model('yoco'), TaskManager().include_path)"
    assert stage.output(script) == f"evals.backend:YOCOLM {[str(REPO / 'tasks' / 'yaml')]}"


@pytest.mark.parametrize("foreign", ["tasks/__init__.py", "tasks.py"])
def test_hidden_tasks_are_reported_when_lm_eval_runs(stage, foreign):
    path = stage.cwd / foreign
    path.parent.mkdir(exist_ok=True)
    path.touch()
    hider = path if foreign == "tasks.py" else path.parent
    result = stage.run(f"{INSTALL}import lm_eval; {TASKS}print(TaskManager('', 'x').include_path)")
    assert (result.returncode, result.stdout) == (0, "x\n")
    assert result.stderr == (
        f"yoco-evals: our tasks are missing, because {hider} hides our package 'tasks': "
        "run from another folder, or rename or uninstall what lies there\n"
    )
    # Other programs may call their packages what they like.
    assert stage.output(f"{INSTALL}import tasks, lm_eval") == ""


def test_packages_that_are_gone_are_reported(stage):
    # As after an editable checkout was moved: once with nothing of that name, once with a
    # namespace folder.
    stage.path.remove(REPO)
    lines = stage.run(f"{INSTALL}{TASKS}TaskManager()").stderr
    assert lines == (
        "yoco-evals: our tasks are missing, because our package 'tasks' is not found: "
        "install yoco-evals again\n"
    )
    (stage.cwd / "tasks").mkdir()
    lines = stage.run(f"{INSTALL}{TASKS}TaskManager()").stderr
    assert f"because {stage.cwd / 'tasks'} hides our package 'tasks'" in lines


@pytest.mark.parametrize("package", ["evals", "tasks", "yoco"])
def test_hidden_backend_ends_the_command_in_one_line(stage, package):
    (stage.cwd / package).mkdir()
    (stage.cwd / package / "__init__.py").write_text("raise AssertionError('was imported')")
    message = (
        f"--model yoco cannot be used, because {stage.cwd / package} hides our package "
        f"{package!r}: run from another folder, or rename or uninstall what lies there"
    )
    script = f"{INSTALL}{REGISTRY}get_model('yoco').create_from_arg_obj({{}}, {{}})"
    command = stage.run("import lm_eval._cli\n" + script)
    assert (command.returncode, command.stderr) == (2, f"yoco-evals: {message}\n")
    program = stage.run(script)
    assert program.returncode == 1
    assert program.stderr.endswith(f"ImportError: {message}\n")
    # Who runs another model is not bothered.
    assert stage.output(f"{INSTALL}{REGISTRY}get_model('hf')") == ""


def test_hidden_backend_is_reported_where_lm_eval_registered_it(stage):
    models = stage.lm_eval / "models" / "__init__.py"
    models.write_text(models.read_text() + "model_registry.register('yoco', target='native')\n")
    (stage.cwd / "evals.py").touch()
    result = stage.run(f"{INSTALL}{REGISTRY}get_model('yoco')")
    assert result.stderr.startswith(
        f"yoco-evals: --model yoco cannot be used, because {stage.cwd / 'evals.py'} hides"
    )


def test_git_is_silent_outside_repositories_once_our_model_has_run(stage):
    ask = "from lm_eval.evaluator import get_git_commit_hash as ask\nprint(ask())\n"
    outside = {"GIT_CEILING_DIRECTORIES": str(stage.cwd.parent)}
    theirs = stage.run(INSTALL + ask, **outside)
    assert theirs.stdout == "theirs\n" and theirs.stderr.startswith("fatal: not a git repository")
    ours = f"{INSTALL}import sys\nsys.modules['evals.backend'] = sys\n{ask}"
    assert stage.output(ours, **outside) == "None"
    subprocess.run(["git", "init", "-q", stage.cwd], check=True)
    (stage.cwd / "a").touch()
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    for command in (["add", "a"], [*identity, "commit", "-q", "-m", "m"]):
        subprocess.run(["git", *command], cwd=stage.cwd, check=True)
    assert len(stage.output(ours, **outside)) >= 7


def test_real_lm_eval_finds_our_backend_and_our_tasks(stage):
    stage.path.remove(stage.lm_eval.parent)
    script = (
        "import _yoco_lm_eval_bridge as bridge; bridge.install(force=True)\n"
        f"{REGISTRY}{TASKS}"
        "tasks = TaskManager(include_defaults=False).all_tasks\n"
        "backend = get_model('yoco')\n"
        "print('yoco_needle' in tasks, 'hf' in model_registry, backend.__module__)"
    )
    # The switch keeps a bridge out that is installed here, so that this one is tested.
    result = stage.run(script, "-W", "error", YOCO_LM_EVAL_BRIDGE="0")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "True True evals.backend\n"
