/* Which calls share compiled code. A new size is a new signature, until the third miss by that size makes it a symbol; static arguments are
 * compiled per value; plain numbers are ordinary arguments. A function that goes on being traced says so, with what to do, through the
 * engine's log. */
#include <kiln/kiln.h>
#include <string.h>

static void log_line(void *user, const char *text)
{
    (void)user;
    const char *tail = strstr(text, "was traced"); /* without this file's place in yours */
    if (tail || strstr(text, "scaled")) printf("  log: %s\n", tail ? tail : text); /* not what the log says of this machine */
}

static void scaled(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = kiln_mul(in[0], in[1]);
}

static void powered(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)k, (void)user;
    out[0] = in[0];
    for (int64_t i = 1; i < kiln_static_i64(in[1]); i++) /* a C loop: unrolled while tracing */
        out[0] = kiln_mul(out[0], in[0]);
}

static void tell(const char *what, kiln_function *f)
{
    kiln_function_statistics s;
    kiln_function_stats(f, &s);
    printf("%s: %d calls, %d traces; last miss: %s\n", what, (int)s.calls, (int)s.traces, s.last_miss);
}

int main(void)
{
    kiln *k = kiln_open(&(kiln_options){.log = log_line, .compile = KILN_WAIT});
    {
        KILN_SCOPE(k);
        /* A new number is no new signature, a new size is: but only until it is seen that sizes vary. */
        kiln_function *f = kiln_function_new(k, scaled, NULL, &(kiln_function_options){.name = "scaled"});
        for (int n = 1; n <= 30; n++) kiln_call(f, kiln_ones(k, KILN_F32, KILN_SHAPE(n)), 0.5 * n);
        tell("sizes 1 to 30", f);
        /* Declared, it is one from the start. */
        kiln_function *g = kiln_function_new(k, scaled, NULL,
            &(kiln_function_options){.name = "scaled", .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64)), KILN_SPEC(KILN_F32)}});
        for (int n = 1; n <= 30; n++) kiln_call(g, kiln_ones(k, KILN_F32, KILN_SHAPE(n)), 0.5 * n);
        tell("declared", g);
        /* Each size by itself: fastest code per size, and a warning when they are many. */
        kiln_function *h = kiln_function_new(k, scaled, NULL, &(kiln_function_options){.name = "scaled", .fixed_sizes = true});
        for (int n = 1; n <= 8; n++) kiln_call(h, kiln_ones(k, KILN_F32, KILN_SHAPE(2, n)), 2);
        tell("fixed sizes", h);
        /* A static argument is a C value to the body: each value is compiled by itself. */
        kiln_function *p = kiln_function_new(k, powered, NULL, &(kiln_function_options){.name = "powered"});
        kiln_tensor *x = kiln_scalar(k, KILN_F32, 2);
        for (int e = 1; e <= 5; e++) printf("2 to the %d is %g\n", e, kiln_item(kiln_call(p, x, KILN_STATIC(e))));
        tell("static argument", p);
    }
    return kiln_close(k);
}
