"""Every check of the project; CI calls this and nothing else."""

import os

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests", "docs", "package"]

PROJECT = nox.project.load_toml("pyproject.toml")


SHARED = ".nox/shared"
"""One virtual environment for all sessions that need aspot itself: installing is what takes the time."""


def install(session: nox.Session) -> None:
    """Install aspot with its extras and every dependency group."""
    wanted = nox.project.dependency_groups(PROJECT, "lint", "test", "docs", "bench")
    session.install("-e", ".[local,notebook,pandas]", *wanted)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: style and formatting."""
    session.install(*[item for item in nox.project.dependency_groups(PROJECT, "lint") if item.startswith("ruff")])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(venv_location=SHARED)
def types(session: nox.Session) -> None:
    """Mypy, strict; and the layers: imports point down only."""
    install(session)
    session.run("mypy")
    session.run("lint-imports")


def aws_cli(session: nox.Session) -> str:
    """Return a folder with the aws command, in a virtual environment of its own: it pins another botocore."""
    folder = os.path.join(session.cache_dir, "awscli")
    if not os.path.exists(os.path.join(folder, "bin", "aws")):
        session.run("python", "-m", "venv", folder)
        session.run(os.path.join(folder, "bin", "pip"), "install", "--quiet", "awscli", external=True)
    only = os.path.join(folder, "only-aws")
    os.makedirs(only, exist_ok=True)
    if not os.path.lexists(os.path.join(only, "aws")):
        os.symlink(os.path.join(os.path.abspath(folder), "bin", "aws"), os.path.join(only, "aws"))
    return os.path.abspath(only)


@nox.session(venv_location=SHARED)
def tests(session: nox.Session) -> None:
    """All tests, with branch coverage: the machine wholly, the rest at least nine tenths."""
    install(session)
    env = {"PATH": os.pathsep.join([aws_cli(session), session.env.get("PATH") or os.environ["PATH"]])}
    session.run("coverage", "erase")
    session.run("pytest", "-n", "2", "--cov=aspot", "--cov-branch", "--cov-report=", *session.posargs, env=env)
    if not session.posargs:
        session.run("coverage", "report", "--include=aspot/machine/*", "--fail-under=100")
        session.run("coverage", "report", "--fail-under=90")


@nox.session(venv_location=SHARED)
def docs(session: nox.Session) -> None:
    """Documentation, with warnings as errors; the notebook is executed."""
    install(session)
    session.run("python", "docs/generate.py")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-b", "html", "docs", "docs/_build/html")


@nox.session
def package(session: nox.Session) -> None:
    """The wheel is built, installed without this checkout, and runs."""
    session.install("build")
    folder = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", folder)
    wheels = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".whl")]
    newest = max(wheels, key=os.path.getmtime)
    session.install("--force-reinstall", "--no-deps", newest)
    session.install(f"{newest}[local]")
    with session.chdir(folder):
        session.run("aspot", "--version")
        session.run("python", "-c", "import aspot; print(aspot.Fleet)")


@nox.session(venv_location=SHARED)
def bench(session: nox.Session) -> None:
    """Benchmarks; not part of the checks."""
    install(session)
    session.run("python", "-m", "benchmarks", *session.posargs)
