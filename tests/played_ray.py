"""Ray as far as lists and trials need it, played in this process: everything is pickled on its way, and each task is done when it is asked for."""

import contextlib
import pickle
import sys
from types import SimpleNamespace


class TaskError(Exception):
    """What a task raised, in `cause`."""

    def __init__(self, cause: Exception):
        super().__init__(str(cause))
        self.cause = cause


class PlayedRay:
    """A cluster of one node of two cores."""

    exceptions = SimpleNamespace(RayTaskError=TaskError, RayError=TaskError)

    def __init__(self):
        self.asked = 0

    def cluster_resources(self):
        return {"CPU": 2.0}

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2.0, "memory": 2.0**31}}]

    def put(self, value):
        return ("kept", pickle.dumps(value))

    def get(self, kept):
        kind, value = kept
        if kind == "raised":
            raise value
        return pickle.loads(value)

    def wait(self, asked, **more):
        return asked[:1], asked[1:]

    def cancel(self, asked, force):
        """It has ended."""

    def remote(self, **resources):
        """What makes a task of a function; an argument that is kept is fetched first."""

        def made(function):
            def remote(*given):
                self.asked += 1
                given = pickle.loads(pickle.dumps(given))
                fetched = [self.get(g) if isinstance(g, tuple) and g[:1] == ("kept",) else g for g in given]  # fmt: skip
                try:
                    return self.put(function(*fetched))
                except Exception as error:
                    return ("raised", TaskError(error))

            return SimpleNamespace(remote=remote)

        return made


@contextlib.contextmanager
def played(monkeypatch, *modules):
    """Let these modules connect to a played cluster."""
    ray = PlayedRay()

    @contextlib.contextmanager
    def connected(address):
        yield ray

    monkeypatch.setitem(sys.modules, "ray", ray)
    for module in modules:
        monkeypatch.setattr(module, "connected", connected)
    yield ray
