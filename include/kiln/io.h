/* io.h: files: weights (safetensors), checkpoints, TensorBoard event files. Not part of kiln.h: include <kiln/io.h> too. Compiles
 * alone as C11 and C++17.
 *
 * Bytes from outside are not trusted: every size is checked against the file before anything is allocated. An error names the file
 * and the place: KILN_EIO if the system refused, KILN_EFORMAT if the bytes are not what they claim to be. Writing is whole or not
 * at all: the bytes go to a new temporary file in the same folder (.NAME.RANDOM.tmp, never through a link) and to the disk, and
 * then the file is renamed, which replaces a link of that name rather than following it. The next save of a name removes what a
 * killed process left. Pipes and devices are written directly. None of these calls may stand in a body that is being traced
 * (KILN_ESTATE). */
#ifndef KILN_IO_H
#define KILN_IO_H

#include "core.h"
#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- weights: variables by name, in a safetensors file -----------------------------------------------------------------------
 * Every variable's name must be unique in the list, not empty and UTF-8. A file of that name is replaced. Every tensor gets a
 * CRC-32. */
KILN_API bool kiln_save_weights_at(kiln_site at, kiln *k, const char *path, kiln_variable *const *v, int count);
/* Every variable must be in the file with its dtype and shape; other tensors in the file are ignored. A failed call leaves all
 * variables as they were. The call needs memory for a second copy of the variables. */
KILN_API bool kiln_load_weights_at(kiln_site at, kiln *k, const char *path, kiln_variable *const *v, int count);

/* ---- a safetensors file as named tensors -------------------------------------------------------------------------------------
 * The format is that of https://github.com/huggingface/safetensors. Opening reads and checks the whole header, at most 100 MB: it
 * must be strict JSON with unique names, whose offsets fit dtype and shape and cover the data without hole or overlap. Elements are
 * read when asked for. */
typedef struct kiln_safetensors kiln_safetensors;
KILN_API kiln_safetensors *kiln_safetensors_open_at(kiln_site at, kiln *k, const char *path); /* NULL after an error */
KILN_API void kiln_safetensors_close(kiln_safetensors *f);                   /* f may be NULL; kiln_close closes it, too */
/* how many tensors; they are ordered by the bytes of their names */
KILN_API int kiln_safetensors_count(const kiln_safetensors *f);
KILN_API int kiln_safetensors_find(const kiln_safetensors *f, const char *name); /* its index; -1: absent */
/* valid, as all strings here, until the file is closed */
KILN_API const char *kiln_safetensors_name(const kiln_safetensors *f, int i);
KILN_API kiln_dtype kiln_safetensors_dtype(const kiln_safetensors *f, int i); /* KILN_NONE: one that Kiln lacks, such as F8_E8M0 */
KILN_API kiln_shape kiln_safetensors_shape(const kiln_safetensors *f, int i);
KILN_API const char *kiln_safetensors_metadata(const kiln_safetensors *f, const char *key); /* NULL: absent */
/* Reads tensor i into memory of its own and verifies its checksum if Kiln wrote one. */
KILN_API kiln_tensor *kiln_safetensors_read_at(kiln_site at, kiln_safetensors *f, int i);
/* Writes count tensors and metadata, which is NULL or key, value, key, value, ..., NULL. Keys that begin with "kiln." are
 * reserved. */
KILN_API bool kiln_safetensors_write_at(kiln_site at, kiln *k, const char *path, const char *const *name, kiln_tensor *const *x,
    int count, const char *const *metadata);

/* ---- NumPy's .npy files: one tensor ------------------------------------------------------------------------------------------
 * Versions 1 to 3 of the format, little-endian, in C or Fortran order, of bool, integers and the floats that NumPy has (writing
 * bf16 or 8-bit floats is KILN_EUNSUPPORTED). Reading checks every size against the file before it allocates. */
KILN_API kiln_tensor *kiln_npy_read_at(kiln_site at, kiln *k, const char *path);
KILN_API bool kiln_npy_write_at(kiln_site at, kiln_operand x, const char *path);

/* ---- NumPy's .npz files: tensors by name --------------------------------------------------------------------------------------
 * Opening reads and checks the archive's directory; tensors are read when asked for, stored or deflated, and their checksums checked.
 * Writing stores them, at most 4 GiB in all. Strings are valid until the archive is closed. */
typedef struct kiln_npz kiln_npz;
KILN_API kiln_npz *kiln_npz_open_at(kiln_site at, kiln *k, const char *path); /* NULL after an error */
KILN_API void kiln_npz_close(kiln_npz *z);                                   /* z may be NULL; kiln_close closes it, too */
KILN_API int kiln_npz_count(const kiln_npz *z);
KILN_API const char *kiln_npz_name(const kiln_npz *z, int i); /* without .npy */
KILN_API int kiln_npz_find(const kiln_npz *z, const char *name); /* its index; -1: absent */
KILN_API kiln_tensor *kiln_npz_read_at(kiln_site at, kiln_npz *z, int i);
KILN_API bool kiln_npz_write_at(kiln_site at, kiln *k, const char *path, const char *const *name, kiln_tensor *const *x, int count);

/* ---- checkpoints: everything that a training run needs to go on bit for bit --------------------------------------------------
 * A checkpoint object is a folder and a list of named state: variables (weights, generators, step counts) and optimisers with their
 * rate, counts and moments. Saving writes folder/ckpt-STEP.safetensors; if the process is killed at any moment, the folder holds
 * the old files or the whole new one. Only one process at a time may save into a folder (else KILN_ESTATE). */
typedef struct kiln_checkpoint kiln_checkpoint;
/* The folder is made if it is absent (its parent must exist). After a save only the newest `keep` files stay; 0 keeps all. */
KILN_API kiln_checkpoint *kiln_checkpoint_new_at(kiln_site at, kiln *k, const char *folder, int keep);
KILN_API void kiln_checkpoint_free(kiln_checkpoint *c); /* the files stay; kiln_close frees it, too */
KILN_API bool kiln_checkpoint_add_at(kiln_site at, kiln_checkpoint *c, kiln_variable *v, const char *name); /* NULL: v's own name */
/* The optimiser may be new: restoring a file that holds its moments makes them. Add the variables that it trains as well. It must
 * live as long as the checkpoint. */
KILN_API bool kiln_checkpoint_add_optimizer_at(kiln_site at, kiln_checkpoint *c, kiln_optimizer *o);
/* step is at least 0 and not below the newest in the folder (an equal one is replaced), so the newest file is always the last one
 * saved. */
KILN_API bool kiln_checkpoint_save_at(kiln_site at, kiln_checkpoint *c, int64_t step);
/* The newest step in the folder, judged by the names of its files (folders, fifos and dangling links do not count); -1 if there is
 * none, or after an error. */
KILN_API int64_t kiln_checkpoint_latest_at(kiln_site at, kiln_checkpoint *c);
/* Restores the newest file and returns its step, or -1 without an error if the folder has none. State and file must match exactly.
 * A damaged newest file is KILN_EFORMAT, with its name and what is wrong. After any error nothing is restored. */
KILN_API int64_t kiln_checkpoint_restore_latest_at(kiln_site at, kiln_checkpoint *c);
/* The same, but a damaged file (KILN_EFORMAT alone) is renamed to NAME.damaged and logged, and the one before it is tried. */
KILN_API int64_t kiln_checkpoint_restore_valid_at(kiln_site at, kiln_checkpoint *c);
KILN_API bool kiln_checkpoint_restore_at(kiln_site at, kiln_checkpoint *c, int64_t step); /* restores this step */

/* ---- TensorBoard: scalars over steps -----------------------------------------------------------------------------------------
 * Writes events.out.tfevents.SECONDS.HOST.PID.N in the folder, which is made if it is absent: Event messages in TFRecord frames
 * with masked CRC-32C. `tensorboard --logdir folder` shows it. Only one thread at a time may use a writer. TensorBoard reads the
 * file while it grows, so the file has its final name from the start; it is always new, never one that a link leads to. A failed
 * write's partial frame is cut off. */
typedef struct kiln_summary kiln_summary;
KILN_API kiln_summary *kiln_summary_open_at(kiln_site at, kiln *k, const char *folder); /* NULL after an error */
/* value is a number, or a tensor or variable of one element; it is stored as f32 with the time of this call. step is at least 0.
 * Events are buffered until 64 KiB, a flush or the close. */
KILN_API bool kiln_summary_scalar_at(kiln_site at, kiln_summary *s, const char *tag, int64_t step, kiln_operand value);
KILN_API bool kiln_summary_flush_at(kiln_site at, kiln_summary *s); /* after an error the next flush tries again */
/* Flushes and frees, even after an error. kiln_close does so too, but cannot report errors. */
KILN_API bool kiln_summary_close_at(kiln_site at, kiln_summary *s);

#ifdef __cplusplus
}
#endif

/* The variadic arguments here and below allow compound literals: a list and its count. */
#define kiln_save_weights(k, path, ...) kiln_save_weights_at(KILN_HERE, (k), (path), __VA_ARGS__)
#define kiln_load_weights(k, path, ...) kiln_load_weights_at(KILN_HERE, (k), (path), __VA_ARGS__)
#define kiln_safetensors_open(k, path) kiln_safetensors_open_at(KILN_HERE, (k), (path))
#define kiln_safetensors_read(f, i) kiln_safetensors_read_at(KILN_HERE, (f), (i))
/* names, tensors, count, metadata */
#define kiln_safetensors_write(k, path, ...) kiln_safetensors_write_at(KILN_HERE, (k), (path), __VA_ARGS__)
#define kiln_npz_open(k, path) kiln_npz_open_at(KILN_HERE, (k), (path))
#define kiln_npz_read(z, i) kiln_npz_read_at(KILN_HERE, (z), (i))
#define kiln_npz_write(k, path, ...) kiln_npz_write_at(KILN_HERE, (k), (path), __VA_ARGS__) /* names, tensors, count */
#define kiln_npy_read(k, path) kiln_npy_read_at(KILN_HERE, (k), (path))
#define kiln_npy_write(x, path) kiln_npy_write_at(KILN_HERE, KILN_OPERAND(x), (path))
#define kiln_checkpoint_new(k, folder, keep) kiln_checkpoint_new_at(KILN_HERE, (k), (folder), (keep))
#define kiln_checkpoint_add(c, v) kiln_checkpoint_add_at(KILN_HERE, (c), (v), NULL)
#define kiln_checkpoint_add_as(c, v, name) kiln_checkpoint_add_at(KILN_HERE, (c), (v), (name))
#define kiln_checkpoint_add_optimizer(c, o) kiln_checkpoint_add_optimizer_at(KILN_HERE, (c), (o))
#define kiln_checkpoint_save(c, step) kiln_checkpoint_save_at(KILN_HERE, (c), (step))
#define kiln_checkpoint_latest(c) kiln_checkpoint_latest_at(KILN_HERE, (c))
#define kiln_checkpoint_restore_latest(c) kiln_checkpoint_restore_latest_at(KILN_HERE, (c))
#define kiln_checkpoint_restore_valid(c) kiln_checkpoint_restore_valid_at(KILN_HERE, (c))
#define kiln_checkpoint_restore(c, step) kiln_checkpoint_restore_at(KILN_HERE, (c), (step))
#define kiln_summary_open(k, folder) kiln_summary_open_at(KILN_HERE, (k), (folder))
#define kiln_summary_scalar(s, tag, step, value) kiln_summary_scalar_at(KILN_HERE, (s), (tag), (step), KILN_OPERAND(value))
#define kiln_summary_flush(s) kiln_summary_flush_at(KILN_HERE, (s))
#define kiln_summary_close(s) kiln_summary_close_at(KILN_HERE, (s))

#endif
