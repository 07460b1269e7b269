/* describe: a model in lines. Relies on import.h. */
#include "import.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../engine/escape.h"

static const char *type_name(int64_t type)
{
    const OnnxDType *d = onnx_dtype(type);
    return !d ? "?" : d->dtype != DT_NONE ? dtype_info[d->dtype].name : d->name;
}

static void print_array(FILE *to, const OnnxArray *x)
{
    fputs(type_name(x->type), to);
    if (!x->shape) {
        fputs(" of any rank", to);
        return;
    }
    fputc('[', to);
    for (uint32_t i = 0; i < x->shape->dim.n; i++) {
        const OnnxDim *d = &x->shape->dim.at[i];
        if (i) fputc(',', to);
        if (d->name.n != 0)
            fputs(shown(d->name).text, to);
        else
            fprintf(to, d->value > 0 ? "%" PRId64 : "?", d->value);
    }
    fputc(']', to);
}

static void print_type(FILE *to, const OnnxType *t)
{
    int within = 0;
    for (; t && (t->sequence || t->optional); within++, t = t->sequence ? t->sequence->type : t->optional->type)
        fputs(t->sequence ? "seq(" : "optional(", to);
    if (t && t->tensor)
        print_array(to, t->tensor);
    else if (t && t->sparse)
        fputs("sparse ", to), print_array(to, t->sparse);
    else
        fputs(t && t->map.at ? "map" : "of no stated type", to);
    while (within-- > 0) fputc(')', to);
}

/* ---- inputs, outputs, parameters ---------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const Bytes *x = a, *y = b;
    const size_t n = MIN_OF(x->n, y->n);
    const int c = n != 0 ? memcmp(x->at, y->at, n) : 0;
    return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

/* An input that an initialiser has a value for is a parameter. */
static void print_values(FILE *to, const char *title, const OnnxValue *v, uint32_t n, const Bytes *held, uint32_t nheld)
{
    for (uint32_t i = 0; i < n; i++) {
        if (nheld != 0 && bsearch(&v[i].name, held, nheld, sizeof *held, by_name)) continue;
        fprintf(to, "%-10s %s: ", title, shown(v[i].name).text);
        print_type(to, v[i].type);
        fputc('\n', to);
    }
}

typedef struct Parameters {
    uint64_t elements, bytes, outside;
} Parameters;

static Parameters count_parameters(const OnnxGraph *g)
{
    Parameters p = {0, 0, 0};
    for (uint32_t i = 0; i < g->initializer.n; i++) {
        const OnnxTensor *x = &g->initializer.at[i];
        Type t;
        uint64_t n;
        Status st = {0};
        if (!tensor_shape(x, &t, &n, &st)) continue; /* checked when it was loaded */
        p.elements += n;
        p.bytes += (n * onnx_dtype(x->type)->bits + 7) / 8;
        p.outside += x->location == 1;
    }
    return p;
}

static void print_parameters(FILE *to, const OnnxGraph *g)
{
    const Parameters p = count_parameters(g);
    fprintf(to, "parameters %" PRIu64 " in %u tensors, %" PRIu64 " bytes", p.elements, g->initializer.n, p.bytes);
    if (p.outside) fprintf(to, ", %" PRIu64 " of them in other files", p.outside);
    fputc('\n', to);
}

/* ---- operators ---------------------------------------------------------------------------------------- */

typedef struct Counted {
    Bytes domain, op;
    uint64_t count;
} Counted;

typedef struct Operators {
    Counted *at;
    size_t n, cap;
    bool full; /* no memory for more */
} Operators;

static void count_graph(Operators *o, const OnnxGraph *g);

static void count_one(Operators *o, Bytes domain, Bytes op)
{
    for (size_t i = 0; i < o->n; i++)
        if (bytes_equal(o->at[i].op, op) && bytes_equal(o->at[i].domain, domain)) {
            o->at[i].count++;
            return;
        }
    if (o->n == o->cap)
        o->full = true;
    else
        o->at[o->n++] = (Counted){domain, op, 1};
}

static void count_nodes(Operators *o, const OnnxNode *node, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        count_one(o, node[i].domain, node[i].op);
        for (uint32_t j = 0; j < node[i].attribute.n; j++) {
            const OnnxAttribute *a = &node[i].attribute.at[j];
            if (a->g) count_graph(o, a->g);
            for (uint32_t q = 0; q < a->graphs.n; q++) count_graph(o, &a->graphs.at[q]);
        }
    }
}

static void count_graph(Operators *o, const OnnxGraph *g) { count_nodes(o, g->node.at, g->node.n); }

static int by_count(const void *a, const void *b)
{
    const Counted *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : by_name(&x->op, &y->op);
}

/* Kiln has it in the version that the model imports, or the model has it as a function of its own. */
static bool is_there(const OnnxModel *m, const Counted *x)
{
    for (uint32_t i = 0; i < m->function.n; i++)
        if (bytes_equal(m->function.at[i].name, x->op) && bytes_equal(m->function.at[i].domain, x->domain)) return true;
    return operator_of(x->domain, x->op, opset_version(m->opset.at, m->opset.n, x->domain));
}

static Operators count_operators(const OnnxModel *m, Counted *room, size_t cap)
{
    Operators o = {.at = room, .cap = cap};
    count_graph(&o, m->graph);
    for (uint32_t i = 0; i < m->function.n; i++) count_nodes(&o, m->function.at[i].node.at, m->function.at[i].node.n);
    qsort(o.at, o.n, sizeof *o.at, by_count);
    return o;
}

enum { KINDS = 512 }; /* ONNX has about 200 */

static void print_operators(FILE *to, const OnnxModel *m)
{
    Counted room[KINDS];
    const Operators o = count_operators(m, room, KINDS);
    for (size_t i = 0; i < o.n; i++) {
        fputs(i == 0 ? "operators  " : i % 6 == 0 ? ",\n           " : ", ", to);
        if (o.at[i].domain.n != 0) fprintf(to, "%s.", shown(o.at[i].domain).text);
        fprintf(to, "%s %" PRIu64, shown(o.at[i].op).text, o.at[i].count);
    }
    fputs(o.n == 0 ? "operators  none\n" : o.full ? " and more\n" : "\n", to);
    uint32_t missing = 0;
    for (size_t i = 0; i < o.n; i++)
        if (!is_there(m, &o.at[i]))
            fprintf(to, "%s%s%s%s", missing++ == 0 ? "missing    " : ", ", o.at[i].domain.n != 0 ? shown(o.at[i].domain).text : "",
                o.at[i].domain.n != 0 ? "." : "", shown(o.at[i].op).text);
    if (missing != 0) fputs(": Kiln does not have them, or not in this version\n", to);
}

/* ---- all ---------------------------------------------------------------------------------------------- */

static void print_versions(FILE *to, const OnnxModel *m)
{
    fprintf(to, "format     ONNX, version %" PRId64 "\n", m->ir_version);
    if (m->producer.n != 0) fprintf(to, "producer   %s %s\n", shown(m->producer).text, shown(m->producer_version).text);
    for (uint32_t i = 0; i < m->opset.n; i++)
        fprintf(to, "opset      %s %" PRId64 "\n", m->opset.at[i].domain.n ? shown(m->opset.at[i].domain).text : "ai.onnx",
            m->opset.at[i].version);
    for (uint32_t i = 0; i < m->function.n; i++)
        fprintf(to, "function   %s.%s of %u nodes\n", shown(m->function.at[i].domain).text, shown(m->function.at[i].name).text,
            m->function.at[i].node.n);
    if (m->training.n != 0) fprintf(to, "training   %u algorithms\n", m->training.n);
}

void kiln_onnx_describe(FILE *to, const kiln_onnx *m)
{
    if (!to || !m) return;
    const OnnxGraph *g = m->model->graph;
    Bytes *held = mem_alloc((g->initializer.n + 1) * sizeof *held);
    uint32_t nheld = 0;
    for (uint32_t i = 0; held && i < g->initializer.n; i++) held[nheld++] = g->initializer.at[i].name;
    if (held) qsort(held, nheld, sizeof *held, by_name);
    print_versions(to, m->model);
    fprintf(to, "graph      %s, %u nodes\n", g->name.n ? shown(g->name).text : "of no name", g->node.n);
    print_values(to, "input", g->input.at, g->input.n, held, nheld);
    print_values(to, "output", g->output.at, g->output.n, NULL, 0);
    print_parameters(to, g);
    print_operators(to, m->model);
    if (held) mem_free(held, (g->initializer.n + 1) * sizeof *held);
}

/* ---- for machines ------------------------------------------------------------------------------------- */

static void json_key(Text *to, const char *between, Bytes domain, Bytes name)
{
    char key[160];
    snprintf(key, sizeof key, "%s%s%s", domain.n != 0 ? shown(domain).text : "", domain.n != 0 && name.n != 0 ? "." : "",
        name.n != 0 ? shown(name).text : "");
    text_printf(to, "%s", between);
    text_json(to, key);
}

static void json_operators(Text *to, const OnnxModel *m)
{
    Counted room[KINDS];
    const Operators o = count_operators(m, room, KINDS);
    const char *between = "";
    text_printf(to, "\"operators\": {");
    for (size_t i = 0; i < o.n; i++) {
        json_key(to, i ? ", " : "", o.at[i].domain, o.at[i].op);
        text_printf(to, ": %" PRIu64, o.at[i].count);
    }
    text_printf(to, "}, \"missing\": [");
    for (size_t i = 0; i < o.n; i++) {
        if (is_there(m, &o.at[i])) continue;
        json_key(to, between, o.at[i].domain, o.at[i].op);
        between = ", ";
    }
    text_printf(to, "]");
}

void describe_json(Text *t, const kiln_onnx *m)
{
    const OnnxModel *x = m->model;
    const Parameters p = count_parameters(x->graph);
    text_printf(t, "{\"ir_version\": %" PRId64 ", \"producer\": ", x->ir_version);
    json_key(t, "", x->producer, (Bytes){0});
    text_printf(t, ", \"opsets\": {");
    for (uint32_t i = 0; i < x->opset.n; i++) {
        json_key(
            t, i ? ", " : "", x->opset.at[i].domain.n ? x->opset.at[i].domain : (Bytes){(const uint8_t *)"ai.onnx", 7}, (Bytes){0});
        text_printf(t, ": %" PRId64, x->opset.at[i].version);
    }
    text_printf(t, "}, \"nodes\": %u, \"parameters\": %" PRIu64 ", \"parameter_tensors\": %u, \"parameter_bytes\": %" PRIu64 ", ",
        x->graph->node.n, p.elements, x->graph->initializer.n, p.bytes);
    json_operators(t, x);
}

bool kiln_onnx_describe_json(FILE *to, const kiln_onnx *m)
{
    Text t = {0};
    if (!to || !m) return false;
    describe_json(&t, m);
    text_printf(&t, "}");
    const bool ok = !t.failed && fwrite(t.at, 1, t.len, to) == t.len;
    text_free(&t);
    return ok;
}
