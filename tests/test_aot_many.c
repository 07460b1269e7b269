/* aot_many: an object of a function with hundreds of variables and hundreds of inputs: its header compiles as C11 and C++17, and a C program that
 * calls it some times gets the JIT's bits of all results and of all state. Skipped without the LLVM module or a C compiler. */
#include "aot_test.h"

#include <kiln/aot.h>

enum { VARIABLES = 300, INPUTS = 400, RESULTS = 250, CALLS = 3, WIDTH = 5 };

static kiln_variable *variable[VARIABLES];

/* Every result reads some inputs and variables, every other variable changes, the last of them by a loop and a branch. */
static void many(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)user;
    kiln_tensor *sum = kiln_mul(in[0], 0.5);
    for (int i = 0; i < VARIABLES; i += 2) kiln_assign(variable[i], kiln_add(kiln_mul(variable[i], 0.75), kiln_sin(in[i % INPUTS])));
    for (int i = 1; i < INPUTS; i++) sum = kiln_add(sum, kiln_mul(in[i], variable[i % VARIABLES]));
    for (int i = 0; i < RESULTS; i++) out[i] = kiln_add(kiln_tanh(kiln_mul(sum, 1.0 / (i + 1))), variable[(i + 1) % VARIABLES]);
    KILN_FOR(k, turn, 3) {
        for (int i = 1; i < VARIABLES; i += 50) kiln_assign(variable[i], kiln_add(variable[i], kiln_mul(in[i], 0.25)));
    }
    KILN_IF(kiln_less(kiln_sum(sum, KILN_ALL), 0.0)) kiln_assign(variable[VARIABLES - 1], kiln_neg(variable[VARIABLES - 1]));
}

/* Reads all inputs, calls, writes all results; at the end all state, in the order of the variables' names v000, v001 ... */
static void write_program(const char *language)
{
    char name[32];
    snprintf(name, sizeof name, "main.%s", language);
    FILE *f = fopen(path_of(name), "w");
    assert_non_null(f);
    fprintf(f, "#include <stdio.h>\n#include \"many.h\"\n"
               "static float x[%d][%d], y[%d][%d];\n"
               "#ifdef __cplusplus\nalignas(64)\n#else\n_Alignas(64)\n#endif\n"
               "static unsigned char state[MANY_STATE_BYTES + MANY_WORKSPACE_BYTES + 64];\n"
               "int main(int argc, char **argv)\n{\n    void *work = state + (MANY_STATE_BYTES + 63) / 64 * 64;\n"
               "    FILE *f = argc > 1 ? fopen(argv[1], \"rb\") : NULL;\n    if (!f || fread(x, sizeof x, 1, f) != 1) return 2;\n"
               "    fclose(f);\n    many_init(state);\n    for (int i = 0; i < %d; i++) {\n        if (many(state", INPUTS, WIDTH, RESULTS, WIDTH, CALLS);
    for (int i = 0; i < INPUTS; i++) fprintf(f, ",%s x[%d]", i % 8 ? "" : "\n            ", i);
    for (int i = 0; i < RESULTS; i++) fprintf(f, ",%s y[%d]", i % 8 ? "" : "\n            ", i);
    fprintf(f, ", work)) return 3;\n        fwrite(y, sizeof y, 1, stdout);\n    }\n    fwrite(state, 1, MANY_STATE_BYTES, stdout);\n    return 0;\n}\n");
    assert_int_equal(fclose(f), 0);
}

/* Where the header says that the variable lies in the state. */
static long offset_of(const char *header, const char *name)
{
    char want[40];
    snprintf(want, sizeof want, "/* %s */", name);
    const char *at = strstr(header, want);
    assert_non_null(at);
    while (*at != '+') at--;
    return strtol(at + 1, NULL, 10);
}

static char *slurp(const char *name, size_t *n)
{
    FILE *f = fopen(path_of(name), "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *text = calloc(*n + 1, 1);
    assert_int_equal(fread(text, 1, *n, f), *n);
    fclose(f);
    return text;
}

static void hundreds_of_variables_and_inputs(void **state)
{
    kiln *k = *state;
    KILN_SCOPE(k);
    static kiln_tensor *in[INPUTS], *out[RESULTS];
    static float want[CALLS][RESULTS][WIDTH];
    static kiln_spec spec[INPUTS];
    char name[16];
    kiln_variable *g = kiln_generator(k, 5);
    FILE *data = fopen(path_of("data"), "wb");
    for (int i = 0; i < INPUTS; i++) {
        in[i] = kiln_normal(g, KILN_F32, KILN_SHAPE(WIDTH), 0, 1);
        spec[i] = (kiln_spec)KILN_SPEC(KILN_F32, WIDTH);
        assert_int_equal(fwrite(kiln_data(in[i]), sizeof(float), WIDTH, data), WIDTH);
    }
    fclose(data);
    for (int i = 0; i < VARIABLES; i++) {
        snprintf(name, sizeof name, "v%03d", i);
        variable[i] = kiln_variable_new(k, name, kiln_normal(g, KILN_F32, KILN_SHAPE(WIDTH), 0, 1));
    }
    kiln_function *f = kiln_function_new(k, many, NULL, &(kiln_function_options){
        .name = "many", .outputs = RESULTS, .inputs_count = INPUTS, .input_list = spec});
    assert_true(kiln_aot(f, path_of("many"), NULL));
    for (int i = 0; i < CALLS; i++) {
        assert_true(kiln_call_all_of_at(KILN_HERE, f, kiln_tensors(in, INPUTS), out, RESULTS));
        for (int j = 0; j < RESULTS; j++) assert_true(kiln_read(out[j], want[i][j], sizeof want[i][j]));
    }
    assert_ok(k);
    write_program("c");
    write_program("cc");
    size_t header_bytes, bytes;
    char *header = slurp("many.h", &header_bytes);
    static const char *const build[] = {"cc -std=c11 -Wall -Wextra -Werror -pedantic -O1 -o main main.c many.o -lm",
        "if c++ --version > /dev/null 2>&1; then c++ -std=c++17 -Wall -Wextra -Werror -O1 -o main main.cc many.o -lm; fi"};
    for (int i = 0; i < 2; i++) {
        run("cd '%s' && rm -f got && %s && ./main data > got", dir, build[i]);
        char *got = slurp("got", &bytes);
        assert_true(bytes > sizeof want);
        assert_memory_equal(got, want, sizeof want);
        for (int j = 0; j < VARIABLES; j++) {
            float v[WIDTH];
            snprintf(name, sizeof name, "v%03d", j);
            assert_true(kiln_read(kiln_value(variable[j]), v, sizeof v));
            assert_memory_equal(got + sizeof want + offset_of(header, name), v, sizeof v);
        }
        free(got);
    }
    free(header);
    run("cd '%s' && ! nm -u many.o | grep -vE ' (mem(cpy|set|move)|[a-z0-9]+f?)$'", dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {FRONT_TEST(hundreds_of_variables_and_inputs)};
    return cmocka_run_group_tests_name("aot_many", tests, aot_set_up, aot_tear_down);
}
