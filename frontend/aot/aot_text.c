/* aot_text: a module in text form ahead of time: what `kiln compile` does. */
#include "../../ir/text.h"
#include "../../ir/verify.h"
#include "aot.h"

typedef struct Job {
    Thread *t;
    kiln_site at;
    Arena arena;
    const char *text, *path;
    size_t len;
    const kiln_aot_options *o;
    Status st;
    bool ok;
} Job;

/* What only our own passes and tapes make says more than the verifier checks: it is not taken from outside. */
static bool only_traced_ops(const Module *m, Status *st)
{
    for (uint32_t i = 0; i < m->graph.len; i++)
        for (uint32_t j = 0; j < m->graph.at[i]->node.len; j++) {
            Op op = (Op)m->graph.at[i]->node.at[j].op;
            if (op == OP_kernel || op == OP_call)
                return status_fail(st, ST_UNSUPPORTED,
                    "graph %s holds %s, which is not compiled from text; give the graph as "
                    "traced (KILN_DUMP=ir)",
                    m->graph.at[i]->name, op_def[op].name);
        }
    return true;
}

Module *text_module(Arena *arena, const char *text, size_t len, Status *st)
{
    Module *m = module_parse(arena, text, len, st);
    if (!m || !module_verify(m, st) || !only_traced_ops(m, st)) return NULL;
    if (m->graph.len) return m;
    status_fail(st, ST_FORMAT, "the text has no graph");
    return NULL;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_name_char(char c) { return is_letter(c) || (c >= '0' && c <= '9'); }

/* Files that KILN_DUMP writes begin with a number: where the path gives no C identifier, the graph's name does. */
static void name_by_graph(Job *j, const Graph *g, kiln_aot_options *o)
{
    const char *slash = strrchr(j->path, '/'), *last = slash ? slash + 1 : j->path;
    bool fits = is_letter(last[0]);
    for (const char *c = last; *c; c++) fits = fits && is_name_char(*c);
    *o = *j->o;
    if (o->symbol || fits) return;
    char *symbol = arena_printf(&j->arena, "%s%s", is_letter(g->name[0]) ? "" : "graph_", g->name);
    for (char *c = symbol; *c; c++)
        if (!is_name_char(*c)) *c = '_';
    o->symbol = symbol;
}

static void job_body(void *arg)
{
    Job *j = arg;
    Module *m = text_module(&j->arena, j->text, j->len, &j->st);
    if (!m) return;
    Graph *g = m->graph.at[0];
    Traced counts = {0};
    traced_add_counts(&counts, g);
    Artifact a = {.t = j->t,
        .at = j->at,
        .module = m,
        .arena = &j->arena,
        .name = g->name,
        .noutput = g->result.len,
        .count = counts.count,
        .ncount = counts.ncount};
    a.input = ARENA_ARRAY(&j->arena, Place, g->param.len + 1);
    for (uint32_t i = 0; i < g->param.len; i++) a.input[i] = (Place){.kind = PLACE_ARGUMENT, .name = ""};
    a.changed = ARENA_ARRAY(&j->arena, uint32_t, 1);
    kiln_aot_options o;
    name_by_graph(j, g, &o);
    j->ok = artifact_write(&a, j->path, &o, &j->st);
}

bool kiln_aot_text_sized(
    kiln_site at, kiln *k, const char *text, size_t len, const char *path, const kiln_aot_options *options, size_t size)
{
    Thread *t = thread_of(k);
    kiln_aot_options o = {0};
    if (options) memcpy(&o, options, MIN_OF(size, sizeof o));
    if (!t || !text || !path) {
        fail(t ? t : thread_last(), at, KILN_EVALUE, "aot: the text or the path is NULL");
        return false;
    }
    if (k->options.no_compile) return fail(t, at, KILN_ESTATE, "aot: the engine does not compile (.no_compile)"), false;
    Job j = {.t = t, .at = at, .text = text, .len = len, .path = path, .o = &o};
    arena_init(&j.arena);
    if (!arena_try(&j.arena, &j.st, job_body, &j)) j.ok = false;
    if (!j.ok) fail_status(t, at, &j.st);
    arena_free(&j.arena);
    return j.ok;
}
