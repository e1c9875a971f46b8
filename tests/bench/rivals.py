"""How would others simulate a bare load balancer? 10 servers of 8 workers, Poisson arrivals, lognormal work of 50 ms.

Each function plays `n` requests at `rate` a second and returns (requests, mean time in seconds, processor seconds), or
None where it cannot be run here. Each is written as the tool's own documentation teaches, neither tuned nor crippled.
"""

import importlib.util
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

N_SERVERS, N_WORKERS = 10, 8
MEAN_S = 0.05
SIGMA = math.sqrt(math.log(2.0))  # coefficient of variation 1
MU = math.log(MEAN_S) - SIGMA**2 / 2

Result = tuple[int, float, float]


def simpy_loop(n: int, rate: float, *, least: bool) -> Result:
    """One process a request, one `Resource` a server."""
    import simpy

    draw = random.Random(1)
    env = simpy.Environment()
    servers = [simpy.Resource(env, N_WORKERS) for _ in range(N_SERVERS)]
    total = 0.0

    def request(server: Any) -> Any:
        nonlocal total
        began = env.now
        with server.request() as worker:
            yield worker
            yield env.timeout(draw.lognormvariate(MU, SIGMA))
        total += env.now - began

    def arrivals() -> Any:
        cursor = 0
        for _ in range(n):
            yield env.timeout(draw.expovariate(rate))
            order = [*servers[cursor:], *servers[:cursor]]
            server = min(order, key=lambda it: it.count + len(it.queue)) if least else servers[cursor]
            cursor = (servers.index(server) + 1) % N_SERVERS
            env.process(request(server))

    env.process(arrivals())
    start = time.process_time()
    env.run()
    return n, total / n, time.process_time() - start


def c_loop(n: int, rate: float, *, least: bool) -> Result | None:
    """`loop.c`, compiled with the C compiler of this machine, if there is one."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "loop"
        source = Path(__file__).with_name("loop.c")
        subprocess.run([compiler, "-O2", str(source), "-o", str(program), "-lm"], check=True, timeout=120)
        command = [str(program), str(n), str(rate), str(int(least))]
        out = subprocess.run(command, check=True, capture_output=True, text=True, timeout=250).stdout
    done, mean, seconds = out.split()
    return int(done), float(mean), float(seconds)


def ciw_network(n: int, rate: float, *, least: bool) -> Result | None:
    """Ciw: a dispatching node without work, then ten nodes; its own routers `Cycle` and `JoinShortestQueue`."""
    if importlib.util.find_spec("ciw") is None:
        return None
    import ciw

    ciw.seed(1)
    nodes = list(range(2, N_SERVERS + 2))
    router = ciw.routing.JoinShortestQueue(destinations=nodes) if least else ciw.routing.Cycle(cycle=nodes)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=rate)] + [None] * N_SERVERS,
        service_distributions=[ciw.dists.Deterministic(value=0.0)]
        + [ciw.dists.Lognormal(mean=MU, sd=SIGMA)] * N_SERVERS,
        number_of_servers=[float("inf")] + [N_WORKERS] * N_SERVERS,
        routing=ciw.routing.NetworkRouting(routers=[router] + [ciw.routing.Leave()] * N_SERVERS),
    )
    simulation = ciw.Simulation(network)
    start = time.process_time()
    simulation.simulate_until_max_customers(n, method="Finish")
    seconds = time.process_time() - start
    records = [it for it in simulation.get_all_records() if it.node > 1]
    return len(records), sum(it.waiting_time + it.service_time for it in records) / len(records), seconds


def salabim_model(n: int, rate: float, *, least: bool) -> Result | None:
    """salabim: one component a request, in generator style (`yieldless=False`), which needs no greenlets."""
    if importlib.util.find_spec("salabim") is None:
        return None
    import salabim as sim

    draw = random.Random(1)
    env = sim.Environment(yieldless=False, trace=False, random_seed=1)
    servers = [sim.Resource(capacity=N_WORKERS) for _ in range(N_SERVERS)]
    total = 0.0

    class Request(sim.Component):  # type: ignore[misc]
        def process(self, server: Any) -> Any:
            nonlocal total
            began = env.now()
            yield self.request(server)
            yield self.hold(draw.lognormvariate(MU, SIGMA))
            self.release(server)
            total += env.now() - began

    class Arrivals(sim.Component):  # type: ignore[misc]
        def process(self) -> Any:
            cursor = 0
            for _ in range(n):
                yield self.hold(draw.expovariate(rate))
                order = [*range(cursor, N_SERVERS), *range(cursor)]
                if least:
                    index = min(order, key=lambda i: servers[i].claimed_quantity() + len(servers[i].requesters()))
                else:
                    index = cursor
                cursor = (index + 1) % N_SERVERS
                Request(server=servers[index])

    Arrivals()
    start = time.process_time()
    env.run()
    return n, total / n, time.process_time() - start


def simulus_model(n: int, rate: float, *, least: bool) -> Result | None:
    """simulus: one process a request."""
    if importlib.util.find_spec("simulus") is None:
        return None
    with patch.object(sys, "argv", sys.argv[:1]):  # it reads the command line when it is imported
        import simulus

    draw = random.Random(1)
    world = simulus.simulator()
    servers = [world.resource(capacity=N_WORKERS) for _ in range(N_SERVERS)]
    load = [0] * N_SERVERS
    total = 0.0

    def request(index: int) -> None:
        nonlocal total
        began = world.now
        servers[index].acquire()
        world.sleep(draw.lognormvariate(MU, SIGMA))
        servers[index].release()
        load[index] -= 1
        total += world.now - began

    def arrivals() -> None:
        cursor = 0
        for _ in range(n):
            world.sleep(draw.expovariate(rate))
            order = [*range(cursor, N_SERVERS), *range(cursor)]
            index = min(order, key=load.__getitem__) if least else cursor
            cursor = (index + 1) % N_SERVERS
            load[index] += 1
            world.process(request, index)

    world.process(arrivals)
    start = time.process_time()
    world.run()
    return n, total / n, time.process_time() - start
