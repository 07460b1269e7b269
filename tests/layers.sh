#!/usr/bin/env bash
# The house rules that a machine can check: which folder may include what (docs/design.md, The house), which foreign
# headers stand where, who may allocate, lengths of files and functions, public headers that compile alone, the look of sources.
# Prints one line per breach, FILE:LINE: what. TAP on stdout. Relies on bash, awk and the compilers.
set -u -o pipefail
cd "${1:-$(dirname "$0")/..}" || exit 1
CC=${CC:-cc} CXX=${CXX:-c++}
n=0 failed=0
verdict() # name, breaches as text
{
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        failed=$((failed + 1))
        echo "not ok $n - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
    fi
}

mapfile -t sources < <(find include frontend ir passes codegen runtime -type f \
    \( -name '*.c' -o -name '*.h' -o -name '*.def' -o -name '*.inc' \) 2>/dev/null | sort)
mapfile -t all < <(printf '%s\n' "${sources[@]}"; find tests docs/examples -type f \
    \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) 2>/dev/null | sort)

# ---- the order of the rooms: a file may include what its own room or one before it offers, and call what stands there ----
# A room is a folder, and files of its name beside it (codegen/eager.h is what codegen/eager offers). Rooms with | between them stand side by side:
# neither includes or calls the other. codegen itself is the language of kernels and programs; its backends and device are the tables of all backends.
# frontend itself is open.c, which hands the rooms what they may call above them (Hooks).
rooms='runtime ir passes
    codegen codegen/lower|codegen/contract|codegen/store|codegen/walk codegen/eager|codegen/ref|codegen/cpu|codegen/cuda|codegen/native codegen/emu codegen/backends codegen/device codegen/gpu codegen/devices
    frontend/engine frontend/ops frontend/trace frontend/grad frontend/linalg frontend/fft frontend/function frontend/aot frontend/check frontend/nn frontend/io frontend/onnx frontend frontend/cli'
table='
    BEGIN { for (i = split(order, level, " "); i > 0; i--) for (j = split(level[i], beside, "|"); j > 0; j--) rank[beside[j]] = i }
    function folder(f) { sub(/\/[^\/]*$/, "", f); return f }
    function room(f,   stem) { stem = f; sub(/\.[^\/]*$/, "", stem); return stem in rank ? stem : folder(f) }
    function goes_down(from, to) { return from == to || rank[to] < rank[from] }'

objects()
{
    local source
    for source in "${sources[@]}"; do if [ -f "${BUILD:-build}/obj/$source.o" ]; then echo "${BUILD:-build}/obj/$source.o"; fi; done | xargs -r nm -A 2>/dev/null
}

# Calls between the rooms as the objects of a finished build have them: CALLER CALLED SYMBOL FILE. $1: "up" (only those that do not go down) or "all".
calls()
{
    objects | awk -v prefix="${BUILD:-build}/obj/" -v order="$rooms" -v only="$1" "$table"'
    {
        file = substr($1, length(prefix) + 1); sub(/\.o:.*/, "", file)
        if (!(room(file) in rank)) next
        kind = $(NF - 1); symbol = $NF
        if (kind ~ /^[TDBRC]$/) home[symbol] = room(file)
        else if (kind == "U") used[room(file) " " symbol] = file
    }
    END {
        for (use in used) {
            split(use, part, " ")
            to = home[part[2]]
            if (to == "" || to == part[1]) continue
            if (only == "all" || !goes_down(part[1], to)) print part[1], to, part[2], used[use]
        }
    }'
}
calls_up() { calls up | awk '{ print $4 ": " $1 " calls " $3 " of " $2 ", which is not below it" }' | sort; }

# The exceptions: what open.c hands to rooms below. CALLER FUNCTION'S-ROOM HOOK FUNCTION, a line for each room that reads the hook.
hooks()
{
    { objects; grep -rnoE 'hooks->[a-z_]+' frontend; sed -n 's/^    \.\([a-z_]*\) = \([a-z_]*\),$/hook \1 \2/p' frontend/open.c; } |
        awk -v prefix="${BUILD:-build}/obj/" -v order="$rooms" "$table"'
        $1 == "hook" { is[$2] = $3; next }
        split($0, part, ":") == 3 && part[3] ~ /^hooks->/ { by[room(part[1]) " " substr(part[3], 8)] = 1; next }
        $(NF - 1) == "T" { file = substr($1, length(prefix) + 1); sub(/\.o:.*/, "", file); home[$NF] = room(file) }
        END {
            for (use in by) { split(use, part, " "); print part[1], home[is[part[2]]], part[2], is[part[2]]; used[part[2]] = 1 }
            for (hook in is) if (!(hook in used)) print "nobody", home[is[hook]], hook, is[hook]
        }' | sort
}
# A hook is for calls up: that of a room above, or of nobody, is none.
needless_hooks()
{
    hooks | awk -v order="$rooms" "$table"'$1 == "nobody" || goes_down($1, $2) { print "frontend/open.c: hook " $3 ": " $1 " calls it, and " $4 " is in " $2 }'
}
tell_hooks() { hooks | awk '{ at = $1 " calls " $2; list[at] = list[at] " " $3 " (" $4 ")" } END { for (at in list) print "# by hooks " at ":" list[at] }' | sort; }

# What a finished build offers to other files and neither they nor the tests use: it should be static, or go.
unused()
{
    objects | awk -v prefix="${BUILD:-build}/obj/" '
        $(NF - 1) == "U" { used[$NF] = 1 }
        $(NF - 1) == "T" && $NF !~ /^(kiln_|main$)/ { file = substr($1, length(prefix) + 1); sub(/\.o:.*/, "", file); home[$NF] = file }
        END { for (s in home) if (!(s in used)) print s, home[s] }' |
        while read -r symbol source; do
            grep -rqw -- "$symbol" tests || echo "$source: $symbol is used by no other file"
        done | sort
}

if [ "${2:-}" = graph ]; then # which room calls which
    calls all | awk '{ print $1 " -> " $2 }' | sort | uniq -c | awk '{ printf "%-20s -> %-20s %4d functions\n", $2, $4, $1 }'
    exit 0
fi

# ---- the include table: FILE:LINE: what, for each #include that the row of its folder does not allow -----------
includes()
{
    awk -v order="$rooms" "$table"'
    # Resolves "x/../y" textually.
    function normal(p,   part, i, k, m, out) {
        m = split(p, part, "/"); k = 0
        for (i = 1; i <= m; i++) {
            if (part[i] == "." || part[i] == "") continue
            if (part[i] == ".." && k > 0) k--
            else out_at[++k] = part[i]
        }
        out = ""
        for (i = 1; i <= k; i++) out = out (i > 1 ? "/" : "") out_at[i]
        return out
    }
    function exists(f,   line, r) { r = (getline line < f); close(f); return r >= 0 }
    function ground(f) { return f ~ /^runtime\/(base|dtype)\.(h|def)$/ }
    # The members of the base family beyond base and dtype themselves may include only base and dtype.
    function is_ground(f) { return f ~ /^runtime\/(base|dtype|status|memory|arena|vector|map|hash|text|half|poison|clock)[^\/]*$/ }
    function backend(f) { return match(f, /^codegen\/(eager|cpu|cuda|ref|native)\//) ? substr(f, 1, RLENGTH) : "" }
    function allowed(from, to) {
        if (from ~ /^include\//) return to ~ /^include\/kiln\//
        if (is_ground(from)) return ground(to) || folder(to) == "runtime" && is_ground(to)
        if (from ~ /^runtime\//) return to ~ /^runtime\//
        if (from ~ /^ir\//) return to ~ /^ir\// || ground(to)
        if (from ~ /^passes\//) return to ~ /^(passes|ir)\// || ground(to)
        if (from ~ /^codegen\/emu[\/.]/ && to == "codegen/cuda/api.h") return 1
        if (from ~ /^codegen\/gpu\// && (backend(to) == "codegen/cuda/" || to ~ /^passes\//)) return 1
        if (backend(to) != "" && from ~ /^(codegen|frontend)\//) return backend(to) == backend(from)
        if (from ~ /^codegen\//) return to ~ /^(codegen|ir|runtime)\// && goes_down(room(from), room(to))
        if (from ~ /^frontend\// && to ~ /^frontend\//) return goes_down(room(from), room(to))
        if (from ~ /^frontend\/nn\//) return to ~ /^(include\/kiln|ir)\// || ground(to)
        return 1
    }
    function breach(what) { print FILENAME ":" FNR ": " what }
    /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
        system_style = $0 ~ /</
        name = $0
        sub(/^[^<"]*[<"]/, "", name); sub(/[>"].*$/, "", name)
        if (name ~ /^llvm(-c)?\//) {
            if (FILENAME !~ /^codegen\/cpu\//) breach("LLVM header " name " outside codegen/cpu")
            next
        }
        own = !system_style && exists(normal(folder(FILENAME) "/" name))
        if (!own && name ~ /^(cuda|nvrtc|cuda_[a-z_]+|cublas[A-Za-z_0-9]*|cudnn[a-z_]*|nccl)\.h$/) {
            if (FILENAME !~ /^codegen\/cuda\//) breach("CUDA header " name " outside codegen/cuda")
            next
        }
        if (!own && name ~ /^(cblas|openblas[a-z_]*|lapacke?|f77blas)\.h$/) {
            breach("BLAS header " name ": a BLAS is opened by dlopen")
            next
        }
        if (name == "cmocka.h") {
            if (FILENAME !~ /^tests\//) breach("cmocka.h outside tests")
            next
        }
        target = ""
        if (name == "kiln_config.h") next
        if (name ~ /^kiln\//) target = "include/" name
        else if (!system_style) {
            target = normal(folder(FILENAME) "/" name)
            if (!exists(target) && exists(normal(name))) target = normal(name)
        }
        if (target == "") next
        if (FILENAME ~ /^docs\/examples\//) {
            if (target !~ /^(include\/kiln|docs\/examples)\//) breach("an example includes " target)
            next
        }
        if (!allowed(FILENAME, target)) breach(folder(FILENAME) " may not include " target)
    }' "$@"
}

# ---- code without comments and literals, as FILE<TAB>LINE<TAB>TEXT ---------------------------------------------
code()
{
    awk '
    FNR == 1 { inside = 0 }
    {
        line = $0; out = ""
        while (line != "") {
            if (inside) {
                if ((i = index(line, "*/")) == 0) { line = ""; break }
                line = substr(line, i + 2); inside = 0; continue
            }
            if (!match(line, /["\047]|\/\*|\/\//)) { out = out line; break }
            out = out substr(line, 1, RSTART - 1)
            opener = substr(line, RSTART, RLENGTH)
            line = substr(line, RSTART + RLENGTH)
            if (opener == "//") break
            if (opener == "/*") { inside = 1; out = out " "; continue }
            out = out opener opener
            while (line != "") {
                c = substr(line, 1, 1)
                if (c == "\\") { line = substr(line, 3); continue }
                line = substr(line, 2)
                if (c == opener) break
            }
        }
        print FILENAME "\t" FNR "\t" out
    }' "$@"
}

allocations()
{
    code "$@" | awk -F '\t' '
        $1 ~ /^(runtime|codegen\/cuda|codegen\/emu|tests|docs\/examples)\// { next }
        $3 ~ /(^|[^A-Za-z0-9_.>])(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|strdup|strndup|asprintf|vasprintf)[ \t]*\(/ {
            print $1 ":" $2 ": memory comes from runtime/base (mem_alloc, arenas), not from the C library"
        }'
}

lengths()
{
    awk '
    function finish() { if (last != "" && lines > 500 && last !~ /^include\//) print last ":" lines ": file of " lines " lines, 500 are allowed" }
    FNR == 1 { finish(); last = FILENAME; start = 0 }
    { lines = FNR }
    /^[A-Za-z_].*\)[ \t]*\{[ \t]*$/ || /^\{/ { start = FNR }
    /^\}/ {
        if (start && FNR - start + 1 > 70 && FILENAME ~ /\.c$|\.h$|\.cc$/)
            print FILENAME ":" start ": function of " FNR - start + 1 " lines, 70 are allowed"
        start = 0
    }
    END { finish() }' "$@"
}

# Sources and private headers look as .clang-format says; tables and what users read are aligned by hand. Other versions of the
# formatter break lines elsewhere.
formatted()
{
    printf '%s\n' "${sources[@]}" | grep -v '^include/\|\.def$' | xargs clang-format --dry-run 2>&1 | sed -n 's/^\([^ ]*\): warning: .*/\1: not as clang-format writes it/p'
}

alone() # compiler language-standard language header
{
    local text
    text=$(printf '#include <kiln/%s>\n' "${4##*/}" |
        $1 "-std=$2" -x "$3" -Iinclude -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only - 2>&1) ||
        printf '%s does not compile alone with %s as %s:\n%s\n' "$4" "$1" "$2" "$(printf '%s\n' "$text" | head -n 8)"
}
publics()
{
    local header c cxx
    for header in include/kiln/*.h; do
        [ -f "$header" ] || continue
        for c in "$CC" clang; do
            command -v ${c%% *} >/dev/null 2>&1 && alone "$c" c11 c "$header"
        done
        for cxx in "$CXX" clang++; do
            command -v ${cxx%% *} >/dev/null 2>&1 && alone "$cxx" c++17 c++ "$header"
        done
    done
    return 0
}

# Lines outside tests. Targets: what turns programs into code or runs them, one folder each.
lines() { find "$@" -type f \( -name '*.c' -o -name '*.h' -o -name '*.def' \) -exec cat {} + | wc -l; }
targets=$(lines codegen/cpu codegen/cuda codegen/emu codegen/eager codegen/ref codegen/native)
core=$(($(lines ir passes codegen runtime frontend) - $(lines frontend/nn frontend/io frontend/cli)))
longest()
{
    printf '%s\n' "${sources[@]}" | grep '\.c$' | xargs awk '
    FNR == 1 { start = 0 }
    FNR > most { most = FNR; file = FILENAME }
    /^\{/ || /^[A-Za-z_].*\)[ \t]*\{[ \t]*$/ { start = FNR }
    /^\}/ { if (start && FNR - start + 1 > long) { long = FNR - start + 1; at = FILENAME ":" start } start = 0 }
    END { print "# longest file: " file ", " most " lines; longest function: " at ", " long " lines" }'
}
longest
echo "# $core lines of core, $targets of them targets; $(lines include ir passes codegen runtime frontend) lines outside tests"

echo 1..9
verdict 'includes go down only' "$(includes "${all[@]}" || echo "this check did not run")"
[ -n "$(find "${BUILD:-build}/obj" -name '*.o' 2>/dev/null | head -n 1)" ] || { echo '# calls can be looked at in a finished build only: run make first'; exit 1; }
tell_hooks
verdict 'calls go down only, but for the hooks of frontend/open.c' "$(calls_up && needless_hooks || echo "this check did not run")"
verdict 'what is offered is used' "$(unused)"
verdict 'only runtime, codegen/cuda and codegen/emu allocate' "$(allocations "${sources[@]}")"
verdict 'files under 500 lines, functions under 70' "$(lengths "${all[@]}")"
verdict 'pointers are asked as p and !p' "$(code "${sources[@]}" | awk -F '\t' '$3 ~ /[=!]= *NULL/ { print $1 ":" $2 ": compares with NULL; the house asks p or !p" }')"
verdict 'calls are those that headers declare' "$(bash frontend/ops/calls.sh check || echo 'bash frontend/ops/calls.sh writes them')"
verdict 'public headers compile alone as C11 and C++17' "$(publics)"
if [[ $(clang-format --version 2>/dev/null) =~ version\ 14\. ]]; then
    verdict 'sources are formatted' "$(formatted)"
else
    n=$((n + 1))
    echo "ok $n - sources are formatted # SKIP clang-format 14 is not installed"
fi
[ $failed -eq 0 ]
