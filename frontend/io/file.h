/* file: files that appear whole or not at all, and reading at an offset. Every failure is recorded with the
 * file's name. Relies on the system's files and on the sticky error. Never knows a format. */
#ifndef KILN_FRONTEND_IO_FILE_H
#define KILN_FRONTEND_IO_FILE_H

#include "../internal.h"

typedef struct FileIn {
    Thread *t;
    kiln_site at;
    const char *what, *path; /* what: the operation, for the text of errors */
    int fd;                  /* -1: not open */
    uint64_t size;
} FileIn;

bool file_open(FileIn *f, Thread *t, kiln_site at, const char *what, const char *path); /* regular files only */
bool file_read(FileIn *f, uint64_t offset, void *to, size_t bytes); /* all of them, or false */
void file_close(FileIn *f);

typedef struct FileOut {
    Thread *t;
    kiln_site at;
    const char *what, *path;
    char *temporary;
    int fd;
} FileOut;

/* Writes go to `temporary`, a file of path's folder (NULL: .NAME.tmp) that is locked while it grows: one that a
 * dead process left is written over, one that a living process fills is KILN_ESTATE. */
bool file_begin(FileOut *f, Thread *t, kiln_site at, const char *what, const char *path, const char *temporary);
bool file_write(FileOut *f, const void *bytes, size_t n);
bool file_commit(FileOut *f);  /* to the disk, then to its name; ends f either way */
/* Two files that belong together, of one folder: both get their names, or both names keep what they had. */
bool file_commit_pair(FileOut *a, FileOut *b);
void file_abandon(FileOut *f); /* after a failed write */

/* "what: path: cannot doing: reason of errno"; always false. */
bool file_failed(Thread *t, kiln_site at, const char *what, const char *path, const char *doing);
/* Outside of traces, with a path: false: recorded. */
bool file_allowed(Thread *t, kiln_site at, const char *what, const char *path);
bool file_folder(Thread *t, kiln_site at, const char *what, const char *path); /* made, if it is absent */

#endif
