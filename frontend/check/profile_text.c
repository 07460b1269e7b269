/* profile_text: a profile as a table and as JSON. Measures nothing. */
#include "profile.h"

#include <stdlib.h>

#include "../engine/escape.h"

/* ---- rows -------------------------------------------------------------------------------------------------------------- */
typedef struct Row {
    const Marked *of;
    const MarkedStep *step;
    double calls; /* what the sums are divided by */
    double share; /* of all the time */
} Row;

typedef struct Held { /* against the machine */
    double part;      /* of what it can do at most; 0: nothing to hold against it */
    const char *by;   /* what limits: "memory", "arithmetic" */
} Held;

static Held held_of(const Row *r, const Roof *roof)
{
    const MarkedStep *s = r->step;
    const double bytes = s->sum.read + s->sum.written, peak = s->type == DT_f64 ? roof->f64 : roof->f32;
    const double rate = s->times > 0 ? roof_rate(roof, bytes / s->times) : 0, moves = rate > 0 ? bytes / rate : 0;
    const double computes = s->type != DT_NONE && peak > 0 ? s->sum.flops / peak : 0;
    if (MAX_OF(moves, computes) <= 0 || s->seconds <= 0) return (Held){0, ""};
    return moves >= computes ? (Held){moves / s->seconds, "memory"} : (Held){computes / s->seconds, "arithmetic"};
}

/* The first from m on that is told of. */
static const Marked *told(const ProfileReport *r, const Marked *m)
{
    while (m && r->all && m->device != r->device) m = m->next;
    return m;
}
static const Marked *told_next(const ProfileReport *r, const Marked *m) { return r->all ? told(r, m->next) : NULL; }

/* The steps that ran, in the order of programs. NULL: no memory. */
static Row *rows_of(const ProfileReport *r, uint32_t *n)
{
    double all = 0;
    uint32_t room = 1;
    for (const Marked *m = told(r, r->first); m; m = told_next(r, m)) {
        room += m->nstep;
        all += r->all ? m->seconds : r->marked * m->calls;
    }
    Row *row = mem_zeros(room, sizeof *row);
    *n = 0;
    for (const Marked *m = told(r, r->first); row && m; m = told_next(r, m))
        for (uint32_t i = 0; i < m->nstep; i++)
            if (m->step[i].times > 0)
                row[(*n)++] = (Row){m, &m->step[i], r->all ? 1 : m->calls, all > 0 ? m->step[i].seconds / all : 0};
    return row;
}

static void rows_free(const ProfileReport *r, Row *row)
{
    uint32_t room = 1;
    for (const Marked *m = told(r, r->first); m; m = told_next(r, m)) room += m->nstep;
    if (row) mem_free(row, room * sizeof *row);
}

static int longer_first(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    const double d = y->step->seconds - x->step->seconds;
    return d > 0 ? 1 : d < 0 ? -1 : (x->step > y->step) - (x->step < y->step);
}

/* ---- the table ----------------------------------------------------------------------------------------------------------- */
static const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path;
}

/* Names are the user's. */
static void put_place(Text *out, const char *name, Loc loc)
{
    const size_t from = out->len;
    text_printf(out, "%s", name);
    if (loc.file) text_printf(out, "@%s:%d", base_name(loc.file), loc.line);
    if (!out->failed) text_line(out->at + from);
}

static const char *count_text(double v, char *buf, size_t cap)
{
    static const char *const unit[4] = {"", "k", "M", "G"};
    return v > 0 ? quantity_text(v, unit, buf, cap) : "";
}

static const char *part_text(Held h, char *buf, size_t cap)
{
    if (h.part <= 0) return "";
    snprintf(buf, cap, h.part < 0.0995 ? "%.1f %% %s" : "%.0f %% %s", 100 * h.part, h.by);
    return buf;
}

/* "mul 3, add 2, exp" */
static void put_ops(Text *out, const MarkedStep *s)
{
    const char *comma = "";
    for (uint32_t i = 0; i < s->op.len; i++) {
        uint32_t before = 0, times = 0;
        for (uint32_t k = 0; k < s->op.len; k++)
            if (!strcmp(s->op.at[k], s->op.at[i])) times++, before += k < i;
        if (before) continue;
        text_printf(out, "%s%s", comma, s->op.at[i]);
        if (times > 1) text_printf(out, " %u", times);
        comma = ", ";
    }
}

/* Two results of one line read alike. */
static bool told_before(const MarkedStep *s, uint32_t i)
{
    const MarkedStop *x = &s->stop.at[i];
    for (uint32_t k = 0; k < i; k++) {
        const MarkedStop *y = &s->stop.at[k];
        if (x->why == y->why && x->value == y->value && x->loc.line == y->loc.line) return true;
    }
    return false;
}

static void put_row(Text *out, const Row *r, const Roof *roof)
{
    const MarkedStep *s = r->step, *last = s + s->with;
    char a[32], b[32], c[32], d[32], e[32], g[48];
    const double n = r->calls, rate = s->seconds > 0 ? 1 / s->seconds : 0;
    text_printf(out, "%6.1f %% %9s %9s %9s %9s %9s %7.1f %7.1f %17s  ", 100 * r->share, time_text(s->seconds / n, a, sizeof a),
        count_text(s->times / n, b, sizeof b), s->sum.read > 0 ? bytes_text(s->sum.read / n, c, sizeof c) : "",
        s->sum.written > 0 ? bytes_text(s->sum.written / n, d, sizeof d) : "", count_text(s->sum.flops / n, e, sizeof e),
        1e-9 * (s->sum.read + s->sum.written) * rate, 1e-9 * s->sum.flops * rate, part_text(held_of(r, roof), g, sizeof g));
    put_place(out, s->name, s->loc);
    if (s < last) text_printf(out, " + "), put_place(out, strrchr(s[1].name, '.') + 1, s[1].loc);
    if (s + 1 < last) text_printf(out, " and %u more side by side", s->with - 1);
    text_printf(out, "\n");
    for (; s <= last; s++) {
        if (s > r->step && strcmp(s->name, s[-1].name) == 0) continue; /* the same kernel again, on other buffers */
        if (s->op.len > 1) text_printf(out, "%11sis ", ""), put_ops(out, s), text_printf(out, "\n");
        for (uint32_t i = 0; i < s->stop.len; i++) {
            if (told_before(s, i)) continue;
            text_printf(out, "%11sreads ", "");
            put_place(out, s->stop.at[i].value, s->stop.at[i].loc);
            text_printf(out, ": %s\n", s->stop.at[i].why);
        }
    }
}

static void put_head(Text *out, const ProfileReport *r)
{
    char a[32], b[32];
    const Marked *m = told(r, r->first);
    if (!r->all) {
        put_place(out, m->function, m->loc);
        text_printf(out, ": a call takes %s, with marks %s; medians of %.0f calls\n", time_text(r->plain, a, sizeof a),
            time_text(r->marked, b, sizeof b), m->calls);
    }
    for (; r->all && m; m = told_next(r, m)) {
        if (m->calls == 0) continue;
        text_printf(out, "%9s in %.0f calls of ", time_text(m->seconds, a, sizeof a), m->calls);
        put_place(out, m->function, m->loc);
        text_printf(out, "\n");
    }
    if (r->roof->device)
        text_printf(out, "at most, on %s:", r->roof->device);
    else
        text_printf(out, "at most, on %d thread%s:", r->roof->threads, r->roof->threads == 1 ? "" : "s");
    if (r->roof->move[0] <= 0) text_printf(out, " not measured");
    for (int i = 0; i < ROOF_SIZES && r->roof->move[0] > 0; i++)
        text_printf(out, "%s %.0f GB/s of %zu %s", i ? "," : "", 1e-9 * r->roof->move[i],
            roof_bytes[i] >> 20 ? roof_bytes[i] >> 20 : roof_bytes[i] >> 10, roof_bytes[i] >> 20 ? "MiB" : "KiB");
    if (r->roof->f32 > 0) text_printf(out, "; %.0f GF/s in f32, %.0f in f64", 1e-9 * r->roof->f32, 1e-9 * r->roof->f64);
    text_printf(out, "\n");
    text_printf(out, "%8s %9s %9s %9s %9s %9s %7s %7s %17s  %s\n", "share", "time", "times", "read", "written", "flops", "GB/s",
        "GF/s", "of the most", "step");
}

void profile_table(Text *out, const ProfileReport *r)
{
    uint32_t n;
    Row *row = rows_of(r, &n);
    out->failed = out->failed || !row;
    if (!row) return;
    put_head(out, r);
    qsort(row, n, sizeof *row, longer_first);
    for (uint32_t i = 0; i < n; i++) put_row(out, &row[i], r->roof);
    rows_free(r, row);
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------- */
static void json_place(Text *out, const char *name, const char *value, Loc loc)
{
    text_printf(out, "\"%s\": ", name);
    text_json(out, value);
    if (!loc.file) return;
    text_printf(out, ", \"file\": ");
    text_json(out, loc.file);
    text_printf(out, ", \"line\": %d", loc.line);
}

static void json_lists(Text *out, const MarkedStep *s)
{
    text_printf(out, ", \"ops\": [");
    for (uint32_t i = 0; i < s->op.len; i++) text_printf(out, "%s\"%s\"", i ? ", " : "", s->op.at[i]);
    text_printf(out, "], \"reads\": [");
    for (uint32_t i = 0; i < s->stop.len; i++) {
        text_printf(out, "%s{", i ? ", " : "");
        json_place(out, "value", s->stop.at[i].value, s->stop.at[i].loc);
        text_printf(out, ", \"why\": \"%s\"}", s->stop.at[i].why);
    }
    text_printf(out, "]");
}

static void json_row(Text *out, const Row *r, const Roof *roof)
{
    const MarkedStep *s = r->step;
    const Held held = held_of(r, roof);
    const double n = r->calls;
    text_printf(out, "{");
    json_place(out, "name", s->name, s->loc);
    text_printf(out,
        ", \"kind\": \"%s\", \"depth\": %u, \"seconds\": %.9g, \"share\": %.4g, \"times\": %.15g, \"bytes_read\": %.15g, "
        "\"bytes_written\": %.15g, \"flops\": %.15g, \"of_roof\": %.4g, \"limit\": \"%s\"",
        s->kind, s->depth, s->seconds / n, r->share, s->times / n, s->sum.read / n, s->sum.written / n, s->sum.flops / n, held.part,
        held.by);
    json_lists(out, s);
    for (uint32_t i = 1; i <= s->with; i++) {
        text_printf(out, i == 1 ? ", \"with\": [{" : ", {");
        json_place(out, "name", s[i].name, s[i].loc);
        json_lists(out, s + i);
        text_printf(out, i == s->with ? "}]" : "}");
    }
    text_printf(out, "}");
}

static void json_roof(Text *out, const Roof *r)
{
    text_printf(out, "\"roof\": {");
    if (r->device)
        text_printf(out, "\"device\": \"%s\"", r->device);
    else
        text_printf(out, "\"threads\": %d", r->threads);
    text_printf(out, ", \"bytes_per_second\": {");
    for (int i = 0; i < ROOF_SIZES; i++) text_printf(out, "%s\"%zu\": %.6g", i ? ", " : "", roof_bytes[i], r->move[i]);
    text_printf(out, "}, \"f32_flops_per_second\": %.6g, \"f64_flops_per_second\": %.6g}", r->f32, r->f64);
}

static void json_function(Text *out, const ProfileReport *r, const Marked *m)
{
    json_place(out, "function", m->function, m->loc);
    text_printf(out, ", \"calls\": %.15g, \"seconds\": %.9g", m->calls, r->all ? m->seconds : r->marked);
    if (!r->all) text_printf(out, ", \"seconds_without_marks\": %.9g", r->plain);
}

void profile_json(Text *out, const ProfileReport *r)
{
    uint32_t n;
    Row *row = rows_of(r, &n);
    out->failed = out->failed || !row;
    if (!row) return;
    text_printf(out, "{");
    json_roof(out, r->roof);
    text_printf(out, ", \"functions\": [");
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || row[i].of != row[i - 1].of) {
            text_printf(out, "%s{", i ? "]}, " : "");
            json_function(out, r, row[i].of);
            text_printf(out, ", \"steps\": [\n");
        } else {
            text_printf(out, ",\n");
        }
        json_row(out, &row[i], r->roof);
    }
    text_printf(out, "%s]}\n", n ? "]}" : "");
    rows_free(r, row);
}
