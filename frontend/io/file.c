/* file: see file.h. A killed process leaves at most one temporary file per name behind, which the next
 * save writes over: nothing is swept up by guessing. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ONE_CALL ((size_t)1 << 30) /* Linux moves at most 2 GiB in one call */

bool file_failed(Thread *t, kiln_site at, const char *what, const char *path, const char *doing)
{
    fail(t, at, KILN_EIO, "%s: %s: cannot %s: %s", what, path, doing, strerror(errno));
    return false;
}

bool file_allowed(Thread *t, kiln_site at, const char *what, const char *path)
{
    if (!t) return false;
    if (t->trace)
        fail(t, at, KILN_ESTATE, "%s: files are for eager code, and this body is being traced",
            what);
    else if (!path || !*path)
        fail(t, at, KILN_EVALUE, "%s: the path is %s", what, path ? "empty" : "NULL");
    else
        return true;
    return false;
}

bool file_folder(Thread *t, kiln_site at, const char *what, const char *path)
{
    struct stat s;
    if (mkdir(path, 0777) == 0) return true;
    if (errno != EEXIST) return file_failed(t, at, what, path, "make the folder");
    if (stat(path, &s) != 0) return file_failed(t, at, what, path, "stat");
    if (S_ISDIR(s.st_mode)) return true;
    fail(t, at, KILN_EIO, "%s: %s: not a folder", what, path);
    return false;
}

/* ---- reading ------------------------------------------------------------------------------------- */
bool file_open(FileIn *f, Thread *t, kiln_site at, const char *what, const char *path)
{
    *f = (FileIn){.t = t, .at = at, .what = what, .path = path};
    struct stat s;
    /* NONBLOCK: a pipe without a writer must not hang us */
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0) return file_failed(t, at, what, path, "open");
    bool seen = fstat(f->fd, &s) == 0;
    if (seen && S_ISREG(s.st_mode)) {
        f->size = (uint64_t)s.st_size;
        return true;
    }
    if (seen)
        fail(t, at, KILN_EIO, "%s: %s: not a regular file", what, path);
    else
        file_failed(t, at, what, path, "stat");
    file_close(f);
    return false;
}

bool file_read(FileIn *f, uint64_t offset, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n =
            pread(f->fd, (char *)to + done, MIN_OF(bytes - done, ONE_CALL), (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_failed(f->t, f->at, f->what, f->path, "read");
        if (n == 0) {
            fail(f->t, f->at, KILN_EIO, "%s: %s: became shorter while it was read (byte %llu)",
                f->what, f->path, (unsigned long long)(offset + done));
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

void file_close(FileIn *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}

/* ---- writing ------------------------------------------------------------------------------------- */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static bool name_temporary(FileOut *f, const char *name)
{
    Text text = {0};
    size_t n = folder_length(f->path);
    text_add(&text, f->path, n);
    if (name)
        text_printf(&text, "%s", name);
    else
        text_printf(&text, ".%s.tmp", f->path + n);
    f->temporary = text.failed ? NULL : mem_strdup(text.at);
    text_free(&text);
    if (f->temporary) return true;
    fail(f->t, f->at, KILN_EMEMORY, "%s: %s: no memory", f->what, f->path);
    return false;
}

/* The name may have gone to another file between our open and our lock. */
static bool still_named(const FileOut *f)
{
    struct stat a, b;
    return fstat(f->fd, &a) == 0 && stat(f->temporary, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Some network file systems have no locks; there the caller alone sees to it that one process saves. */
static bool lock(FileOut *f)
{
    int rc;
    do rc = flock(f->fd, LOCK_EX | LOCK_NB);
    while (rc != 0 && errno == EINTR);
    if (rc == 0 || errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOLCK) return true;
    if (errno != EWOULDBLOCK) return file_failed(f->t, f->at, f->what, f->temporary, "lock");
    fail(f->t, f->at, KILN_ESTATE, "%s: %s: another process or thread is saving this at the moment",
        f->what, f->path);
    return false;
}

static bool open_temporary(FileOut *f)
{
    for (int again = 0; again < 100; again++) {
        f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (f->fd < 0) return file_failed(f->t, f->at, f->what, f->temporary, "create");
        if (!lock(f)) break;
        if (still_named(f)) {
            if (ftruncate(f->fd, 0) == 0) return true;
            return file_failed(f->t, f->at, f->what, f->temporary, "empty");
        }
        close(f->fd);
        f->fd = -1;
    }
    if (f->fd < 0)
        fail(f->t, f->at, KILN_EIO, "%s: %s is replaced again and again", f->what, f->temporary);
    return false;
}

static void end(FileOut *f)
{
    if (f->fd >= 0) close(f->fd); /* and the lock goes */
    f->fd = -1;
    if (f->temporary) mem_free(f->temporary, strlen(f->temporary) + 1);
    f->temporary = NULL;
}

bool file_begin(
    FileOut *f, Thread *t, kiln_site at, const char *what, const char *path, const char *temporary)
{
    *f = (FileOut){.t = t, .at = at, .what = what, .path = path, .fd = -1};
    if (name_temporary(f, temporary) && open_temporary(f)) return true;
    end(f);
    return false;
}

bool file_write(FileOut *f, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(f->fd, (const char *)bytes + done, MIN_OF(n - done, ONE_CALL));
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return file_failed(f->t, f->at, f->what, f->path, "write");
        done += (size_t)k;
    }
    return true;
}

/* The folder of the file's name, so that a new name in it can be brought to the disk; -1: recorded. */
static int open_folder(const FileOut *f)
{
    size_t n = folder_length(f->path);
    char *folder = n ? mem_strdup(f->path) : mem_strdup(".");
    if (!folder) {
        fail(f->t, f->at, KILN_EMEMORY, "%s: %s: no memory", f->what, f->path);
        return -1;
    }
    size_t bytes = strlen(folder) + 1;
    if (n) folder[n] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) file_failed(f->t, f->at, f->what, folder, "open the folder");
    mem_free(folder, bytes);
    return fd;
}

/* Closes it. EINVAL: this file system needs none. */
static bool sync_folder(const FileOut *f, int folder)
{
    bool ok = fsync(folder) == 0 || errno == EINVAL || file_failed(f->t, f->at, f->what, f->path, "sync the folder");
    close(folder);
    return ok;
}

bool file_commit(FileOut *f)
{
    int folder = fsync(f->fd) == 0 ? open_folder(f) : (file_failed(f->t, f->at, f->what, f->path, "sync"), -1);
    bool ok = folder >= 0 && (rename(f->temporary, f->path) == 0 || file_failed(f->t, f->at, f->what, f->path, "rename"));
    if (!ok) {
        if (folder >= 0) close(folder);
        file_abandon(f);
        return false;
    }
    ok = sync_folder(f, folder);
    end(f);
    return ok;
}

/* What a's name held lies at `aside` until b has its name, too. */
static bool name_pair(FileOut *a, FileOut *b, const char *aside)
{
    if (fsync(a->fd) != 0) return file_failed(a->t, a->at, a->what, a->path, "sync");
    if (fsync(b->fd) != 0) return file_failed(b->t, b->at, b->what, b->path, "sync");
    bool had = rename(a->path, aside) == 0;
    if (!had && errno != ENOENT) return file_failed(a->t, a->at, a->what, a->path, "replace");
    bool ok = rename(a->temporary, a->path) == 0 || file_failed(a->t, a->at, a->what, a->path, "rename");
    if (ok && rename(b->temporary, b->path) != 0) {
        ok = file_failed(b->t, b->at, b->what, b->path, "rename");
        unlink(a->path);
    }
    if (had) ok ? (void)unlink(aside) : (void)rename(aside, a->path);
    return ok;
}

bool file_commit_pair(FileOut *a, FileOut *b)
{
    Text aside = {0};
    text_printf(&aside, "%s.old", a->temporary);
    int folder = aside.failed ? -1 : open_folder(a); /* all that can fail for want of memory comes before the first name */
    if (aside.failed) fail(a->t, a->at, KILN_EMEMORY, "%s: %s: no memory", a->what, a->path);
    bool ok = folder >= 0 && name_pair(a, b, aside.at);
    text_free(&aside);
    if (!ok) {
        if (folder >= 0) close(folder);
        file_abandon(a);
        file_abandon(b);
        return false;
    }
    ok = sync_folder(a, folder);
    end(a);
    end(b);
    return ok;
}

void file_abandon(FileOut *f)
{
    if (f->temporary && f->fd >= 0) unlink(f->temporary);
    end(f);
}
