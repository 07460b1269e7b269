/* row: what `make bench-peers` and `make bench-check` measure in Kiln. A row is a line of a table: a name, how its inputs are
 * drawn, the function, sizes. A Bench is one row in an engine of its own, ready to be called, timed and read. The inputs are
 * integer hashes rounded once, so that tests/bench/peers/draw.py draws the same bits. Relies on the public headers; knows no
 * rival. */
#ifndef KILN_TESTS_BENCH_ROW_H
#define KILN_TESTS_BENCH_ROW_H

#include <kiln/kiln.h>
#include <kiln/nn.h>

enum { MOST = 16, MI = 1 << 20, OBJECT_RESULTS = 10 };
/* Rates so small that training stays where it is while it is timed: no denormals arise, and every side does the same work. */
#define ADAM_RATE 1e-6
#define ADAM_EPSILON 1e-10
#define SGD_RATE 1e-3
#define BLOCK_RATE 0.1 /* of a ResNet block, whose gradients are small */

typedef enum How {
    EAGER = 1,     /* the body is run eagerly: no function */
    INTO = 2,      /* the result is assigned to a variable of its shape: memory that exists */
    COPIED = 4,    /* the call includes making the result contiguous */
    F64 = 8,       /* the inputs are f64 */
    ANSWERED = 16, /* timed is a new function's first call, interpreted or not, */
    COMPILED = 32, /* which compiles before it runs, */
    KEPT = 64,     /* or finds its code in a folder (cache_dir of kiln_options) */
    FIRST = ANSWERED | COMPILED | KEPT,
    OBJECT = 128   /* the function is an object file, called on one thread; b1 of OBJECT_RESULTS */
} How;

typedef struct Bench Bench;
typedef struct Row {
    const char *name;
    void (*make)(Bench *b, const int64_t *n);
    kiln_body *body; /* user is the Bench */
    int64_t n[6];    /* as make reads them */
    int how;
} Row;

struct Bench {
    const Row *row;
    kiln *k;
    kiln_scope scope; /* of the inputs */
    char folder[64];  /* of kept code or an object; "" for none */
    uint32_t drawn;   /* arrays so far: array i, from 1, has seed i */
    kiln_function *f;
    void *library;                            /* of an object, */
    int (*object)(const float *x, float *y); /* its call, */
    float of_object[OBJECT_RESULTS];          /* and that one's result */
    kiln_tensor *in[MOST], *out[MOST];
    kiln_operand operand[MOST];
    int inputs, outputs;
    int steps; /* calls before the results are read; more than 1: parameters move, and how far is a result */
    kiln_variable *target;
    kiln_variable *v[MOST]; /* parameters, and their values at the start */
    float *start[MOST];
    int parameters;
    double rate;
    bool moments; /* Adam's moments are results too, and the body's are not */
    kiln_dense *dense[2];
    kiln_conv *conv[3];
    kiln_recurrent *recurrent;
    kiln_optimizer *optimizer;
};

#define BODY(name) static void name(kiln *k KILN_UNUSED, kiln_tensor *const *in, kiln_tensor **out, void *user KILN_UNUSED)

/* ---- rows.c ---------------------------------------------------------------------------------------------------- */
const Row *row_named(const char *name); /* NULL: there is none */
const Row *row_at(int i);               /* NULL after the last one */

/* ---- bench.c --------------------------------------------------------------------------------------------------- */
typedef struct Timing { double seconds, least; } Timing; /* of a call: median, least */
bool bench_open(Bench *b, const Row *row, int threads); /* false after a message on stderr; close it all the same */
double bench_first(Bench *b); /* makes the first call, and those that its results want; seconds of the first, or -1 */
void bench_call(Bench *b);
bool bench_measure(Bench *b, double warm, double seconds, Timing *t);
/* Hands over each result of the calls made so far; after several steps also how far each parameter has moved on average, in
 * rates. */
bool bench_results(Bench *b, void (*see)(void *user, const double *x, int64_t count), void *user);
bool bench_close(Bench *b);

/* ---- object.c -------------------------------------------------------------------------------------------------- */
bool object_open(Bench *b); /* after the function was made; false after an error or a message */
void object_close(Bench *b);

/* ---- draw.c: each draws the next array --------------------------------------------------------------------------- */
kiln_tensor *draw_normal(Bench *b, kiln_shape s, double scale, double plus); /* f32: a sum of four uniforms, times scale */
kiln_tensor *draw_uniform(Bench *b, kiln_shape s);                           /* f32 in [0, 1) */
kiln_tensor *draw_labels(Bench *b, int64_t n, uint32_t classes);             /* i64 */
kiln_tensor *draw_whole(Bench *b, kiln_shape s);                             /* i8 from -20 to 20 */
kiln_tensor *draw_stochastic(Bench *b, int64_t n);                           /* rows that sum to 1: powers stay finite */
kiln_tensor *draw_distinct(Bench *b, kiln_shape s);                          /* f32 in [0, 1), no two of them equal */
kiln_tensor *draw_definite(Bench *b, int64_t count, int64_t n);              /* positive definite matrices; [n, n] if it is one */
void add_input(Bench *b, kiln_tensor *x);                                    /* of F64 rows cast */
void add_normal(Bench *b, kiln_shape s);                                     /* scale 1 */
void add_parameter(Bench *b, kiln_variable *v, kiln_shape s, double scale);  /* assigns it normal numbers */
void use_adam(Bench *b);                                                     /* three steps before results are read */
void use_sgd(Bench *b, double rate);

extern const Row small_rows[], memory_rows[], product_rows[], conv_rows[], model_rows[], sequence_rows[], order_rows[]; /* end with a NULL name */

#endif
