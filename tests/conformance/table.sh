#!/usr/bin/env bash
# The part of docs/conformance.md on ONNX, made of tests/conformance/onnx.list: on stdout, or with --write into the page, from its
# heading on. Relies on awk.
set -u
cd "$(dirname "$0")/../.." || exit 1
table()
{
    cat <<'END'
## ONNX

The cases of ONNX 1.12's own suite, as Debian's libonnx-testdata has them: `make conformance` runs them, `make conformance RECORD=1` writes `tests/conformance/onnx.list` and this part, and `make test` runs those in `tests/conformance/onnx`. *Object*: compiled ahead of time, with the bits of compiled code. *Reference*: each value of the graph as the reference interpreter has it. *Device*: `emu:0`, of those that were tried there. `test_adam_multiple` was computed with an epsilon of 0.01 that its model does not state (later versions of ONNX state it).

| cases | number | eager | compiled | object | reference | device |
|---|---|---|---|---|---|---|
END
    awk '!/^#/ { of[$2]++; of["all"]++
        for (i = 1; i <= 5; i++) { m = substr($3, i, 1); if (m == "+") { good[$2, i]++; good["all", i]++ } if (m != ".") { had[$2, i]++; had["all", i]++ } } }
        function row(f,   i, s) { s = "| " f " | " of[f]; for (i = 1; i <= 5; i++) s = s " | " (had[f, i] ? good[f, i] + 0 : "-") (had[f, i] == of[f] || !had[f, i] ? "" : " of " had[f, i] + 0); return s " |" }
        END { for (f in of) if (f != "all") print row(f) | "sort"; close("sort"); print row("all") }' tests/conformance/onnx.list
    printf '\nWhat fails, and why:\n\n'
    awk '!/^#/ && $3 ~ /-/ { modes = ""; split("eager compiled object reference device", name, " "); failed = 0
        for (i = 1; i <= 5; i++) if (substr($3, i, 1) == "-") { modes = modes (modes ? ", " : "") name[i]; failed++ } else if (substr($3, i, 1) == "+") some[$1] = 1
        if (!($1 in some)) modes = ""
        why = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ ?/, "", why); gsub(/[`|*<>_]/, "\\\\&", why); sub(/^onnx: /, "", why)
        sub(/^[^ ]*model\.onnx: /, "", why); key = (modes ? modes ": " : "") why
        before = (key in list) ? list[key] ", " : ""; list[key] = before "`" $1 "`" }
        END { for (k in list) print "- " k ": " list[k] }' tests/conformance/onnx.list | sort
}
[ "${1:-}" = --write ] || { table; exit; }
page=$(sed '/^## ONNX$/,$d' docs/conformance.md) && { printf '%s\n\n' "$page"; table; } >docs/conformance.md
