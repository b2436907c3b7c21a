"""What the parts of the dispatcher share: who serves, what waits where, and what this event has led to so far."""

from mindspore_serving.cluster.dispatch_events import Action, Limits, Report, Send
from mindspore_serving.cluster.lane import Lane
from mindspore_serving.cluster.messages import FromMaster
from mindspore_serving.cluster.registry import Registry, Replica, Route
from mindspore_serving.cluster.siblings import Sibling


class Board:
    """One for each dispatcher. `now` is the moment of the event that is dealt with."""

    def __init__(self, limits: Limits, siblings: tuple[Sibling, ...]) -> None:
        self.limits = limits
        self.siblings = siblings
        self.now = 0.0
        self.registry = Registry()
        self.lanes: dict[Route, Lane] = {}
        self.actions: list[Action] = []
        self.touched: dict[Route, None] = {}  # routes whose queue or replicas changed during this event

    def lane(self, route: Route) -> Lane:
        """What is kept for this route."""
        lane = self.lanes.get(route)
        if lane is None:
            limits = self.limits
            lane = self.lanes[route] = Lane(route, limits.window, limits.quarantine_deaths, limits.just_in_time)
        return lane

    def touch(self, route: Route) -> None:
        """At the end of this event: see what can move there."""
        self.touched[route] = None

    def place(self, replica: Replica) -> None:
        """What the replica may be given has changed."""
        self.lane(replica.route).place(replica)
        self.touch(replica.route)

    def place_draining(self, route: Route) -> None:
        """Those that drain work again when no other is left, and stop when one has come. Else they stay as they are."""
        lane = self.lane(route)
        if lane.draining_work is route.ready:
            lane.draining_work = not route.ready
            for replica in route.draining.values():
                lane.place(replica)
        self.touch(route)

    def send(self, worker_id: str, message: FromMaster) -> None:
        """The message goes to the worker."""
        self.actions.append(Send(worker_id, message))

    def report(self, level: str, text: str) -> None:
        """Something for the operator's log."""
        self.actions.append(Report(level, text))

    def take_actions(self) -> list[Action]:
        """What is to be done, once."""
        actions, self.actions = self.actions, []
        return actions
