/* summary: the event files of TensorBoard, decoded here by other code (bitwise CRC, every frame and field), and read
 * back by the real TensorBoard where Python has it ($KILN_PYTHON or python3). Relies on the public headers. */
#include "values.h"

#include <dirent.h>
#include <errno.h>
#include <kiln/io.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base.h"

static char folder[200], path[512];

static int open_all(void **state)
{
    const char *dir = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/kiln-summary-%ld", dir ? dir : "/tmp", (long)getpid());
    return open_engine(state);
}

/* The only event file (its path, too), or the number of them; removed if asked. */
static int files(bool remove_them)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        n++;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (remove_them) unlink(path);
    }
    if (d) closedir(d);
    return n;
}

static int close_all(void **state)
{
    files(true);
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

/* ---- decoding, with nothing of the writer's ------------------------------------------------------------ */
static unsigned char bytes[1 << 20];
static size_t size;

static void slurp(void)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
}

static uint32_t crc(const unsigned char *p, size_t n)
{
    uint32_t c = 0xffffffff;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int b = 0; b < 8; b++) c = c & 1 ? c >> 1 ^ 0x82f63b78 : c >> 1;
    }
    return c ^ 0xffffffff;
}

static uint64_t little(const unsigned char *p, int n)
{
    uint64_t v = 0;
    while (n-- > 0) v = v << 8 | p[n];
    return v;
}

static bool is_crc(const unsigned char *p, size_t n, const unsigned char *stored)
{
    uint32_t unmasked = (uint32_t)little(stored, 4) - 0xa282ead8;
    return (unmasked >> 17 | unmasked << 15) == crc(p, n);
}

typedef struct Cursor { const unsigned char *at, *end; } Cursor;

static uint64_t varint(Cursor *c)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        assert_true(c->at < c->end);
        v |= (uint64_t)(*c->at & 0x7f) << shift;
        if (!(*c->at++ & 0x80)) break;
    }
    return v;
}

static Cursor inside(Cursor *c)
{
    uint64_t n = varint(c);
    assert_true(n <= (uint64_t)(c->end - c->at));
    Cursor in = {c->at, c->at + n};
    c->at += n;
    return in;
}

typedef struct Event { double time; int64_t step; char version[32], tag[64]; float value; int values; } Event;

static void decode_value(Cursor v, Event *e)
{
    while (v.at < v.end) {
        uint64_t key = varint(&v);
        if (key == (1 << 3 | 2)) {
            Cursor tag = inside(&v);
            snprintf(e->tag, sizeof e->tag, "%.*s", (int)(tag.end - tag.at), (const char *)tag.at);
        } else {
            assert_int_equal(key, 2 << 3 | 5);
            uint32_t u = (uint32_t)little(v.at, 4);
            memcpy(&e->value, &u, 4);
            v.at += 4;
        }
    }
}

static Event decode(Cursor c)
{
    Event e = {.step = 0};
    while (c.at < c.end) {
        uint64_t key = varint(&c), u;
        if (key == (1 << 3 | 1)) {
            u = little(c.at, 8);
            memcpy(&e.time, &u, 8);
            c.at += 8;
        } else if (key == (2 << 3 | 0)) {
            e.step = (int64_t)varint(&c);
        } else if (key == (3 << 3 | 2)) {
            Cursor text = inside(&c);
            snprintf(e.version, sizeof e.version, "%.*s", (int)(text.end - text.at), (const char *)text.at);
        } else {
            assert_int_equal(key, 5 << 3 | 2);
            Cursor summary = inside(&c);
            while (summary.at < summary.end) {
                assert_int_equal(varint(&summary), 1 << 3 | 2);
                decode_value(inside(&summary), &e);
                e.values++;
            }
        }
    }
    return e;
}

/* All events of the file; every byte of it belongs to one. */
static int events(Event *out, int cap)
{
    int n = 0;
    slurp();
    for (size_t at = 0; at < size; n++) {
        assert_true(size - at >= 16);
        uint64_t length = little(bytes + at, 8);
        assert_true(is_crc(bytes + at, 8, bytes + at + 8));
        assert_true(length <= size - at - 16);
        assert_true(is_crc(bytes + at + 12, length, bytes + at + 12 + length));
        assert_true(n < cap);
        out[n] = decode((Cursor){bytes + at + 12, bytes + at + 12 + length});
        at += 16 + length;
    }
    return n;
}

/* ---- cases -------------------------------------------------------------------------------------------- */
static void crc_is_castagnolis(void **state)
{
    (void)state;
    assert_int_equal(crc((const unsigned char *)"123456789", 9), 0xe3069283); /* RFC 3720's polynomial, the usual check value */
}

/* The clock that events carry. time() is another, which lags behind it by up to a tick, so that at the turn of a second it can be too early. */
static double wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void what_is_written_is_what_stands_there(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    Event e[40];
    double before = wall_clock();
    kiln_summary *s = kiln_summary_open(k, folder);
    kiln_variable *v = kiln_variable_new(k, "v", KILN_F32, 0.1);
    assert_true(kiln_summary_scalar(s, "loss", 0, 1.5));
    assert_true(kiln_summary_scalar(s, "loss", 127, kiln_scalar(k, KILN_F64, 1.0 / 3)));
    assert_true(kiln_summary_scalar(s, "a/b \xc3\xa9", 128, v));
    assert_true(kiln_summary_scalar(s, "n", INT64_MAX, 7));
    assert_true(kiln_summary_scalar(s, "n", 1, NAN));
    assert_int_equal(files(false), 1);
    assert_int_equal(events(e, 40), 1); /* the rest is held */
    assert_true(kiln_summary_flush(s));
    assert_int_equal(events(e, 40), 6);
    for (int i = 0; i < 30; i++) assert_true(kiln_summary_scalar(s, "x", i, i * i));
    assert_true(kiln_summary_close(s));
    assert_int_equal(events(e, 40), 36);
    assert_string_equal(e[0].version, "brain.Event:2");
    assert_int_equal(e[0].values, 0);
    static const struct { const char *tag; int64_t step; float value; } want[] = {{"loss", 0, 1.5f}, {"loss", 127, 1.0f / 3}, {"a/b \xc3\xa9", 128, 0.1f}, {"n", INT64_MAX, 7}};
    double after = wall_clock();
    for (int i = 0; i < 36; i++) assert_true(e[i].time >= before && e[i].time <= after);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(e[i + 1].values, 1);
        assert_string_equal(e[i + 1].tag, want[i].tag);
        assert_int_equal(e[i + 1].step, want[i].step);
        assert_true(e[i + 1].value == want[i].value);
    }
    assert_true(isnan(e[5].value));
    assert_true(e[35].step == 29 && e[35].value == 29 * 29);
}

static void many_flush_by_themselves(void **state)
{
    (void)state;
    static Event e[6000];
    kiln_summary *s = kiln_summary_open(k, folder), *other = kiln_summary_open(k, folder);
    assert_int_equal(files(false), 2); /* a file each */
    assert_true(kiln_summary_close(s) && kiln_summary_close(other));
    files(true);
    s = kiln_summary_open(k, folder);
    for (int i = 0; i < 5000; i++) assert_true(kiln_summary_scalar(s, "loss", i, i));
    files(false);
    int n = events(e, 6000);
    assert_true(n > 1000 && n < 5001);
    assert_true(kiln_summary_close(s));
    assert_int_equal(events(e, 6000), 5001);
}

static void misuse_is_named(void **state)
{
    (void)state;
    KILN_SCOPE(k);
    assert_null(kiln_summary_open(k, "/nowhere/at/all"));
    has_error(KILN_EIO, "cannot make the folder");
    kiln_summary *s = kiln_summary_open(k, folder);
    assert_false(kiln_summary_scalar(s, "", 0, 1));
    has_error(KILN_EVALUE, "a tag must be a text");
    assert_false(kiln_summary_scalar(s, "x", -1, 1));
    has_error(KILN_EVALUE, "a step must be 0 or more");
    assert_false(kiln_summary_scalar(s, "x", 1, kiln_zeros(k, KILN_F32, KILN_SHAPE(2))));
    has_error(KILN_ESHAPE, "f32[2]");
    assert_false(kiln_summary_scalar(NULL, "x", 1, 1));
    has_error(KILN_ESTATE, "NULL");
    Event e[4];
    assert_true(kiln_summary_flush(s));
    files(false);
    assert_int_equal(events(e, 4), 1); /* closed by the engine */
}

/* A full disk: no frame is cut in two, and what was held is written once there is room. */
static void a_full_disk(void **state)
{
    (void)state;
    Event e[20];
    kiln_summary *s = kiln_summary_open(k, folder);
    files(false);
    slurp();
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){size + 30, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 10; i++) assert_true(kiln_summary_scalar(s, "x", i, i));
    setrlimit(RLIMIT_FSIZE, &small);
    bool flushed = kiln_summary_flush(s);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_false(flushed);
    has_error(KILN_EIO, "cannot write: File too large");
    assert_int_equal(events(e, 20), 1);
    assert_true(kiln_summary_close(s));
    assert_int_equal(events(e, 20), 11);
    assert_true(e[10].step == 9);
}

static void memory_runs_out(void **state)
{
    (void)state;
    Event e[20];
    kiln_summary *s = kiln_summary_open(k, folder);
    bool ok = false;
    for (uint64_t n = 1; !ok && n < 50; n++) {
        memory_fail_at(n, false);
        ok = kiln_summary_scalar(s, "x", 3, 4);
        memory_fail_at(0, false);
        if (!ok) has_error(KILN_EMEMORY, "no memory");
    }
    assert_true(ok);
    assert_true(kiln_summary_close(s));
    files(false);
    assert_int_equal(events(e, 20), 2); /* the whole one alone */
    assert_true(e[1].step == 3 && e[1].value == 4);
}

static const char program[] =
    "import sys\n"
    "try:\n"
    "    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
    "except Exception as e:\n"
    "    print('absent', type(e).__name__); sys.exit(0)\n"
    "try:\n"
    "    a = EventAccumulator(sys.argv[1]); a.Reload()\n"
    "    x = a.Scalars('loss')\n"
    "except Exception as e:\n"
    "    print('broken', e); sys.exit(0)\n"
    "print('read', len(x), a.Tags()['scalars'] == ['loss'],\n"
    "      [(s.step, s.value) for s in x] == [(100 * i, 1 / 2 ** i) for i in range(1, 11)])\n";

static void the_real_tensorboard_reads_it(void **state)
{
    (void)state;
    const char *python = getenv("KILN_PYTHON") ? getenv("KILN_PYTHON") : "python3";
    char script[512], command[1600], line[256] = "";
    kiln_summary *s = kiln_summary_open(k, folder);
    for (int step = 100; step <= 1000; step += 100) assert_true(kiln_summary_scalar(s, "loss", step, ldexp(1, -step / 100)));
    assert_true(kiln_summary_close(s));
    snprintf(script, sizeof script, "%s/read.py", folder);
    FILE *f = fopen(script, "w");
    assert_non_null(f);
    fputs(program, f);
    fclose(f);
    snprintf(command, sizeof command, "'%s' '%s' '%s' 2>/dev/null", python, script, folder);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    bool any = fgets(line, sizeof line, p) != NULL;
    pclose(p);
    if (!any || strncmp(line, "absent", 6) == 0) {
        print_message("skip: %s has no tensorboard to read the file back with (KILN_PYTHON names another Python)\n", python);
        skip();
    }
    assert_string_equal(line, "read 10 True True\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(crc_is_castagnolis), FOLDER_TEST(what_is_written_is_what_stands_there), FOLDER_TEST(many_flush_by_themselves),
        FOLDER_TEST(misuse_is_named), FOLDER_TEST(a_full_disk), FOLDER_TEST(memory_runs_out), FOLDER_TEST(the_real_tensorboard_reads_it),
    };
    return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
