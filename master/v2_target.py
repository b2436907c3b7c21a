"""Which servable, version and method a model of the Open Inference Protocol is.

A model is a servable, and means its first method; or it is `servable.method`. The request parameter `method` chooses
another one. A version is a number as text; "" is the newest that is live.
"""

from mindspore_serving.cluster.messages import MethodSpec
from mindspore_serving.cluster.registry import Route
from mindspore_serving.master.error_status import NOT_FOUND, UNAVAILABLE, CallFault
from mindspore_serving.master.front_desk import FrontDesk
from mindspore_serving.master.v2_types import Parameter, quoted, refuse

_MOST_DIGITS = 10


class Target:
    """Where a request goes. asked_version 0: the newest. No data class, as Model: both are made for every request."""

    __slots__ = ("asked_version", "method", "route")

    def __init__(self, asked_version: int, route: Route, method: MethodSpec) -> None:
        self.asked_version = asked_version
        self.route = route
        self.method = method

    def __str__(self) -> str:
        return f"servable {self.route.servable} method {self.method.name}"


class Model:
    """What a model's name means here. method None: the name leaves it open."""

    __slots__ = ("asked_version", "method", "name", "routes", "servable")

    def __init__(
        self, name: str, servable: str, method: str | None, asked_version: int, routes: tuple[Route, ...]
    ) -> None:
        self.name = name
        self.servable = servable
        self.method = method
        self.asked_version = asked_version
        self.routes = routes  # the versions asked for, oldest first; at least one


def find_model(desk: FrontDesk, name: str, version: str) -> Model:
    """Raises CallFault for a name or a version that is not known here."""
    servable, method = name, None
    if not desk.versions(servable):
        servable, _, method = name.rpartition(".")
        if not desk.versions(servable):
            raise CallFault(NOT_FOUND, f"model {quoted(name)} is not known: no worker has registered such a servable")
    versions = desk.versions(servable)
    asked_version = _version(servable, version)
    if asked_version and asked_version not in versions:
        known = ", ".join(map(str, sorted(versions)))
        raise CallFault(NOT_FOUND, f"servable {servable} has no version {asked_version}: it has {known}")
    routes = (versions[asked_version],) if asked_version else tuple(route for _, route in sorted(versions.items()))
    if method is not None and not any(method in route.methods for route in routes):
        raise CallFault(NOT_FOUND, f"servable {servable} has no method {quoted(method)}: {_methods(routes[-1])}")
    return Model(name, servable, method, asked_version, routes)


def find_target(desk: FrontDesk, name: str, version: str, parameter: Parameter | None = None) -> Target:
    """What runs a request; `parameter` is the request's `method`. Raises CallFault, also when nobody can run it now."""
    model = find_model(desk, name, version)
    route = ready_route(model)
    method = model.method
    if parameter is not None:
        if not isinstance(parameter, str):
            refuse("parameter 'method' should be a string")
        if method is not None and method != parameter:
            refuse(f"model {quoted(name)} names another method than parameter 'method', {quoted(parameter)}")
        method = parameter
    method = next(iter(route.methods)) if method is None else method
    if method not in route.methods:
        raise CallFault(NOT_FOUND, f"{route} has no method {quoted(method)}: {_methods(route)}")
    return Target(model.asked_version, route, route.methods[method])


def ready_route(model: Model) -> Route:
    """The newest version that takes requests. Raises CallFault when there is none."""
    ready = [route for route in model.routes if route.ready]
    if not ready:
        route = model.routes[-1]
        raise CallFault(UNAVAILABLE, f"{route} is not ready: {route.health().reason}")
    return ready[-1]


def _version(servable: str, text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS and int(text)):
        raise CallFault(NOT_FOUND, f"servable {servable} has no version {quoted(text)}: versions are 1, 2, ...")
    return int(text)


def _methods(route: Route) -> str:
    return f"it has {', '.join(route.methods)}"
