"""The report of `make bench-peers` as markdown; `table.py FILE` prints that of a JSON file."""

import json
import statistics
import sys

TITLES = {
    "kiln": "Kiln",
    "jax": "JAX",
    "torch": "torch",
    "torch-fused": "torch fused",
    "torch-compile": "torch.compile",
    "tf": "tf.function",
    "tf-xla": "TF XLA",
    "ort": "ONNX Runtime",
    "numpy": "NumPy",
}
NOISY = 1.3  # the slowest round beside the fastest


def duration(us):
    for limit, divisor, unit in ((999.5, 1, "µs"), (999.5e3, 1e3, "ms"), (float("inf"), 1e6, "s")):
        if us < limit:
            return f"{us / divisor:.3g} {unit}"


def cell_text(row, side):
    cell = row["sides"].get(side)
    if not cell:
        return "–"
    if "failed" in cell:
        return "failed"
    if "differs" in cell:
        return "**differs**" if side == "kiln" else "differs"
    if not cell.get("us"):
        return "agrees"
    noisy = "~" if max(cell["rounds_us"]) > NOISY * min(cell["rounds_us"]) else ""
    text = duration(cell["us"]) + noisy
    return f"**{text}**" if row.get("best") == side else text


def header(report):
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    rounds = f"{report['rounds']} round{'s' if report['rounds'] != 1 else ''} of {report['seconds']} s for each cell, in turn"
    yield f"- {report['machine']}; {report['threads']} threads; {rounds}"
    yield f"- {versions}"
    for side in report["absent"]:
        yield f"- {TITLES[side]}: not installed, or cannot be imported"
    if report["on_request"]:
        names = ", ".join(TITLES[s] for s in report["on_request"])
        yield f"- not measured, because they compile for long: {names} (PEERS_ALSO={','.join(report['on_request'])})"


def notes(report):
    for name, row in report["rows"].items():
        for side, cell in row["sides"].items():
            if "differs" in cell:
                yield f"- {name}, {TITLES[side]}: results differ by {cell['differs']:.1e} of the largest; not timed"
            if "failed" in cell:
                yield f"- {name}, {TITLES[side]}: {cell['failed']}"


def summary(report):
    ratios = [row["ratio"] for row in report["rows"].values() if "ratio" in row]
    if not ratios:
        return ""
    return (
        f"{sum(r > 1 for r in ratios)} of {len(ratios)} rows are faster in Kiln than in the best peer, "
        f"{sum(r < 1 for r in ratios)} slower; the geometric mean of the ratios is {statistics.geometric_mean(ratios):.2f}."
    )


def table(report, agree=False):
    lines = [*header(report), ""]
    if not agree:
        lines += [
            "Last column: best peer's time / Kiln's, the median of the rounds' ratios; above 1 Kiln is faster. Bold: best peer. "
            "~: the rounds differ by more than 30 %. –: there is no such cell.",
            "",
        ]
    sides = report["sides"]
    lines += ["| row | | " + " | ".join(TITLES[s] for s in sides) + " | ratio |", "|---" * (len(sides) + 3) + "|"]
    for name, row in report["rows"].items():
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "–"
        lines.append(f"| {row['title']} | {name} | " + " | ".join(cell_text(row, s) for s in sides) + f" | {ratio} |")
    lines += ["", summary(report), *notes(report)]
    return "\n".join(lines)


if __name__ == "__main__":
    with open(sys.argv[1]) as f:
        print(table(json.load(f)))
