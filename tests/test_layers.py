"""Laws over the source: who opens which door, and that file sizes stay readable."""

import ast
from pathlib import Path

from domain.base.database import Door

ROOT = Path(__file__).resolve().parent.parent


def _opened_doors() -> set[tuple[str, str]]:
    """(door, function that opens it) for every call of `system`, `system_fetch` and `system_tx` in the code."""
    found = set()
    for path in [*ROOT.glob("domain/**/*.py"), *ROOT.glob("graph/**/*.py"), *ROOT.glob("jobs/**/*.py")]:
        if "node_modules" in path.parts:
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for call in ast.walk(function):
                if not isinstance(call, ast.Call):
                    continue
                name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
                if name in ("system", "system_fetch", "system_tx") and call.args and "Door" in ast.dump(call.args[0]):
                    door = call.args[0]
                    assert isinstance(door, ast.Attribute), f"{module}: name the door where it is opened"
                    found.add((door.attr, f"{module}.{function.name}"))
    return found


def test_every_door_to_the_system_connection_is_opened_in_its_one_place() -> None:
    assert _opened_doors() == {(door.name, door.value) for door in Door}


def test_nothing_but_the_doors_reaches_the_system_pool() -> None:
    users = [
        path.relative_to(ROOT).as_posix()
        for path in [*ROOT.glob("domain/**/*.py"), *ROOT.glob("graph/**/*.py"), *ROOT.glob("jobs/**/*.py")]
        if "_system_pool" in path.read_text(encoding="utf-8")
    ]

    assert users == ["domain/base/database.py"]
