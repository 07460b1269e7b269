/* model: opens a model, maps its file, and checks what holds for every model: versions, tensors, names. Relies on model.h. */
#define _GNU_SOURCE /* O_PATH */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../engine/escape.h"
#include "names.h"

#define NEWEST_IR 14     /* of onnx.proto as it is read here */
#define MOST_OPSETS 1000 /* that one model or function imports: each node looks for its own among them */
#define MOST_FUNCTIONS (1 << 16)

Shown shown(Bytes name)
{
    Shown s = {{0}};
    const bool cut = name.n > 64;
    if (name.n != 0) memcpy(s.text, name.at, cut ? 61 : name.n);
    for (size_t i = 0; i < (cut ? 61 : name.n); i++)
        if (s.text[i] == 0) s.text[i] = '?';
    if (cut) memcpy(s.text + 61, "...", 4);
    text_line(s.text);
    return s;
}

/* ---- checks ------------------------------------------------------------------------------------------ */

/* What is checked last goes into the error before the reason. */
static bool because(Status *st, const Status *why, const char *what, Bytes name, uint32_t number)
{
    return status_fail(st, why->code, "%s %u, '%s': %s", what, number, shown(name).text, why->text);
}

static bool graph_check(const kiln_onnx *m, OnnxGraph *g, const Names *outer, Status *st);

static bool tensors_check(const kiln_onnx *m, const OnnxTensor *x, uint32_t n, Status *st)
{
    for (uint32_t i = 0; i < n; i++) {
        Status why = {0};
        if (!tensor_check(m, &x[i], &why)) return because(st, &why, "tensor", x[i].name, i);
    }
    return true;
}

static bool attribute_check(const kiln_onnx *m, const OnnxAttribute *a, const Names *outer, Status *st)
{
    if (a->floats.n % 4 != 0) return status_fail(st, ST_FORMAT, "a number in its list is cut off");
    if (numbers_count(a->ints) < 0) return status_fail(st, ST_FORMAT, "a number in its list is broken");
    if ((a->t && !tensor_check(m, a->t, st)) || !tensors_check(m, a->tensors.at, a->tensors.n, st)) return false;
    const OnnxTensor sparse = a->sparse ? sparse_whole(a->sparse) : (OnnxTensor){.type = 0};
    if ((a->sparse && !tensor_check(m, &sparse, st)) || (a->g && !graph_check(m, a->g, outer, st))) return false;
    for (uint32_t i = 0; i < a->graphs.n; i++)
        if (!graph_check(m, &a->graphs.at[i], outer, st)) return false;
    return true;
}

static bool node_check(const kiln_onnx *m, const OnnxNode *n, Names *names, Status *st)
{
    if (n->op.n == 0) return status_fail(st, ST_FORMAT, "it names no operator");
    for (uint32_t i = 0; i < n->input.n; i++)
        if (n->input.at[i].n != 0 && !names_have(names, n->input.at[i]))
            return status_fail(st, ST_FORMAT, "input %u, '%s', is made by nothing before it", i, shown(n->input.at[i]).text);
    for (uint32_t i = 0; i < n->attribute.n; i++) {
        Status why = {0};
        if (!attribute_check(m, &n->attribute.at[i], names, &why))
            return because(st, &why, "attribute", n->attribute.at[i].name, i);
    }
    for (uint32_t i = 0; i < n->output.n; i++)
        if (n->output.at[i].n != 0 && !names_add(names, n->output.at[i]))
            return status_fail(
                st, ST_FORMAT, "output %u, '%s', is the name of something else already", i, shown(n->output.at[i]).text);
    return true;
}

static bool nodes_check(const kiln_onnx *m, const OnnxNode *node, uint32_t n, Names *names, Status *st)
{
    for (uint32_t i = 0; i < n; i++) {
        Status why = {0};
        if (!node_check(m, &node[i], names, &why))
            return status_fail(st, why.code, "node %u, %s '%s': %s", i, shown(node[i].op).text, shown(node[i].name).text, why.text);
    }
    return true;
}

/* Inputs may be initialised: then an initialiser has an input's name. */
static bool graph_check(const kiln_onnx *m, OnnxGraph *g, const Names *outer, Status *st)
{
    sparse_join((Arena *)(uintptr_t)&m->arena, g);
    Names names = {.arena = (Arena *)(uintptr_t)&m->scratch, .outer = outer};
    if (g->initializer.n != 0) names_room(&names, g->initializer.n);
    for (uint32_t i = 0; i < g->input.n; i++)
        if (g->input.at[i].name.n == 0 || !names_add(&names, g->input.at[i].name))
            return status_fail(
                st, ST_FORMAT, "input %u: it has no name, or there are two of the name '%s'", i, shown(g->input.at[i].name).text);
    if (!tensors_check(m, g->initializer.at, g->initializer.n, st)) return false;
    for (uint32_t i = 0; i < g->initializer.n; i++) {
        if (g->initializer.at[i].name.n == 0) return status_fail(st, ST_FORMAT, "initialiser %u has no name", i);
        names_add(&names, g->initializer.at[i].name);
    }
    if (!nodes_check(m, g->node.at, g->node.n, &names, st)) return false;
    for (uint32_t i = 0; i < g->output.n; i++)
        if (!names_have(&names, g->output.at[i].name))
            return status_fail(st, ST_FORMAT, "output %u, '%s', is made by nothing", i, shown(g->output.at[i].name).text);
    return true;
}

static bool few_opsets(uint32_t n, Status *st)
{
    return n <= MOST_OPSETS ||
           status_fail(st, ST_UNSUPPORTED, "it imports operators %u times, which is more than %d", n, MOST_OPSETS);
}

static bool functions_check(const kiln_onnx *m, Status *st)
{
    if (m->model->function.n > MOST_FUNCTIONS)
        return status_fail(st, ST_UNSUPPORTED, "it has %u functions, which is more than %d", m->model->function.n, MOST_FUNCTIONS);
    for (uint32_t f = 0; f < m->model->function.n; f++) {
        const OnnxFunction *fn = &m->model->function.at[f];
        Names names = {.arena = (Arena *)(uintptr_t)&m->scratch};
        Status why = {0};
        if (!few_opsets(fn->opset.n, &why)) return because(st, &why, "function", fn->name, f);
        for (uint32_t i = 0; i < fn->input.n; i++) names_add(&names, fn->input.at[i]);
        for (uint32_t i = 0; i < fn->attribute.n; i++)
            if (!attribute_check(m, &fn->attribute.at[i], NULL, &why)) return because(st, &why, "function", fn->name, f);
        if (!nodes_check(m, fn->node.at, fn->node.n, &names, &why)) return because(st, &why, "function", fn->name, f);
        for (uint32_t i = 0; i < fn->output.n; i++)
            if (!names_have(&names, fn->output.at[i]))
                return status_fail(st, ST_FORMAT, "function %u, '%s': output %u, '%s', is made by nothing", f, shown(fn->name).text,
                    i, shown(fn->output.at[i]).text);
    }
    return true;
}

static bool opsets_check(const OnnxModel *x, Status *st)
{
    if (!few_opsets(x->opset.n, st)) return false;
    if (x->opset.n == 0 && x->ir_version >= 3) return status_fail(st, ST_FORMAT, "it imports no operators");
    for (uint32_t i = 0; i < x->opset.n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (bytes_equal(x->opset.at[i].domain, x->opset.at[j].domain) && x->opset.at[i].version != x->opset.at[j].version)
                return status_fail(
                    st, ST_FORMAT, "it imports two versions of the operators of '%s'", shown(x->opset.at[i].domain).text);
    return true;
}

static bool model_check(const kiln_onnx *m, Status *st)
{
    const OnnxModel *x = m->model;
    if (!x->graph) return status_fail(st, ST_FORMAT, "it has no graph: this is no ONNX model");
    if (x->ir_version < 1 || x->ir_version > NEWEST_IR)
        return status_fail(
            st, ST_UNSUPPORTED, "its format has version %lld (allowed: 1 to %d)", (long long)x->ir_version, NEWEST_IR);
    return opsets_check(x, st) && graph_check(m, x->graph, NULL, st) && functions_check(m, st);
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static void clean(Object *o)
{
    kiln_onnx *m = (kiln_onnx *)o;
    onnx_forget(m);
    if (m->mapped) munmap(m->mapped, m->size);
    if (m->copy) mem_free(m->copy, m->size);
    if (m->folder >= 0) close(m->folder);
    if (m->path) mem_free(m->path, strlen(m->path) + 1);
    arena_free(&m->arena);
    arena_free(&m->scratch);
    pthread_mutex_destroy(&m->lock);
}

typedef struct Reading {
    kiln_onnx *m;
    Status *st;
    bool ok;
} Reading;

static void read_model(void *arg)
{
    Reading *r = arg;
    kiln_onnx *m = r->m;
    m->scratch.border = m->arena.border;
    const Bytes all = {m->mapped ? m->mapped : m->copy, m->size};
    m->model = proto_model(&m->arena, all, r->st);
    r->ok = m->model && model_check(m, r->st);
}

static bool read_all(Thread *t, kiln_site at, kiln_onnx *m)
{
    Status st = {0};
    Reading r = {m, &st, false};
    const bool read = arena_try(&m->arena, &st, read_model, &r) && r.ok;
    arena_free(&m->scratch);
    if (read) return true;
    fail(t, at, (kiln_code)st.code, "onnx: %s: %s", m->path ? m->path : "a model in memory", st.text);
    return false;
}

static kiln_onnx *model_new(Thread *t, kiln_site at)
{
    kiln_onnx *m = object_new(at, t->k, sizeof *m, clean);
    if (!m) return NULL;
    m->loaded = at;
    arena_init(&m->arena);
    arena_init(&m->scratch);
    pthread_mutexattr_t recursive; /* a trace for a declaration or a survey makes generators, too */
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&m->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    m->folder = -1;
    return m;
}

/* Where the model's own file lies, other files of it may lie, too. */
static bool open_folder(Thread *t, kiln_site at, kiln_onnx *m)
{
    const char *slash = strrchr(m->path, '/');
    char folder[4096];
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)MIN_OF(slash - m->path + 1, (ptrdiff_t)sizeof folder - 1) : 1,
        slash ? m->path : ".");
    m->folder = open(folder, O_PATH | O_CLOEXEC | O_DIRECTORY); /* whoever may not list it may still name what is in it */
    return m->folder >= 0 || file_failed(t, at, "onnx", m->path, "open the folder");
}

static bool map_file(Thread *t, kiln_site at, kiln_onnx *m)
{
    FileIn in;
    if (!file_open(&in, t, at, "onnx", m->path)) return false;
    m->size = (size_t)in.size;
    if (m->size != 0) m->mapped = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, in.fd, 0);
    const bool ok = m->mapped != MAP_FAILED || file_failed(t, at, "onnx", m->path, "map");
    if (!ok) m->mapped = NULL;
    file_close(&in);
    if (ok && m->size == 0) fail(t, at, KILN_EFORMAT, "onnx: %s: an empty file is no ONNX model", m->path);
    return ok && m->size != 0;
}

kiln_onnx *kiln_onnx_load_at(kiln_site at, kiln *k, const char *path)
{
    Thread *t = thread_of(k);
    if (!file_allowed(t, at, "onnx", path)) return NULL;
    kiln_onnx *m = model_new(t, at);
    if (!m) return NULL;
    m->path = mem_strdup(path);
    if (!m->path)
        fail(t, at, KILN_EMEMORY, "onnx: %s: no memory", path);
    else if (map_file(t, at, m) && open_folder(t, at, m) && read_all(t, at, m))
        return m;
    object_free(&m->o);
    return NULL;
}

kiln_onnx *kiln_onnx_load_memory_at(kiln_site at, kiln *k, const void *bytes, size_t size)
{
    Thread *t = thread_of(k);
    if (!t) return NULL;
    if (!bytes || size == 0) {
        fail(t, at, KILN_EVALUE, "onnx: no bytes: there is no model of none");
        return NULL;
    }
    kiln_onnx *m = model_new(t, at);
    if (!m) return NULL;
    m->copy = mem_alloc(size);
    m->size = m->copy ? size : 0;
    if (m->copy) memcpy(m->copy, bytes, size);
    if (!m->copy)
        fail(t, at, KILN_EMEMORY, "onnx: no memory for a copy of %zu bytes", size);
    else if (read_all(t, at, m))
        return m;
    object_free(&m->o);
    return NULL;
}

void kiln_onnx_free(kiln_onnx *m)
{
    if (m) object_free(&m->o);
}
