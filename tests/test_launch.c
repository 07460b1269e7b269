/* Kernels that run side by side as one launch (Step.beside): which ones do, as a program's text tells; and eager code's bits, on one to
 * three threads, whatever lies side by side: large and tiny kernels, points without axes, slices and values in registers of loops,
 * lists of steps that are cut into several functions, and sizes that are known only when the code runs. */
#include <stdlib.h>
#include <unistd.h>

#include "front.h"
#include "dumped.h"

#define S KILN_SHAPE
#define BESIDE ", beside the step before"

#define CASE(name) static void name(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
#define NOT_USED (void)k, (void)user

static kiln_tensor *squares(kiln_tensor *x, int axis) { return kiln_sum(kiln_mul(x, x), KILN_AXES(axis)); }

CASE(apart)
{
    NOT_USED;
    out[0] = squares(in[0], 1);
    out[1] = squares(in[1], 1);
}

CASE(reads) /* the second kernel reads what the first one makes */
{
    NOT_USED;
    out[0] = squares(in[0], 1);
    out[1] = kiln_sum(kiln_mul(in[0], kiln_reshape(out[0], S(400, 1))), KILN_AXES(0));
}

CASE(reads_later) /* two pairs, whose second kernels read what the first ones make: not all four go together */
{
    apart(k, in, out, user);
    out[0] = kiln_sum(kiln_mul(in[0], kiln_reshape(out[0], S(400, 1))), KILN_AXES(0));
    out[1] = kiln_sum(kiln_mul(in[1], kiln_reshape(out[1], S(300, 1))), KILN_AXES(0));
}

CASE(tiny) /* too little work to share */
{
    NOT_USED;
    out[0] = squares(in[0], 1);
    out[1] = squares(in[1], 1);
}

CASE(uneven) /* one number, a few and many */
{
    NOT_USED;
    out[0] = kiln_exp(in[0]);
    out[1] = kiln_tanh(kiln_slice(in[1], 0, 0, 9, 1));
    out[2] = kiln_exp(in[2]);
    out[3] = kiln_log(kiln_add(kiln_slice(in[0], 0, 0, 1, 1), 3.0));
    out[4] = squares(in[2], 0);
}

CASE(many) /* more than one function holds */
{
    NOT_USED;
    for (int i = 0; i < 150; i++) out[i] = kiln_exp(kiln_mul(kiln_slice(in[0], 0, i, i + 1 + i * 7, 1), 0.1 * i));
}

CASE(in_loop) /* slices of what goes in and comes out, and carries */
{
    NOT_USED;
    kiln_variable *a = kiln_local(k, kiln_zeros(k, KILN_F32, S(400))), *b = kiln_local(k, kiln_zeros(k, KILN_F32, S(300)));
    kiln_variable *n = kiln_local(k, KILN_F32, 1.0), *stack = kiln_local(k, kiln_zeros(k, KILN_F32, S(4, 400)));
    KILN_FOR(k, i, 4)
    {
        kiln_tensor *x = kiln_reshape(kiln_gather(in[0], kiln_reshape(i, S(1)), 0), S(400, 128));
        kiln_tensor *s = squares(kiln_add(x, n), 1);
        kiln_assign_add(b, squares(kiln_add(in[1], n), 1));
        kiln_assign_add(a, s);
        kiln_assign(n, kiln_exp(kiln_mul(n, -0.5)));
        kiln_assign(stack, kiln_scatter(stack, kiln_reshape(i, S(1)), kiln_reshape(s, S(1, 400)), 0, KILN_SCATTER_SET));
    }
    out[0] = kiln_value(a);
    out[1] = kiln_value(b);
    out[2] = kiln_value(n);
    out[3] = kiln_value(stack);
}

CASE(memory) /* temporaries that could share memory one after the other */
{
    NOT_USED;
    kiln_tensor *p = kiln_matmul(in[0], in[1]), *q = kiln_matmul(in[1], in[0]);
    kiln_tensor *a = kiln_transpose(kiln_exp(kiln_mul(p, 0.01)), KILN_AXES(1, 0)), *b = kiln_sum(kiln_mul(q, q), KILN_AXES(0));
    out[0] = kiln_matmul(a, kiln_softmax(kiln_add(q, b), 1));
    out[1] = kiln_matmul(kiln_softmax(kiln_mul(p, 0.3), 0), q);
}

typedef struct Program {
    const char *name;
    kiln_body *body;
    int outs, least, most; /* how many lines say so */
    kiln_shape in[3];
    bool symbols; /* the sizes of the first axes are known only when the code runs */
} Program;

static kiln_tensor *operand(kiln *k, kiln_shape s, int64_t more, int seed)
{
    int64_t n = 1;
    s.size[1] += more;
    for (int64_t i = 1; i <= s.rank; i++) n *= s.size[i];
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)((i + seed) * 7919 % 2003) / 2003.f - .5f;
    kiln_tensor *made = kiln_from(k, KILN_F32, s, x, n);
    free(x);
    return made;
}

enum { MOST = 150 };

static void call(kiln *k, const Program *p, kiln_function *f, int64_t more)
{
    KILN_SCOPE(k);
    kiln_tensor *in[3], *eager[MOST], *compiled[MOST];
    kiln_operand operands[3];
    int n = 0;
    for (; n < 3 && p->in[n].rank > 0; n++) in[n] = operand(k, p->in[n], more, n), operands[n] = KILN_OPERAND(in[n]);
    p->body(k, in, eager, NULL);
    kiln_call_all(f, operands, n, compiled, p->outs);
    assert_ok(k);
    for (int i = 0; i < p->outs; i++) {
        assert_int_equal(kiln_bytes(eager[i]), kiln_bytes(compiled[i]));
        if (memcmp(kiln_data(eager[i]), kiln_data(compiled[i]), (size_t)kiln_bytes(eager[i])) != 0)
            fail_msg("%s: result %d is not eager code's", p->name, i);
    }
}

static void run(const Program *p, int threads)
{
    static const char *const says[] = {BESIDE};
    char folder[] = "/tmp/kiln-launch-XXXXXX";
    assert_non_null(mkdtemp(folder));
    setenv("KILN_DUMP", "program", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln *k = kiln_open(&(kiln_options){.threads = threads, .compile = KILN_WAIT});
    kiln_function_options o = {.name = p->name, .outputs = p->outs};
    if (p->symbols) o.inputs[0] = (kiln_spec)KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 512), 256);
    if (p->symbols) o.inputs[1] = (kiln_spec)KILN_SPEC(KILN_F32, KILN_DIM("M", 1, 512), 128);
    kiln_function *f = kiln_function_new(k, p->body, NULL, &o);
    int found;
    for (int64_t i = 0; i < 2; i++) call(k, p, f, p->symbols ? 3 * i : 0);
    assert_int_equal(kiln_close(k), 0);
    unsetenv("KILN_DUMP");
    dumped_lines(folder, says, 1, &found);
    if (found < p->least || found > p->most) fail_msg("%s: %d kernels are beside another one", p->name, found);
    rmdir(folder);
}

static void programs(void **state)
{
    (void)state;
    const kiln_shape x = S(400, 256), y = S(300, 128);
    const Program all[] = {
        {"apart", apart, 2, 1, 1, {x, y}, false},
        {"reads", reads, 2, 0, 0, {x}, false},
        {"reads_later", reads_later, 2, 1, 1, {x, y}, false},
        {"tiny", tiny, 2, 0, 0, {S(4, 8), S(3, 5)}, false},
        {"uneven", uneven, 5, 2, 4, {S(1), S(50), S(30000)}, false},
        {"many", many, 150, 100, 149, {S(2000)}, false},
        {"in_loop", in_loop, 4, 1, 3, {S(4, 400, 128), y}, false},
        {"memory", memory, 2, 0, 0, {S(200, 200), S(200, 200)}, false}, /* side by side they would need more than all else */
        {"small_memory", memory, 2, 1, 2, {S(100, 100), S(100, 100)}, false},
        {"symbols", apart, 2, 0, 0, {x, y}, true},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int threads = 1; threads < 4; threads++) run(&all[i], threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(programs)};
    return cmocka_run_group_tests(tests, front_needs_llvm, NULL);
}
