"""`make bench-peers`: Kiln beside whatever other frameworks an environment has, the same work on the same threads. Each side is
a process that stays. All of them make a row and results are compared; then they are timed in turn, round after round, while the
others stand still. Prints markdown and writes JSON; CONTRIBUTING.md says how to read it. Relies on the standard library and, in
the sides, on the frameworks."""

import argparse
import contextlib
import fnmatch
import json
import os
import platform
import signal
import statistics
import subprocess
import sys

from rows import ROWS
from table import table

HERE = os.path.dirname(os.path.abspath(__file__))
NEEDS = {
    "jax": ["jax"],
    "torch": ["torch"],
    "torch-fused": ["torch"],
    "tf": ["tensorflow", "keras"],
    "ort": ["onnx", "onnxruntime"],
    "numpy": ["numpy"],
    "torch-compile": ["torch"],
    "tf-xla": ["tensorflow", "keras"],
}
ON_REQUEST = ("torch-compile", "tf-xla")
WARM, WARM_AGAIN = 0.2, 0.05  # seconds of calls before the first samples of a row, and before later ones
PATIENCE = 600  # seconds for one answer


class Lost(Exception):
    pass


class Side:
    """One framework's process. It runs only while it is asked something."""

    def __init__(self, name, command, environment):
        self.name = name
        errors = None if os.environ.get("PEERS_LOUD") else subprocess.DEVNULL
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=errors, text=True)

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise Lost(f"{self.name} ended with status {self.process.wait()}")
        return line.strip()

    def schedule(self, policy, priority):
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.sched_setscheduler(int(thread), policy, os.sched_param(priority))

    def ready(self):
        self.read()
        self.stop()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, line):
        self.process.send_signal(signal.SIGCONT)
        signal.alarm(PATIENCE)
        try:
            print(line, file=self.process.stdin, flush=True)
            return self.read()
        except BrokenPipeError as error:
            raise Lost(f"{self.name} has ended") from error
        finally:
            signal.alarm(0)
            self.stop()

    def end(self):
        self.process.kill()
        self.process.wait()


def too_long(*_):
    raise Lost(f"no answer within {PATIENCE} s")


def differ(x, y):
    """The largest difference of two checksums, relative to the largest number of the result that it belongs to."""
    x, y = ([[float(v) for v in result.split(",")] for result in text.split("/")] for text in (x, y))
    if [len(r) for r in x] != [len(r) for r in y]:
        return float("inf")
    worst = 0.0
    for mine, other in zip(x, y):
        scale = max(map(abs, mine)) or 1.0
        for u, v in zip(mine, other):
            worst = max(worst, abs(u - v) / scale) if u == u and v == v else float("inf")
    return worst


@contextlib.contextmanager
def undisturbed(sides, realtime):
    """With realtime other programs hardly run meanwhile: for a machine that is not idle, where spinning threads suffer most."""
    if realtime:
        for side in sides:
            side.schedule(os.SCHED_RR, 1)
    yield
    if realtime:
        for side in sides:
            side.schedule(os.SCHED_OTHER, 0)


def time_round(name, side, warm, seconds):
    answer = side.ask(f"time {warm} {seconds}").split()
    if answer[0] != "timed":
        raise Lost(f"{name}, {side.name}: {' '.join(answer)}")
    return float(answer[1])


def make_row(name, sides):
    """Every side makes the row; those that have it, and whose results agree with the most, are left to be timed."""
    found = {"title": ROWS[name].title, "sides": {}}
    checks = {}
    for side in sides:
        word, _, rest = side.ask(f"make {name}").partition(" ")
        if word == "made":
            first, checks[side] = rest.split(" ", 1)
            found["sides"][side.name] = {"first_ms": float(first), "rounds_us": []}
        elif word == "failed":
            found["sides"][side.name] = {"failed": rest}
    agreeing = max(
        ([s for s in checks if differ(checks[r], checks[s]) <= ROWS[name].tolerance] for r in checks), key=len, default=[]
    )
    for side in checks:
        if side not in agreeing:
            found["sides"][side.name] = {"differs": max(differ(checks[r], checks[side]) for r in agreeing)}
    return found, agreeing


def measure_row(name, sides, arguments):
    found, agreeing = make_row(name, sides)
    kiln = found["sides"].get("kiln", {})
    timed = agreeing if "rounds_us" in kiln and not arguments.agree else []
    with undisturbed(timed, arguments.realtime):
        for number in range(arguments.rounds if timed else 0):
            first = number % len(timed)
            for side in timed[first:] + timed[:first]:
                us = time_round(name, side, WARM_AGAIN if number else WARM, arguments.seconds)
                found["sides"][side.name]["rounds_us"].append(us)
    for side in sides:
        side.ask("drop")
    judge(found)
    return found


def judge(found):
    """The best peer, and the median over the rounds of its time divided by Kiln's."""
    times = {side: cell["rounds_us"] for side, cell in found["sides"].items() if cell.get("rounds_us")}
    for side, rounds in times.items():
        found["sides"][side]["us"] = statistics.median(rounds)
    ratios = {
        side: statistics.median(p / k for p, k in zip(rounds, times["kiln"]))
        for side, rounds in times.items()
        if side != "kiln"
    }
    for side, ratio in ratios.items():
        found["sides"][side]["ratio"] = ratio
    if ratios:
        found["best"] = min(ratios, key=ratios.get)
        found["ratio"] = ratios[found["best"]]


def environment(threads):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        kept[name] = str(threads)
    return dict(kept, CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3", PYTHONDONTWRITEBYTECODE="1")


def versions(python):
    """Of what the environment has, by module name."""
    code = (
        "import importlib.metadata as m, importlib.util as u, json\n"
        "names = ['numpy', 'jax', 'torch', 'tensorflow', 'keras', 'onnx', 'onnxruntime']\n"
        "def version(n):\n"
        "    for d in (n, n + '-cpu', n.replace('-', '_') + '_cpu'):\n"
        "        try: return m.version(d)\n"
        "        except m.PackageNotFoundError: pass\n"
        "    return 'of unknown version'\n"
        "print(json.dumps({n: version(n) for n in names if u.find_spec(n)}))"
    )
    return json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout)


def machine():
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            cpu = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), cpu)
    except OSError:
        pass
    return f"{cpu}, {os.cpu_count()} cores"


def chosen(pattern):
    names = [n for n in ROWS if any(fnmatch.fnmatchcase(n, p) for p in pattern.split(","))]
    nothing = [p for p in pattern.split(",") if not fnmatch.filter(ROWS, p)]
    if nothing:
        sys.exit(f"bench-peers: no row is named {', '.join(nothing)}; there are: {' '.join(ROWS)}")
    return names


def rounds(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1 on")
    return int(text)


def read_arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("serve", help="Kiln's side: build/bench/serve")
    p.add_argument("--python", default=sys.executable, help="of the environment with the peers")
    p.add_argument("--rows", default="*", help="names and patterns, separated by commas")
    p.add_argument("--also", default="", help=f"sides on request: {', '.join(ON_REQUEST)}")
    p.add_argument("--rounds", type=rounds, default=3)
    p.add_argument("--seconds", type=float, default=0.3, help="of samples, for each cell and round")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--realtime", action="store_true", help="schedule the sides before all others while they are timed")
    p.add_argument("--agree", action="store_true", help="only compare results")
    p.add_argument("--json", default="build/bench-peers.json")
    return p.parse_args()


def start_sides(arguments, there):
    also = [s for s in arguments.also.split(",") if s]
    unknown = [s for s in also if s not in NEEDS]
    if unknown:
        sys.exit(f"bench-peers: no peer is named {', '.join(unknown)}; on request there are {', '.join(ON_REQUEST)}")
    wanted = [s for s in NEEDS if s not in ON_REQUEST or s in also]
    # Every side in Python draws its inputs with NumPy.
    names = [s for s in wanted if all(m in there for m in [*NEEDS[s], "numpy"])]
    absent = [s for s in wanted if s not in names]
    if not names:
        sys.exit("bench-peers: none of the peers is installed for " + arguments.python)
    env = environment(arguments.threads)
    sides = [Side("kiln", [arguments.serve, str(arguments.threads)], env)]
    for name in names:
        command = [arguments.python, os.path.join(HERE, "serve.py"), name, str(arguments.threads)]
        sides.append(Side(name, command, env))
        try:
            sides[-1].ready()
        except Lost:  # it is there and does not work
            absent.append(sides.pop().name)
    return sides, absent


def main():
    arguments = read_arguments()
    rows = chosen(arguments.rows)
    there = versions(arguments.python)
    signal.signal(signal.SIGALRM, too_long)
    sides, absent = start_sides(arguments, there)
    report = {
        "machine": machine(),
        "versions": there,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "sides": [s.name for s in sides],
        "absent": absent,
        "on_request": [s for s in ON_REQUEST if s not in arguments.also],
        "rows": {},
    }
    try:
        for name in rows:
            report["rows"][name] = measure_row(name, sides, arguments)
            print(
                f"{len(report['rows'])}/{len(rows)} {name} {report['rows'][name].get('ratio', 0):.2f}",
                file=sys.stderr,
                flush=True,
            )
    except Lost as lost:
        print(f"bench-peers: {lost}; what was measured before:", file=sys.stderr)
        rows = []
    except PermissionError:
        sys.exit("bench-peers: real-time scheduling is not allowed here (it takes root, or CAP_SYS_NICE)")
    finally:
        for side in sides:
            side.end()
    os.makedirs(os.path.dirname(arguments.json) or ".", exist_ok=True)
    with open(arguments.json, "w") as f:
        json.dump(report, f, indent=1)
    print(table(report, arguments.agree))
    print(f"\nThe figures are in {arguments.json}.")
    bad = [name for name, row in report["rows"].items() if "rounds_us" not in row["sides"].get("kiln", {})]
    if bad:
        print(f"Kiln failed or differs in {', '.join(bad)}.")
    wrong = any("rounds_us" not in cell for row in report["rows"].values() for cell in row["sides"].values())
    sys.exit(1 if not rows or bad or wrong and arguments.agree else 0)


if __name__ == "__main__":
    main()
