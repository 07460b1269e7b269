/* A training step ahead of time: kiln_aot writes an object file and its header; a plain C program that
 * links them and libm alone trains as the library does, to the bit. Needs a C compiler named cc. */
#define _POSIX_C_SOURCE 200809L /* popen, mkdtemp */
#include <kiln/aot.h>
#include <kiln/nn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 12, STEPS = 5 };

/* The other program. It knows nothing of Kiln: state and workspace are its own, their sizes are in the header. */
static const char program[] =
    "#include <stdio.h>\n"
    "#include \"train_step.h\"\n"
    "static _Alignas(64) unsigned char state[TRAIN_STEP_STATE_BYTES], work[TRAIN_STEP_WORKSPACE_BYTES];\n"
    "int main(void)\n"
    "{\n"
    "    static float x[12 * 8];\n"
    "    static int64_t labels[12];\n"
    "    for (int i = 0; i < 12 * 8; i++) x[i] = (float)(i * 7 % 11) / 11;\n"
    "    for (int i = 0; i < 12; i++) labels[i] = i % 3;\n"
    "    train_step_init(state);\n"
    "    for (int i = 0; i < 5; i++) {\n"
    "        float loss;\n"
    "        if (train_step(state, x, labels, 12, &loss, work) != TRAIN_STEP_OK) return 1;\n"
    "        printf(\"%.9g\\n\", loss);\n"
    "    }\n"
    "    return 0;\n"
    "}\n";

typedef struct Net { kiln_dense *hidden, *out; kiln_optimizer *sgd; } Net;

static void step(kiln *k, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    Net *net = user;
    KILN_TAPE(k, tape);
    kiln_tensor *h = kiln_relu(kiln_dense_apply(net->hidden, in[0]));
    out[0] = kiln_cross_entropy(kiln_dense_apply(net->out, h), in[1]);
    kiln_optimizer_minimize(net->sgd, tape, out[0]);
}

/* Compiles, links and runs the other program in the folder; its losses. */
static bool losses_of_the_program(const char *folder, float *loss)
{
    char name[512], command[2048];
    snprintf(name, sizeof name, "%s/main.c", folder);
    FILE *f = fopen(name, "w");
    if (!f || fputs(program, f) < 0 || fclose(f) != 0) return false;
    snprintf(command, sizeof command, "cd '%s' && cc -std=c11 -O2 main.c train_step.o -lm -o main && ./main", folder);
    if (!(f = popen(command, "r"))) return false;
    int n = 0;
    while (n < STEPS && fscanf(f, "%f", &loss[n]) == 1) n++;
    return pclose(f) == 0 && n == STEPS;
}

static int compare(kiln *k, const char *folder)
{
    KILN_SCOPE(k);
    kiln_variable *chance = kiln_generator(k, 7);
    Net net = {kiln_dense_new(k, 8, 16, chance), kiln_dense_new(k, 16, 3, chance), kiln_sgd(k, 0.1, 0.9)};
    kiln_function *train = kiln_function_new(k, step, &net, &(kiln_function_options){
        .name = "train_step",
        .inputs = {KILN_SPEC(KILN_F32, KILN_DIM("N", 1, 64), 8), KILN_SPEC(KILN_I64, KILN_DIM("N", 1, 64))}});
    char path[512];
    snprintf(path, sizeof path, "%s/train_step", folder);
    if (!kiln_aot(train, path, NULL)) { /* train_step.o and train_step.h; the variables' values now are where it starts */
        bool absent = kiln_error(k)->code == KILN_EDEVICE; /* libkiln-llvm.so is not installed */
        printf("%s\n", kiln_error(k)->text);
        if (absent) kiln_clear(k);
        return absent ? 77 : 1;
    }
    float data[ROWS * 8], program_loss[STEPS], loss[STEPS];
    int64_t classes[ROWS];
    for (int i = 0; i < ROWS * 8; i++) data[i] = (float)(i * 7 % 11) / 11;
    for (int i = 0; i < ROWS; i++) classes[i] = i % 3;
    kiln_tensor *x = kiln_from(k, KILN_F32, KILN_SHAPE(ROWS, 8), data, ROWS * 8);
    kiln_tensor *labels = kiln_from(k, KILN_I64, KILN_SHAPE(ROWS), classes, ROWS);
    if (!losses_of_the_program(folder, program_loss)) return printf("the program failed\n"), 1;
    for (int i = 0; i < STEPS; i++) {
        loss[i] = (float)kiln_item(kiln_call(train, x, labels));
        printf("step %d: loss %.3f\n", i, program_loss[i]);
    }
    bool equal = memcmp(loss, program_loss, sizeof loss) == 0;
    printf("the library's losses are %s\n", equal ? "equal bit for bit" : "DIFFERENT");
    return !equal;
}

int main(void)
{
    char folder[256], command[300];
    if (system("cc --version > /dev/null 2>&1") != 0) return printf("no C compiler named cc\n"), 77;
    snprintf(folder, sizeof folder, "%s/kiln-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(folder)) return printf("no temporary folder\n"), 1;
    kiln *k = kiln_open(NULL);
    int status = compare(k, folder);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    if (system(command) != 0) printf("%s stays\n", folder);
    return kiln_close(k) ? 1 : status;
}
