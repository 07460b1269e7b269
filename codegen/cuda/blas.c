/* blas: see blas.h: the one file that knows cuBLASLt. Its matrices are columns after columns, so that a product of ours is that of
 * its operands' transposes, the right one first. Names and numbers are those of cublasLt.h. Relies on blas.h, library.h. */
#include "blas.h"

#include <pthread.h>
#include <stdio.h>

#include "library.h"

/* ---- the library ------------------------------------------------------------------------------- */

typedef struct cublasLtContext *cublasLtHandle_t;
typedef struct cublasLtMatmulDesc *cublasLtMatmulDesc_t;
typedef struct cublasLtMatrixLayout *cublasLtMatrixLayout_t;
typedef struct cublasLtMatmulPreference *cublasLtMatmulPreference_t;
typedef struct cublasLtMatmulHeuristicResult_t {
    uint64_t algo[8];
    size_t workspaceSize;
    int state;
    float wavesCount;
    int reserved[4];
} cublasLtMatmulHeuristicResult_t;

enum { CUDA_R_32F = 0, CUDA_R_64F = 1, CUDA_R_16F = 2, CUDA_R_16BF = 14 };
enum { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_64F = 70, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 }; /* the first is f32 throughout */
enum { CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum { CUBLASLT_MATMUL_DESC_TRANSA = 3, CUBLASLT_MATMUL_DESC_TRANSB = 4, CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum { CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT = 5, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET = 6 };
enum {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
    CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2, /* parts of a sum are kept as exact as it is made, not as it is given */
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8
};

#define CUBLAS_CALLS                                                                                                               \
    CUBLAS_CALL(int, cublasLtCreate, (cublasLtHandle_t * h))                                                                       \
    CUBLAS_CALL(const char *, cublasLtGetStatusString, (int status))                                                               \
    CUBLAS_CALL(int, cublasLtMatmulDescCreate, (cublasLtMatmulDesc_t * d, int compute, int scale))                                 \
    CUBLAS_CALL(int, cublasLtMatmulDescDestroy, (cublasLtMatmulDesc_t d))                                                          \
    CUBLAS_CALL(int, cublasLtMatmulDescSetAttribute, (cublasLtMatmulDesc_t d, int attribute, const void *at, size_t bytes))        \
    CUBLAS_CALL(int, cublasLtMatrixLayoutCreate, (cublasLtMatrixLayout_t * l, int type, uint64_t rows, uint64_t cols, int64_t ld)) \
    CUBLAS_CALL(int, cublasLtMatrixLayoutDestroy, (cublasLtMatrixLayout_t l))                                                      \
    CUBLAS_CALL(int, cublasLtMatrixLayoutSetAttribute, (cublasLtMatrixLayout_t l, int attribute, const void *at, size_t bytes))    \
    CUBLAS_CALL(int, cublasLtMatmulPreferenceCreate, (cublasLtMatmulPreference_t * p))                                             \
    CUBLAS_CALL(int, cublasLtMatmulPreferenceDestroy, (cublasLtMatmulPreference_t p))                                              \
    CUBLAS_CALL(                                                                                                                   \
        int, cublasLtMatmulPreferenceSetAttribute, (cublasLtMatmulPreference_t p, int attribute, const void *at, size_t bytes))    \
    CUBLAS_CALL(int, cublasLtMatmulAlgoGetHeuristic,                                                                               \
        (cublasLtHandle_t h, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, \
            cublasLtMatrixLayout_t to, cublasLtMatmulPreference_t p, int most, cublasLtMatmulHeuristicResult_t *all, int *n))      \
    CUBLAS_CALL(int, cublasLtMatmul,                                                                                               \
        (cublasLtHandle_t h, cublasLtMatmulDesc_t d, const void *alpha, const void *a, cublasLtMatrixLayout_t a_layout,            \
            const void *b, cublasLtMatrixLayout_t b_layout, const void *beta, const void *c, cublasLtMatrixLayout_t c_layout,      \
            void *to, cublasLtMatrixLayout_t to_layout, const uint64_t *algo, void *workspace, size_t bytes, CUstream stream))

typedef struct Blas {
#define CUBLAS_CALL(result, name, params) result(*name) params;
    CUBLAS_CALLS
#undef CUBLAS_CALL
} Blas;

#define MOST_DEVICES 32

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    bool tried;
    Blas calls;
    Status st;
} library;
static struct {
    const CudaDriver *driver;
    cublasLtHandle_t handle;
} handle[MOST_DEVICES];

static bool open_library(Blas *b, Status *st)
{
    static const char *const name[] = {"libcublasLt.so", "libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"};
    void *lib = library_find("cuBLASLt", "KILN_CUBLASLT", name, COUNT_OF(name), st);
    if (!lib) return false;
#define CUBLAS_CALL(result, name, params) \
    if (!library_symbol(lib, #name, &b->name, "the cuBLASLt found", st)) return false;
    CUBLAS_CALLS
#undef CUBLAS_CALL
    return true;
}

static bool blas_ok(const Blas *b, int e, Status *st, const char *doing)
{
    return e == 0 || status_fail(st, ST_DEVICE, "cublasLt: %s: %s", doing, b->cublasLtGetStatusString(e));
}

/* The device's handle, which stays. Under the lock. */
static cublasLtHandle_t handle_of(const CudaDriver *d, Status *st)
{
    uint32_t i = 0;
    while (i < MOST_DEVICES && handle[i].driver && handle[i].driver != d) i++;
    if (i == MOST_DEVICES) return status_fail(st, ST_DEVICE, "cublasLt: more than %d devices", MOST_DEVICES), NULL;
    if (!handle[i].driver && !blas_ok(&library.calls, library.calls.cublasLtCreate(&handle[i].handle), st, "starting")) return NULL;
    handle[i].driver = d;
    return handle[i].handle;
}

/* NULL: st. */
static const Blas *blas_open(const CudaDriver *d, cublasLtHandle_t *h, Status *st)
{
    const char *asked = getenv("KILN_CUBLASLT");
    if (d->no_blas && (!asked || !*asked)) {
        status_fail(st, ST_UNSUPPORTED,
            "matmul: this engine was opened with .blas, but %s; open it without .blas for Kiln's own products", d->no_blas);
        return NULL;
    }
    pthread_mutex_lock(&lock);
    if (!library.tried) open_library(&library.calls, &library.st);
    library.tried = true;
    *h = library.st.code == ST_OK ? handle_of(d, st) : NULL;
    pthread_mutex_unlock(&lock);
    if (library.st.code != ST_OK)
        status_fail(st, ST_UNSUPPORTED,
            "matmul: this engine was opened with .blas, but cuBLASLt is not there: %s; open it without .blas for Kiln's own "
            "products",
            library.st.text);
    return *h ? &library.calls : NULL;
}

/* ---- which products ------------------------------------------------------------------------------ */

/* One of the strides must be 1, and lines must not overlap. */
static bool is_matrix(int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    return (column == 1 && row >= columns) || (row == 1 && column >= rows);
}

bool blas_takes(const BlasProduct *x)
{
    return by_blas(x->type, x->m, x->n, x->k) && is_matrix(x->m, x->k, x->a_row, x->a_col) &&
           is_matrix(x->k, x->n, x->b_row, x->b_col);
}

/* ---- one product ------------------------------------------------------------------------------------ */

#define WORKSPACE ((uint64_t)32 << 20)

typedef struct Call {
    const Blas *blas;
    cublasLtHandle_t handle;
    CudaQueue *q;
    const BlasProduct *x;
    int type, compute;
    int64_t count, left, right; /* matrices in one call, and how far they lie apart */
    cublasLtMatmulDesc_t desc;
    cublasLtMatmulPreference_t preference;
    cublasLtMatrixLayout_t a, b, c;
    Status *st;
} Call;

static int type_of(DType t) { return t == DT_f64 ? CUDA_R_64F : t == DT_f32 ? CUDA_R_32F : t == DT_f16 ? CUDA_R_16F : CUDA_R_16BF; }

static bool ok(const Call *c, int e, const char *doing) { return blas_ok(c->blas, e, c->st, doing); }

/* A matrix of ours, which cuBLASLt sees transposed: of so many lines as it lies, each so long and so far from the next. */
static bool layout(const Call *c, cublasLtMatrixLayout_t *l, int64_t lines, int64_t length, int64_t apart, int64_t next)
{
    const int32_t count = (int32_t)c->count;
    const Blas *b = c->blas;
    if (!ok(c, b->cublasLtMatrixLayoutCreate(l, c->type, (uint64_t)length, (uint64_t)lines, apart), "a matrix")) return false;
    return count == 1 ||
           (ok(c, b->cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "a batch") &&
               ok(c, b->cublasLtMatrixLayoutSetAttribute(*l, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &next, sizeof next),
                   "a batch"));
}

static bool set_order(const Call *c, int which, bool turned)
{
    const int32_t op = turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    return ok(c, c->blas->cublasLtMatmulDescSetAttribute(c->desc, which, &op, sizeof op), "an order");
}

/* c' = b' a': a matrix whose rows lie side by side is its transpose there, and so as it should be. */
static bool describe(Call *c)
{
    const BlasProduct *x = c->x;
    const Blas *b = c->blas;
    const bool a_turned = x->a_col != 1 || x->a_row < x->k, b_turned = x->b_col != 1 || x->b_row < x->n;
    const uint64_t most = WORKSPACE;
    const uint32_t parts = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    return ok(c, b->cublasLtMatmulDescCreate(&c->desc, c->compute, c->compute == CUBLAS_COMPUTE_64F ? CUDA_R_64F : CUDA_R_32F),
               "a product") &&
           set_order(c, CUBLASLT_MATMUL_DESC_TRANSA, b_turned) && set_order(c, CUBLASLT_MATMUL_DESC_TRANSB, a_turned) &&
           (a_turned ? layout(c, &c->a, x->k, x->m, x->a_col, c->left) : layout(c, &c->a, x->m, x->k, x->a_row, c->left)) &&
           (b_turned ? layout(c, &c->b, x->n, x->k, x->b_col, c->right) : layout(c, &c->b, x->k, x->n, x->b_row, c->right)) &&
           layout(c, &c->c, x->m, x->n, x->n, x->m * x->n) &&
           ok(c, b->cublasLtMatmulPreferenceCreate(&c->preference), "what is preferred") &&
           ok(c,
               b->cublasLtMatmulPreferenceSetAttribute(c->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most),
               "what is preferred") &&
           ok(c,
               b->cublasLtMatmulPreferenceSetAttribute(
                   c->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &parts, sizeof parts),
               "what is preferred");
}

static void forget(const Call *c)
{
    const cublasLtMatrixLayout_t all[] = {c->a, c->b, c->c};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i]) c->blas->cublasLtMatrixLayoutDestroy(all[i]);
    if (c->preference) c->blas->cublasLtMatmulPreferenceDestroy(c->preference);
    if (c->desc) c->blas->cublasLtMatmulDescDestroy(c->desc);
}

/* What the heuristic may take for granted of an address. */
static bool set_alignment(const Call *c, int which, CUdeviceptr at)
{
    const uint32_t bytes = (uint32_t)MIN_OF(at & -at, (CUdeviceptr)256);
    return ok(c, c->blas->cublasLtMatmulPreferenceSetAttribute(c->preference, which, &bytes, sizeof bytes), "an alignment");
}

static void *pointer(CUdeviceptr at) { return (void *)(uintptr_t)at; }

/* known: whether there is a way for these addresses. False: st. */
static bool choose(const Call *c, CUdeviceptr a, CUdeviceptr b, CUdeviceptr to, cublasLtMatmulHeuristicResult_t *way, bool *known)
{
    int n = 0;
    if (!set_alignment(c, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b) ||
        !set_alignment(c, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a) ||
        !set_alignment(c, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, to) ||
        !set_alignment(c, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, to))
        return false;
    const int e = c->blas->cublasLtMatmulAlgoGetHeuristic(c->handle, c->desc, c->b, c->a, c->c, c->c, c->preference, 1, way, &n);
    *known = e == 0 && n > 0 && way->state == 0;
    return e == CUBLAS_STATUS_NOT_SUPPORTED || ok(c, e, "choosing how to multiply");
}

static bool multiply(const Call *c, CUdeviceptr a, CUdeviceptr b, CUdeviceptr to, bool *done)
{
    const double one64 = 1, zero64 = 0;
    const float one32 = 1, zero32 = 0;
    const bool wide = c->compute == CUBLAS_COMPUTE_64F;
    const void *one = wide ? (const void *)&one64 : &one32, *zero = wide ? (const void *)&zero64 : &zero32;
    cublasLtMatmulHeuristicResult_t way = {0};
    CUdeviceptr room = 0;
    if (!choose(c, a, b, to, &way, done)) return false;
    if (!*done) return true;
    if (way.workspaceSize != 0 && !cuda_take(c->q, way.workspaceSize, &room, c->st)) return false;
    const int e = c->blas->cublasLtMatmul(c->handle, c->desc, one, pointer(b), c->b, pointer(a), c->a, zero, pointer(to), c->c,
        pointer(to), c->c, way.algo, pointer(room), way.workspaceSize, c->q->stream);
    const bool given = room == 0 || cuda_ok(c->q->driver, cuda_give(c->q, room), c->st, "freeing memory");
    return ok(c, e, "multiplying") && given;
}

/* Axes of the batch, from the innermost on, that one stride counts in both operands are one; returns how many are left. */
static uint32_t join_batch(Call *c)
{
    const BlasProduct *x = c->x;
    uint32_t i = x->nbatch;
    c->count = 1;
    c->left = c->right = 0;
    for (; i > 0; i--) {
        const int64_t n = x->batch[i - 1];
        if (n == 1) continue;
        if (c->count != 1 && (x->a_batch[i - 1] != c->left * c->count || x->b_batch[i - 1] != c->right * c->count)) break;
        if (c->count * n > INT32_MAX) break;
        if (c->count == 1) c->left = x->a_batch[i - 1], c->right = x->b_batch[i - 1];
        c->count *= n;
    }
    return i;
}

bool blas_product(CudaQueue *q, const BlasProduct *x, bool *done, Status *st)
{
    Call c = {.q = q, .x = x, .type = type_of(x->type), .st = st};
    const int64_t bytes = (int64_t)dtype_bytes(x->type);
    int64_t others = 1;
    if (!(c.blas = blas_open(q->driver, &c.handle, st))) return false;
    c.compute = x->type == DT_f64              ? CUBLAS_COMPUTE_64F
                : x->type == DT_f32 && x->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                               : CUBLAS_COMPUTE_32F;
    const uint32_t left = join_batch(&c);
    for (uint32_t i = 0; i < left; i++) others *= x->batch[i];
    bool fine = describe(&c);
    *done = true;
    for (int64_t i = 0; i < others && fine && *done; i++) {
        int64_t a = 0, b = 0, rest = i;
        for (uint32_t k = left; k-- > 0; rest /= x->batch[k]) {
            a += rest % x->batch[k] * x->a_batch[k];
            b += rest % x->batch[k] * x->b_batch[k];
        }
        const int64_t to = i * c.count * x->m * x->n;
        fine =
            multiply(&c, x->a + (CUdeviceptr)(a * bytes), x->b + (CUdeviceptr)(b * bytes), x->c + (CUdeviceptr)(to * bytes), done);
    }
    forget(&c);
    return fine;
}
