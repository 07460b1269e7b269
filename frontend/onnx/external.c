/* external: the one door to files that a model names. A model may come from anybody, so a name leads to regular files below the
 * model's folder alone: no absolute name, no "..", no link on the way, no second name of a file that lies elsewhere (the ways of
 * CVE-2022-25882, CVE-2024-27318, CVE-2026-27489 and CVE-2026-34446). Relies on model.h. */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is(Bytes b, const char *text) { return bytes_equal(b, (Bytes){(const uint8_t *)text, strlen(text)}); }

static bool number(const OnnxEntry *e, uint64_t *to, Status *st)
{
    *to = 0;
    for (size_t i = 0; i < e->value.n; i++) {
        const unsigned digit = (unsigned)(e->value.at[i] - '0');
        if (digit > 9 || *to > (UINT64_MAX - digit) / 10)
            return status_fail(
                st, ST_FORMAT, "its %s in another file, '%s', is no number of bytes", shown(e->key).text, shown(e->value).text);
        *to = *to * 10 + digit;
    }
    return e->value.n != 0 || status_fail(st, ST_FORMAT, "its %s in another file is empty", shown(e->key).text);
}

bool external_of(const OnnxTensor *x, External *to, Status *st)
{
    *to = (External){.length = UINT64_MAX};
    for (uint32_t i = 0; i < x->external.n; i++) {
        const OnnxEntry *e = &x->external.at[i];
        if (is(e->key, "location"))
            to->location = e->value;
        else if (is(e->key, "offset") ? !number(e, &to->offset, st) : is(e->key, "length") && !number(e, &to->length, st))
            return false;
    }
    return to->location.n != 0 || status_fail(st, ST_FORMAT, "it lies in another file, which has no name");
}

static int refused(Bytes location, Status *st, const char *why)
{
    status_fail(st, ST_FORMAT, "the file '%s' that it names %s", shown(location).text, why);
    return -1;
}

static int unopened(Bytes location, Status *st, int why)
{
    const char *what = why == ENOTDIR ? "a part of its name is a link, or no folder" : strerror(why);
    status_fail(st, ST_FORMAT, "the file '%s' that it names cannot be opened: %s", shown(location).text, what);
    return -1;
}

/* The next part of a name, which `at` goes behind. */
static bool next_part(Bytes location, size_t *at, char part[256])
{
    const uint8_t *from = location.at + *at, *slash = memchr(from, '/', location.n - *at);
    const size_t n = slash ? (size_t)(slash - from) : location.n - *at;
    if (n == 0 || n > 255 || memchr(from, 0, n) || (from[0] == '.' && (n == 1 || (n == 2 && from[1] == '.')))) return false;
    memcpy(part, from, n);
    part[n] = 0;
    *at += slash ? n + 1 : n;
    return !slash || *at < location.n;
}

/* "./" before a name, as some writers put it, says nothing. */
static size_t name_begins(Bytes location)
{
    size_t at = 0;
    while (at + 2 < location.n && location.at[at] == '.' && location.at[at + 1] == '/') at += 2;
    return at;
}

int external_open(const kiln_onnx *m, Bytes location, uint64_t *size, Status *st)
{
    struct stat s;
    char part[256];
    if (m->folder < 0) return refused(location, st, "cannot be looked for: the model came from memory");
    int fd = -1;
    for (size_t at = name_begins(location); at < location.n;) {
        const int folder = fd < 0 ? m->folder : fd;
        if (!next_part(location, &at, part)) {
            if (fd >= 0) close(fd);
            return refused(location, st, "is no plain name below the model's folder");
        }
        const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (at < location.n ? O_DIRECTORY : 0);
        const int next = openat(folder, part, flags);
        const int why = errno;
        if (fd >= 0) close(fd);
        if (next < 0 && (why == ELOOP || why == EMLINK)) return refused(location, st, "is a link");
        if (next < 0) return unopened(location, st, why);
        fd = next;
    }
    if (fd < 0) return refused(location, st, "has no name");
    const char *wrong = fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) ? "is no regular file"
                        : s.st_nlink > 1                          ? "has a second name, perhaps outside of the model's folder"
                                                                  : NULL;
    if (!wrong) {
        *size = (uint64_t)s.st_size;
        return fd;
    }
    close(fd);
    return refused(location, st, wrong);
}
