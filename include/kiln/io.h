/* io.h: files: weights (safetensors), checkpoints, TensorBoard event files. Not part of kiln.h: #include <kiln/io.h> beside it.
 * Compiles alone as C11 and C++17.
 *
 * Bytes from outside are not trusted: every size is checked against the file before anything is allocated, and an error (KILN_EIO:
 * the system said no; KILN_EFORMAT: the bytes are not what they claim to be) names the file and the place. What is written appears
 * whole or not at all: it goes to a temporary file of the same folder (.NAME.RANDOM.tmp, made anew so that no link leads elsewhere;
 * what a killed process leaves, the next save of that name removes), to the disk, and is then renamed: a link at the name is
 * replaced, not followed. Pipes and devices are written as they are. None of these calls may stand in a body that is being traced
 * (KILN_ESTATE). */
#ifndef KILN_IO_H
#define KILN_IO_H

#include "core.h"
#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- weights: variables by name, in a safetensors file
 * -------------------------------------------------------------------------------------------- Every variable's name must be unique
 * in the list, not empty and UTF-8. A file that was there is replaced. Every tensor gets a CRC-32. */
KILN_API bool kiln_save_weights_at(kiln_site at, kiln *k, const char *path, kiln_variable *const *v, int count);
/* Every variable must be in the file with its dtype and shape; what else the file holds is not looked at. A failed call leaves all
 * variables as they were. Costs memory for a second copy of the variables. */
KILN_API bool kiln_load_weights_at(kiln_site at, kiln *k, const char *path, kiln_variable *const *v, int count);

/* ---- a safetensors file as named tensors
 * ----------------------------------------------------------------------------------------------------------- The format:
 * https://github.com/huggingface/safetensors. Opening reads and checks the whole header (at most 100 MB of it): strict JSON, no
 * name twice, offsets that fit dtype and shape and cover the data without hole or overlap. Elements are read when asked for. */
typedef struct kiln_safetensors kiln_safetensors;
KILN_API kiln_safetensors *kiln_safetensors_open_at(kiln_site at, kiln *k, const char *path); /* NULL after an error */
KILN_API void kiln_safetensors_close(kiln_safetensors *f);                   /* else at kiln_close; NULL allowed */
KILN_API int kiln_safetensors_count(const kiln_safetensors *f);              /* of tensors, in the order of their names' bytes */
KILN_API int kiln_safetensors_find(const kiln_safetensors *f, const char *name); /* its index; -1: absent */
KILN_API const char *kiln_safetensors_name(const kiln_safetensors *f, int i); /* valid until the file is closed, as all strings here */
KILN_API kiln_dtype kiln_safetensors_dtype(const kiln_safetensors *f, int i); /* KILN_NONE: one that Kiln has not, such as F8_E8M0 */
KILN_API kiln_shape kiln_safetensors_shape(const kiln_safetensors *f, int i);
KILN_API const char *kiln_safetensors_metadata(const kiln_safetensors *f, const char *key); /* NULL: absent */
/* Tensor i, in memory of its own; a checksum that Kiln wrote is verified. */
KILN_API kiln_tensor *kiln_safetensors_read_at(kiln_site at, kiln_safetensors *f, int i);
/* Writes count tensors and, between NULL and NULL-terminated, metadata: key, value, key, value, ..., NULL. Keys that begin with
 * "kiln." are Kiln's. */
KILN_API bool kiln_safetensors_write_at(kiln_site at, kiln *k, const char *path, const char *const *name, kiln_tensor *const *x, int count,
                                        const char *const *metadata);

/* ---- NumPy's .npy files: one tensor
 * ---------------------------------------------------------------------------------------------------------------- Versions 1 to 3
 * of the format, little-endian, C or Fortran order; bool, integers and floats that NumPy has (writing bf16 and 8-bit ones is
 * KILN_EUNSUPPORTED). Reading checks every size against the file before it allocates. */
KILN_API kiln_tensor *kiln_npy_read_at(kiln_site at, kiln *k, const char *path);
KILN_API bool kiln_npy_write_at(kiln_site at, kiln_operand x, const char *path);

/* ---- checkpoints: everything that a training run needs to go on bit for bit
 * -------------------------------------------------------------------------- A checkpoint object is a folder and a list of named
 * state: variables (weights, generators, step counts), optimisers with their rate, counts and moments. Saving writes
 * folder/ckpt-STEP.safetensors; a process killed at any moment leaves the old files or the new one, whole. One process saves into a
 * folder at a time (KILN_ESTATE otherwise). */
typedef struct kiln_checkpoint kiln_checkpoint;
/* The folder is made if it is absent (its parent must be there). The newest `keep` files are kept, older ones deleted after a save;
 * 0: all. */
KILN_API kiln_checkpoint *kiln_checkpoint_new_at(kiln_site at, kiln *k, const char *folder, int keep);
KILN_API void kiln_checkpoint_free(kiln_checkpoint *c); /* else at kiln_close; the files stay */
KILN_API bool kiln_checkpoint_add_at(kiln_site at, kiln_checkpoint *c, kiln_variable *v, const char *name); /* name NULL: the variable's own */
/* The optimiser may be new: its moments are made when a file that holds them is restored. Add the variables that it trains as well.
 * It must live as long as the checkpoint. */
KILN_API bool kiln_checkpoint_add_optimizer_at(kiln_site at, kiln_checkpoint *c, kiln_optimizer *o);
/* step >= 0, and not below the newest in the folder (an equal one is replaced): the newest file is always the last one saved. */
KILN_API bool kiln_checkpoint_save_at(kiln_site at, kiln_checkpoint *c, int64_t step);
/* The newest step in the folder, judged by the names of its files (folders, fifos and dangling links are none); -1: none, or after
 * an error. */
KILN_API int64_t kiln_checkpoint_latest_at(kiln_site at, kiln_checkpoint *c);
/* Restores the newest file and returns its step; -1 without an error: the folder has none. A damaged newest file is KILN_EFORMAT,
 * with its name and what is wrong; nothing is restored then. State and file must match exactly. After any error all variables are
 * as they were. */
KILN_API int64_t kiln_checkpoint_restore_latest_at(kiln_site at, kiln_checkpoint *c);
/* The same, but a damaged file (KILN_EFORMAT alone) is renamed to NAME.damaged, told to the log callback, and the one before it is
 * tried. */
KILN_API int64_t kiln_checkpoint_restore_valid_at(kiln_site at, kiln_checkpoint *c);
KILN_API bool kiln_checkpoint_restore_at(kiln_site at, kiln_checkpoint *c, int64_t step); /* this one */

/* ---- TensorBoard: scalars over steps
 * ---------------------------------------------------------------------------------------------------------------- An event file
 * events.out.tfevents.SECONDS.HOST.PID.N in the folder, which is made if it is absent: TFRecord frames with masked CRC-32C around
 * Event messages. `tensorboard --logdir folder` shows it. One thread at a time uses a writer. TensorBoard reads the file while it
 * grows, so it has its name from the start: always a new file, never one that a link leads to; what a write that failed left of a
 * frame is cut off. */
typedef struct kiln_summary kiln_summary;
KILN_API kiln_summary *kiln_summary_open_at(kiln_site at, kiln *k, const char *folder); /* NULL after an error */
/* value: a number, or a tensor or variable of one element; kept as f32, with the time of this call. step >= 0. Buffered until 64
 * KiB, a flush or the close. */
KILN_API bool kiln_summary_scalar_at(kiln_site at, kiln_summary *s, const char *tag, int64_t step, kiln_operand value);
KILN_API bool kiln_summary_flush_at(kiln_site at, kiln_summary *s); /* after an error what was not written is kept for the next one */
KILN_API bool kiln_summary_close_at(kiln_site at, kiln_summary *s); /* flushes and frees, also after an error; kiln_close does it too, but cannot report */

#ifdef __cplusplus
}
#endif

#define kiln_save_weights(k, path, ...) kiln_save_weights_at(KILN_HERE, (k), (path), __VA_ARGS__) /* list, count: the list may be a compound literal */
#define kiln_load_weights(k, path, ...) kiln_load_weights_at(KILN_HERE, (k), (path), __VA_ARGS__)
#define kiln_safetensors_open(k, path) kiln_safetensors_open_at(KILN_HERE, (k), (path))
#define kiln_safetensors_read(f, i) kiln_safetensors_read_at(KILN_HERE, (f), (i))
#define kiln_safetensors_write(k, path, ...) kiln_safetensors_write_at(KILN_HERE, (k), (path), __VA_ARGS__) /* names, tensors, count, metadata */
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
