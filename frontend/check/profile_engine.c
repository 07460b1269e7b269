/* profile_engine: KILN_PROFILE: all functions of an engine are compiled with marks, and when it closes, or the process ends, it
 * tells where the time of their calls went. KILN_PROFILE=json tells it as JSON, KILN_PROFILE_FILE names a file to which it is
 * added, in place of stderr. Not for programs that run with others' rights. */
#define _GNU_SOURCE
#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

static void tell_all(void);

void profile_open(kiln *k)
{
    static atomic_flag watched = ATOMIC_FLAG_INIT;
    const char *wish = getenv("KILN_PROFILE");
    if (!wish || !*wish || !strcmp(wish, "0")) return;
    if (strcmp(wish, "1") && strcmp(wish, "json"))
        log_line(k, "KILN_PROFILE=%s: it must be 1 or json", wish);
    else if (getauxval(AT_SECURE))
        log_line(k, "KILN_PROFILE: not for a program that runs with others' rights");
    else
        k->profiling = strcmp(wish, "1") ? PROFILE_JSON : PROFILE_TEXT;
    k->profiled_by = getpid();
    if (k->profiling && !atomic_flag_test_and_set(&watched)) atexit(tell_all);
}

static Marked *all_of(kiln *k)
{
    pthread_mutex_lock(&k->lock);
    Marked *first = k->marked;
    pthread_mutex_unlock(&k->lock);
    return first;
}

static bool called(const Marked *m, uint32_t device)
{
    while (m && (m->calls == 0 || m->device != device)) m = m->next;
    return m;
}

/* What is said of an engine. Nothing of the engine is needed to say it, and nobody's lock is held then, since it may go through the
 * user's function for the log, which may use engines. */
typedef struct Report {
    Text text;
    char trouble[512];    /* "": none */
    kiln_options options; /* of which the log is looked at */
} Report;

/* A device that cannot be asked any longer, as a card when the process ends, has no roof; its steps are told all the same. */
static bool roof_there(kiln *k, uint32_t device, Roof *roof, Status *st)
{
    if (device == HOST) return roof_measure(threads_count(k->threads), roof, st);
    Status ignored = {0};
    if (!roof_of_device(device_at(device), roof, &ignored)) *roof = (Roof){.device = device_at(device)->name};
    return true;
}

/* A report for each device on which something ran, one behind the other. */
static void compose(kiln *k, uint8_t how, Report *to)
{
    Roof roof;
    Status st = {0};
    const Marked *first = all_of(k);
    for (uint32_t device = 0; device_at(device) && !st.code; device++) {
        if (!called(first, device) || !roof_there(k, device, &roof, &st)) continue;
        const ProfileReport r = {.roof = &roof, .first = first, .all = true, .device = (uint8_t)device};
        locale_t before = plain_numbers_begin();
        if (to->text.len && how != PROFILE_JSON) text_printf(&to->text, "\n");
        (how == PROFILE_JSON ? profile_json : profile_table)(&to->text, &r);
        plain_numbers_end(before);
    }
    if (st.code)
        snprintf(to->trouble, sizeof to->trouble, "%s", st.text);
    else if (to->text.failed)
        snprintf(to->trouble, sizeof to->trouble, "no memory for the report");
    else if (!to->text.len)
        snprintf(to->trouble, sizeof to->trouble, "nothing ran compiled (KILN_COMPILE=wait compiles before the first call)");
}

/* False: there is nothing to say of it, or it was said. A process that was forked has the numbers of the one that opened the
 * engine, but did not do what they tell. */
static bool report_of(kiln *k, void *report)
{
    Report *to = report;
    const uint8_t how = k->profiling;
    k->profiling = PROFILE_OFF;
    if (how == PROFILE_OFF || k->profiled_by != getpid()) return false;
    *to = (Report){.options = k->options};
    compose(k, how, to);
    return true;
}

static void put(const Report *r)
{
    const char *path = getenv("KILN_PROFILE_FILE");
    const int file = path && *path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600) : STDERR_FILENO;
    size_t done = 0;
    while (file >= 0 && done < r->text.len) {
        const ssize_t n = write(file, r->text.at + done, r->text.len - done);
        if (n < 0 && errno != EINTR) break;
        done += n > 0 ? (size_t)n : 0;
    }
    if (file < 0 || done < r->text.len)
        log_of(&r->options, "KILN_PROFILE_FILE: %s cannot be written: %s", path && *path ? path : "stderr", strerror(errno));
    if (file >= 0 && file != STDERR_FILENO) close(file);
}

static void say_report(Report *r)
{
    if (*r->trouble)
        log_of(&r->options, "KILN_PROFILE: %s", r->trouble);
    else
        put(r);
    text_free(&r->text);
}

void profile_close(kiln *k)
{
    Report r;
    if (report_of(k, &r)) say_report(&r);
}

/* Engines that are open when the process ends. */
static void tell_all(void)
{
    Report r;
    while (engines_any(report_of, &r)) say_report(&r);
}
