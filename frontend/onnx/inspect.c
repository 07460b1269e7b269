/* inspect: a survey of a model in lines, or as JSON. Relies on survey.h. */
#include "survey.h"

#include <inttypes.h>
#include <stdio.h>

#include "../engine/escape.h"

/* ---- numbers --------------------------------------------------------------------------------------------- */

static void put_multiplies(Text *to, const Survey *s)
{
    text_printf(to, "multiplies %s%" PRIu64 " by products and convolutions", s->partly ? "at least " : "", s->multiplies);
    for (uint32_t i = 0; i < s->kinds; i++)
        text_printf(to, "%s%s %" PRIu64, i ? ", " : ": ", shown(s->kind[i].op).text, s->kind[i].count);
    text_printf(to, "\n");
    if (s->assumed[0]) text_printf(to, "sizes      %s: not given\n", s->assumed);
}

static void put_fixed(Text *to, const kiln_onnx *m, const Survey *s)
{
    for (uint32_t i = 0; i < m->inputs; i++)
        if (m->fixed[i] && !s->given[i])
            text_printf(to, "fixed      %s: sizes follow from its numbers, which are not given\n", m->value[i].name);
}

/* ---- the table ------------------------------------------------------------------------------------------- */

static void row_place(Text *to, const SurveyRow *r)
{
    text_printf(to, "%u", r->at);
    if (r->within.n != 0) text_printf(to, " of %s", shown(r->within).text);
    if (r->node->name.n != 0) text_printf(to, " '%s'", shown(r->node->name).text);
}

static void put_row(Text *to, const SurveyRow *r)
{
    Text place = {0}, op = {0};
    row_place(&place, r);
    text_printf(&op, "%s%s%s %" PRId64, r->node->domain.n ? shown(r->node->domain).text : "", r->node->domain.n ? "." : "",
        shown(r->node->op).text, r->version);
    text_printf(to, "  %-32s %-28s %s%s%s%s%s\n", place.at ? place.at : "?", op.at ? op.at : "?",
        r->attribute.n != 0 ? shown(r->attribute).text : "", r->word.n != 0 ? " " : "", r->word.n != 0 ? shown(r->word).text : "",
        r->attribute.n != 0 ? ": " : "", r->why);
    text_free(&place);
    text_free(&op);
}

static void put_table(Text *to, const Survey *s, bool unsupported, const char *title)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->rows; i++) n += s->row[i].unsupported == unsupported;
    if (n == 0) return;
    text_printf(to, "%s\n  %-32s %-28s %s\n", title, "node", "operator, version", "reason");
    for (uint32_t i = 0; i < s->rows; i++)
        if (s->row[i].unsupported == unsupported) put_row(to, &s->row[i]);
}

static void put_survey(Text *to, const kiln_onnx *m, const Survey *s)
{
    put_multiplies(to, s);
    put_fixed(to, m, s);
    put_table(to, s, true, "unsupported");
    put_table(to, s, false, s->assumed[0] ? "fails with these sizes, of which some are not given" : "fails with these sizes");
    if (s->more) text_printf(to, "  and %u more\n", s->more);
    if (s->unreached)
        text_printf(to, "unseen     %u nodes, which take what these would give%s\n", s->unreached,
            s->rows ? "" : ", or an input that is not given");
}

/* ---- for machines ---------------------------------------------------------------------------------------- */

static void json_bytes(Text *to, const char *key, Bytes b)
{
    text_printf(to, ", \"%s\": ", key);
    if (b.n == 0)
        text_printf(to, "null");
    else
        text_json(to, shown(b).text);
}

static void json_values(Text *to, const char *key, const kiln_onnx_value *v, uint32_t n)
{
    text_printf(to, ", \"%s\": [", key);
    for (uint32_t i = 0; i < n; i++) {
        text_printf(to, "%s{\"name\": ", i ? ", " : "");
        text_json(to, v[i].name);
        if (v[i].kind != KILN_ONNX_TENSOR) text_printf(to, ", \"kind\": \"%s\"", kind_name(v[i].kind));
        text_printf(to, ", \"dtype\": ");
        text_printf(to, v[i].dtype ? "\"%s\"" : "null", dtype_info[v[i].dtype].name);
        text_printf(to, v[i].rank < 0 ? ", \"shape\": null" : ", \"shape\": [");
        for (int j = 0; j < v[i].rank; j++) {
            if (j) text_printf(to, ", ");
            if (v[i].size_name[j])
                text_json(to, v[i].size_name[j]);
            else
                text_printf(to, v[i].size[j] < 0 ? "null" : "%" PRId64, v[i].size[j]);
        }
        text_printf(to, "%s, \"fixed\": %s}", v[i].rank < 0 ? "" : "]", v[i].fixed ? "true" : "false");
    }
    text_printf(to, "]");
}

static void json_row(Text *to, const SurveyRow *r, const char *between)
{
    text_printf(to, "%s{\"node\": %u", between, r->at);
    json_bytes(to, "name", r->node->name);
    json_bytes(to, "function", r->within);
    json_bytes(to, "operator", r->node->op);
    json_bytes(to, "domain", r->node->domain);
    text_printf(to, ", \"version\": %" PRId64, r->version);
    json_bytes(to, "attribute", r->attribute);
    json_bytes(to, "value", r->word);
    text_printf(to, ", \"reason\": ");
    text_json(to, r->why);
    text_printf(to, "}");
}

static void json_rows(Text *to, const Survey *s, bool unsupported, const char *key)
{
    const char *between = "";
    text_printf(to, ", \"%s\": [", key);
    for (uint32_t i = 0; i < s->rows; i++) {
        if (s->row[i].unsupported != unsupported) continue;
        json_row(to, &s->row[i], between);
        between = ", ";
    }
    text_printf(to, "]");
}

static void json_survey(Text *to, const kiln_onnx *m, const Survey *s)
{
    describe_json(to, m);
    json_values(to, "inputs", m->value, m->inputs);
    json_values(to, "outputs", m->value + m->inputs, m->model->graph->output.n);
    text_printf(to, ", \"multiplies\": %" PRIu64 ", \"multiplies_partly\": %s, \"multiplies_by_operator\": {", s->multiplies,
        s->partly ? "true" : "false");
    for (uint32_t i = 0; i < s->kinds; i++) {
        text_printf(to, i ? ", " : "");
        text_json(to, shown(s->kind[i].op).text);
        text_printf(to, ": %" PRIu64, s->kind[i].count);
    }
    text_printf(to, "}, \"assumed\": ");
    text_json(to, s->assumed);
    json_rows(to, s, true, "unsupported");
    json_rows(to, s, false, "failing");
    text_printf(to, ", \"more\": %u, \"unseen\": %u}\n", s->more, s->unreached);
}

/* ---- all ------------------------------------------------------------------------------------------------- */

typedef struct Inspecting {
    Thread *t;
    kiln_site at;
    kiln_onnx *m;
    Survey s;
    bool ok;
} Inspecting;

static bool take_given(Inspecting *x, const kiln_onnx_declaration *want)
{
    for (int i = 0; i < want->fixed_count; i++) {
        uint32_t at = 0;
        while (at < x->m->inputs && strcmp(x->m->value[at].name, want->fixed[i].name) != 0) at++;
        if (at == x->m->inputs)
            return fail(x->t, x->at, KILN_EVALUE, "onnx: there is no input to fix that is called %s", want->fixed[i].name), false;
        if (!tensor_ok(want->fixed[i].value)) return false;
        x->s.given[at] = want->fixed[i].value;
    }
    return true;
}

/* A plan that cannot be made at all, as of functions that call themselves, is a row of its own kind. */
static bool survey(Inspecting *x, const kiln_onnx_declaration *want)
{
    kiln_onnx *m = x->m;
    if (!onnx_half_ready(x->t, x->at, m)) return false;
    x->s.given = mem_zeros(m->inputs + 1, sizeof *x->s.given);
    x->s.row = mem_zeros(SURVEY_ROWS, sizeof *x->s.row);
    const bool room = x->s.given && x->s.row;
    if (!room) fail(x->t, x->at, KILN_EMEMORY, "onnx: no memory for a survey");
    return room && take_given(x, want) && survey_model(x->t, x->at, m, &x->s);
}

bool kiln_onnx_inspect_sized(kiln_site at, FILE *to, kiln_onnx *m, bool json, const kiln_onnx_declaration *want, size_t size)
{
    kiln_onnx_declaration d = {0};
    Inspecting x = {.t = m ? thread_of(m->o.k) : NULL, .at = at, .m = m};
    Text text = {0};
    if (!x.t || !to || kiln_failed(m->o.k)) return false;
    if (x.t->trace) return fail(x.t, at, KILN_ESTATE, "onnx: inspected inside a trace"), false;
    if (want) memcpy(&d, want, MIN_OF(size, sizeof d));
    x.s.size = d.sizes, x.s.sizes = d.sizes_count;
    pthread_mutex_lock(&m->lock);
    x.ok = survey(&x, &d);
    if (x.ok) (json ? json_survey : put_survey)(&text, m, &x.s);
    pthread_mutex_unlock(&m->lock);
    if (x.ok && !json) kiln_onnx_describe(to, m);
    bool ok = x.ok && !text.failed && fwrite(text.at, 1, text.len, to) == text.len;
    if (x.ok && text.failed) fail(x.t, at, KILN_EMEMORY, "onnx: no memory for a survey");
    text_free(&text);
    if (x.s.given) mem_free(x.s.given, (m->inputs + 1) * sizeof *x.s.given);
    if (x.s.row) mem_free(x.s.row, SURVEY_ROWS * sizeof *x.s.row);
    return ok;
}
