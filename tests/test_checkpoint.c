/* checkpoints: what is restored is what was saved, and training goes on bit for bit; damage is named; a process killed
 * with signal 9 at 200 random moments of saving never leaves a folder without a whole file. Relies on the public headers;
 * runs itself (argv: --save FOLDER) as the process to be killed. */
#include "values.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <kiln/io.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define S KILN_SHAPE

static char folder[200];
static char logged[1024];

static void note(void *user, const char *text)
{
    (void)user;
    snprintf(logged, sizeof logged, "%s", text);
}

static int open_all(void **state)
{
    const char *dir = getenv("TMPDIR");
    (void)state;
    logged[0] = '\0';
    snprintf(folder, sizeof folder, "%s/kiln-checkpoint-%ld", dir ? dir : "/tmp", (long)getpid());
    k = kiln_open(&(kiln_options){.threads = 2, .log = note});
    return k == NULL;
}

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* How many files there are, how many of them are temporary; removes them if asked. */
static int files(int *temporary, bool remove_them)
{
    int n = 0;
    DIR *d = opendir(folder);
    if (temporary) *temporary = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        n++;
        if (temporary && strstr(e->d_name, ".tmp")) ++*temporary;
        if (remove_them) unlink(in_folder(e->d_name));
    }
    if (d) closedir(d);
    return n;
}

static int close_all(void **state)
{
    files(NULL, true);
    if (rmdir(folder) != 0 && errno != ENOENT) return -1;
    return close_engine(state);
}

#define FOLDER_TEST(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

static void has_error(kiln_code code, const char *part)
{
    const kiln_failure *e = kiln_error(k);
    if (e->code != code || !strstr(e->text, part)) fail_msg("wanted %d with \"%s\", got %d: %s", (int)code, part, (int)e->code, e->text);
    kiln_clear(k);
}

static void fine(void)
{
    if (kiln_failed(k)) fail_msg("unexpected error: %s", kiln_error(k)->text);
}

/* ---- values ----------------------------------------------------------------------------------------- */
static void a_variable_comes_back(void **state)
{
    (void)state;
    kiln_variable *x = kiln_variable_new(k, "x", KILN_F32, 10.0);
    kiln_checkpoint *c = kiln_checkpoint_new(k, folder, 3);
    assert_true(kiln_checkpoint_add(c, x));
    assert_int_equal(kiln_checkpoint_latest(c), -1);
    assert_int_equal(kiln_checkpoint_restore_latest(c), -1);
    kiln_assign(x, 2);
    assert_true(kiln_checkpoint_save(c, 1));
    kiln_assign(x, 11);
    assert_int_equal(kiln_checkpoint_restore_latest(c), 1);
    assert_true(kiln_item(x) == 2);
    fine();
}

/* ---- training goes on bit for bit --------------------------------------------------------------------- */
#define NET 9
struct net {
    kiln_dense *in, *out;
    kiln_optimizer *o;
    kiln_variable *noise, *count;
    kiln_function *step;
    kiln_checkpoint *c;
};

static void net_step(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    struct net *n = user;
    (void)in;
    KILN_TAPE(engine, tape);
    kiln_tensor *x = kiln_normal(n->noise, KILN_F32, S(8, 5), 0, 1);
    kiln_tensor *h = kiln_dropout(kiln_tanh(kiln_dense_apply(n->in, x)), 0.25, n->noise);
    out[0] = kiln_mse(kiln_dense_apply(n->out, h), kiln_sum(x, KILN_KEEP(1)));
    kiln_optimizer_minimize(n->o, tape, out[0]);
    kiln_assign_add(n->count, 1);
}

static struct net *net_new(int kind)
{
    static struct net nets[NET];
    static int used;
    struct net *n = &nets[used++ % NET];
    kiln_variable *g = kiln_generator(k, 5);
    n->in = kiln_dense_new(k, 5, 7, g);
    n->out = kiln_dense_new(k, 7, 1, g);
    n->o = kind == 0 ? kiln_sgd(k, 0.05, 0) : kind == 1 ? kiln_sgd(k, 0.05, 0.9) : kiln_adam(k, 0.01);
    n->noise = kiln_generator(k, 11);
    n->count = kiln_variable_new(k, "count", kiln_scalar(k, KILN_I64, 0));
    n->step = kiln_function_new(k, net_step, n, NULL);
    n->c = kiln_checkpoint_new(k, folder, 0);
    kiln_variable *v[] = {kiln_dense_weight(n->in), kiln_dense_bias(n->in), kiln_dense_weight(n->out), kiln_dense_bias(n->out), n->noise, n->count};
    static const char *const name[] = {"in/w", "in/b", "out/w", "out/b", "noise", "count"};
    for (int i = 0; i < 6; i++) assert_true(kiln_checkpoint_add_as(n->c, v[i], name[i]));
    assert_true(kiln_checkpoint_add_optimizer(n->c, n->o));
    return n;
}

static void run(struct net *n, int steps)
{
    for (int i = 0; i < steps; i++) {
        KILN_SCOPE(k);
        if (kiln_item_i64(n->count) == 4) kiln_assign(kiln_optimizer_rate(n->o), 0.02);
        kiln_call(n->step);
    }
}

static bool have_llvm(void)
{
    KILN_SCOPE(k);
    struct net *n = net_new(0);
    kiln_call(n->step);
    bool absent = kiln_error(k)->code == KILN_EDEVICE;
    kiln_clear(k);
    return !absent;
}

/* All state as bytes: weights, generator, count, and the optimiser's. */
static size_t bits(struct net *n, unsigned char *to)
{
    kiln_variable *v[32] = {kiln_dense_weight(n->in), kiln_dense_bias(n->in), kiln_dense_weight(n->out), kiln_dense_bias(n->out), n->noise, n->count};
    int count = 6 + kiln_optimizer_variables(n->o, v + 6, 26);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        KILN_SCOPE(k);
        size_t bytes = kiln_bytes(kiln_value(v[i]));
        assert_true(kiln_read(v[i], to + at, bytes));
        at += bytes;
    }
    return at;
}

static void training_goes_on(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_eager(k, !have_llvm());
    for (int kind = 0; kind < 3; kind++) {
        static unsigned char want[4096], have[4096];
        struct net *whole = net_new(kind);
        run(whole, 3);
        assert_true(kiln_checkpoint_save(whole->c, 3));
        run(whole, 4);
        size_t n = bits(whole, want);
        struct net *fresh = net_new(kind);
        assert_int_equal(kiln_checkpoint_restore_latest(fresh->c), 3);
        fine();
        run(fresh, 4);
        assert_int_equal(bits(fresh, have), n);
        assert_memory_equal(have, want, n);
        assert_int_equal(kiln_checkpoint_restore_latest(whole->c), 3); /* back, with its own moments there */
        run(whole, 4);
        assert_int_equal(bits(whole, have), n);
        assert_memory_equal(have, want, n);
        fine();
        files(NULL, true);
    }
    kiln_eager(k, false);
}

/* Saved before the first step: the moments that exist by now are zeros again. */
static void back_to_the_beginning(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_eager(k, true);
    static unsigned char want[4096], have[4096];
    struct net *n = net_new(2);
    assert_true(kiln_checkpoint_save(n->c, 0));
    run(n, 3);
    size_t size = bits(n, want);
    assert_int_equal(kiln_checkpoint_restore_latest(n->c), 0);
    run(n, 3);
    assert_int_equal(bits(n, have), size);
    assert_memory_equal(have, want, size);
    fine();
    kiln_eager(k, false);
}

/* Files of versions that kept rates and counts in f32 and moments in the variable's own type. */
static void older_state_widens(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_variable *w = kiln_variable_new(k, "w", kiln_ones(k, KILN_F16, S(2)));
    kiln_checkpoint *old = kiln_checkpoint_new(k, folder, 0), *c = kiln_checkpoint_new(k, folder, 0);
    kiln_checkpoint_add(old, w);
    kiln_checkpoint_add_as(old, kiln_variable_new(k, "rate", kiln_scalar(k, KILN_F32, 0.5)), "optimizer/rate");
    kiln_checkpoint_add_as(old, kiln_variable_new(k, "step", kiln_scalar(k, KILN_F32, 3)), "optimizer/step");
    kiln_checkpoint_add_as(old, kiln_variable_new(k, "first", kiln_cast(kiln_f32(k, S(2), 1, 2), KILN_F16)), "optimizer/first/w");
    kiln_checkpoint_add_as(old, kiln_variable_new(k, "second", kiln_cast(kiln_f32(k, S(2), 3, 4), KILN_F16)), "optimizer/second/w");
    assert_true(kiln_checkpoint_save(old, 1));
    kiln_optimizer *o = kiln_adam(k, 0.1);
    kiln_variable *all[8];
    kiln_optimizer_prepare(o, &w, 1);
    kiln_checkpoint_add(c, w);
    kiln_checkpoint_add_optimizer(c, o);
    assert_int_equal(kiln_checkpoint_restore_latest(c), 1);
    fine();
    assert_int_equal(kiln_optimizer_variables(o, all, 8), 4);
    const double want[4] = {0.5, 3, 2, 4};
    for (int i = 0; i < 4; i++) assert_true(kiln_item(kiln_slice(kiln_reshape(all[i], S(-1)), 0, -1, KILN_END, 1)) == want[i]);
}

/* ---- the folder --------------------------------------------------------------------------------------- */
static void the_newest_are_kept(void **state)
{
    (void)state;
    kiln_variable *x = kiln_variable_new(k, "x", KILN_F32, 0.0);
    kiln_checkpoint *c = kiln_checkpoint_new(k, folder, 2);
    kiln_checkpoint_add(c, x);
    fclose(fopen(in_folder("ckpt-9999.safetensors.old"), "w"));
    fclose(fopen(in_folder("ckpt-007.safetensors"), "w"));
    fclose(fopen(in_folder("notes"), "w"));
    static const int64_t steps[] = {5, 9, 10, 100};
    for (int i = 0; i < 4; i++) {
        kiln_assign(x, (double)steps[i]);
        assert_true(kiln_checkpoint_save(c, steps[i]));
    }
    assert_int_equal(files(NULL, false), 3 + 2);
    assert_int_equal(kiln_checkpoint_latest(c), 100);
    assert_true(kiln_checkpoint_restore(c, 10));
    assert_true(kiln_item(x) == 10);
    kiln_assign(x, 7);
    assert_true(kiln_checkpoint_save(c, 100)); /* again: replaced */
    kiln_assign(x, 8);
    assert_int_equal(kiln_checkpoint_restore_latest(c), 100);
    assert_true(kiln_item(x) == 7);
    assert_false(kiln_checkpoint_save(c, 99));
    has_error(KILN_EVALUE, "step 99 comes before step 100");
    assert_false(kiln_checkpoint_save(c, -1));
    has_error(KILN_EVALUE, "step -1");
    assert_false(kiln_checkpoint_restore(c, 9));
    has_error(KILN_EIO, "ckpt-9.safetensors: cannot open");
    assert_int_equal(files(NULL, false), 3 + 2);
}

static void what_does_not_match_is_named(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    kiln_variable *x = kiln_variable_new(k, "x", KILN_F32, 1.0), *y = kiln_variable_new(k, "y", KILN_F32, 2.0), *again = kiln_variable_new(k, "x", KILN_F32, 3.0);
    kiln_checkpoint *c = kiln_checkpoint_new(k, folder, 1), *less = kiln_checkpoint_new(k, folder, 1), *more = kiln_checkpoint_new(k, folder, 1);
    assert_true(kiln_checkpoint_add(c, x) && kiln_checkpoint_add(c, y) && kiln_checkpoint_add(less, x));
    assert_false(kiln_checkpoint_add(c, again));
    has_error(KILN_EVALUE, "\"x\" has the name of another");
    assert_false(kiln_checkpoint_add_as(c, x, "z"));
    has_error(KILN_EVALUE, "\"z\" was added before");
    assert_false(kiln_checkpoint_add(c, NULL));
    has_error(KILN_ESTATE, "the variable is NULL");
    assert_false(kiln_checkpoint_add(NULL, x));
    has_error(KILN_ESTATE, "the checkpoint is NULL");
    assert_true(kiln_checkpoint_save(c, 1));
    kiln_assign(x, 9);
    assert_int_equal(kiln_checkpoint_restore_latest(less), -1);
    has_error(KILN_EVALUE, "has a tensor \"y\", which no variable here takes");
    kiln_checkpoint_add(more, x), kiln_checkpoint_add(more, y), kiln_checkpoint_add_as(more, again, "z");
    assert_int_equal(kiln_checkpoint_restore_latest(more), -1);
    has_error(KILN_EVALUE, "has no tensor \"z\"");
    assert_int_equal(kiln_checkpoint_restore_valid(more), -1); /* that is no damage */
    has_error(KILN_EVALUE, "has no tensor \"z\"");
    kiln_optimizer *o = kiln_adam(k, 0.1);
    assert_true(kiln_optimizer_prepare(o, ((kiln_variable *[]){y}), 1));
    assert_true(kiln_checkpoint_add_optimizer(less, o));
    assert_false(kiln_checkpoint_add_optimizer(less, o));
    has_error(KILN_EVALUE, "the optimizer was added before");
    assert_false(kiln_checkpoint_save(less, 2));
    has_error(KILN_ESTATE, "the optimizer trains variable \"y\", which was not added");
    assert_true(kiln_item(x) == 9);
    assert_null(kiln_checkpoint_new(k, in_folder("ckpt-1.safetensors"), 1));
    has_error(KILN_EIO, "not a folder");
    assert_null(kiln_checkpoint_new(k, "/nowhere/at/all", 1));
    has_error(KILN_EIO, "cannot make the folder");
}

static void one_at_a_time(void **state)
{
    (void)state;
    kiln_checkpoint *c = kiln_checkpoint_new(k, folder, 1);
    kiln_checkpoint_add(c, kiln_variable_new(k, "x", KILN_F32, 1.0));
    int other = open(in_folder(".ckpt.0123456789abcdef.tmp"), O_WRONLY | O_CREAT, 0600);
    assert_true(write(other, "rubbish of another process", 26) == 26);
    assert_int_equal(flock(other, LOCK_EX), 0);
    assert_false(kiln_checkpoint_save(c, 1));
    has_error(KILN_ESTATE, "another process or thread is saving");
    close(other); /* it died, and its file stays */
    assert_true(kiln_checkpoint_save(c, 1));
    assert_int_equal(files(NULL, false), 1);
    assert_int_equal(kiln_checkpoint_restore_latest(c), 1);
    fine();
}

/* ---- damage ------------------------------------------------------------------------------------------- */
static size_t slurp(const char *name, unsigned char *to, size_t cap)
{
    FILE *f = fopen(in_folder(name), "rb");
    assert_non_null(f);
    size_t n = fread(to, 1, cap, f);
    fclose(f);
    return n;
}

static void put(const char *name, const unsigned char *bytes, size_t n)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void damage_is_named(void **state)
{
    (void)state;
    kiln_variable *x = kiln_variable_new(k, "x", KILN_F32, 1.0);
    kiln_checkpoint *c = kiln_checkpoint_new(k, folder, 0);
    kiln_checkpoint_add(c, x);
    assert_true(kiln_checkpoint_save(c, 1));
    kiln_assign(x, 2);
    assert_true(kiln_checkpoint_save(c, 2));
    unsigned char bytes[4096];
    size_t n = slurp("ckpt-2.safetensors", bytes, sizeof bytes);
    kiln_assign(x, 5);
    for (size_t i = 0; i < n; i++) {
        put("ckpt-2.safetensors", bytes, i);
        assert_int_equal(kiln_checkpoint_restore_latest(c), -1);
        has_error(KILN_EFORMAT, "ckpt-2.safetensors");
    }
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= (unsigned char)(1 + i % 255);
        put("ckpt-2.safetensors", bytes, n);
        assert_int_equal(kiln_checkpoint_restore_latest(c), -1);
        has_error(KILN_EFORMAT, "ckpt-2.safetensors");
        bytes[i] ^= (unsigned char)(1 + i % 255);
    }
    assert_true(kiln_item(x) == 5);
    put("ckpt-3.safetensors", bytes, n); /* under another name */
    assert_int_equal(kiln_checkpoint_restore_latest(c), -1);
    has_error(KILN_EFORMAT, "ckpt-3.safetensors: the file says that it holds step 2");
    put("ckpt-2.safetensors", bytes, n - 1);
    assert_int_equal(kiln_checkpoint_restore_valid(c), 1); /* asked for, the newest whole one */
    fine();
    assert_true(kiln_item(x) == 1);
    assert_non_null(strstr(logged, "ckpt-2.safetensors"));
    assert_int_equal(access(in_folder("ckpt-3.safetensors.damaged"), F_OK), 0);
    assert_true(kiln_checkpoint_save(c, 2)); /* the run goes on where it was thrown back to */
    fine();
}

/* ---- kill -9 ------------------------------------------------------------------------------------------ */
#define KILLS 200
#define KEEP 2
#define WIDE 40000

static bool all_equal(kiln_variable *w, double v)
{
    KILN_SCOPE(k);
    return kiln_item(kiln_all(kiln_eq(w, v), KILN_ALL)) != 0;
}

static kiln_checkpoint *state_of_step(kiln_variable **w, kiln_variable **n)
{
    KILN_SCOPE(k);
    *w = kiln_variable_new(k, "w", kiln_zeros(k, KILN_F32, S(WIDE)));
    *n = kiln_variable_new(k, "n", kiln_scalar(k, KILN_I64, 0));
    kiln_checkpoint *c = kiln_checkpoint_new(k, folder, KEEP);
    kiln_checkpoint_add(c, *w);
    kiln_checkpoint_add(c, *n);
    return c;
}

/* The process to be killed: restores, says so, and saves until its end. */
static int saving(const char *where)
{
    kiln_variable *w, *n;
    snprintf(folder, sizeof folder, "%s", where);
    k = kiln_open(&(kiln_options){.threads = 1, .no_compile = true});
    kiln_checkpoint *c = state_of_step(&w, &n);
    int64_t step = kiln_checkpoint_restore_latest(c);
    if (kiln_failed(k) || write(1, "r", 1) != 1) return 1;
    for (;;) {
        KILN_SCOPE(k);
        step++;
        kiln_assign(w, (double)step);
        kiln_assign(n, step);
        if (!kiln_checkpoint_save(c, step)) return 1;
    }
}

static pid_t start(int *from)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]), close(ends[1]);
        execl("/proc/self/exe", "test_checkpoint", "--save", folder, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *from = ends[0];
    return child;
}

static void killed_at_any_moment(void **state)
{
    (void)state;
    kiln_variable *w, *n;
    kiln_checkpoint *c = state_of_step(&w, &n);
    int64_t before = -1;
    int midway = 0, since = 0;
    uint64_t chance = 12345;
    for (int i = 0; i < KILLS; i++) {
        int from, temporary;
        char ready;
        pid_t child = start(&from);
        assert_true(child > 0);
        assert_int_equal(read(from, &ready, 1), 1);
        close(from);
        chance = chance * 6364136223846793005u + 1442695040888963407u;
        nanosleep(&(struct timespec){0, (long)(chance >> 33) % 12000000}, NULL);
        int status;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        int64_t step = kiln_checkpoint_restore_latest(c);
        fine();
        assert_true(step >= before);
        if (step >= 0) assert_true(all_equal(w, (double)step) && kiln_item_i64(n) == step);
        since = step > before ? 1 : since + 1; /* a save sweeps up after the dead, but its own file comes before that */
        assert_true(files(&temporary, false) <= KEEP + 1 + since && temporary <= since);
        midway += temporary;
        before = step;
    }
    print_message("# %d kills, %d of them in the middle of a save, %lld steps saved\n", KILLS, midway, (long long)before);
    assert_true(before > 0 && midway > 0);
    assert_true(kiln_checkpoint_save(c, before + 1));
    int temporary;
    assert_true(files(&temporary, false) == KEEP && temporary == 0);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--save") == 0) return saving(argv[2]);
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(a_variable_comes_back), FOLDER_TEST(training_goes_on), FOLDER_TEST(back_to_the_beginning), FOLDER_TEST(older_state_widens), FOLDER_TEST(the_newest_are_kept),
        FOLDER_TEST(what_does_not_match_is_named), FOLDER_TEST(one_at_a_time), FOLDER_TEST(damage_is_named), FOLDER_TEST(killed_at_any_moment),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
