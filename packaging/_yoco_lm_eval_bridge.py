"""Makes lm-eval know `--model yoco` and our tasks, unmodified, in releases without plug-ins.

Every start of Python in the environment imports this module (through yoco_lm_eval.pth, and from
Python 3.15 on through yoco_lm_eval.start). So it imports only what a starting interpreter has
loaded anyway, and does nothing until lm_eval itself is imported. It is a module of its own, not
part of `evals`, because importing that would run the package in every program.

YOCO_LM_EVAL_BRIDGE=0 switches it off.
"""

import os
import sys

# These names are common, so each with a module that tells ours from foreign packages.
_MARKERS = {"evals": "backend.py", "tasks": "needles.py", "yoco": "rotary.py"}


def install(*, force: bool = False) -> None:
    """Has lm_eval's modules extended as they are imported, or at once where they have been.

    Calling it again changes nothing.

    Args:
        force: also where YOCO_LM_EVAL_BRIDGE=0; for `yoco run`, which asks for it by name.
    """
    if os.environ.get("YOCO_LM_EVAL_BRIDGE") == "0" and not force:
        return
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    for name in _HOOKS:
        if name in sys.modules:
            _extend(sys.modules[name])


def folder_of(package: str) -> str:
    """Returns the folder of our package `package`, without importing it.

    Raises:
        ImportError: Python finds a foreign package of that name first, or none; in one line.
    """
    from importlib.util import find_spec

    try:
        spec = find_spec(package)
    except ValueError:
        # Something put a module without a spec under this name into sys.modules.
        origin, folders = getattr(sys.modules[package], "__file__", None), []
    else:
        origin = spec and spec.origin
        # A namespace package has several folders and no origin.
        folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if os.path.isfile(os.path.join(folder, _MARKERS[package])):
            return folder
    found = folders[0] if folders else origin
    if found is None:
        raise ImportError(f"our package {package!r} is not found: install yoco-evals again")
    raise ImportError(
        f"{found} hides our package {package!r}: "
        "run from another folder, or rename or uninstall what lies there"
    )


def _register_backend(_module) -> None:
    # Not on import of lm_eval.api.registry: lm_eval fills its registry of models only while
    # that is empty, so an earlier entry would hide hf, vllm and all others.
    from lm_eval.api.registry import model_registry

    try:
        for package in ("evals", "tasks", "yoco"):
            folder_of(package)
        backend = "evals.backend:YOCOLM"
    except ImportError as error:
        backend = _HiddenBackend(f"--model yoco cannot be used, because {error}")
    if "yoco" not in model_registry:
        # Also an instance may stand there: the registry checks the type of classes only.
        model_registry.register("yoco", target=backend)  # pyright: ignore[reportArgumentType]
    elif isinstance(backend, _HiddenBackend):
        # lm_eval has resolved our entry point by itself, and would end in a traceback.
        _say(backend.message)


class _HiddenBackend:
    """Stands in for YOCOLM where its modules are hidden: fails when used, not when registered."""

    def __init__(self, message: str) -> None:
        self.message = message

    def create_from_arg_obj(self, *_args, **_kwargs):
        # Under lm_eval's command a user's error is one line; a program gets an exception.
        if "lm_eval._cli" not in sys.modules:
            raise ImportError(self.message)
        _say(self.message)
        raise SystemExit(2)

    create_from_arg_string = create_from_arg_obj


def _add_task_folder(module) -> None:
    import functools
    import inspect

    original = module.TaskManager.__init__
    signature = inspect.signature(original)
    # Releases that read the entry points of `lm_eval.tasks` find the folder by themselves.
    finds_plugins = hasattr(module, "discover_plugin_task_paths")

    @functools.wraps(original)
    def __init__(self, *args, **kwargs):
        call = signature.bind(self, *args, **kwargs)
        if isinstance(metadata := call.arguments.get("metadata"), dict):
            call.arguments["metadata"] = _with_embedded_tokenizer(metadata)
        try:
            ours = os.path.join(folder_of("tasks"), "yaml")
        except ImportError as error:
            _say(f"our tasks are missing, because {error}")
        else:
            if not finds_plugins:
                given = call.arguments.get("include_path") or []
                given = list(given) if isinstance(given, (list, tuple)) else [given]
                # Later folders win, so the user's own come last.
                call.arguments["include_path"] = [ours, *(p for p in given if str(p) != ours)]
        original(*call.args, **call.kwargs)

    module.TaskManager.__init__ = __init__


def _with_embedded_tokenizer(metadata: dict) -> dict:
    """The metadata, where RULER's code and other finds the tokenizer of an embedded checkpoint."""
    name = metadata.get("tokenizer") or metadata.get("pretrained")
    try:
        embedded = os.path.join(folder_of("yoco"), "embedded")
        # Whoever runs another model does not wait for our packages.
        if name not in os.listdir(embedded):
            return metadata
        from evals.model_args import task_metadata
    except (ImportError, OSError):
        return metadata
    return task_metadata(metadata)


def _hush_git(module) -> None:
    """Keeps git from writing "fatal: not a git repository" where our model has run."""
    import functools

    original = module.get_git_commit_hash

    @functools.wraps(original)
    def get_git_commit_hash():
        if "evals.backend" not in sys.modules:
            return original()
        import subprocess

        try:
            found = subprocess.run(["git", "describe", "--always"], capture_output=True)
        except OSError:
            return original()
        return found.stdout.decode().strip() if found.returncode == 0 else None

    module.get_git_commit_hash = get_git_commit_hash


def _shorten_errors(module) -> None:
    # The command's two steps; a program that calls simple_evaluate comes through neither.
    cli = module.HarnessCLI
    # What makes Python give up on arguments is their nesting.
    cli.parse_args = _in_one_line(cli.parse_args, (RecursionError, MemoryError))
    cli.execute = _in_one_line(cli.execute)


def _in_one_line(step, others=()):
    """A step of lm_eval's command that ends in one line where the user can mend it.

    So for errors of our own model and tasks only. LMEVAL_LOG_LEVEL=DEBUG shows the traceback.
    """
    import functools

    @functools.wraps(step)
    def run(*args, **kwargs):
        try:
            result = step(*args, **kwargs)
        except (ValueError, OSError, ImportError, *others) as error:
            if os.environ.get("LMEVAL_LOG_LEVEL", "").upper() == "DEBUG" or not _is_ours(error):
                raise
            from evals.user_errors import one_line

            reason = "an argument is nested too deeply" if isinstance(error, others) else error
            print(f"yoco: {one_line(reason)}", file=sys.stderr)
            raise SystemExit(2) from error
        if unscored := sys.modules.get("evals.unscored"):
            status = unscored.status_of_lm_eval()
            if status:
                raise SystemExit(status)
        return result

    return run


def _is_ours(error) -> bool:
    """Whether lm_eval's command runs our model, or the error came through our code."""
    from itertools import pairwise

    try:
        folders = tuple(os.path.join(folder_of(package), "") for package in _MARKERS)
    except ImportError:
        return False
    asked = {("--model", "yoco"), ("-M", "yoco")}
    if "--model=yoco" in sys.argv or not asked.isdisjoint(pairwise(sys.argv)):
        return True
    step = error.__traceback__
    while step and not step.tb_frame.f_code.co_filename.startswith(folders):
        step = step.tb_next
    return step is not None


_HOOKS = {
    "lm_eval.models": _register_backend,
    "lm_eval.tasks.manager": _add_task_folder,
    "lm_eval.evaluator": _hush_git,
    "lm_eval._cli.harness": _shorten_errors,
}


class _Finder:
    """Finds the modules of _HOOKS as Python would, and has each extended after it has run."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _HOOKS:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_extend(module):
            run(module)
            _extend(module)

        # On the instance: a loader of another type would break importlib.resources.
        spec.loader.exec_module = run_and_extend
        return spec


def _extend(module) -> None:
    if hasattr(module, "_yoco_extended"):
        return
    module._yoco_extended = True
    try:
        _HOOKS[module.__name__](module)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        # A release of lm_eval that looks different inside must go on working for all others.
        _say(f"{module.__name__} could not be extended ({error!r}): use lm-eval 0.4.13")


def _say(message: str) -> None:
    # A folder's name may hold what would move the cursor.
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
    print(f"yoco-evals: {shown}", file=sys.stderr)
