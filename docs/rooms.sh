#!/usr/bin/env bash
# Draws docs/rooms.svg: each folder of the sources is a box, and an arrow goes to what it includes, where no longer way leads there too. Prints the
# drawing; `bash docs/rooms.sh > docs/rooms.svg` renews it, and tests/docs.sh sees that it is of today's includes. Relies on bash and awk.
set -eu
cd "$(dirname "$0")/.."
find include frontend ir passes codegen runtime -name '*.[ch]' | sort | xargs awk '
function folder(f) { sub(/\/[^\/]*$/, "", f); return f }
function normal(p,   n, part, i, k, at, out) {
    n = split(p, part, "/")
    for (i = 1; i <= n; i++) if (part[i] == "..") k--; else at[++k] = part[i]
    for (i = 1; i <= k; i++) out = out (i > 1 ? "/" : "") at[i]
    return out
}
/^#include "/ {
    split($0, quoted, "\"")
    from = folder(FILENAME)
    to = folder(normal(from "/" quoted[2]))
    if (to ~ /^(include|frontend|ir|passes|codegen|runtime)/ && to != from) uses[from, to] = 1
    seen[from] = seen[to] = 1
}
/^#include <kiln\// { if (folder(FILENAME) != "include/kiln") { uses[folder(FILENAME), "include/kiln"] = 1; seen[folder(FILENAME)] = seen["include/kiln"] = 1 } }
# Rows by the longest way down; a backend comes after what it and its neighbours share.
function depth(r,   o, d, most) {
    if (r in row) return row[r]
    if (r in open) { print "a circle through " r > "/dev/stderr"; exit 1 }
    open[r] = 1
    for (o in seen) if ((r, o) in uses && (d = depth(o) + 1) > most) most = d
    delete open[r]
    return row[r] = most + 0
}
function leads(a, b,   o) {
    if ((a, b) in uses) return 1
    if ((a, b) in known) return known[a, b]
    known[a, b] = 0
    for (o in seen) if ((a, o) in uses && leads(o, b)) known[a, b] = 1
    return known[a, b]
}
END {
    for (r in seen) if (depth(r) > top) top = row[r]
    for (y = 0; y <= top; y++) { # in order of names, so that the drawing is the same everywhere
        n = 0
        for (r in seen) if (row[r] == y) { for (i = n++; i > 0 && name[i - 1] > r; i--) name[i] = name[i - 1]; name[i] = r }
        for (i = 0; i < n; i++) { order[count++] = name[i]; x[name[i]] = 480 + (i - (n - 1) / 2) * 190 }
    }
    height = 60 * top + 80
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 %d\" font-family=\"sans-serif\" font-size=\"14\">\n", height
    print "<title>The rooms of Kiln: each includes only what lies below it</title>"
    print "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#888\"/></marker></defs>"
    for (i = 0; i < count; i++)
        for (j = 0; j < count; j++) {
            a = order[i]; b = order[j]; direct = (a, b) in uses
            for (k = 0; k < count && direct; k++) if ((a, order[k]) in uses && order[k] != b && leads(order[k], b)) direct = 0
            if (direct) printf "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"#888\" marker-end=\"url(#tip)\"/>\n",
                x[a], height - 60 * row[a] - 24, x[b], height - 60 * row[b] - 56
        }
    for (i = 0; i < count; i++) {
        r = order[i]; y = height - 60 * row[r] - 56
        fill = r ~ /^frontend/ ? "#fbe9d0" : r ~ /^codegen/ ? "#d8e6f3" : r ~ /^include/ ? "#eee" : "#dcefdc"
        printf "<rect x=\"%d\" y=\"%d\" width=\"160\" height=\"32\" rx=\"5\" fill=\"%s\" stroke=\"#555\"/>", x[r] - 80, y, fill
        printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x[r], y + 21, r
    }
    print "</svg>"
}'
