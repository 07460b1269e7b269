/* cublaslt: a library with cuBLASLt's names, of which test_blas_device makes a shared object. It keeps what its descriptors are told
 * and lets the test multiply. Numbers are those of cublasLt.h. */
#include "cublaslt.h"

#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))

API Standin standin;

typedef struct Layout { int type; uint64_t rows, cols; int64_t ld; int32_t count; int64_t apart; } Layout;
typedef struct Desc { int compute, scale; int32_t turned[2]; } Desc;
typedef struct Preference { uint64_t most; uint32_t parts, alignment[4]; } Preference;
typedef struct Result { uint64_t algo[8]; size_t workspace; int state; float waves; int reserved[4]; } Result;

static Preference preferred; /* what the last heuristic was asked for */

static void *made(const void *from, size_t n)
{
    void *at = malloc(n);
    memcpy(at, from, n);
    standin.descriptors++;
    return at;
}
static int gone(void *at) { return standin.descriptors--, free(at), 0; }

API int cublasLtCreate(void **h) { return *h = &standin, standin.handles++, 0; }
API const char *cublasLtGetStatusString(int status) { return status == 13 ? "it does not run" : "something else"; }
API int cublasLtMatmulDescCreate(void **d, int compute, int scale) { return *d = made(&(Desc){compute, scale, {0, 0}}, sizeof(Desc)), 0; }
API int cublasLtMatmulDescDestroy(void *d) { return gone(d); }
API int cublasLtMatmulDescSetAttribute(Desc *d, int which, const void *at, size_t n)
{
    return which < 3 || which > 4 || n != 4 ? 7 : (memcpy(&d->turned[which - 3], at, n), 0);
}
API int cublasLtMatrixLayoutCreate(void **l, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
    return *l = made(&(Layout){type, rows, cols, ld, 1, 0}, sizeof(Layout)), ld < (int64_t)rows ? 7 : 0;
}
API int cublasLtMatrixLayoutDestroy(void *l) { return gone(l); }
API int cublasLtMatrixLayoutSetAttribute(Layout *l, int which, const void *at, size_t n)
{
    if (which == 5 && n == 4) return memcpy(&l->count, at, n), 0;
    return which == 6 && n == 8 ? (memcpy(&l->apart, at, n), 0) : 7;
}
API int cublasLtMatmulPreferenceCreate(void **p) { return *p = made(&(Preference){0, {256, 256, 256, 256}}, sizeof(Preference)), 0; }
API int cublasLtMatmulPreferenceDestroy(void *p) { return gone(p); }
API int cublasLtMatmulPreferenceSetAttribute(Preference *p, int which, const void *at, size_t n)
{
    if (which == 1 && n == 8) return memcpy(&p->most, at, n), 0;
    if (which == 3 && n == 4) return memcpy(&p->parts, at, n), 0;
    return which >= 5 && which <= 8 && n == 4 ? (memcpy(&p->alignment[which - 5], at, n), 0) : 7;
}

static int fits(const Desc *d, const Layout *a, const Layout *b, const Layout *c)
{
    const uint64_t m = d->turned[0] ? a->cols : a->rows, k = d->turned[0] ? a->rows : a->cols;
    const uint64_t other = d->turned[1] ? b->cols : b->rows, n = d->turned[1] ? b->rows : b->cols;
    return k == other && m == c->rows && n == c->cols && a->count == b->count && a->count == c->count && a->type == c->type && b->type == c->type;
}

API int cublasLtMatmulAlgoGetHeuristic(void *h, const Desc *d, const Layout *a, const Layout *b, const Layout *c, const Layout *to,
    const Preference *p, int most, Result *all, int *n)
{
    if (h != &standin || most < 1 || c != to || p->parts != 2 || !fits(d, a, b, c)) return 7;
    preferred = *p;
    all->algo[3] = 33;
    all->workspace = standin.workspace;
    *n = standin.no_way == 0;
    return standin.no_way == 2 ? 15 : 0;
}

API int cublasLtMatmul(void *h, const Desc *d, const void *alpha, const void *a, const Layout *al, const void *b, const Layout *bl,
    const void *beta, const void *c, const Layout *cl, void *to, const Layout *tl, const uint64_t *algo, void *workspace, size_t bytes, void *stream)
{
    const double one = d->scale == 1 ? *(const double *)alpha : *(const float *)alpha, zero = d->scale == 1 ? *(const double *)beta : *(const float *)beta;
    if (h != &standin || algo[3] != 33 || c != to || cl != tl || one != 1 || zero != 0 || !fits(d, al, bl, cl)) return 7;
    if (standin.refuses) return standin.refuses;
    standin.run(&(StandinProduct){.type = al->type, .compute = d->compute, .scale = d->scale,
        .m = (int64_t)cl->rows, .n = (int64_t)cl->cols, .k = (int64_t)(d->turned[0] ? al->rows : al->cols), .batch = cl->count,
        .a_row = d->turned[0] ? al->ld : 1, .a_col = d->turned[0] ? 1 : al->ld, .a_batch = al->apart,
        .b_row = d->turned[1] ? bl->ld : 1, .b_col = d->turned[1] ? 1 : bl->ld, .b_batch = bl->apart,
        .d_col = cl->ld, .d_batch = cl->apart, .a_turned = d->turned[0], .b_turned = d->turned[1],
        .alignment = {preferred.alignment[0], preferred.alignment[1], preferred.alignment[2], preferred.alignment[3]},
        .most = preferred.most, .a = a, .b = b, .d = to, .workspace = workspace, .bytes = bytes, .stream = stream});
    return 0;
}
