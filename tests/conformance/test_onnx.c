/* test_onnx: ONNX's own cases in all modes: eager, compiled, ahead of time, by the reference interpreter, and on a device (emu:0,
 * or the one that KILN_TEST_CARD names). Each runs in a process of its own, with limits. What comes out is held against onnx.list:
 * what is worse fails. In the environment, ONNX=FOLDER names another folder than tests/conformance/onnx, whose cases, however deep,
 * are taken; ONNX_MODES=eager,object chooses modes (without it a device takes no other folder's cases, and a drawn part of these
 * unless KILN_TEST_FULL=1 is there); ONNX_RECORD=1 writes what came out into onnx.list. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "codegen/cuda/api.h"
#include "onnx_cards.h"
#include "onnx_list.h"
#include "onnx_object.h"

typedef struct Case {
    char *folder;
    const char *name;      /* its last part */
    uint32_t modes, tried; /* bits */
    Verdict verdict[MODES];
} Case;

static Case *all;
static int count;
static const char *device = "emu:0";

/* ---- finding them ---------------------------------------------------------------------------------------- */

static int visible(const struct dirent *d) { return d->d_name[0] != '.'; }

static void find_cases(const char *folder)
{
    char path[1024];
    struct dirent **list;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (access(path, F_OK) == 0) {
        snprintf(path, sizeof path, "%s/test_data_set_0", folder);
        if (access(path, F_OK) != 0) return;
        if (count % 64 == 0) all = realloc(all, (size_t)(count + 64) * sizeof *all);
        all[count] = (Case){.folder = strdup(folder)};
        all[count].name = strrchr(all[count].folder, '/') + 1;
        count++;
        return;
    }
    const int n = scandir(folder, &list, visible, alphasort);
    for (int i = 0; i < n; i++) {
        struct stat s;
        snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (stat(path, &s) == 0 && S_ISDIR(s.st_mode)) find_cases(path);
        free(list[i]);
    }
    if (n >= 0) free(list);
}

static int by_case(const void *a, const void *b) { return strcmp(((const Case *)a)->name, ((const Case *)b)->name); }

/* Whether a mode that takes one in `of` takes this case. */
static bool drawn(const char *name, uint32_t of)
{
    uint32_t h = 2166136261;
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619;
    return (h >> 7) % of == 0;
}

static uint32_t modes_of(const Case *c)
{
    const char *wanted = getenv("ONNX_MODES");
    const bool long_run = getenv("KILN_TEST_FULL") != NULL || getenv("ONNX") != NULL, card = getenv("KILN_TEST_CARD") != NULL;
    uint32_t modes = 0;
    for (int i = 0; wanted && i < MODES; i++)
        if (strstr(wanted, mode_name[i])) modes |= 1u << i;
    if (wanted) return modes;
    if (card) return 1u << DEVICE;
    modes = 1u << EAGER | 1u << COMPILED | 1u << OBJECT | 1u << REF;
    if ((long_run && !getenv("ONNX")) || drawn(c->name, 12)) modes |= 1u << DEVICE;
    return modes;
}

/* ---- processes ------------------------------------------------------------------------------------------- */

/* What a case may use: a processor's time, the wall's, and memory of its own. */
static void set_limits(void)
{
    const rlim_t seconds = 120;
    setrlimit(RLIMIT_CPU, &(struct rlimit){seconds, seconds});
#ifndef __SANITIZE_ADDRESS__
    setrlimit(RLIMIT_DATA, &(struct rlimit){(rlim_t)6 << 30, (rlim_t)6 << 30});
#endif
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    alarm(4 * (unsigned)seconds);
}

typedef struct Report {
    int mode;
    Verdict v;
} Report;

static void run_modes(const Case *c, int number, int to)
{
    set_limits();
    for (int mode = 0; mode < MODES; mode++) {
        if (!(c->modes & ~c->tried & 1u << mode)) continue;
        Report r = {mode, {0}};
        if (write(to, &r.mode, sizeof r.mode) != (ssize_t)sizeof r.mode) _exit(1); /* who ends the process, if it ends here */
        r.v = mode == OBJECT ? object_write(c->folder, number) : run_case(c->folder, (Mode)mode, device);
        if (write(to, &r.v, sizeof r.v) != (ssize_t)sizeof r.v) _exit(1);
    }
    _exit(0);
}

static bool read_whole(int from, void *to, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = read(from, (char *)to + done, n - done);
        if (got <= 0) return false;
        done += (size_t)got;
    }
    return true;
}

/* One process for all modes; after one that it did not survive, another for those that are left. */
static void try_case(Case *c, int number)
{
    while (c->modes & ~c->tried) {
        int ends[2], mode = -1, status = 0;
        assert_int_equal(pipe(ends), 0);
        fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) close(ends[0]), run_modes(c, number, ends[1]);
        close(ends[1]);
        while (read_whole(ends[0], &mode, sizeof mode)) {
            c->tried |= 1u << mode;
            Verdict *v = &c->verdict[mode];
            if (read_whole(ends[0], v, sizeof *v)) continue;
            *v = (Verdict){.ok = true};
            waitpid(child, &status, 0);
            wrong(v, WIFSIGNALED(status) ? "the process ended by signal %d" : "the process ended with status %d",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            break;
        }
        close(ends[0]);
        if (mode < 0) return; /* it did not begin */
        waitpid(child, &status, 0);
    }
}

static void run_objects(void)
{
    bool any = false;
    for (int i = 0; i < count; i++) any |= object_written(i);
    const bool linked = any && object_link(count);
    for (int i = 0; i < count; i++) {
        int status = 0;
        Verdict *v = &all[i].verdict[OBJECT];
        if (!v->ok || !(all[i].tried & 1u << OBJECT)) continue;
        if (all[i].tried & 1u << COMPILED && !all[i].verdict[COMPILED].ok) { /* whose bits it is to have */
            *v = all[i].verdict[COMPILED];
            continue;
        }
        if (!linked) {
            wrong(v, "the objects make no program");
            continue;
        }
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) set_limits(), object_exec(i);
        waitpid(child, &status, 0);
        *v = object_verdict(status);
    }
}

/* ---- what came out ---------------------------------------------------------------------------------------- */

static void sum_up(void)
{
    for (int mode = 0; mode < MODES; mode++) {
        int tried = 0, ok = 0;
        const Case *worst = NULL;
        for (int i = 0; i < count; i++) {
            if (!(all[i].tried & 1u << mode)) continue;
            const Verdict *v = &all[i].verdict[mode];
            tried++, ok += v->ok;
            if (v->ok && v->ulps > (worst ? worst->verdict[mode].ulps : 0)) worst = &all[i];
        }
        if (tried == 0) continue;
        printf("    %-8s %d of %d cases", mode == DEVICE ? device : mode_name[mode], ok, tried);
        if (worst) printf(", at most %.3g last places off (%s)", worst->verdict[mode].ulps, worst->name);
        putchar('\n');
    }
}

static void official_cases(void **state)
{
    (void)state;
    const char *root = getenv("ONNX") ? getenv("ONNX") : "tests/conformance/onnx";
    if (getenv("KILN_TEST_CARD")) device = getenv("KILN_TEST_CARD");
    find_cases(root);
    assert_true(count > 0);
    qsort(all, (size_t)count, sizeof *all, by_case);
    snprintf(object_dir, sizeof object_dir, "/tmp/kiln-onnx-%d", (int)getpid());
    assert_int_equal(mkdir(object_dir, 0700), 0);
    for (int i = 0; i < count; i++) {
        all[i].modes = modes_of(&all[i]);
        try_case(&all[i], i);
    }
    run_objects();
    char command[100];
    snprintf(command, sizeof command, "rm -rf '%s'", object_dir);
    assert_int_equal(system(command), 0);
    sum_up();
    List list = list_read("tests/conformance/onnx.list");
    int worse = 0, better = 0;
    for (int i = 0; i < count; i++) {
        Case *c = &all[i];
        char *slash = strrchr(c->folder, '/');
        *slash = 0;
        list_judge(&list, c->name, strrchr(c->folder, '/') ? strrchr(c->folder, '/') + 1 : c->folder, c->tried, c->verdict, &worse,
            &better);
        *slash = '/';
    }
    if (better) printf("    %d better than onnx.list has it\n", better);
    if (getenv("ONNX_RECORD")) list_write(&list, "tests/conformance/onnx.list"), worse = 0;
    free(list.at);
    assert_int_equal(worse, 0);
}

/* Those that make objects make objects for cards, too; of the committed cases a drawn part, unless KILN_TEST_FULL=1 is there. */
static void cases_for_cards(void **state)
{
    (void)state;
    Status st = {0};
    if (!cuda_nvrtc(&st)) {
        printf("skip: %s\n", st.text);
        skip();
    }
    bool objects = false;
    for (int i = 0; i < count; i++) objects |= all[i].tried >> OBJECT & 1;
    if (!objects) {
        printf("skip: no objects are asked for\n");
        skip();
    }
    char dir[64], command[100];
    snprintf(dir, sizeof dir, "/tmp/kiln-onnx-cards-%d", (int)getpid());
    assert_int_equal(mkdir(dir, 0700), 0);
    int tried = 0, failed = 0;
    for (int i = 0; i < count; i++) {
        int status;
        if (!all[i].verdict[OBJECT].ok || (getenv("KILN_TEST_FULL") == NULL && !drawn(all[i].name, 40))) continue;
        fflush(NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            set_limits();
            const Verdict v = cards_compile(all[i].folder, dir);
            if (!v.ok) printf("    %s: %s\n", all[i].name, v.why);
            fflush(stdout);
            _exit(!v.ok);
        }
        waitpid(child, &status, 0);
        tried++, failed += status != 0;
    }
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
    printf("    for sm_80, sm_90a and sm_100: %d of %d cases\n", tried - failed, tried);
    assert_true(tried > 0);
    assert_int_equal(failed, 0);
}

/* Opened once before, so that each process has the module for code, where there is one. */
static bool compiles(void)
{
    static const char text[] = "module {}\n\ngraph @f(%1: f32[]) -> (%2) {\n  %2 = exp(%1)\n}\n";
    kiln *k = kiln_open(&(kiln_options){.compile = KILN_WAIT, .threads = 1, .device = "cpu"});
    kiln_tensor *out;
    kiln_run_text(k, text, sizeof text - 1, KILN_IN(kiln_scalar(k, KILN_F32, 1)), &out, 1);
    const bool there = !kiln_failed(k);
    kiln_clear(k);
    kiln_close(k);
    return there;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(official_cases), cmocka_unit_test(cases_for_cards)};
    if (!compiles()) {
        printf("skip: the LLVM module is not at hand\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
