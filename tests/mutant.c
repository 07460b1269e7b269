/* mutant: see mutant.h. */
#include "mutant.h"

#include "cuda_host.h"

void case_open(Case *c)
{
    c->p = make_program(c->m);
    c->buf = arena_zeros(&c->m->arena, c->p->ninput + c->p->noutput + 1, sizeof *c->buf);
    for (uint32_t i = 0; i < c->p->ninput + c->p->noutput; i++) {
        const Type *t = &c->p->buf.at[i].type;
        c->buf[i] = arena_zeros(&c->m->arena, (size_t)(t->rank ? t->dim[0] : 1) + 1, dtype_bytes((DType)t->dtype));
    }
}

void case_runs(Case *c)
{
    Status st = {0};
    const int sm = cuda_sm(emu_driver(0, &st));
    const bool ok = c->source.len != 0 || (c->graph ? cuda_graph_text(c->p, sm, &c->source, &st) : cuda_program_text(c->p, sm, &c->source, &st));
    if (!ok) fail_msg("%s", st.text);
    if (getenv("KILN_SHOW")) print_message("%s\n", strstr(c->source.at, CUDA_HEAD));
    if (case_run(c, c->source.at, "as printed") != 0) fail_msg("as printed: %s\n%s", emu_fault(0), c->source.at);
}

void case_free(Case *c)
{
    text_free(&c->source);
    make_free(c->m);
}

CUresult case_run(const Case *c, const char *source, const char *what)
{
    Status st = {0};
    Text image = {0};
    CUdeviceptr any;
    const CudaDriver *d = emu_use(0);
    if (!d->build(d, source, what, &image, &st)) fail_msg("%s: %s", what, st.text);
    Compiled *code = (c->graph ? cuda_load_graph : cuda_load)(c->p, d, image.at, image.len, &st);
    if (!code) fail_msg("%s: %s", what, st.text);
    for (int i = 0; i < (c->graph ? 2 : 1); i++) cuda_copies_run(code, c->buf, NULL, &st);
    const CUresult r = d->MemAlloc(&any, 1);
    cuda_release(code);
    text_free(&image);
    return r;
}

static size_t place_of(const Case *c, const char *find, int nth)
{
    const char *at = c->from ? strstr(c->source.at, c->from) : c->source.at;
    for (int i = 0; at && i < nth; i++) at = strstr(at + (i > 0), find);
    if (!at) fail_msg("there is no '%s' in\n%s", find, c->source.at);
    return (size_t)(at - c->source.at);
}

void needed(const Case *c, const char *find, const char *replace, int nth)
{
    Text mutant = {0};
    const size_t at = place_of(c, find, nth);
    text_add(&mutant, c->source.at, at);
    text_printf(&mutant, "%s%s", replace, c->source.at + at + strlen(find));
    const CUresult r = case_run(c, mutant.at, find);
    if (r != ILLEGAL && r != FAILED && r != MISALIGNED)
        fail_msg("'%s' number %d is not missed, or not in this way: %d", find, nth, r);
    text_free(&mutant);
}

void replace(Text *text, const char *find, const char *by)
{
    Text now = {0};
    const char *at = strstr(text->at, find);
    if (!at) fail_msg("there is no '%s' in\n%s", find, text->at);
    text_add(&now, text->at, (size_t)(at - text->at));
    text_printf(&now, "%s%s", by, at + strlen(find));
    text_free(text);
    *text = now;
}
