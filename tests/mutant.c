/* mutant: see mutant.h. */
#define _GNU_SOURCE
#include "mutant.h"

#include "cuda_host.h"

#include "codegen/cuda/print.h"

#include <ctype.h>
#include <inttypes.h>

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

static void build(const char *source, const char *what, Text *image)
{
    Status st = {0};
    const CudaDriver *d = emu_driver(0, &st);
    if (!d || !d->build(d, source, what, image, &st)) fail_msg("%s: %s\n%s", what, st.text, source);
}

static CUresult run_image(const Case *c, const Text *image, const char *what)
{
    Status st = {0};
    CUdeviceptr any;
    const CudaDriver *d = emu_use(0);
    Compiled *code = (c->graph ? cuda_load_graph : cuda_load)(c->p, d, image->at, image->len, &st);
    if (!code) fail_msg("%s: %s", what, st.text);
    for (int i = 0; i < (c->graph ? 2 : 1); i++) cuda_copies_run(code, c->buf, NULL, &st);
    const CUresult r = d->MemAlloc(&any, 1);
    cuda_release(code);
    return r;
}

CUresult case_run(const Case *c, const char *source, const char *what)
{
    Text image = {0};
    build(source, what, &image);
    const CUresult r = run_image(c, &image, what);
    text_free(&image);
    return r;
}

/* ---- mutants -------------------------------------------------------------------------------------------------------- */
typedef struct Planted {
    const char *find; /* in the test's words */
    int nth, id;
    size_t from, to; /* what is taken away of the text */
    Text by;         /* what comes there */
    Text on_demand;  /* the same where it can be switched on; empty: it has a text of its own */
    int64_t grid_most;
    bool ran;
} Planted;

static volatile int switched_on; /* the mutant that runs; 0: none */
enum { TOGETHER = 64 };

static size_t place_of(const Case *c, const char *find, int nth)
{
    const char *at = c->from ? strstr(c->source.at, c->from) : c->source.at;
    for (int i = 0; at && i < nth; i++) at = strstr(at + (i > 0), find);
    if (!at) fail_msg("there is no '%s' in\n%s", find, c->source.at);
    return (size_t)(at - c->source.at);
}

static bool begins(const char *at, size_t n, const char *with) { return n >= strlen(with) && memcmp(at, with, strlen(with)) == 0; }
static bool ends(const char *at, size_t n, const char *with)
{
    return n >= strlen(with) && memcmp(at + n - strlen(with), with, strlen(with)) == 0;
}

/* No bracket or brace is closed that was not opened, nor left open. */
static bool balanced(const char *at, size_t n)
{
    int depth = 0;
    for (size_t i = 0; i < n && depth >= 0; i++) depth += strchr("({[", at[i]) ? 1 : strchr(")}]", at[i]) ? -1 : 0;
    return depth == 0;
}

static bool is_word(const char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)at[i])) return false;
    return n > 0;
}

/* What computes `gone`, or, if mutant `id` is on, `by`: for conditions beside && and ||, `if (...)` before a statement, numbers and
 * names, statements, and what is added to a number. */
static void switchable(const char *gone, size_t n, const char *by, size_t nby, int id, Text *out)
{
    const bool line = n > 0 && gone[n - 1] == '\n';
    while (n > 0 && isspace((unsigned char)gone[0])) gone++, n--;
    while (n > 0 && isspace((unsigned char)gone[n - 1])) n--;
    while (ends(gone, n, "*/")) /* a comment behind a statement */
        do n--;
        while (n > 0 && !(begins(gone + n - 1, 2, "; ") && gone[n + 1] == '/'));
    const bool test = begins(gone, n, "if ("), declares = !test && !begins(gone, n, "for (") && memmem(gone, n, " = ", 3);
    if (!balanced(gone, n)) return;
    if (n == 0 && nby > 3 && begins(by, nby, " + "))
        text_printf(out, " + (MUTANT(%d) ? %.*s : 0)", id, (int)nby - 3, by + 3);
    else if (is_word(gone, n) && is_word(by, nby))
        text_printf(out, "(MUTANT(%d) ? %.*s : %.*s)", id, (int)nby, by, (int)n, gone);
    else if (nby > 0)
        return;
    else if (ends(gone, n, "&&"))
        text_printf(out, "(MUTANT(%d) || (%.*s)) && ", id, (int)n - 2, gone);
    else if (begins(gone, n, "&&"))
        text_printf(out, " && (MUTANT(%d) || (%.*s))", id, (int)n - 2, gone + 2);
    else if (ends(gone, n, "||"))
        text_printf(out, "(!MUTANT(%d) && (%.*s)) || ", id, (int)n - 2, gone);
    else if (begins(gone, n, "||"))
        text_printf(out, " || (!MUTANT(%d) && (%.*s)) ", id, (int)n - 2, gone + 2);
    else if (test && ends(gone, n, ")"))
        text_printf(out, "if (MUTANT(%d) || %.*s) ", id, (int)n - 3, gone + 3);
    else if (ends(gone, n, ";") && !declares && !memchr(gone, '\n', n))
        text_printf(out, "{ if (!MUTANT(%d)) { %.*s } }%s", id, (int)n, gone, line ? "\n" : "");
}

/* What differs: without what both begin with and end in, or the other way round; of words, all of them. */
static void differ(Planted *p, const char *source, const char *replace, bool end_first)
{
    size_t from = 0, end = 0, n = strlen(p->find), nby = strlen(replace);
    for (int turn = 0; turn < 2; turn++)
        if ((turn == 0) == end_first)
            while (end + from < n && end + from < nby && p->find[n - 1 - end] == replace[nby - 1 - end]) end++;
        else
            while (end + from < n && end + from < nby && p->find[from] == replace[from]) from++;
    if (is_word(p->find + from, n - end - from) && is_word(replace + from, nby - end - from))
        while (end > 0 && isalnum((unsigned char)p->find[n - end])) end--;
    p->to = p->from + n - end;
    p->from += from;
    text_free(&p->by);
    text_add(&p->by, replace + from, nby - end - from);
    switchable(source + p->from, p->to - p->from, p->by.at, p->by.len, p->id, &p->on_demand);
}

void needed(Case *c, const char *find, const char *replace, int nth)
{
    if (c->nplanted == TOGETHER || (c->nplanted > 0 && strcmp(c->planted_in.at, c->source.at) != 0)) case_missed(c);
    if (!c->planted) c->planted = calloc(TOGETHER, sizeof *c->planted);
    if (c->nplanted == 0) text_add(&c->planted_in, c->source.at, c->source.len);
    Planted *p = &c->planted[c->nplanted++];
    *p = (Planted){.find = find, .nth = nth, .id = c->nplanted, .grid_most = cuda_grid_most};
    for (int end_first = 0; end_first < 2 && p->on_demand.len == 0; end_first++) {
        p->from = place_of(c, find, nth);
        differ(p, c->source.at, replace, end_first);
    }
}

static void is_missed(const Case *c, const Planted *p, const Text *image)
{
    cuda_grid_most = p->grid_most;
    const CUresult r = run_image(c, image, p->find);
    if (r != ILLEGAL && r != FAILED && r != MISALIGNED)
        fail_msg("'%s' number %d is not missed, or not in this way: %d", p->find, p->nth, r);
}

static void add_piece(Text *t, const Case *c, size_t from, size_t to) { text_add(t, c->planted_in.at + from, to - from); }

static void alone(const Case *c, Planted *p)
{
    Text source = {0}, image = {0};
    add_piece(&source, c, 0, p->from);
    text_add(&source, p->by.at ? p->by.at : "", p->by.len);
    add_piece(&source, c, p->to, c->planted_in.len);
    build(source.at, p->find, &image);
    is_missed(c, p, &image);
    text_free(&source);
    text_free(&image);
    p->ran = true;
}

/* The first one behind `from` that is to be switched on; NULL: there is none. */
static Planted *next_place(const Case *c, size_t from)
{
    Planted *next = NULL;
    for (Planted *p = c->planted; p < c->planted + c->nplanted; p++)
        if (!p->ran && p->on_demand.len > 0 && p->from >= from && (!next || p->from < next->from)) next = p;
    return next;
}

/* As many as do not lie in one another, in one text, which is right while none is on. */
static void together(const Case *c)
{
    Text source = {0}, image = {0};
    Planted *one[TOGETHER];
    size_t at = 0;
    int n = 0;
    text_printf(&source, "EMU_OWN __attribute__((noinline)) static bool emu_mutant(int id) { return *(const volatile int *)%#" PRIxPTR "ul == id; }\n"
                         "#define MUTANT(id) emu_mutant(id)\n", (uintptr_t)&switched_on);
    for (Planted *p; (p = next_place(c, at)); at = p->to) {
        add_piece(&source, c, at, p->from);
        text_add(&source, p->on_demand.at, p->on_demand.len);
        one[n++] = p;
        p->ran = true;
    }
    add_piece(&source, c, at, c->planted_in.len);
    build(source.at, "mutants", &image);
    for (int i = 0; i < n; i++) {
        switched_on = 0;
        cuda_grid_most = one[i]->grid_most;
        if ((i == 0 || one[i]->grid_most != one[i - 1]->grid_most) && run_image(c, &image, "no mutant") != 0)
            fail_msg("with no mutant: %s\n%s", emu_fault(0), source.at);
        switched_on = one[i]->id;
        is_missed(c, one[i], &image);
    }
    switched_on = 0;
    text_free(&source);
    text_free(&image);
}

void case_missed(Case *c)
{
    const int64_t most = cuda_grid_most;
    int apart = 0, texts = 0;
    for (int i = 0; i < c->nplanted; i++)
        if (c->planted[i].on_demand.len == 0) alone(c, &c->planted[i]), apart++;
    for (; next_place(c, 0); texts++) together(c);
    print_message("%d mutants, %d of them in %d texts\n", c->nplanted, c->nplanted - apart, texts);
    for (int i = 0; i < c->nplanted; i++) text_free(&c->planted[i].by), text_free(&c->planted[i].on_demand);
    text_free(&c->planted_in);
    c->nplanted = 0;
    cuda_grid_most = most;
}

void case_free(Case *c)
{
    if (c->nplanted > 0) case_missed(c);
    free(c->planted);
    text_free(&c->source);
    make_free(c->m);
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
