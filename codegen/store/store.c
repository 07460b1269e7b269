/* store: compiled programs in a folder, found by their keys. A file holds its key, which library compiled it, the image, and a sum
 * of all that. Nothing of a file is believed before its sum is right and its key is the one that was asked for, to the byte; and
 * whoever opens an image checks it again. Relies on folder.c. Never runs code, never fails: what cannot be kept is compiled next
 * time. */
#define _GNU_SOURCE
#include "parts.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct FileHead {
    char magic[8];
    uint64_t sum;               /* of all bytes after it */
    uint64_t key, maker, image; /* bytes of each; the image begins at the next multiple of STORE_ALIGN and ends the file */
} FileHead;
static const char magic[8] = "kiln\x01\r\n";

/* ---- opening --------------------------------------------------------------------------------- */

static void tell(const CodeStore *s, const char *what, const char *name)
{
    char text[700];
    if (!s->note) return;
    snprintf(text, sizeof text, "code cache %.400s: %s%s%s", s->path, name ? name : "", name ? " is not used: " : "", what);
    s->note(s->user, text);
}

CodeStore *store_open(const char *folder, uint64_t most, StoreNote *note, void *user)
{
    char why[200];
    CodeStore *s = mem_zeros(1, sizeof *s);
    char *path = mem_strdup(folder);
    if (s && path) {
        *s = (CodeStore){.path = path, .most = most, .note = note, .user = user};
        s->fd = folder_open(folder, why, sizeof why);
        if (s->fd >= 0) {
            pthread_mutex_init(&s->lock, NULL);
            return s;
        }
        tell(s, why, NULL);
    } else if (note) {
        note(user, "code cache: no memory");
    }
    if (path) mem_free(path, strlen(path) + 1);
    if (s) mem_free(s, sizeof *s);
    return NULL;
}

void store_close(CodeStore *s)
{
    if (!s) return;
    close(s->fd);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->path, strlen(s->path) + 1);
    mem_free(s, sizeof *s);
}

void store_count(CodeStore *s, StoreCount *out)
{
    pthread_mutex_lock(&s->lock);
    if (!s->looked) folder_look(s, 0);
    *out = s->count;
    out->most = s->most;
    pthread_mutex_unlock(&s->lock);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void name_of(const Text *key, char name[FILE_NAME])
{
    snprintf(
        name, FILE_NAME, "%016" PRIx64 "%016" PRIx64 ".kiln", hash_bytes(1, key->at, key->len), hash_bytes(2, key->at, key->len));
}

static uint64_t sum_of(const char *file, size_t bytes)
{
    const size_t from = offsetof(FileHead, sum) + sizeof(uint64_t);
    return hash_bytes(3, file + from, bytes - from);
}

/* What the file of the compiling library is now: its size, when it was written, its name. An empty text: unknown. */
static void maker_now(Text *out, const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0) return;
    text_printf(out, "%" PRId64 " %" PRId64 ".%09" PRId64 " %s", (int64_t)s.st_size, (int64_t)s.st_mtim.tv_sec,
        (int64_t)s.st_mtim.tv_nsec, path);
}

/* was: len bytes, as maker_now wrote them. */
static bool maker_is_as_it_was(const char *was, size_t len)
{
    Text now = {0};
    const char *path = len != 0 && was[len - 1] == '\0' ? strchr(was, '/') : NULL;
    if (path) maker_now(&now, path);
    bool same = path && !now.failed && now.len + 1 == len && memcmp(now.at, was, len) == 0;
    text_free(&now);
    return same;
}

static uint64_t image_at(const FileHead *h)
{
    return (sizeof *h + h->key + h->maker + STORE_ALIGN - 1) / STORE_ALIGN * STORE_ALIGN;
}

/* NULL: it is what was asked for. */
static const char *fault(const Found *f, const Text *key)
{
    const FileHead *h = (const void *)f->file;
    if (f->bytes < sizeof *h || memcmp(h->magic, magic, sizeof magic) != 0) return "it is no file of compiled code of this version";
    if (h->sum != sum_of(f->file, f->bytes)) return "its bytes are not those that were written";
    if (h->key > f->bytes || h->maker > f->bytes || h->image > f->bytes || image_at(h) + h->image != f->bytes) return "its sizes";
    if (h->key != key->len || memcmp(f->file + sizeof *h, key->at, key->len) != 0) return "it is of another program";
    if (!maker_is_as_it_was(f->file + sizeof *h + h->key, h->maker)) return "the library that compiled it has changed";
    return NULL;
}

static void count_find(CodeStore *s, bool hit, bool refused, size_t bytes)
{
    pthread_mutex_lock(&s->lock);
    s->count.hits += hit;
    s->count.misses += !hit;
    s->count.refused += refused;
    s->count.bytes_in += bytes;
    pthread_mutex_unlock(&s->lock);
}

bool store_find(CodeStore *s, const Text *key, Found *out)
{
    char name[FILE_NAME], why[200];
    name_of(key, name);
    bool there = folder_read(s, name, out, why, sizeof why);
    const char *wrong = there ? fault(out, key) : *why ? why : NULL;
    if (wrong) tell(s, wrong, name);
    if (there && wrong) found_free(out);
    there = there && !wrong;
    if (there) {
        out->block = out->file + image_at((const void *)out->file);
        out->len = (size_t)((const FileHead *)(const void *)out->file)->image;
    }
    count_find(s, there, wrong, there ? out->bytes : 0);
    return there;
}

void found_free(Found *f)
{
    if (f->file) mem_free_aligned(f->file, f->bytes, STORE_ALIGN);
    *f = (Found){0};
}

/* ---- keeping --------------------------------------------------------------------------------- */

static bool make_file(Found *f, const Text *key, const char *maker, const char *block, size_t len)
{
    Text by = {0};
    maker_now(&by, maker);
    FileHead h = {.key = key->len, .maker = by.len + 1, .image = len};
    memcpy(h.magic, magic, sizeof magic);
    f->bytes = (size_t)image_at(&h) + len;
    f->file = by.len != 0 && !by.failed ? mem_alloc_aligned(f->bytes, STORE_ALIGN) : NULL;
    if (f->file) {
        memset(f->file, 0, (size_t)image_at(&h));
        memcpy(f->file, &h, sizeof h);
        memcpy(f->file + sizeof h, key->at, key->len);
        memcpy(f->file + sizeof h + key->len, by.at, by.len + 1);
        memcpy(f->file + image_at(&h), block, len);
        ((FileHead *)(void *)f->file)->sum = sum_of(f->file, f->bytes);
    }
    text_free(&by);
    return f->file;
}

/* Other processes write, too: so that all of them together keep near the bound, each looks again after a sixteenth of it. */
static void make_room(CodeStore *s, uint64_t bytes)
{
    if (!s->looked || s->grown + bytes > s->most / 16 || s->count.bytes + bytes > s->most) folder_look(s, bytes);
}

void store_keep(CodeStore *s, const Text *key, const char *maker, const char *block, size_t len)
{
    char name[FILE_NAME], why[200] = "";
    Found f = {0};
    if (!*maker || !make_file(&f, key, maker, block, len)) return;
    name_of(key, name);
    pthread_mutex_lock(&s->lock);
    if (f.bytes > s->most / 2) {
        snprintf(
            why, sizeof why, "a program of %zu bytes is not kept: all may take %" PRIu64 ", and one half of it", f.bytes, s->most);
    } else {
        struct stat old; /* one that was refused, or that another process has written meanwhile */
        make_room(s, f.bytes);
        const bool replaces = fstatat(s->fd, name, &old, AT_SYMLINK_NOFOLLOW) == 0;
        if (folder_write(s, name, f.file, f.bytes, why, sizeof why)) {
            s->count.bytes_out += f.bytes;
            s->count.bytes += f.bytes;
            if (replaces)
                s->count.bytes -= MIN_OF((uint64_t)old.st_size, s->count.bytes);
            else
                s->count.files++;
            s->grown += f.bytes;
        }
    }
    bool first = *why && !s->told;
    s->told |= *why != '\0';
    pthread_mutex_unlock(&s->lock);
    if (first) tell(s, why, NULL);
    found_free(&f);
}
