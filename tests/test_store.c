/* The folder of compiled code by itself: what was kept is found, to the byte; what was torn, changed, is another's or no plain file is
 * refused with its reason, and never a crash; the bound is kept, and what was used longest ago goes; writers that run at once leave whole
 * files. */
#include "remove_all.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "codegen/store/parts.h"

static char folder[64], maker[80], said[800];
static int times_said;

static void note(void *user, const char *text)
{
    (void)user;
    snprintf(said, sizeof said, "%s", text);
    times_said++;
}

static void expect_said(const char *part)
{
    if (!strstr(said, part)) fail_msg("said: %s; not: %s", said, part);
    *said = 0;
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/kiln-store-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(maker, sizeof maker, "%s.maker", folder);
    FILE *f = fopen(maker, "w");
    *said = 0, times_said = 0;
    return f && fputs("a library", f) >= 0 && fclose(f) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    unlink(maker);
    remove_all(folder);
    return 0;
}

static CodeStore *open_it(uint64_t most)
{
    CodeStore *s = store_open(folder, most, note, NULL);
    if (!s) fail_msg("%s", said);
    return s;
}

/* Program number i: its key, and an image that is no image, which the store does not mind. */
static Text key_number(int i)
{
    Text t = {0};
    text_printf(&t, "program %d", i);
    for (int k = 0; k < 5; k++) text_add(&t, "\0\1\2", 3);
    return t;
}

static size_t block_of(int i, char *to)
{
    size_t n = 200 + (size_t)i % 7 * 64;
    for (size_t k = 0; k < n; k++) to[k] = (char)(k * 7 + (size_t)i);
    return n;
}

static void keep(CodeStore *s, int i)
{
    char block[1024];
    Text key = key_number(i);
    if (!key.failed) store_keep(s, &key, maker, block, block_of(i, block));
    text_free(&key);
}

static bool find(CodeStore *s, int i)
{
    char block[1024];
    Text key = key_number(i);
    Found f;
    const size_t n = block_of(i, block);
    bool there = !key.failed && store_find(s, &key, &f);
    text_free(&key);
    if (!there) return false;
    assert_int_equal(f.len, n);
    assert_int_equal((uintptr_t)f.block % STORE_ALIGN, 0);
    assert_memory_equal(f.block, block, n);
    found_free(&f);
    return true;
}

/* The path of the only file. */
static const char *only_file(void)
{
    static char path[400];
    char command[128];
    snprintf(command, sizeof command, "ls %s/*.kiln", folder);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_non_null(fgets(path, sizeof path, p));
    path[strcspn(path, "\n")] = 0;
    pclose(p);
    return path;
}

static void what_is_kept_is_found(void **state)
{
    (void)state;
    CodeStore *s = open_it(1 << 20);
    StoreCount c;
    for (int i = 0; i < 20; i++) assert_false(find(s, i));
    for (int i = 0; i < 20; i++) keep(s, i);
    for (int i = 0; i < 20; i++) assert_true(find(s, i));
    store_count(s, &c);
    assert_true(c.hits == 20 && c.misses == 20 && c.refused == 0 && c.evicted == 0 && c.files == 20 && c.bytes == c.bytes_out);
    assert_int_equal(c.bytes_in, c.bytes_out);
    store_close(s);
    s = open_it(1 << 20); /* as another process would */
    assert_true(find(s, 3));
    assert_false(find(s, 20));
    store_count(s, &c);
    assert_true(c.files == 20 && c.hits == 1 && c.misses == 1);
    const uint64_t bytes = c.bytes;
    for (int i = 0; i < 5; i++) keep(s, i); /* once more: in place of what is there */
    store_count(s, &c);
    assert_true(c.files == 20 && c.bytes == bytes);
    store_close(s);
    assert_int_equal(times_said, 0);
}

static void write_bytes(const char *path, const char *at, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, at, n), (ssize_t)n);
    close(fd);
}

static void every_changed_byte_is_seen(void **state)
{
    (void)state;
    CodeStore *s = open_it(1 << 20);
    char bytes[2048];
    keep(s, 1);
    const char *path = only_file();
    int fd = open(path, O_RDWR);
    const ssize_t n = read(fd, bytes, sizeof bytes);
    assert_true(n > 300 && n < (ssize_t)sizeof bytes);
    for (ssize_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            char c = (char)(bytes[i] ^ 1 << bit);
            assert_int_equal(pwrite(fd, &c, 1, i), 1);
            if (find(s, 1)) fail_msg("bit %d of byte %zd is not looked at", bit, i);
            assert_int_equal(pwrite(fd, bytes + i, 1, i), 1);
        }
    expect_said("is not used: ");
    assert_true(find(s, 1));
    for (ssize_t i = n - 1; i >= 0; i--) {
        assert_int_equal(ftruncate(fd, i), 0);
        assert_false(find(s, 1));
    }
    write_bytes(path, bytes, (size_t)n);
    assert_int_equal(lseek(fd, 0, SEEK_END), n);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_false(find(s, 1)); /* one byte too many */
    close(fd);
    write_bytes(path, bytes, (size_t)n);
    assert_true(find(s, 1));
    /* of another program, whole */
    char other[400];
    keep(s, 2);
    snprintf(other, sizeof other, "%s", path);
    unlink(path);
    const char *second = only_file();
    assert_int_equal(rename(second, other), 0);
    assert_false(find(s, 1));
    expect_said("it is of another program");
    store_close(s);
}

static void only_plain_files_of_ones_own_are_read(void **state)
{
    (void)state;
    CodeStore *s = open_it(1 << 20);
    char aside[128];
    snprintf(aside, sizeof aside, "%s/aside", folder);
    keep(s, 1);
    char path[400];
    snprintf(path, sizeof path, "%s", only_file());
    assert_int_equal(chmod(path, 0640), 0);
    assert_false(find(s, 1));
    expect_said("it is not its owner's alone");
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(find(s, 1));
    assert_int_equal(link(path, aside), 0);
    assert_false(find(s, 1));
    expect_said("it has another name, too");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_false(find(s, 1));
    expect_said("it is a link");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(find(s, 1)); /* and does not wait for a writer */
    expect_said("it is no regular file");
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(find(s, 1));
    expect_said("it is no regular file");
    rmdir(path);
    write_bytes(path, "", 0);
    assert_false(find(s, 1));
    expect_said("its size");
    assert_int_equal(truncate(path, (off_t)1 << 40), 0); /* of holes */
    assert_false(find(s, 1));
    expect_said("its size");
    unlink(path);
    assert_int_equal(rename(aside, path), 0);
    assert_true(find(s, 1));
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 65534, (gid_t)-1), 0);
        assert_false(find(s, 1));
        expect_said("it is not its owner's alone");
        assert_int_equal(chown(path, 0, (gid_t)-1), 0);
    }
    keep(s, 1); /* over whatever lies there */
    assert_true(find(s, 1));
    store_close(s);
}

static void the_folder_is_its_owners_alone(void **state)
{
    (void)state;
    char other[128];
    assert_int_equal(chmod(folder, 0750), 0);
    assert_null(store_open(folder, 1 << 20, note, NULL));
    expect_said("the folder is not its owner's alone (chmod 700)");
    assert_int_equal(chmod(folder, 0700), 0);
    snprintf(other, sizeof other, "%s.link", folder);
    assert_int_equal(symlink(folder, other), 0);
    assert_null(store_open(other, 1 << 20, note, NULL));
    expect_said("it is a link");
    for (int i = 0; i < 3; i++) { /* by which the system would follow it */
        char more[140];
        snprintf(more, sizeof more, "%s%s", other, (const char *[]){"/", "/.", "//./"}[i]);
        assert_null(store_open(more, 1 << 20, note, NULL));
        expect_said("it is a link");
    }
    unlink(other);
    snprintf(other, sizeof other, "%s/made/", folder);
    CodeStore *s = store_open(other, 1 << 20, note, NULL);
    struct stat st;
    assert_true(s && stat(other, &st) == 0 && (st.st_mode & 0777) == 0700);
    store_close(s);
    assert_null(store_open(maker, 1 << 20, note, NULL));
    expect_said("cannot open the folder");
    assert_null(store_open("/nowhere/at/all", 1 << 20, note, NULL));
    expect_said("cannot make the folder: No such file or directory");
    if (geteuid() != 0) return;
    assert_int_equal(chown(folder, 65534, (gid_t)-1), 0);
    assert_null(store_open(folder, 1 << 20, note, NULL));
    expect_said("the folder is not its owner's alone");
}

static void another_compiler_compiles_anew(void **state)
{
    (void)state;
    CodeStore *s = open_it(1 << 20);
    keep(s, 1);
    assert_true(find(s, 1));
    write_bytes(maker, "another library", 15);
    assert_false(find(s, 1));
    expect_said("the library that compiled it has changed");
    keep(s, 1);
    assert_true(find(s, 1));
    unlink(maker);
    assert_false(find(s, 1));
    store_close(s);
}

static void age(int i, time_t seconds)
{
    char name[FILE_NAME], path[200];
    Text key = key_number(i);
    snprintf(name, sizeof name, "%016llx%016llx.kiln", (unsigned long long)hash_bytes(1, key.at, key.len),
        (unsigned long long)hash_bytes(2, key.at, key.len));
    text_free(&key);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[2]){{.tv_sec = seconds}, {.tv_sec = seconds}}, 0), 0);
}

static uint64_t bytes_there(void)
{
    CodeStore *s = open_it(1 << 30);
    StoreCount c;
    store_count(s, &c);
    store_close(s);
    return c.bytes;
}

static void the_bound_is_kept(void **state)
{
    (void)state;
    const uint64_t most = 20000;
    char stays[128];
    CodeStore *s = open_it(most);
    snprintf(stays, sizeof stays, "%s/not-ours.kiln", folder);
    write_bytes(stays, "x", 1);
    for (int i = 0; i < 20; i++) {
        keep(s, i);
        age(i, 1000 + i);
    }
    assert_true(find(s, 0)); /* so that it is the one that was used last */
    for (int i = 20; i < 120; i++) {
        keep(s, i);
        age(i, 1000 + i);
        assert_true(bytes_there() <= most);
    }
    StoreCount c;
    store_count(s, &c);
    assert_true(c.evicted > 60 && c.bytes <= most && c.files > 10 && c.files < 60);
    assert_true(find(s, 0));
    assert_true(find(s, 119));
    assert_false(find(s, 1));
    assert_int_equal(access(stays, F_OK), 0);
    store_close(s);
    s = open_it(1000); /* nothing of more than half of it is kept */
    keep(s, 3);
    expect_said("is not kept");
    store_close(s);
}

static void dead_writers_leave_nothing_for_long(void **state)
{
    (void)state;
    char dead[200], living[200];
    StoreCount c;
    snprintf(dead, sizeof dead, "%s/.%032d.%016d.tmp", folder, 1, 2);
    snprintf(living, sizeof living, "%s/.%032d.%016d.tmp", folder, 1, 3);
    write_bytes(dead, "half", 4);
    write_bytes(living, "half", 4);
    assert_int_equal(utimensat(AT_FDCWD, dead, (struct timespec[2]){{.tv_sec = 1}, {.tv_sec = 1}}, 0), 0);
    CodeStore *s = open_it(1 << 20);
    store_count(s, &c);
    assert_int_equal(access(dead, F_OK), -1);
    assert_int_equal(access(living, F_OK), 0);
    store_close(s);
}

static void processes_share_it(void **state)
{
    (void)state;
    for (int p = 0; p < 4; p++)
        if (fork() == 0) {
            CodeStore *s = store_open(folder, 12000, NULL, NULL); /* so small that they evict each other's files all the time */
            int wrong = !s;
            for (int i = 0; s && i < 300; i++) {
                if (!find(s, (i * (p + 1)) % 40)) keep(s, (i * (p + 1)) % 40);
            }
            StoreCount c;
            if (s) store_count(s, &c), wrong += c.refused != 0 || c.hits == 0;
            _exit(wrong);
        }
    for (int p = 0; p < 4; p++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_true(bytes_there() <= 12000 + 4 * 12000 / 16);
    char command[128];
    snprintf(command, sizeof command, "ls -A %s | grep -c tmp", folder);
    FILE *p = popen(command, "r");
    int left = -1;
    assert_int_equal(fscanf(p, "%d", &left), 1);
    pclose(p);
    assert_int_equal(left, 0);
}

static void what_cannot_be_written_is_told_once(void **state)
{
    (void)state;
    CodeStore *s = open_it(1 << 20);
    remove_all(folder); /* the folder itself, under its user */
    for (int i = 0; i < 5; i++) keep(s, i);
    assert_int_equal(times_said, 1);
    expect_said("cannot make a file");
    assert_false(find(s, 1));
    store_close(s);
}

static void files_have_a_largest_size(void **state)
{
    (void)state;
    CodeStore *s = open_it(1 << 20);
    struct rlimit was, least;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    least = (struct rlimit){100, was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &least), 0);
    keep(s, 1); /* would end the process by a signal */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    expect_said("cannot write: File too large");
    assert_false(find(s, 1));
    assert_int_equal(bytes_there(), 0);
    keep(s, 1);
    assert_true(find(s, 1));
    store_close(s);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    int kept = 0, found = 0;
    for (uint64_t n = 1; n < 40; n++) {
        const int64_t before = memory_count().live_blocks;
        memory_fail_at(n, false);
        CodeStore *s = store_open(folder, 1 << 20, note, NULL);
        if (s) keep(s, 1);
        if (s) found += find(s, 1);
        StoreCount c = {0};
        if (s) store_count(s, &c), kept += c.files == 1;
        store_close(s);
        memory_fail_at(0, false);
        assert_int_equal(memory_count().live_blocks, before);
    }
    assert_true(kept > 0 && found > 0 && found < 39);
}

int main(void)
{
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(what_is_kept_is_found), STORE_TEST(every_changed_byte_is_seen), STORE_TEST(only_plain_files_of_ones_own_are_read),
        STORE_TEST(the_folder_is_its_owners_alone), STORE_TEST(another_compiler_compiles_anew), STORE_TEST(the_bound_is_kept),
        STORE_TEST(dead_writers_leave_nothing_for_long), STORE_TEST(processes_share_it),
        STORE_TEST(what_cannot_be_written_is_told_once), STORE_TEST(files_have_a_largest_size), STORE_TEST(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
