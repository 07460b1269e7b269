/* meanwhile: what a callback in the middle of an interpreted loop may do: assign what the loop assigns, release what the body uses, call the
 * function again, wait for its code, free it, fork, fail. Results, variables, random draws, errors and the number of calls are those of
 * compiled code, whether no code comes, or it comes in the background, or at random turns. */
#include "front.h"

#include <kiln/nn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "waves.h"

#define CALLS 3
enum { NOTHING, ASSIGNS, RELEASES, CALLS_AGAIN, WAITS, FREES, FORKS, FAILS, DEEDS };

typedef struct Case {
    kiln *k;
    int deed, calls, depth;
    kiln_function *f;
    kiln_variable *sum, *generator;
    kiln_tensor *used; /* NULL: it was released */
} Case;

/* 0: a child of this process runs a function that has no code there yet. */
static int forked(kiln *k)
{
    int status = -1;
    kiln_sync(k, NULL); /* the child would do what was asked of a device, too */
    const pid_t child = fork();
    if (child == 0) {
        KILN_SCOPE(k);
        alarm(60);
        kiln_call(waves_new(k, 1), kiln_f32(k, KILN_SHAPE(2), 1, 2));
        _exit(kiln_failed(k));
    }
    return waitpid(child, &status, 0) == child ? status : -1;
}

static float call_again(Case *c)
{
    KILN_SCOPE(c->k);
    if (c->depth == 2) return 0;
    c->depth++;
    const double y = kiln_item(kiln_sum(kiln_call(c->f, kiln_f32(c->k, KILN_SHAPE(3), 1, 2, 3)), KILN_ALL));
    c->depth--;
    return (float)y;
}

static int meanwhile(const kiln_array *in, int nin, const kiln_array *out, int nout, void *user)
{
    (void)nin, (void)nout;
    Case *c = user;
    const float turn = *(const float *)in[0].data;
    float y = 2 * turn;
    c->calls++;
    if (turn == 3) switch (c->deed) {
        case ASSIGNS: kiln_assign(c->sum, kiln_f32(c->k, KILN_SHAPE(3), 9, 9, 9)); break;
        case RELEASES: kiln_release(c->used), c->used = NULL; break;
        case CALLS_AGAIN: y += call_again(c); break;
        case WAITS: kiln_function_wait(c->f); break;
        case FREES: kiln_function_free(c->f); break;
        case FORKS: y += (float)forked(c->k); break;
        case FAILS: return KILN_EVALUE;
        }
    *(float *)out[0].data = y;
    return 0;
}

static void looped(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Case *c = user;
    kiln_variable *x = kiln_local(k, in[0]);
    KILN_FOR(k, i, 7)
    {
        kiln_tensor *turn = kiln_cast(i, KILN_F32), *y = NULL;
        kiln_callback(k, meanwhile, c, &turn, 1, (kiln_spec[]){KILN_SPEC(KILN_F32)}, &y, 1);
        kiln_assign(x, kiln_add(kiln_mul(x, 0.5), kiln_add(y, kiln_uniform(c->generator, KILN_F32, KILN_SHAPE(3), 0, 1))));
        kiln_assign(x, kiln_add(x, c->used));
        kiln_assign_add(c->sum, x);
    }
    out[0] = kiln_add(x, c->sum);
}

typedef struct Seen {
    float y[CALLS][3], sum[CALLS][3];
    int code[CALLS], calls[CALLS];
} Seen;

/* how: of KILN_COMPILE */
static Seen see(const char *how, int deed)
{
    Seen s = {0};
    setenv("KILN_COMPILE", how, 1);
    Case c = {.k = kiln_open(&(kiln_options){.threads = 1}), .deed = deed};
    {
        KILN_SCOPE(c.k);
        c.sum = kiln_variable_new(c.k, "sum", kiln_f32(c.k, KILN_SHAPE(3), 1, 2, 3));
        c.generator = kiln_generator(c.k, 5);
        c.used = kiln_own(kiln_f32(c.k, KILN_SHAPE(3), 0.5, 0.25, 1));
        c.f = kiln_function_new(c.k, looped, &c, &(kiln_function_options){.name = "looped", .inputs_count = 1});
        for (int i = 0; i < (deed == RELEASES || deed == FREES ? 1 : CALLS); i++) {
            c.calls = 0;
            kiln_tensor *y = kiln_call(c.f, kiln_f32(c.k, KILN_SHAPE(3), 1, 2, 3));
            s.code[i] = (int)kiln_error(c.k)->code;
            s.calls[i] = c.calls;
            kiln_clear(c.k);
            if (!s.code[i]) kiln_read(y, s.y[i], sizeof s.y[i]);
            kiln_read(kiln_value(c.sum), s.sum[i], sizeof s.sum[i]);
        }
        if (c.used) kiln_release(c.used);
        kiln_clear(c.k);
    }
    assert_int_equal(kiln_close(c.k), 0);
    return s;
}

static void as_in_compiled_code(void **state)
{
    static const char *const how[] = {"never", "background", "swap:1", "swap:20", "swap:300", "swap:4000", "swap:50000"};
    const int deed = (int)(intptr_t)*state;
    const Seen want = see("wait", deed);
    assert_int_equal(want.code[0], deed == FAILS ? KILN_EVALUE : KILN_OK);
    assert_int_equal(want.calls[0], deed == FAILS ? 4 : deed == CALLS_AGAIN ? 21 : 7);
    for (size_t i = 0; i < sizeof how / sizeof *how; i++) {
        const Seen got = see(how[i], deed);
        if (memcmp(&got, &want, sizeof got) != 0) fail_msg("KILN_COMPILE=%s: %g, not %g; %d calls, not %d; code %d, not %d", how[i], (double)got.y[0][0], (double)want.y[0][0], got.calls[0], want.calls[0], got.code[0], want.code[0]);
    }
}

#define DEED(d) {#d, as_in_compiled_code, NULL, NULL, (void *)d}

int main(void)
{
    const struct CMUnitTest tests[] = {DEED(NOTHING), DEED(ASSIGNS), DEED(RELEASES), DEED(CALLS_AGAIN), DEED(WAITS), DEED(FREES), DEED(FORKS), DEED(FAILS)};
    return cmocka_run_group_tests_name("meanwhile", tests, front_needs_llvm, NULL);
}
