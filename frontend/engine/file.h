/* file: files that appear whole or not at all, and reading at an offset. Every failure is recorded with the file's name. Relies on
 * the system's files and on the sticky error. Never knows a format. */
#ifndef KILN_FRONTEND_IO_FILE_H
#define KILN_FRONTEND_IO_FILE_H

#include "engine.h"

typedef struct FileIn {
    Thread *t;
    kiln_site at;
    const char *what, *path; /* what: the operation, for the text of errors */
    int fd;                  /* -1: not open */
    uint64_t size;
} FileIn;

bool file_open(FileIn *f, Thread *t, kiln_site at, const char *what, const char *path); /* regular files only */
bool file_read(FileIn *f, uint64_t offset, void *to, size_t bytes);                     /* all of them, or false */
void file_close(FileIn *f);

typedef struct FileOut {
    Thread *t;
    kiln_site at;
    const char *what, *path;
    char *temporary; /* NULL: path is written itself */
    int fd;
} FileOut;

/* The one door through which Kiln writes files. Writes go to a new file of path's folder, .STEM.RANDOM.tmp (stem NULL: path's last
 * part), which no link can lead elsewhere; what was at path stays until the commit. Others of that stem are removed if their
 * process is dead; while one lives, this is KILN_ESTATE. A path that names a pipe or a device is written itself. A link at path is
 * replaced, not followed. */
bool file_begin(FileOut *f, Thread *t, kiln_site at, const char *what, const char *path, const char *stem);
bool file_write(FileOut *f, const void *bytes, size_t n);
bool file_commit(FileOut *f); /* to the disk, then to its name; ends f either way */
/* Two files that belong together, of one folder: both get their names, or both names keep what they had. */
bool file_commit_pair(FileOut *a, FileOut *b);
void file_abandon(FileOut *f); /* after a failed write */
/* A whole file at once. */
bool file_put(Thread *t, kiln_site at, const char *what, const char *path, const void *bytes, size_t n);
/* A file that others read while it grows, so without a temporary one: made anew, never through a link. The caller owns f->fd. False
 * with the reason in errno (EEXIST: the name is taken), and not recorded. */
bool file_create(FileOut *f, Thread *t, kiln_site at, const char *what, const char *path);

/* "what: path: cannot doing: reason of errno"; always false. */
bool file_failed(Thread *t, kiln_site at, const char *what, const char *path, const char *doing);
/* Outside of traces, with a path: false: recorded. */
bool file_allowed(Thread *t, kiln_site at, const char *what, const char *path);
bool file_folder(Thread *t, kiln_site at, const char *what, const char *path); /* made, if it is absent */

#endif
