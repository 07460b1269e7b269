/* blas: whether this OpenBLAS may be used, and one single-threaded product by it. Relies on cblas. */
#include "blas.h"

#include "../../runtime/dtype.h"
#include "contract_tier.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>

/* OpenBLAS's cores for x86 whose kernels know no AVX2. The list is closed: newer cores have it. An
 * OpenBLAS that meets a CPU younger than itself falls back to one of these. */
static const char *const before_avx2[] = {"Unknown", "Generic", "Katmai", "Coppermine", "Northwood", "Prescott", "Banias", "Atom",
    "Core2", "Penryn", "Dunnington", "Nehalem", "Sandybridge", "Athlon", "Opteron", "Opteron_SSE3", "Barcelona", "Bobcat",
    "Bulldozer", "Piledriver", "Steamroller", "Excavator", "Nano"};

const char *blas_refusal(const char *core, bool openmp, bool avx2, char *buf, size_t cap)
{
    if (openmp) return "it is an OpenMP build, whose bits depend on the threads of its caller";
    for (size_t i = 0; avx2 && i < COUNT_OF(before_avx2); i++)
        if (strcasecmp(core, before_avx2[i]) == 0) {
            snprintf(buf, cap, "it runs its %s kernels, which are older than this CPU with AVX2", core);
            return buf;
        }
    return NULL;
}

static const char *refused;

static void judge(void)
{
    static char why[128];
    bool avx2 = false;
#if defined(__x86_64__) || defined(__i386__)
    avx2 = __builtin_cpu_supports("avx2");
#endif
    refused = blas_refusal(openblas_get_corename(), openblas_get_parallel() == OPENBLAS_OPENMP, avx2, why, sizeof why);
}

const char *blas_refused(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, judge);
    return refused;
}

void blas_init(bool foreign_threads)
{
    if (!foreign_threads && !blas_refused()) openblas_set_num_threads(1);
}

const char *blas_name(void) { return openblas_get_config(); }

void blas_block(int type, const Block *g)
{
    bool ta = g->a_col != 1, tb = g->b_col != 1;
    int m = (int)g->m, n = (int)g->n, k = (int)g->k, ldc = (int)g->c_row;
    int lda = (int)(ta ? g->a_col : g->a_row), ldb = (int)(tb ? g->b_col : g->b_row);
    enum CBLAS_TRANSPOSE a = ta ? CblasTrans : CblasNoTrans, b = tb ? CblasTrans : CblasNoTrans;
    if (type == DT_f32)
        cblas_sgemm(CblasRowMajor, a, b, m, n, k, 1, g->a, lda, g->b, ldb, 0, g->c, ldc);
    else
        cblas_dgemm(CblasRowMajor, a, b, m, n, k, 1, g->a, lda, g->b, ldb, 0, g->c, ldc);
}
