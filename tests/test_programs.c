/* test_programs: random programs of public calls run eagerly and traced, and give the same results, final variables and errors, bit for bit; each
 * value that they compute is what the reference interpreter says, within its bounds (kiln_check).
 * KILN_TEST_FULL=1 runs 20 times as many; KILN_TEST_SEED=7 or 7-90 those seeds. A seed that differs is told with its program. */
#include "front.h"
#include "random_program.h"

#include <math.h>
#include <stdlib.h>

enum { PROGRAMS = 140, MOST_BYTES = 4096, MOST_FAILURES = 8, RUNS = 4 /* eager, traced, from the cache, interpreted */ };

typedef struct Bytes {
    kiln_dtype dtype;
    int64_t count;
    unsigned char at[MOST_BYTES];
} Bytes;

typedef struct Outcome {
    bool ok;
    kiln_code code;
    char text[512];
    Bytes out[OUTPUTS], variable[VARIABLES];
} Outcome;

static struct {
    unsigned programs, failed, close, inexact, different;
    unsigned did[DOES_COUNT], verdict[3 /* kiln_verdict */];
} total;

static void take(Bytes *b, kiln_tensor *t)
{
    *b = (Bytes){.dtype = kiln_dtype_of(t), .count = kiln_elements(t)};
    if (kiln_bytes(t) > MOST_BYTES) fail_msg("a value of %zu bytes", kiln_bytes(t));
    kiln_read(t, b->at, kiln_bytes(t));
}

/* A sign, `ebits` of exponent, `mbits` of mantissa; whole: there is no infinity, and NaN is all bits alone. */
static double decoded(unsigned code, int ebits, int mbits, bool whole)
{
    const int field = (int)(code >> mbits & ((1u << ebits) - 1)), fraction = (int)(code & ((1u << mbits) - 1)), all = (1 << ebits) - 1;
    double v = ldexp(fraction + (field ? 1 << mbits : 0), (field ? field : 1) - (1 << (ebits - 1)) + 1 - mbits);
    if (field == all && (!whole || fraction == (1 << mbits) - 1)) v = fraction ? (double)NAN : (double)INFINITY;
    return code >> (ebits + mbits) ? -v : v;
}

static double element(const Bytes *b, int64_t i)
{
    uint16_t h = 0;
    float f;
    double d;
    memcpy(&h, b->at + (size_t)i * kiln_dtype_bytes(b->dtype), kiln_dtype_bytes(b->dtype) == 1 ? 1 : 2);
    switch (b->dtype) {
    case KILN_F64: memcpy(&d, b->at + 8 * i, 8); return d;
    case KILN_F32: memcpy(&f, b->at + 4 * i, 4); return f;
    case KILN_BF16: return decoded(h, 8, 7, false);
    case KILN_F8_E4M3: return decoded(h, 4, 3, true);
    case KILN_F8_E5M2: return decoded(h, 5, 2, false);
    default: return decoded(h, 5, 10, false);
    }
}

/* Equal to the bit; of floats, NaN is one value. */
static bool same(const Bytes *a, const Bytes *b)
{
    size_t bytes = kiln_dtype_bytes(a->dtype);
    if (a->dtype != b->dtype || a->count != b->count) return false;
    for (int64_t i = 0; i < a->count; i++) {
        if (memcmp(a->at + bytes * (size_t)i, b->at + bytes * (size_t)i, bytes) == 0) continue;
        if (a->dtype < KILN_F16 || !isnan(element(a, i)) || !isnan(element(b, i))) return false;
    }
    return true;
}

/* Equal but for rounding, relative to the largest: cotangents may have been added in another order. Where one is not finite the sums may have overflowed. */
static bool close_to(const Bytes *a, const Bytes *b)
{
    const bool tiny = kiln_dtype_bytes(a->dtype) == 1;
    double most = tiny ? 0x1p-6 : 0, bound = tiny ? 0.5 : a->dtype == KILN_BF16 || a->dtype == KILN_F16 ? 0.1 : 1e-3;
    if (a->dtype != b->dtype || a->count != b->count) return false;
    for (int64_t i = 0; i < a->count; i++) {
        double x = fabs(element(a, i)), y = fabs(element(b, i));
        if (isfinite(x) && x > most) most = x;
        if (isfinite(y) && y > most) most = y;
    }
    for (int64_t i = 0; i < a->count; i++) {
        double x = element(a, i), y = element(b, i);
        if (isfinite(x) && isfinite(y) && fabs(x - y) > bound * most) return false;
    }
    return true;
}

/* A number other than 0 is in it. */
static bool has_numbers(const Bytes *b)
{
    for (int64_t i = 0; i < b->count; i++)
        if (isfinite(element(b, i)) && element(b, i) != 0) return true;
    return false;
}

static void run_once(kiln *k, kiln_function *f, Program *p, kiln_tensor *const *start, const kiln_operand *in, Outcome *o)
{
    KILN_SCOPE(k);
    kiln_tensor *out[OUTPUTS];
    memset(o, 0, sizeof *o);
    for (int v = 0; v < VARIABLES; v++) kiln_assign(p->variable[v], start[v]);
    o->ok = kiln_call_all(f, in, INPUTS, out, OUTPUTS);
    o->code = kiln_error(k)->code;
    snprintf(o->text, sizeof o->text, "%s", kiln_error(k)->text);
    kiln_clear(k);
    if (!o->ok) return; /* what an eager body assigned before its error stays */
    for (int i = 0; i < OUTPUTS; i++) take(&o->out[i], out[i]);
    for (int v = 0; v < VARIABLES; v++) take(&o->variable[v], kiln_value(p->variable[v]));
}

/* NULL, or how b differs from a. */
static const char *difference(const Outcome *a, const Outcome *b)
{
    static char text[64];
    if (a->ok != b->ok) return "one of them failed";
    if (a->code != b->code) return "the codes of their errors";
    if (strcmp(a->text, b->text) != 0) return "the texts of their errors";
    for (int i = 0; i < OUTPUTS && a->ok; i++) {
        bool exact = same(&a->out[i], &b->out[i]);
        if (i == CLOSE_OUTPUT && !exact) total.inexact++;
        snprintf(text, sizeof text, "output %d", i);
        if (!exact && (i != CLOSE_OUTPUT || !close_to(&a->out[i], &b->out[i]))) return text;
    }
    for (int v = 0; v < VARIABLES && a->ok; v++) {
        snprintf(text, sizeof text, "variable %d", v);
        if (!same(&a->variable[v], &b->variable[v])) return text;
    }
    return NULL;
}

static void print_bytes(const Bytes *b)
{
    size_t bytes = kiln_dtype_bytes(b->dtype);
    printf("%s", kiln_dtype_name(b->dtype));
    for (int64_t i = 0; i < b->count && i < 12; i++) {
        if (b->dtype >= KILN_F16) printf(" %.17g", element(b, i));
        else {
            uint64_t x = 0;
            memcpy(&x, b->at + bytes * (size_t)i, bytes);
            printf(" 0x%llx", (unsigned long long)x);
        }
    }
    printf("\n");
}

static void tell(uint64_t seed, const char *what, kiln_function *f, Program *p, kiln_tensor *const *start, const kiln_operand *in, const Outcome *o,
                 int at)
{
    static Outcome again;
    kiln *k = kiln_engine(start[0]);
    static const char *const name[RUNS] = {"eagerly", "traced", "from the cache", "interpreted"};
    printf("seed %llu: %s, eagerly and %s\n", (unsigned long long)seed, what, name[at]);
    for (int i = 0; i < RUNS; i++) {
        printf(" %s: %s\n", name[i], o[i].ok ? "ok" : o[i].text);
        for (int j = 0; j < OUTPUTS && o[i].ok; j++) printf("  output %d ", j), print_bytes(&o[i].out[j]);
        for (int j = 0; j < VARIABLES && o[i].ok; j++) printf("  variable %d ", j), print_bytes(&o[i].variable[j]);
    }
    for (int i = 0; i < INPUTS; i++) printf("v%d = ", i), kiln_print(stdout, in[i]);
    for (int i = 0; i < VARIABLES; i++) printf("s%d = ", i), kiln_print(stdout, start[i]);
    p->say = stdout;
    kiln_eager(k, true);
    run_once(k, f, p, start, in, &again);
    p->say = NULL;
    fflush(stdout);
    total.different++;
}

/* Eager code, compiled code and the reference, value by value, with the variables as they were at the start. */
static kiln_verdict against_reference(kiln_function *f, Program *p, kiln_tensor *const *start, const kiln_operand *in, FILE *report)
{
    for (int v = 0; v < VARIABLES; v++) kiln_assign(p->variable[v], start[v]);
    return kiln_check(report, f, kiln_operand_list(in, INPUTS));
}

static void one_seed(uint64_t seed)
{
    static Program p;
    static Outcome o[RUNS];
    Draw d = {seed};
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_operand in[INPUTS];
        kiln_tensor *start[VARIABLES];
        program_draw(&p, &d, draw_below(&d, 10) == 0);
        for (int i = 0; i < INPUTS; i++) in[i] = KILN_OPERAND(program_tensor(k, &d));
        for (int i = 0; i < VARIABLES; i++) {
            start[i] = program_tensor(k, &d);
            p.variable[i] = kiln_variable_new(k, "v", start[i]);
        }
        kiln_function_options like = {.name = "program", .inputs_count = INPUTS, .outputs = OUTPUTS}, interpreted = like;
        interpreted.compile = KILN_NEVER;
        kiln_function *f = kiln_function_new(k, program_body, &p, &like), *g = kiln_function_new(k, program_body, &p, &interpreted);
        assert_ok(k);
        for (int i = 0; i < RUNS; i++) {
            kiln_eager(k, i == 0);
            run_once(k, i == RUNS - 1 ? g : f, &p, start, in, &o[i]);
        }
        for (int i = 1; i < RUNS; i++) {
            const char *what = difference(&o[0], &o[i]);
            if (what == NULL) continue;
            tell(seed, what, f, &p, start, in, o, i);
            break;
        }
        if (o[0].ok) {
            kiln_verdict v = against_reference(f, &p, start, in, NULL);
            total.verdict[v]++;
            if (v == KILN_DISAGREE) {
                against_reference(f, &p, start, in, stdout);
                tell(seed, kiln_failed(k) ? kiln_error(k)->text : "kiln_check disagrees", f, &p, start, in, o, 1);
            }
        }
        total.programs++;
        total.failed += !o[0].ok;
        total.close += o[0].ok && has_numbers(&o[0].out[CLOSE_OUTPUT]);
        for (int i = 0; i < DOES_COUNT; i++) total.did[i] += p.did[i] != 0;
        program_free_functions(&p);
        kiln_function_free(f);
        kiln_function_free(g);
        kiln_clear(k);
    }
    kiln_close(k);
}

static void eager_compiled_and_reference_programs_agree(void **state)
{
    (void)state;
    const char *one = getenv("KILN_TEST_SEED");
    uint64_t first = 1, last = getenv("KILN_TEST_FULL") != NULL ? 20 * PROGRAMS : PROGRAMS;
    if (one != NULL) {
        char *dash;
        first = strtoull(one, &dash, 10);
        last = *dash == '-' ? strtoull(dash + 1, NULL, 10) : first;
    }
    for (uint64_t seed = first; seed <= last && total.different < MOST_FAILURES; seed++) one_seed(seed);
    printf("%u programs, %u of them fail in both modes, %u have a gradient through loops or branches that is not 0; %u of those are not equal to the bit\n",
           total.programs, total.failed, total.close, total.inexact);
    printf("the reference decides all values of %u programs, and not all of %u\n", total.verdict[KILN_AGREE], total.verdict[KILN_CANNOT_TELL]);
    printf("programs with:");
    for (int i = 0; i < DOES_COUNT; i++) printf(" %s %u", does_name[i], total.did[i]);
    printf("\n");
    if (total.different != 0) fail_msg("%u programs differ", total.different);
    for (int i = 0; i < DOES_COUNT && one == NULL; i++)
        if (total.did[i] < PROGRAMS / 20) fail_msg("%s was in %u programs only", does_name[i], total.did[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(eager_compiled_and_reference_programs_agree)};
    return cmocka_run_group_tests_name("programs", tests, front_needs_llvm, NULL);
}
