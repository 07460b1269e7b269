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

static pid_t owner; /* the process that asked first; one that it forked has its numbers, but did not do what they tell */

/* Engines that are open when the process ends. */
static void tell_all(void)
{
    if (getpid() == owner) engines_each(profile_close);
}

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
    if (!k->profiling || atomic_flag_test_and_set(&watched)) return;
    owner = getpid();
    atexit(tell_all);
}

static void put(kiln *k, const Text *text)
{
    const char *path = getenv("KILN_PROFILE_FILE");
    const int file = path && *path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600) : STDERR_FILENO;
    size_t done = 0;
    while (file >= 0 && done < text->len) {
        const ssize_t n = write(file, text->at + done, text->len - done);
        if (n < 0 && errno != EINTR) break;
        done += n > 0 ? (size_t)n : 0;
    }
    if (file < 0 || done < text->len)
        log_line(k, "KILN_PROFILE_FILE: %s cannot be written: %s", path && *path ? path : "stderr", strerror(errno));
    if (file >= 0 && file != STDERR_FILENO) close(file);
}

static Marked *all_of(kiln *k)
{
    pthread_mutex_lock(&k->lock);
    Marked *first = k->marked;
    pthread_mutex_unlock(&k->lock);
    return first;
}

static bool called(const Marked *m)
{
    while (m && m->calls == 0) m = m->next;
    return m;
}

void profile_close(kiln *k)
{
    Roof roof;
    Status st = {0};
    Text text = {0};
    const uint8_t how = k->profiling;
    k->profiling = PROFILE_OFF;
    if (how == PROFILE_OFF) return;
    const Marked *first = all_of(k);
    if (!called(first)) {
        log_line(k, "KILN_PROFILE: nothing ran compiled (KILN_COMPILE=wait compiles before the first call)");
        return;
    }
    if (!roof_measure(k->threads, &roof, &st)) {
        log_line(k, "KILN_PROFILE: %s", st.text);
        return;
    }
    locale_t before = plain_numbers_begin();
    (how == PROFILE_JSON ? profile_json : profile_table)(&text, &(ProfileReport){.roof = &roof, .first = first, .all = true});
    plain_numbers_end(before);
    if (text.failed)
        log_line(k, "KILN_PROFILE: no memory for the report");
    else
        put(k, &text);
    text_free(&text);
}
