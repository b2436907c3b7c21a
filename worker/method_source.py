"""How many results a method unpacks from each old-style call: `x1, x2 = register.call_preprocess(f, x1, x2)` is two.

The old calls do not say it, and a placeholder must know it to be unpacked, so it is read from the method's source, as
MindSpore Serving did: the body must be plain assignments and a return.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Container
from typing import Any


def count_results(function: Callable[..., Any], calls: Container[str], returned: int) -> dict[str, int]:
    """For each of `calls` in the body, how many results it is assigned to (`returned`, in the return statement).

    Empty when there are conditions or loops, or no source: then none of these calls can be used.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return {}
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef):
        return {}
    results: dict[str, int] = {}
    for statement in definition.body:
        match statement:
            case ast.Assign(targets=[target], value=ast.Call() as call) if name := _called(call, calls):
                results[name] = len(target.elts) if isinstance(target, ast.Tuple | ast.List) else 1
            case ast.Return(value=ast.Call() as call) if name := _called(call, calls):
                results[name] = returned
            case ast.If() | ast.For() | ast.While() | ast.With() | ast.Try():
                return {}
    return results


def _called(call: ast.Call, calls: Container[str]) -> str | None:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in calls:
            return name
    return None
