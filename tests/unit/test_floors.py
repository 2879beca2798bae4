"""What import-linter's contracts cannot say: which packages each room may know, and that pure code cannot wait."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

import homeport

SOURCE = Path(homeport.__file__).parent

# Room -> the third-party packages it may import; a room that is not named here is an error. Longer names win.
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "bus": {"msgspec"},
    "peers": set(),
    "clock": set(),
    "custom_allocation": {"msgspec"},
    "errors": set(),
    "faults": {"msgspec"},
    "limits": {"msgspec"},
    "values": {"msgspec"},
    "nesting": set(),
    "paging": {"msgspec"},
    "security": {"cryptography", "msgspec"},
    "proto": {"msgspec"},
    "wire": {"msgspec"},
    "dps": {"msgspec"},
    "hub": {"msgspec"},
    "net": {"OpenSSL", "aiohttp", "cryptography", "msgspec", "nats", "yarl"},
    "dps.frontends": {"aiohttp", "msgspec"},
    "hub.frontends": {"aiohttp", "msgspec"},
    "store": {"asyncpg", "msgspec"},
    "blobs": {"msgspec"},
    "hublinks": {"msgspec"},
    "custody": {"cryptography", "msgspec", "pkcs11"},
    "client": {"azure", "cryptography", "httpx", "msgspec", "tpm2_pytss"},
    "ascode": {"msgspec", "tomli_w", "yaml"},
    "portal": {"aiohttp", "jinja2", "msgspec"},
    "app": {"aiohttp", "cryptography", "jinja2", "msgspec", "prometheus_client", "uvloop"},
    "simulation": {"cryptography", "msgspec"},
    "testing": {"msgspec", "pytest"},
    "cli": {"azure", "cryptography", "httpx", "msgspec", "rich", "typer"},
}

# Whatever could wait, look at a clock or throw dice.
IMPURE = {
    "asyncio", "concurrent", "multiprocessing", "random", "secrets", "select", "selectors", "signal", "socket",
    "sqlite3", "ssl", "subprocess", "threading", "time",
    "aiohttp", "asyncpg", "httpx", "OpenSSL", "uvloop",
}  # fmt: skip

# Pure with all that they import, in whatever room.
PURE = (
    "errors", "faults.decisions", "faults.model", "nesting", "paging", "proto", "security", "wire",
    "custody.envelope", "dps.model", "dps.attestation", "dps.allocation", "dps.query", "dps.reprovisioning",
    "hub.identifiers", "hub.identities", "hub.message_lock", "hub.model", "hub.twin_patch", "hub.query",
    "hub.thumbprints",
)  # fmt: skip


def modules() -> Iterator[tuple[str, Path]]:
    """Every module below homeport with its name relative to it."""
    for file in sorted(SOURCE.rglob("*.py")):
        parts = list(file.relative_to(SOURCE).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        yield ".".join(parts), file


def room_of(module: str) -> str:
    parts = module.split(".")
    return next((name for n in (2, 1) if (name := ".".join(parts[:n])) in MAY_IMPORT), parts[0])


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """The top-level package of each import in this file, wherever it stands in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name.split(".")[0]) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            assert node.module is not None
            yield node.lineno, node.module.split(".")[0]


def test_rooms_import_only_the_packages_they_may_know() -> None:
    strangers = [
        f"{file.relative_to(SOURCE)}:{line}: {package}"
        for module, file in modules()
        for line, package in imports(file)
        if package not in sys.stdlib_module_names | {"homeport"} | MAY_IMPORT.get(room_of(module), set())
    ]
    assert not strangers


def test_every_room_is_on_the_plan() -> None:
    assert {room_of(module) for module, _ in modules()} - MAY_IMPORT.keys() == set()


def canonical(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def test_what_is_imported_is_declared() -> None:
    """A package that comes with another one by chance goes with it, too."""
    project = tomllib.loads((SOURCE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["tpm"],
        *project["project"]["optional-dependencies"]["pkcs11"],
        *project["project"]["optional-dependencies"]["pytest"],
        *project["dependency-groups"]["demo"],
    ]
    declared = {canonical(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]) for requirement in wanted}
    providers = packages_distributions()
    undeclared = {
        f"{file.relative_to(SOURCE)}:{line}: {package}"
        for _, file in modules()
        for line, package in imports(file)
        if package not in sys.stdlib_module_names | {"homeport"}
        and declared.isdisjoint(canonical(name) for name in providers.get(package, []))
    }
    assert not undeclared


def test_only_storage_speaks_to_sqlite() -> None:
    users = {room_of(module) for module, file in modules() if "sqlite3" in {name for _, name in imports(file)}}
    assert users == {"store"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("homeport", include_external_packages=True, exclude_type_checking_imports=True)


@pytest.mark.parametrize("name", PURE)
def test_pure_code_cannot_wait(name: str, graph: grimp.ImportGraph) -> None:
    package = f"homeport.{name}"
    members = {package} | graph.find_descendants(package)
    reached = [
        " -> ".join(chain)
        for impure in sorted(IMPURE & graph.modules)
        for member in sorted(members)
        if (chain := graph.find_shortest_chain(importer=member, imported=impure))
    ]
    assert not reached


# Adapters know the domain's words, and nothing of how it thinks.
KNOWN_TO_ADAPTERS = {
    "blobs": {
        "hub.blob_account",
        "hub.blob_errors",
        "hub.errors",
        "hub.file_ports",
        "hub.model",
        "hub.transfer_ports",
        "net.http_client",
    },
    "store": {"dps.model", "dps.ports", "hub.errors", "hub.identifiers", "hub.model", "hub.ports", "hub.routing.ports"},
    "hublinks": {"dps.events.ports", "dps.model", "dps.ports", "net.http_client"},
    "custody": {"dps.issuing.ports", "dps.model"},
}


@pytest.mark.parametrize("room", sorted(KNOWN_TO_ADAPTERS))
def test_adapters_know_models_and_ports_only(room: str, graph: grimp.ImportGraph) -> None:
    known = {f"homeport.{name}" for name in KNOWN_TO_ADAPTERS[room]}
    strangers = {
        f"{module} -> {imported}"
        for module in graph.find_descendants(f"homeport.{room}")
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.split(".")[:2] in (["homeport", "dps"], ["homeport", "hub"], ["homeport", "net"])
        and imported not in known
    }
    assert not strangers
