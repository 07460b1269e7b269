/* files: the door through which every file of Kiln's is written (frontend/engine/file.c): no link is followed, a failure leaves the old file and
 * nothing beside it, the dead's temporary files go and the living's do not; and that each writer goes through it. */
#include "frontend/engine/file.h" /* before cmocka, whose fail is a macro */

#include "front.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <kiln/aot.h>
#include <kiln/io.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static kiln *k;

static const char *in_folder(const char *name)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void holds(const char *name, const char *text)
{
    char have[256] = {0};
    FILE *f = fopen(in_folder(name), "r");
    assert_non_null(f);
    have[fread(have, 1, sizeof have - 1, f)] = 0;
    fclose(f);
    assert_string_equal(have, text);
}

/* How many names there are whose end is `end`. */
static int names(const char *end, bool remove_them)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name), tail = strlen(end);
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || len < tail || strcmp(e->d_name + len - tail, end)) continue;
        n++;
        if (remove_them) unlinkat(dirfd(d), e->d_name, 0);
    }
    closedir(d);
    return n;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/kiln-files-%ld", (long)getpid());
    k = kiln_open(&(kiln_options){.compile = KILN_WAIT});
    return k && mkdir(folder, 0700) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    names("", true);
    return rmdir(folder) == 0 ? kiln_close(k) : -1;
}

static bool save(const char *name, const char *text)
{
    return file_put(thread_of(k), (kiln_site){0}, "save", in_folder(name), text, strlen(text));
}

/* ---- names ------------------------------------------------------------------------------------------------------------ */
static void temporary_names_cannot_be_known(void **state)
{
    (void)state;
    char before[256] = "";
    for (int i = 0; i < 20; i++) {
        FileOut f;
        assert_true(file_begin(&f, thread_of(k), (kiln_site){0}, "save", in_folder("x"), NULL));
        const char *digits = strstr(f.temporary, "/.x.");
        assert_true(digits && strspn(digits + 4, "0123456789abcdef") == 16 && !strcmp(digits + 20, ".tmp"));
        assert_string_not_equal(f.temporary, before);
        struct stat s;
        assert_int_equal(lstat(f.temporary, &s), 0);
        assert_true(S_ISREG(s.st_mode) && s.st_size == 0 && s.st_nlink == 1);
        snprintf(before, sizeof before, "%s", f.temporary);
        file_abandon(&f);
    }
    assert_int_equal(names("", false), 0);
}

/* As long as the file system takes them; such names that begin alike are not each other's temporary files. */
static void long_names(void **state)
{
    (void)state;
    char name[256] = "", other[256];
    for (int n = 199; n < 256; n++) {
        memset(name, 'n', (size_t)n);
        FileOut f;
        snprintf(other, sizeof other, "%.*so", n - 1, name);
        assert_true(file_begin(&f, thread_of(k), (kiln_site){0}, "save", in_folder(other), NULL));
        assert_true(save(name, "text"));
        assert_true(file_write(&f, "more", 4) && file_commit(&f));
        holds(name, "text");
        holds(other, "more");
        assert_false(kiln_failed(k));
        assert_int_equal(unlink(in_folder(name)) | unlink(in_folder(other)), 0);
    }
    assert_int_equal(names("", false), 0);
}

/* A file that others may not read stays one when it is written anew. */
static void modes_stay(void **state)
{
    (void)state;
    struct stat s;
    put("secret", "old");
    assert_int_equal(chmod(in_folder("secret"), 0600), 0);
    assert_true(save("secret", "new"));
    holds("secret", "new");
    assert_int_equal(stat(in_folder("secret"), &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
    assert_int_equal(unlink(in_folder("secret")), 0);
}

/* Links and files of others at the names that older versions used, and at names like ours. */
static void what_lies_there_is_not_written(void **state)
{
    (void)state;
    put("precious", "old");
    assert_int_equal(symlink("precious", in_folder(".x.tmp")), 0);
    assert_int_equal(symlink("precious", in_folder(".x.0123456789abcdef.tmp")), 0);
    assert_int_equal(link(in_folder("precious"), in_folder(".x.0123456789abcdee.tmp")), 0);
    assert_int_equal(mkfifo(in_folder(".x.0123456789abcded.tmp"), 0600), 0);
    assert_true(save("x", "new"));
    holds("x", "new");
    holds("precious", "old");
    assert_int_equal(symlink("precious", in_folder("y")), 0); /* a link at the name itself is replaced */
    assert_true(save("y", "new"));
    holds("y", "new");
    holds("precious", "old");
    names(".tmp", true);
}

static void the_dead_go_and_the_living_stay(void **state)
{
    (void)state;
    put(".x.00000000000000aa.tmp", "of a process that was killed");
    put(".x.00000000000000AA.tmp", "not ours");
    put(".xy.00000000000000aa.tmp", "of another name");
    assert_true(save("x", "1"));
    assert_int_equal(names(".tmp", false), 2);
    int fd = open(in_folder(".x.00000000000000bb.tmp"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_false(save("x", "2"));
    assert_error(k, KILN_ESTATE, "another process or thread is saving this");
    holds("x", "1");
    close(fd);
    assert_true(save("x", "3"));
    holds("x", "3");
    assert_int_equal(names(".tmp", false), 2);
}

/* ---- failures ------------------------------------------------------------------------------------------------------------ */
static void what_is_no_file_is_named(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_folder("d"), 0700), 0);
    assert_false(save("d", "x"));
    assert_error(k, KILN_EIO, "it is a folder");
    assert_false(save("d/no/x", "x"));
    assert_error(k, KILN_EIO, "cannot create: No such file");
    assert_int_equal(rmdir(in_folder("d")), 0);
    /* A pipe gets the bytes, and stays a pipe. */
    assert_int_equal(mkfifo(in_folder("p"), 0600), 0);
    int from = open(in_folder("p"), O_RDONLY | O_NONBLOCK);
    assert_true(save("p", "through"));
    char got[16] = {0};
    assert_int_equal(read(from, got, sizeof got), 7);
    assert_string_equal(got, "through");
    close(from);
    struct stat s;
    assert_true(stat(in_folder("p"), &s) == 0 && S_ISFIFO(s.st_mode));
    if (access("/dev/full", W_OK) == 0) {
        assert_false(file_put(thread_of(k), (kiln_site){0}, "save", "/dev/full", "x", 1));
        assert_error(k, KILN_EIO, "/dev/full: cannot write: No space left");
    }
    assert_int_equal(names(".tmp", false), 0);
}

static void pair_begin(FileOut *a, FileOut *b)
{
    assert_true(file_begin(a, thread_of(k), (kiln_site){0}, "save", in_folder("a"), NULL));
    assert_true(file_begin(b, thread_of(k), (kiln_site){0}, "save", in_folder("b"), NULL));
    assert_true(file_write(a, "2", 1) && file_write(b, "2", 1));
}

static void a_pair_is_named_whole_or_not_at_all(void **state)
{
    (void)state;
    for (int had = 0; had < 2; had++) {
        FileOut a, b;
        if (had) put("a", "1");
        pair_begin(&a, &b);
        assert_int_equal(mkdir(in_folder("b"), 0700), 0); /* in between */
        assert_false(file_commit_pair(&a, &b));
        assert_error(k, KILN_EIO, "cannot rename");
        if (had)
            holds("a", "1");
        else
            assert_int_equal(access(in_folder("a"), F_OK), -1);
        assert_int_equal(names("", false), 1 + had);
        assert_int_equal(rmdir(in_folder("b")), 0);
    }
    FileOut a, b;
    pair_begin(&a, &b);
    assert_true(file_commit_pair(&a, &b));
    holds("a", "2");
    holds("b", "2");
    assert_int_equal(names("", false), 2);
}

/* ---- each writer ------------------------------------------------------------------------------------------------------------ */
static bool write_npy(const char *path) { return kiln_npy_write(kiln_ones(k, KILN_F32, KILN_SHAPE(64)), path); }
static bool write_weights(const char *path)
{
    kiln_variable *v = kiln_variable_new(k, "w", kiln_ones(k, KILN_F32, KILN_SHAPE(64)));
    bool ok = v && kiln_save_weights(k, path, &v, 1);
    kiln_variable_free(v);
    return ok;
}
static bool write_object(const char *path)
{
    static const char text[] = "module {}\n\ngraph @f(%1: f32[3]) -> (%2) {\n  %2 = tanh(%1) : f32[3]\n}\n";
    char stem[256];
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(path) - 2), path);
    return kiln_aot_text(k, text, strlen(text), stem, NULL);
}

static const struct Writer {
    const char *name;
    bool (*write)(const char *path);
    bool compiles;
} writers[] = {{"x.npy", write_npy, false}, {"x.safetensors", write_weights, false}, {"x.o", write_object, true}};

static void each_writer_keeps_the_old_file(void **state)
{
    (void)state;
    struct rlimit old, small = {10, 10};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        const struct Writer *w = &writers[i];
        KILN_SCOPE(k);
        put(w->name, "old");
        write_object(in_folder("warm.o")); /* the compiler's module is there */
        if (w->compiles && kiln_error(k)->code == KILN_EDEVICE) continue;
        kiln_clear(k);
        setrlimit(RLIMIT_FSIZE, &small);
        bool ok = w->write(in_folder(w->name));
        setrlimit(RLIMIT_FSIZE, &old);
        assert_false(ok);
        assert_error(k, KILN_EIO, "cannot write: File too large");
        holds(w->name, "old");
        assert_int_equal(names(".tmp", false), 0);
        assert_true(w->write(in_folder(w->name)));
        names("", true);
    }
}

static void twice(kiln *engine, kiln_tensor *const *in, kiln_tensor **out, void *user)
{
    (void)engine, (void)user;
    out[0] = kiln_mul(in[0], 2);
}

/* Where a dump's name leads elsewhere, that stays, and the dump takes its place. */
static void dumps_follow_no_link(void **state)
{
    (void)state;
    char name[64];
    put("precious", "old");
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%03d-twice.ir", i);
        assert_int_equal(symlink("precious", in_folder(name)), 0);
    }
    setenv("KILN_DUMP", "ir", 1);
    setenv("KILN_DUMP_DIR", folder, 1);
    kiln_call(kiln_function_new(k, twice, NULL, &(kiln_function_options){.name = "twice"}), kiln_ones(k, KILN_F32, KILN_SHAPE(2)));
    unsetenv("KILN_DUMP");
    unsetenv("KILN_DUMP_DIR");
    bool compiled = kiln_error(k)->code != KILN_EDEVICE;
    if (!compiled) kiln_clear(k);
    holds("precious", "old");
    struct stat s;
    int written = 0;
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%03d-twice.ir", i);
        written += lstat(in_folder(name), &s) == 0 && S_ISREG(s.st_mode);
    }
    assert_int_equal(written, compiled);
}

/* Event files grow under their own name: a new one, whatever lies at the names that could come. */
static void event_files_are_new(void **state)
{
    (void)state;
    FileOut f;
    put("precious", "old");
    assert_int_equal(symlink("precious", in_folder("events")), 0);
    assert_false(file_create(&f, thread_of(k), (kiln_site){0}, "summary", in_folder("events")));
    assert_int_equal(errno, EEXIST);
    holds("precious", "old");
    assert_true(file_create(&f, thread_of(k), (kiln_site){0}, "summary", in_folder("more")));
    close(f.fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(temporary_names_cannot_be_known), TEST(long_names), TEST(modes_stay), TEST(what_lies_there_is_not_written), TEST(the_dead_go_and_the_living_stay),
        TEST(what_is_no_file_is_named), TEST(a_pair_is_named_whole_or_not_at_all), TEST(each_writer_keeps_the_old_file),
        TEST(dumps_follow_no_link), TEST(event_files_are_new),
    };
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
