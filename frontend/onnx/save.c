/* save: a traced function, or a module in text form, as a file of ONNX: inputs, weights, results, and the file. Relies on export.h
 * for its nodes. Fields' numbers are onnx.proto's. */
#include "export.h"

#include "../aot/aot.h"
#include "../engine/file.h"
#include "model.h"

/* ---- the model ------------------------------------------------------------------------------------------------------------ */
typedef struct Job {
    Thread *t;
    kiln_site at;
    const char *path;
    const char *name; /* of the function or graph */
    Traced *traced;
    Export x;
    Text node, small; /* of the graph: its nodes, small weights */
    Text graph;       /* and the rest, but for the weights of sources */
    Text *head;       /* per source: of the tensor that it is in the file; empty: it is an input */
    uint64_t weights; /* bytes of those, with their heads */
    Status st;
} Job;

static bool is_weight(const Source *s) { return s->kind != FROM_ARGUMENT; }
static const kiln_tensor *value_of(const Source *s) { return s->kind == FROM_VARIABLE ? s->variable->value : s->tensor; }

static void name_sources(Job *j)
{
    Export *x = &j->x;
    for (uint32_t i = 0; i < j->traced->nsource; i++) {
        const Source *s = &j->traced->source[i];
        const bool variable = s->kind == FROM_VARIABLE && s->variable->name && *s->variable->name;
        x->at->name[x->at->g->param.at[i]] =
            is_weight(s) ? arena_printf(x->arena, variable ? "%s.%u" : "%sw%u", variable ? s->variable->name : "", i)
                         : arena_printf(x->arena, "x%u", s->argument);
        export_is(x, x->at->name[x->at->g->param.at[i]], (DType)s->type.dtype);
        if (export_number((DType)s->type.dtype) == 0) export_wrong(x, dtype_info[s->type.dtype].name, "ONNX has no such dtype");
    }
}

/* A result is a value under a name of its own, since one may be a result twice, or an input. */
static void put_results(Job *j)
{
    Export *x = &j->x;
    for (uint32_t i = 0; i < j->traced->noutput; i++) {
        const Value v = x->at->g->result.at[i];
        export_result(x, &j->graph, export_value(x, v), arena_printf(x->arena, "y%u", i), type_of(x, v));
    }
    export_keep(x, &j->node, 0);
    export_keep_small(x, &j->small);
}

static void job_body(void *arg)
{
    Job *j = arg;
    Export *x = &j->x;
    Level frame;
    export_open(x, &frame, j->traced->module->graph.at[0]);
    j->head = ARENA_ARRAY(x->arena, Text, j->traced->nsource + 1);
    put_text(&j->graph, 2, frame.g->name);
    name_sources(j);
    export_nodes(x);
    put_results(j);
    for (uint32_t i = 0; i < j->traced->nsource; i++) {
        const Source *s = &j->traced->source[i];
        const char *name = x->at->name[x->at->g->param.at[i]];
        if (!is_weight(s)) {
            export_type(&j->graph, 11, name, &frame.g->module->dims, &s->type);
            continue;
        }
        const uint64_t bytes = kiln_bytes(value_of(s));
        export_tensor_head(&j->head[i], name, (DType)s->type.dtype, s->type.dim, s->type.rank);
        put_head(&j->head[i], 9, bytes);
        Text begin = {0};
        put_head(&begin, 5, j->head[i].len + bytes);
        j->weights += begin.len + j->head[i].len + bytes;
        j->graph.failed |= j->head[i].failed || begin.failed;
        text_free(&begin);
    }
    export_close(x);
}

static bool told(Job *j)
{
    char all[400] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < j->x.wrong.len && n + 4 < sizeof all; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", j->x.wrong.at[i]);
    if (j->x.wrong.len != 0)
        return fail(j->t, j->at, KILN_EUNSUPPORTED, "onnx: %s cannot be a model of ONNX: %s", j->name, all), false;
    if (j->traced->nchanged != 0)
        return fail(j->t, j->at, KILN_EUNSUPPORTED, "onnx: %s assigns variable %s, which a model of ONNX cannot", j->name,
                   j->traced->changed[0]->name),
               false;
    if (j->graph.len + j->node.len + j->small.len + j->weights > INT32_MAX - 1024)
        return fail(j->t, j->at, KILN_EUNSUPPORTED, "onnx: %s: a file of protobuf has less than 2 GiB", j->name), false;
    return true;
}

static bool put_weights(Job *j, FileOut *out)
{
    bool ok = true;
    for (uint32_t i = 0; i < j->traced->nsource && ok; i++) {
        const Source *s = &j->traced->source[i];
        if (!is_weight(s)) continue;
        kiln_tensor *x = tensor_host(j->t, j->at, (kiln_tensor *)(uintptr_t)value_of(s));
        x = tensor_ok(x) ? tensor_contiguous(j->t, j->at, x) : x;
        if (!tensor_ok(x)) return false;
        Text begin = {0};
        put_head(&begin, 5, j->head[i].len + kiln_bytes(x));
        ok = !begin.failed && file_write(out, begin.at, begin.len) && file_write(out, j->head[i].at, j->head[i].len) &&
             file_write(out, x->data, kiln_bytes(x));
        text_free(&begin);
    }
    return ok;
}

static bool write_file(Job *j)
{
    Text model = {0}, opset = {0};
    FileOut out;
    put_number(&model, 1, export_format(j->x.opset));
    put_text(&model, 2, "kiln");
    put_text(&model, 3, kiln_version());
    put_text(&opset, 1, "");
    put_number(&opset, 2, j->x.opset);
    put_message(&model, 8, &opset);
    put_head(&model, 7, j->node.len + j->small.len + j->graph.len + j->weights);
    bool ok = !model.failed && !j->node.failed && !j->small.failed && !j->graph.failed;
    if (!ok) fail(j->t, j->at, KILN_EMEMORY, "onnx: no memory");
    ok = ok && file_begin(&out, j->t, j->at, "onnx", j->path, NULL);
    if (ok) {
        ok = file_write(&out, model.at, model.len) && file_write(&out, j->node.at, j->node.len) &&
             file_write(&out, j->small.at, j->small.len) && file_write(&out, j->graph.at, j->graph.len) && put_weights(j, &out);
        if (ok)
            ok = file_commit(&out);
        else
            file_abandon(&out);
    }
    text_free(&model);
    return ok;
}

static bool save(Job *j)
{
    j->x = (Export){.arena = &j->traced->arena, .opset = EXPORT_OPSET};
    j->x.used.arena = j->x.turned.arena = j->x.dtype.arena = j->x.arena;
    bool ok = arena_try(j->x.arena, &j->st, job_body, j);
    if (!ok) fail_status(j->t, j->at, &j->st);
    ok = ok && told(j) && write_file(j);
    for (uint32_t i = 0; j->head && i < j->traced->nsource; i++) text_free(&j->head[i]);
    text_free(&j->graph);
    text_free(&j->node);
    text_free(&j->small);
    export_free(&j->x);
    return ok;
}

bool kiln_onnx_save_at(kiln_site at, kiln_function *f, const char *path)
{
    Thread *t = f ? thread_of(f->k) : thread_last();
    if (!f || !t) return fail(t, at, KILN_ESTATE, "onnx: the function is NULL"), false;
    if (!file_allowed(t, at, "onnx", path) || !function_alive(t, at, f) || !call_enter(t, at, f)) return false;
    Traced traced = {0};
    traced_init(&traced);
    kiln_scope scope = kiln_scope_open(f->k);
    Job j = {.t = t, .at = at, .path = path, .name = f->name, .traced = &traced};
    const bool ok = function_trace_ahead(t, at, "onnx", f, &traced) && save(&j);
    call_leave(t);
    traced_free(&traced);
    kiln_scope_close(&scope);
    return ok;
}

/* ---- of text ----------------------------------------------------------------------------------------------------------- */
typedef struct Reading {
    Traced *traced;
    const char *text;
    size_t len;
    Status st;
} Reading;

static void read_body(void *arg)
{
    Reading *r = arg;
    Traced *traced = r->traced;
    if (!(traced->module = text_module(&traced->arena, r->text, r->len, &r->st))) return;
    const Graph *g = traced->module->graph.at[0];
    traced->nsource = g->param.len;
    traced->noutput = g->result.len;
    traced->source = ARENA_ARRAY(&traced->arena, Source, traced->nsource + 1);
    for (uint32_t i = 0; i < traced->nsource; i++)
        traced->source[i] = (Source){.kind = FROM_ARGUMENT, .argument = i, .type = *graph_type(g, g->param.at[i])};
}

bool kiln_onnx_save_text_at(kiln_site at, kiln *k, const char *text, size_t len, const char *path)
{
    Thread *t = k ? thread_of(k) : NULL;
    if (!t || !text) return fail(t, at, KILN_ESTATE, "onnx: the %s is NULL", t ? "text" : "engine"), false;
    if (!file_allowed(t, at, "onnx", path)) return false;
    Traced traced = {0};
    traced_init(&traced);
    Reading r = {&traced, text, len, {0}};
    const bool read = arena_try(&traced.arena, &r.st, read_body, &r) && !r.st.code;
    if (!read) fail_status(t, at, &r.st);
    Job j = {.t = t, .at = at, .path = path, .name = read ? traced.module->graph.at[0]->name : "", .traced = &traced};
    const bool ok = read && save(&j);
    traced_free(&traced);
    return ok;
}
