"""beside.py PROGRAM FOLDER [--rounds N] [--seconds S] [--threads N] [NAME ...]: models of draw.py by Kiln and by ONNX Runtime, in turn.

PROGRAM is side.c. Each model is opened by a process of each side; then both are timed in turns, the one that begins drawn by parity,
and the medians of the rounds' ratios are told: above 1, Kiln is faster. Between turns there is a pause, because threads of ONNX Runtime
go on looking for work for a while, on the cores that the other side is timed on. Memory is the most that a process took until its first
result, less what it took with nothing open. Prints the machine first."""

import argparse
import os
import statistics
import subprocess
import sys
import time

PAUSE = 0.2  # seconds


class Process:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if not words or words[0] == "failed":
            raise RuntimeError(" ".join(words) or "the process ended")
        return [float(w) for w in words[1:]]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def machine():
    name = "unknown"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return "%s, %d processors, load %.1f" % (name, os.cpu_count(), os.getloadavg()[0])


def beside(commands, folder, rounds, seconds):
    sides = [Process(c) for c in commands]
    try:
        empty = [s.ask("memory")[1] for s in sides]
        opened = [s.ask("open " + folder) for s in sides]
        memory = [s.ask("memory")[1] - e for s, e in zip(sides, empty)]
        took = [[], []]
        for i in range(rounds):
            for j in (i % 2, 1 - i % 2):
                time.sleep(PAUSE)
                took[j].append(sides[j].ask("time %g" % seconds)[0])
        ratio = statistics.median(b / a for a, b in zip(*took))
        return ratio, [statistics.median(t) / 1e3 for t in took], [sum(o) for o in opened], [m / 1024 for m in memory]
    finally:
        for s in sides:
            s.close()


def main():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("program")
    parse.add_argument("folder")
    parse.add_argument("names", nargs="*")
    parse.add_argument("--rounds", type=int, default=7)
    parse.add_argument("--seconds", type=float, default=0.5)
    parse.add_argument("--threads", type=int, default=2)
    a = parse.parse_args()
    threads = str(a.threads)
    commands = [[a.program, threads], [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "side.py"), threads]]
    print(machine() + ", %d threads" % a.threads)
    print("%-14s %8s %10s %10s %12s %12s %9s %9s" % ("model", "ratio", "Kiln ms", "ORT ms", "first ms", "ORT first", "MiB", "ORT MiB"))
    for name in a.names or sorted(os.listdir(a.folder)):
        try:
            ratio, took, first, memory = beside(commands, os.path.join(a.folder, name), a.rounds, a.seconds)
            print("%-14s %8.2f %10.2f %10.2f %12.0f %12.0f %9.0f %9.0f" % (name, ratio, *took, *first, *memory), flush=True)
        except RuntimeError as error:
            print("%-14s %s" % (name, error), flush=True)


if __name__ == "__main__":
    main()
