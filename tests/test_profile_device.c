/* test_profile_device: kiln_profile of a function on an emulated CUDA device, whose steps are timed by events: which steps there are, how
 * often they run, and what they are held against. test_profile has the numbers themselves. */
#include "profiled.h"

#include <kiln/device.h>

#include "codegen/emu.h"

enum { TURNS = 90 }; /* with two steps in each more than the events that are used again */

static void turn(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_tanh(kiln_matmul(in[1], in[2]));
    out[1] = in[2];
}

static void body(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    kiln_tensor *carried[2];
    (void)user;
    out[0] = kiln_relu(kiln_add(kiln_matmul(in[0], in[1]), 0.5));
    kiln_for(k, TURNS, turn, KILN_IN(in[2], in[1]), carried, NULL);
    out[1] = carried[0];
    out[2] = kiln_mul(in[0], 3);
    out[3] = kiln_mul(in[2], in[2]);
}

/* Times of steps that stand on lines of their own. */
static double sum_of_steps(void)
{
    double sum = 0;
    for (const char *at = report; (at = strstr(at, "\n{\"name\": "));) sum += number_at(++at, "seconds");
    return sum;
}

static void steps_are_timed_by_events(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    KILN_DEVICE(k, "emu:0");
    kiln_tensor *x = filled(k, KILN_SHAPE(5, 8)), *w = filled(k, KILN_SHAPE(8, 8)), *h = filled(k, KILN_SHAPE(3, 8)), *out[4];
    kiln_function *f = kiln_function_new(k, body, NULL, &(kiln_function_options){.outputs = 4, .name = "step"});
    FILE *to = tmpfile();
    assert_true(kiln_profile(to, f, KILN_IN(x, w, h), &(kiln_profile_options){.seconds = 1e-4, .json = true}));
    rewind(to);
    report[fread(report, 1, sizeof report - 1, to)] = 0;
    fclose(to);
    assert_non_null(strstr(report, "{\"roof\": {\"device\": \"emu:0\", \"bytes_per_second\": {"));
    assert_true(number_at(report, "524288") > 0);
    assert_true(number_at(step_of("step.loop"), "times") == 1);
    const double whole = number_at(strstr(report, "\"function\""), "seconds"), sum = sum_of_steps();
    if (sum <= 0 || sum > 1.5 * whole) fail_msg("steps take %g of %g s:\n%s", sum, whole, report);
    int turned = 0, with = 0;
    for (const char *at = report; (at = strstr(at, "\n{\"name\": "));) {
        turned += number_at(++at, "depth") == 1 && number_at(at, "times") == TURNS && number_at(at, "seconds") > 0;
        const char *end = strchr(at, '\n'), *more = strstr(at, "\"with\": ");
        with += more && (!end || more < end);
    }
    assert_true(turned > 0); /* products, which end in tanh */
    assert_true(with > 1);   /* one such, and kernels side by side */
    kiln_call_all(f, KILN_IN(x, w, h), out, 4); /* the function's own code is as it was */
    kiln_function_statistics stats;
    kiln_function_stats(f, &stats);
    assert_true(stats.replays > 0);
    assert_ok(k);
}

static int needs_compiler(void **state)
{
    Status st = {0};
    (void)state;
    if (emu_driver(0, &st)) return 0;
    print_message("skip: %s\n", st.text);
    exit(77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {WAIT_TEST(steps_are_timed_by_events)};
    unsetenv("KILN_PROFILE");
    return cmocka_run_group_tests_name("profile_device", tests, needs_compiler, NULL);
}
