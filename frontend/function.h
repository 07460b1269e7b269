/* function: what the files of traced functions share: function.c (making, calling), derive.c, static_argument.c, signature.c (which row serves a call, and
 * why none does), cache.c (rows, and when they may go), stats.c, compile.c (THE SPINE), run.c. */
#ifndef KILN_FRONTEND_FUNCTION_H
#define KILN_FRONTEND_FUNCTION_H

#include "internal.h"

#include <stdatomic.h>

void functions_free_all(kiln *k);
void function_destroy(kiln_function *f); /* at once: nothing may use it any longer; unlinked by the caller */
bool function_gone(Thread *t, kiln_site at, const kiln_function *f); /* records that it was freed; false */
static inline bool function_alive(Thread *t, kiln_site at, const kiln_function *f) /* false: it was freed, recorded */
{
    return LIKELY(!f->freed) || function_gone(t, at, f);
}
/* A function of ours whose body is ordinary internal code; free_user may be NULL. Under the deriving lock of `like`. NULL: recorded. */
kiln_function *function_derived(kiln_site at, kiln *k, const char *name, kiln_body *body, void *user, void (*free_user)(void *),
                                int inputs, int outputs, kiln_function *like, kiln_function **slot);

/* ---- static_argument.c ------------------------------------------------------------------------------------------------ */
kiln_tensor *static_argument(Thread *t, kiln_site at, kiln_operand o); /* the handle that a body reads; NULL: recorded */
static inline bool operand_is_static(kiln_operand o) { return o.kind >= 7 && o.kind <= 9; }
static inline kiln_operand fixed_operand(const Fixed *v)
{
    kiln_operand o = {{.i = v->bits}, v->kind, 0};
    if (v->kind == 9) o.as.text = v->text;
    return o;
}
/* latest.c: the types of a function's latest call */
typedef struct Latest {
    size_t bytes;
    uint32_t narg;
    Type *made;              /* sizes are constants */
    Fixed *fixed;            /* per argument; kind 0: a tensor */
} Latest;
void latest_note(kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin);
Latest *latest_copy(kiln_function *f, bool *failed); /* NULL: never called, or no memory (failed) */
void latest_argument(const Latest *l, uint32_t i, kiln_tensor *arg); /* arg: zeroed */
void latest_free(Latest *l);

Fixed static_value(const kiln_tensor *x);         /* kind 0 if x is no static argument; the text is x's own */
bool fixed_equal(const Fixed *a, const Fixed *b);
const char *fixed_text(const Fixed *v, char *buf, size_t cap);

/* ---- signature.c --------------------------------------------------------------------------------------------------------- */
typedef enum MissKind { MISS_FIRST, MISS_COUNT, MISS_DTYPE, MISS_RANK, MISS_SIZE, MISS_BOUND, MISS_STATIC, MISS_OTHER } MissKind;
typedef struct Miss { /* how a call missed the row nearest to it */
    MissKind kind;
    int argument, dim; /* -1: none */
    int64_t from, to;  /* sizes */
    uint32_t differences;
    char text[160];
} Miss;

uint64_t signature_key(kiln_tensor *const *in, int nin);
bool declared_symbol(const kiln_function *f, int arg, int axis);
bool row_fits(const Row *r, uint64_t key, kiln_tensor *const *in, int nin);
void signature_miss(const kiln_function *f, kiln_tensor *const *in, int nin, Miss *out);
/* Whether the call is the one after which a size becomes a symbol, and how; *grown: the row that the new one replaces, or NULL. The plan's
 * groups are the caller's to free: nin * MAX_RANK bytes. Under `compiling`. */
bool signature_generalise(kiln_function *f, kiln_tensor *const *in, int nin, Plan *plan, Row **grown);
void signature_rigid(kiln_function *f, const Plan *plan, int nin); /* that plan cannot be traced: not again */
void rigid_free(kiln_function *f);
/* "arg 0 dim 0, arg 1 dim 0": where group `which` of the plan is. */
void plan_text(const Plan *plan, int nin, uint32_t which, char *buf, size_t cap);

/* ---- cache.c --------------------------------------------------------------------------------------------------------------- */
Row *cache_find(kiln_function *f, uint64_t key, kiln_tensor *const *in, int nin); /* no lock is taken unless the memo learns */
void cache_add(kiln_function *f, Row *row, Row *replaced); /* then evicts what is beyond the bound; under `compiling` */
void cache_sweep(kiln *k);                                 /* frees what no running call needs any longer */
void cache_free_rows(kiln_function *f);
static inline void call_uses(Thread *t, Row *row) /* the call that was entered runs this row */
{
    atomic_store_explicit(&t->running[t->calls - 1].row, row, memory_order_release);
}

/* ---- run.c ---------------------------------------------------------------------------------------------------------------- */
/* The values of the row's symbols, in order of Program.symbol. False: recorded (one symbol, two sizes). */
bool row_bind(Thread *t, kiln_site at, const kiln_function *f, const Row *row, kiln_tensor *const *in, int64_t *dim);
/* The next result's type in a call: its symbols' places filled in from *size (what row->sizes wrote), which moves on. Not for rows without sizes. */
static inline void row_result_type(const Row *row, uint32_t i, const int64_t **size, Type *out)
{
    out->dtype = row->result[i].dtype;
    out->rank = row->result[i].rank;
    for (int d = 0; d < out->rank; d++) out->dim[d] = *(*size)++;
}

/* ---- stats.c ---------------------------------------------------------------------------------------------------------------- */
void stats_miss(kiln_function *f, const Miss *m);
void stats_trace(Thread *t, kiln_function *f, double seconds, const Miss *m); /* warns when traces pile up */
void stats_row(kiln_function *f, const Row *row);
void stats_evicted(kiln_function *f, size_t cached, uint32_t rows, uint32_t evictions);
void stats_general(Thread *t, kiln_function *f, const Plan *plan, int nin, const char *why_not, const Row *row); /* why_not NULL: it is done */

/* What KILN_DUMP asks for: writes one file per stage into the folder KILN_DUMP_DIR (default: the current one). */
void dump_open(kiln *k); /* the log tells of words in KILN_DUMP that name no stage */
bool dump_wants(const char *stage);
void dump_write(const char *function, const char *stage, const char *text, size_t len);
/* Stages cuda and ptx of a module that the passes are done with: what the CUDA backend would make of it, whether or not there is a device.
 * What goes wrong is what the file says. */
void dump_cuda(const char *function, Arena *arena, const Module *m);

#endif
