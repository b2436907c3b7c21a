"""Bugs to plant in the core, one at a time: each is a small change of one file that something has to notice."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """In `file`, `old` (it stands there once) becomes `new`. `breaks` says in a line what is wrong then."""

    file: str
    breaks: str
    old: str
    new: str


MUTANTS = (
    # --- answers
    Mutant(
        "dispatcher.py",
        "a late answer is an error",
        "batch = replica.open.get(done.batch_id)",
        "batch = replica.open[done.batch_id]",
    ),
    Mutant(
        "dispatcher.py",
        "an answer of the wrong size is believed",
        "if (succeeded and not fits) or any(",
        "if False and any(",
    ),
    Mutant(
        "dispatcher.py",
        "failures take the place of results",
        "if (failure := done.failures.get(place)) is not None:",
        "if (failure := done.failures.get(at)) is not None:",
    ),
    Mutant(
        "open_requests.py",
        "a late result is counted",
        "if not request.settled:\n            request.results.succeed",
        "if True:\n            request.results.succeed",
    ),
    Mutant(
        "results.py",
        "results in the wrong order",
        "pieces.sort(key=_first_index)",
        "pieces.sort(key=_first_index, reverse=True)",
    ),
    Mutant(
        "dispatcher.py",
        "each request gets the first results of the batch",
        "            at += count\n",
        "            at += 0\n",
    ),
    Mutant(
        "tensors.py",
        "a cut begins at the first instance",
        "[start * step : stop * step]",
        "[: (stop - start) * step]",
    ),
    Mutant(
        "open_requests.py",
        "an answered request stays in the table",
        "del self._requests[request.id]",
        "self._requests.get(request.id)",
    ),
    Mutant("open_requests.py", "bytes are never given back", "self.nbytes -= request.nbytes", "self.nbytes -= 0"),
    # --- queues
    Mutant("batcher.py", "put back at the end", ").appendleft(part)", ").append(part)"),
    Mutant("batcher.py", "put back in the reverse order", "for span in reversed(spans):", "for span in spans:"),
    Mutant(
        "batcher.py",
        "put back although it is answered",
        "if not request.settled:\n                for part",
        "if True:\n                for part",
    ),
    Mutant(
        "batcher.py",
        "the rest of a request that is cut runs again from its start",
        "others[0] = Span(span.request, middle, span.stop)",
        "others[0] = Span(span.request, span.start, span.stop)",
    ),
    Mutant(
        "batcher.py",
        "what is behind a cut is lost",
        "[Span(span.request, middle, span.stop), *spans[place + 1 :]]",
        "[Span(span.request, middle, span.stop)]",
    ),
    Mutant(
        "batcher.py",
        "cancel leaves the entry",
        "if span.request.settled:\n                others.popleft()",
        "if False:\n                others.popleft()",
    ),
    Mutant("batcher.py", "cancel leaves its count", "self.queue.waiting -= self.queued", "self.queue.waiting -= 0"),
    Mutant(
        "batcher.py",
        "a batch is one too large",
        "self._others, self.method.batch_size, MAX",
        "self._others, self.method.batch_size + 1, MAX",
    ),
    Mutant("batcher.py", "a batch grows beyond its bytes", "if each * most > bytes_left:", "if each * most > 1 << 40:"),
    Mutant(
        "batcher.py",
        "a batch is cut across methods",
        "self._queues.get(method.name)",
        "next(iter(self._queues.values()), None)",
    ),
    Mutant("batcher.py", "methods do not take turns", "self._queues.move_to_end(queue.method.name)", "pass"),
    Mutant(
        "batcher.py",
        "a suspect runs with others",
        "return self.losses is not None and index in self.losses",
        "return False",
    ),
    Mutant(
        "lane.py",
        "a batch behind another counts as sent to an idle replica",
        "return Cut.AHEAD if replica.open else Cut.IDLE",
        "return Cut.IDLE",
    ),
    # --- time
    Mutant("dispatcher.py", "a request that is late is admitted", "if deadline <= now:", "if deadline < 0:"),
    Mutant("dispatcher.py", "the deadline is not checked at dispatch", "self._requests.answer_overdue()", "pass"),
    Mutant(
        "open_requests.py",
        "the deadline wakes nobody",
        "return None if first is None else first[0]",
        "return None",
    ),
    Mutant(
        "dispatcher.py",
        "the worker is told of the first deadline, not the last",
        "seconds_left = max([span.request.deadline",
        "seconds_left = min([span.request.deadline",
    ),
    Mutant(
        "lane.py",
        "what cannot be in time is sent all the same",
        "if finish <= min([span.request.deadline for span in spans]):",
        "if True:",
    ),
    Mutant("lane.py", "nothing is refused at arrival", "return max(0.0, start + cost", "return min(0.0, start + cost"),
    Mutant("costs.py", "the cost is not learned", "self._t = MEMORY * self._t + seconds", "self._t = MEMORY * self._t"),
    # --- replicas
    Mutant(
        "scheduler.py",
        "the busiest replica is picked",
        "for bucket in self._with_open for",
        "for bucket in self._with_open[::-1] for",
    ),
    Mutant(
        "scheduler.py",
        "a replica gets more than its window",
        "if open_batches < min(window, len(self._with_open)):",
        "if open_batches < len(self._with_open):",
    ),
    Mutant("lane.py", "room is not freed by an answer", "        del replica.open[batch.id]\n", ""),
    Mutant(
        "lane.py",
        "a draining replica is given work",
        "if replica.state is ReplicaState.READY or not self.route.ready:",
        "if True:",
    ),
    Mutant("lane.py", "a stalled replica is given work", "0 if full or replica.stalled else", "0 if full else"),
    Mutant(
        "lane.py",
        "a suspect shares its replica",
        "replica = self._slots.idle() if alone else self._pick(queue, now)",
        "replica = self._pick(queue, now)",
    ),
    Mutant(
        "leases.py",
        "a lease is not renewed",
        "self._expires_at[holder] = expires_at = now + self.seconds",
        "expires_at = self._expires_at.setdefault(holder, now + self.seconds)",
    ),
    Mutant("leases.py", "the first lease is taken for renewed", "self._not_before <= now:", "True:"),
    Mutant("leases.py", "the first lease is never looked at again", "self._not_before <= now:", "False:"),
    Mutant("leases.py", "no lease is due", "self._not_before = expires_at", "pass"),
    Mutant("deadlines.py", "all deadlines come in order", "deadline >= self._queue[-1][0]:", "True:"),
    Mutant("deadlines.py", "deadlines out of order wake nobody", "if heap and (", "if False and ("),
    Mutant("leases.py", "renewal does not change the order", "self._expires_at.move_to_end(holder)", "pass"),
    Mutant("leases.py", "a lease never ends", "if expires_at > now:", "if True:"),
    Mutant(
        "members.py",
        "a known worker's new registration is ignored",
        "if known and known.register.registration == register.registration:",
        "if known:",
    ),
    Mutant(
        "members.py",
        "a worker that leaves is never released",
        'self.losses.forget(replica, "release")\n            self._board.send(replica.id, Released())',
        'self.losses.forget(replica, "release")',
    ),
    Mutant("members.py", "a hung worker is kept", "if oldest and stuck_seconds >", "if oldest and -stuck_seconds >"),
    Mutant("members.py", "nobody asks who is gone", "self._board.send(replica.id, Probe())", "pass"),
    Mutant("members.py", "nobody asks the idle", "if replica.open or not self._probe_at:", "if replica.open:"),
    Mutant("members.py", "less credit is kept too early", "len(replica.open) <= replica.credit", "True"),
    Mutant("members.py", "a change of credit is ignored", "replica.credit = batches", "pass"),
    Mutant(
        "board.py",
        "those that leave do not help when no other is left",
        "                lane.place(replica)",
        "                lane.remove(replica)",
    ),
    Mutant(
        "members.py",
        "connections that drop one after the other put the asking off",
        "start = max(self._board.now, self._probed_at + PROBE_SECONDS[1])",
        "start = self._board.now + PROBE_SECONDS[1]",
    ),
    Mutant("members.py", "a suspect is never let go", "self._board.send(replica.id, Go(batch_id))", "pass"),
    Mutant("gate.py", "a suspect runs beside others", "elif self._running:", "elif False:"),
    # --- losses
    Mutant(
        "batcher.py",
        "an attempt is not counted",
        "losses[name] = max(weight, losses.get(name, 0.0))",
        "losses[name] = 0.0",
    ),
    Mutant("losses.py", "silence counts a whole death", "Loss.SILENCE: 0.5", "Loss.SILENCE: 1.0"),
    Mutant("losses.py", "what may run once runs again", "if not request.method.idempotent:", "if False:"),
    Mutant("orphans.py", "what had not begun waits too", "request.losses is None or not seconds", "not seconds"),
    Mutant("orphans.py", "what has waited long enough waits on", "if until <= self._board.now]", "if False]"),
    Mutant(
        "dispatcher.py",
        "what lost the last worker is forgotten",
        "            for request in self._orphans.take(route):\n",
        "            for request in ():\n",
    ),
    Mutant("dispatcher.py", "who stops keeps orphans", "self._give_up(self._orphans.take_all())", "pass"),
    Mutant("dispatcher.py", "who stops takes more orphans", "orphan_seconds=0.0)", "orphan_seconds=60.0)"),
    Mutant("losses.py", "a lost replica's batches are forgotten", "queue.put_back(spans)", "pass"),
    Mutant(
        "losses.py",
        "the quarantine never opens",
        "if quarantine.until is None or quarantine.try_again(self._board.now):",
        "if quarantine.until is None:",
    ),
    Mutant(
        "quarantine.py",
        "a success does not count",
        '    def success(self) -> None:\n        """A batch of the method was done."""\n        self._died.clear()',
        '    def success(self) -> None:\n        """A batch of the method was done."""\n        self._died.copy()',
    ),
    Mutant(
        "results.py",
        "what killed its workers runs again at another version",
        "if failure.code is Code.DEADLY:",
        "if False:",
    ),
    Mutant(
        "dispatcher.py",
        "results of two versions are mixed",
        "request.results = request.results.deadly_alone(request.count)",
        "pass",
    ),
    Mutant(
        "members.py",
        "one of several processes gives work while the others do not know the worker",
        "if board.siblings:",
        "if False:",
    ),
    # --- the worker's side
    Mutant(
        "siblings.py",
        "a process does not wait for its siblings to know the worker",
        "            and siblings <= self._registered\n",
        "",
    ),
    Mutant(
        "session.py",
        "a result of an earlier registration is sent",
        "if registration == self._registration and done.batch_id in self._open:",
        "if True:",
    ),
    Mutant("session.py", "a stale confirmation is believed", "if registration != self._registration:", "if False:"),
    Mutant("session.py", "no heartbeats", "elif now >= self._speak_at:", "elif now >= self._speak_at + 1e9:"),
    Mutant("session.py", "the same number registers twice", "self._registration += 1", "self._registration += 0"),
    Mutant(
        "session.py",
        "a batch runs without a registration",
        "if self.state is not SessionState.REGISTERING:\n                    if not self._open:",
        "if True:\n                    if not self._open:",
    ),
    Mutant("purse.py", "the purse lends twice", "if self._holder is None:", "if True:"),
    Mutant("purse.py", "the spare batch is never asked back", "return [(self._holder, 1)]", "return []"),
    Mutant("purse.py", "the purse forgets what came back", "self._open[master] -= 1", "self._open[master] -= 0"),
    # --- just in time
    Mutant(
        "dispatcher.py",
        "what is due stays",
        "for route in self._held.take_until(now):",
        "for route in self._held.take_until(0.0):",
    ),
    Mutant("lane.py", "nobody is told when it is due", "self.held_until = due", "self.held_until = None"),
    Mutant(
        "lane.py", "a full batch is held", "if queue.waiting >= most or not cost.is_known:", "if not cost.is_known:"
    ),
    Mutant("lane.py", "held for whoever comes first", "            return soonest\n", "            return replica\n"),
    Mutant("pace.py", "no way to the device", "self.free_at = now - self._trip_seconds", "self.free_at = now"),
    Mutant(
        "pace.py",
        "batches run at once",
        "self.free_at = max(at, self.free_at) + device_seconds",
        "self.free_at = at + device_seconds",
    ),
    Mutant(
        "moments.py",
        "a moment that was put off counts",
        "if self._moments.get(key) == moment:\n                return key",
        "if key in self._moments:\n                return key",
    ),
    Mutant(
        "registry.py",
        "the last batch's answer is taken for the first one's",
        " - sum(batch.device_seconds for batch in batches[1:])",
        "",
    ),
    Mutant(
        "pace.py", "an answer is expected before it is on its way", "self.free_at + self._trip_seconds", "self.free_at"
    ),
    Mutant(
        "dispatcher.py",
        "an answer is expected of who has nothing to do",
        "for replica in replicas if replica.open]",
        "for replica in replicas]",
    ),
)
