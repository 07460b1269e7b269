/* fuzz functions: bytes as a function's body over two tensors and a variable: its calls run eagerly and then traced, and give the same error
 * or the same bits, which are what the reference says. */
#include "calls.h"

enum { STEPS = 8 };

static kiln_shape shape_of(const kiln_tensor *t)
{
    kiln_shape s = {.rank = kiln_rank(t)};
    for (int i = 0; i < s.rank; i++) s.size[i + 1] = kiln_dim(t, i);
    return s;
}

typedef struct Body { Input in; kiln_variable *v; } Body;

/* What a local holds is a value of its own: where a loop or branch leaves it as it was, eager code alone knows it as what a tape watches later. */
static kiln_tensor *own_value(kiln_tensor *x) { return kiln_dtype_of(x) >= KILN_F16 ? kiln_neg(x) : x; }

/* Loops run, and their body reads the same bytes in every turn; branches hold nothing that can fail: a trace runs what eager code leaves out. */
static kiln_tensor *body_step(kiln *k, Input *in, kiln_variable *v, kiln_tensor *a, kiln_tensor *b)
{
    switch (byte(in) % 8) {
    case 0: {
        KILN_TAPE(k, tape);
        kiln_tensor *x = kiln_watch(tape, a), *y = applied(in, x, b);
        return small(y) ? kiln_gradient(tape, y, x) : y;
    }
    case 1: {
        kiln_variable *l = kiln_local(k, own_value(a));
        Input first = *in;
        KILN_FOR(k, i, 3)
        {
            *in = first;
            kiln_assign(l, own_value(applied(in, kiln_value(l), b)));
        }
        return kiln_value(l);
    }
    case 2: {
        kiln_variable *l = kiln_local(k, own_value(a));
        kiln_tensor *r = applied(in, a, a);
        if (kiln_failed(k) || kiln_rank(r) != kiln_rank(a) || kiln_bytes(r) != kiln_bytes(a) || kiln_dtype_of(r) != kiln_dtype_of(a)) return r;
        r = kiln_reshape_at(HERE, KILN_OPERAND(r), shape_of(a));
        KILN_IF(kiln_gt(kiln_sum(kiln_cast(b, KILN_F32), KILN_ALL), 1)) kiln_assign(l, own_value(r));
        return kiln_value(l);
    }
    case 3: kiln_assign(v, a); return kiln_value(v);
    default: return applied(in, a, b);
    }
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    const Body *what = user;
    Input bytes = what->in;
    kiln_tensor *slot[3] = {in[0], in[1], in[0]};
    for (int i = 0; i < STEPS && bytes.left != 0 && !kiln_failed(k); i++) {
        uint8_t b = byte(&bytes);
        kiln_tensor *r = body_step(k, &bytes, what->v, slot[b % 3], slot[b / 4 % 3]);
        if (kiln_failed(k) || !small(r)) break;
        slot[b / 16 % 3] = r;
    }
    out[0] = slot[0];
    out[1] = slot[1];
}

typedef struct Outcome { kiln_code code; char text[256]; kiln_tensor *out[3]; } Outcome;

static void call(kiln *k, kiln_function *f, kiln_variable *v, kiln_tensor *start, kiln_tensor *const *in, bool eager, Outcome *o)
{
    kiln_eager(k, eager);
    kiln_assign(v, start);
    kiln_call_all(f, ((kiln_operand[]){KILN_OPERAND(in[0]), KILN_OPERAND(in[1])}), 2, o->out, 2);
    o->out[2] = kiln_value(v);
    o->code = kiln_failed(k) ? kiln_error(k)->code : KILN_OK;
    snprintf(o->text, sizeof o->text, "%s", kiln_failed(k) ? kiln_error(k)->text : "");
    kiln_clear(k);
}

/* Small numbers of any dtype. */
static kiln_tensor *argument(kiln *k, Input *in)
{
    static const kiln_dtype t[] = {KILN_F32, KILN_F32, KILN_F64, KILN_F16, KILN_BF16, KILN_I32, KILN_I64, KILN_U8, KILN_BOOL, KILN_F8_E4M3, KILN_F8_E5M2};
    uint8_t b = byte(in), sizes = byte(in);
    kiln_shape s = {.rank = b % 4};
    for (int i = 0; i < s.rank; i++) s.size[i + 1] = 1 + (sizes >> 2 * i & 3);
    if (s.rank == 0) return kiln_cast(kiln_scalar(k, KILN_F32, 1.5), t[b / 4 % COUNT(t)]);
    return kiln_cast(kiln_sub(kiln_mul(kiln_iota(k, KILN_F32, s, s.rank - 1), 1.25), 1), t[b / 4 % COUNT(t)]);
}

static void both(kiln *k, Input *in)
{
    kiln_tensor *args[2] = {argument(k, in)}, *start = kiln_iota(k, KILN_F32, KILN_SHAPE(2, 3), 1);
    args[1] = argument(k, in);
    Body what = {*in, kiln_variable_new(k, "v", start)};
    Outcome eager, traced;
    kiln_function *f = kiln_function_new(k, body, &what, &(kiln_function_options){.name = "body", .inputs_count = 2, .outputs = 2});
    call(k, f, what.v, start, args, true, &eager);
    call(k, f, what.v, start, args, false, &traced);
    bool agree = eager.code == traced.code;
    for (int i = 0; agree && eager.code == KILN_OK && i < 3; i++) agree = fuzz_same(eager.out[i], traced.out[i]);
    if (!agree && eager.code != KILN_EMEMORY && traced.code != KILN_EMEMORY) {
        fprintf(stderr, "fuzz_functions: eagerly %d %s, traced %d %s\n", eager.code, eager.text, traced.code, traced.text);
        for (int i = 0; i < 3 && eager.code == KILN_OK; i++) kiln_print(stderr, eager.out[i]);
        for (int i = 0; i < 3 && traced.code == KILN_OK; i++) kiln_print(stderr, traced.out[i]);
        abort();
    }
    if (eager.code == KILN_OK && traced.code == KILN_OK && !kiln_check(NULL, f, args, 2) && kiln_error(k)->code != KILN_EMEMORY) {
        fprintf(stderr, "fuzz_functions: eager code, compiled code and the reference disagree: %s\n", kiln_error(k)->text);
        kiln_check(stderr, f, args, 2);
        abort();
    }
    kiln_clear(k);
    kiln_function_free(f);
    kiln_variable_free(what.v);
}

/* One engine for all inputs: opening the compiler takes longer than most of them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static kiln *k;
    Input in = {data, size};
    if (k == NULL) k = fuzz_open();
    KILN_SCOPE(k);
    both(k, &in);
    if (kiln_failed(k)) abort();
    return 0;
}
