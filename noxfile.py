"""Every check of the project; CI calls this and nothing else.

`nox` runs them all in one virtual environment (installing is what takes the time); `nox -s lint types tests docs` runs
some of them, each in its own.
"""

import os

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["checks", "package"]

SPREAD = ("-q", "-n", "8", "--dist", "worksteal")
"""On two cores: most of the time a test waits for a machine to boot or a job to end."""

UNMEASURED = ("tests/simulation", "tests/toxics", "tests/runner", "tests/examples")
"""Pure Python by the minute, clients that are killed, shell: measuring coverage would slow that and find nothing."""

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session) -> None:
    """Install aspot with its extras and every dependency group that checks need."""
    wanted = nox.project.dependency_groups(PROJECT, "lint", "test", "docs", "bench")
    newer_pip(session)
    session.install("-e", ".[local,notebook,pandas]", *wanted)


def newer_pip(session: nox.Session) -> None:
    """Replace the pip that came with Python: while boto3 is ahead of aiobotocore, 23.2 searches for minutes."""
    session.install("--upgrade", "pip>=25.1")


def run_lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


def run_types(session: nox.Session) -> None:
    """Types, strictly; and the layers: imports point down only."""
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


def tools(session: nox.Session) -> dict[str, str | None]:
    """Return the environment of tests: with the aws command, and with Python keeping what it compiles."""
    path = os.pathsep.join([aws_cli(session), session.env.get("PATH") or os.environ["PATH"]])
    return {"PATH": path, "PYTHONDONTWRITEBYTECODE": None}


def compile_tests(session: nox.Session) -> None:
    """Compile aspot and the tests once, before each worker would: a tenth of the time of all tests."""
    session.run("python", "-m", "compileall", "-q", "aspot", env=tools(session))
    session.run("pytest", "-q", "--collect-only", env=tools(session), silent=True)


def run_tests(session: nox.Session) -> None:
    """All tests; the machine's with branch coverage, which is whole (that of the rest: `nox -s coverage`)."""
    env = tools(session)
    if session.posargs:
        session.run("pytest", *SPREAD, *session.posargs, env=env)
    else:
        compile_tests(session)
        session.run("coverage", "erase")
        measured = ("--cov=aspot.machine", "--cov-branch", "--cov-report=")
        session.run("pytest", *SPREAD, "-n", "2", "tests/machine", *measured, env=env)
        session.run("coverage", "report", "--include=aspot/machine/*", "--fail-under=100")
        session.run("pytest", *SPREAD, "--ignore=tests/machine", env=env)


def run_docs(session: nox.Session) -> None:
    """Documentation, with warnings as errors (the notebook is executed by the tests)."""
    session.run("python", "docs/generate.py")
    session.run("sphinx-build", "-q", "-W", "--keep-going", "-n", "-b", "html", "docs", "docs/_build/html")


@nox.session
def checks(session: nox.Session) -> None:
    """Everything that needs aspot installed, the quick things first."""
    install(session)
    run_lint(session)
    run_types(session)
    run_docs(session)
    run_tests(session)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff alone."""
    session.install(*[item for item in nox.project.dependency_groups(PROJECT, "lint") if item.startswith("ruff")])
    run_lint(session)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy and the layers alone."""
    install(session)
    run_types(session)


@nox.session
def tests(session: nox.Session) -> None:
    """The tests alone; what follows `--` goes to pytest."""
    install(session)
    run_tests(session)


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage of everything, at least nine tenths; not part of the checks: tests take a quarter longer."""
    install(session)
    compile_tests(session)
    session.run("coverage", "erase")
    measured = ("--cov=aspot", "--cov-branch", "--cov-report=")
    left_out = [f"--ignore={folder}" for folder in UNMEASURED]
    session.run("pytest", *SPREAD, *measured, *left_out, env=tools(session))
    session.run("coverage", "report", "--fail-under=90")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation alone."""
    install(session)
    run_docs(session)


@nox.session
def package(session: nox.Session) -> None:
    """The wheel is built, installed without this checkout, and runs."""
    session.install("build")
    folder = session.create_tmp()
    session.run("python", "-m", "build", "--wheel", "--outdir", folder)
    wheels = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".whl")]
    newest = max(wheels, key=os.path.getmtime)
    newer_pip(session)
    session.install("--force-reinstall", "--no-deps", newest)
    session.install(f"{newest}[local]")
    with session.chdir(folder):
        session.run("aspot", "--version")
        session.run("python", "-c", "from aspot.cli.demo import sweep_folder; print(sweep_folder())")


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks; not part of the checks."""
    install(session)
    session.run("python", "-m", "benchmarks", *session.posargs)
