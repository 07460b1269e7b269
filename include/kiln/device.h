/* device.h: which device tensors lie on and calls run on, by name: "cpu" is this machine's CPU, which is always there; "gpu:0",
 * "gpu:1" ... are NVIDIA cards, through the driver that is installed; "emu:0" to "emu:3" are emulated cards, slow ones, for everybody
 * who has a C++ compiler, to try programs for cards with. Included by kiln.h; compiles alone as C11 and C++17.
 *
 * A call runs where its operands lie, and so does a traced function, with all of its body. Numbers, constants (kiln_full,
 * kiln_zeros and their like) and any single element in the CPU's memory go along to every device; other operands on two devices are
 * KILN_EDEVICE, which names both, and kiln_to copies. Calls without operands (kiln_from, files, batches, kiln_iota ...) make
 * tensors on the device of the innermost KILN_DEVICE block, else on the engine's (.device in kiln_options, else what
 * KILN_DEVICE=gpu:0 in the environment names), else on the CPU. Results are the same on every device, but where docs/numerics.md says otherwise.
 *
 * Work for a device other than the CPU is only noted when its call returns. Reading (kiln_read, kiln_item, kiln_print, kiln_to
 * another device, files) waits for what is read; kiln_sync waits for all. What goes wrong on the device meanwhile is an error of
 * the next call that waits. kiln_data is KILN_EDEVICE for a tensor that C cannot look into. A child made by fork() has no use of a
 * card; kiln_sync first. */
#ifndef KILN_DEVICE_H
#define KILN_DEVICE_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kiln_device_info {
    char name[24];  /* as KILN_DEVICE and kiln_to take it */
    char text[168]; /* what it is, in words */
} kiln_device_info;
/* Describes the first `cap` of the devices that can be had here, the CPU first, and returns how many there are. Needs no engine,
 * and opens none of them. to may be NULL if cap is 0. */
KILN_API int kiln_devices(kiln_device_info *to, int cap);

/* kiln_devices_visible(k, (const char *[]){"gpu:1"}, 1): from now on this process sees only these devices, and the CPU; a name that
 * is hidden is KILN_EDEVICE. Names stay as they are, and tensors on a device that is hidden now can be used. A NULL shows all
 * again. False after an error: one of them is no device; nothing has changed then. KILN_DEVICES=gpu:1,gpu:3 in the environment says
 * what is visible at first. (CUDA_VISIBLE_DEVICES is the driver's own, which numbers what it leaves from 0.) */
KILN_API bool kiln_devices_visible_at(kiln_site at, kiln *k, const char *const *devices, int n);

/* KILN_DEVICE(k, "gpu:0"); is a statement: until the end of the block (return and break included) calls without operands make their
 * tensors on that device, and variables, generators, layers and optimisers that are made lie there, even if their first value does
 * not. Tensors live on when the block ends: it is no scope. The innermost of nested blocks counts, and each thread has its own.
 *
 * The device is opened when it is first named, and stays until the process ends. KILN_EDEVICE: there is none of that name (the
 * error lists what there is), or a card cannot be had (it says what was looked for); then the block changes nothing.
 *
 * A function's body runs on one device, where the arguments lie (without any: where the call stands). A block in a body that names
 * that device changes nothing, and another is KILN_EDEVICE, traced or not; KILN_EAGERLY may use any. */
typedef struct kiln_device_block {
    kiln *k;
    uint32_t depth;
    uint8_t before, chosen;
} kiln_device_block;
KILN_API kiln_device_block kiln_device_open_at(kiln_site at, kiln *k, const char *device);
KILN_API void kiln_device_close(kiln_device_block *b); /* blocks close in reverse order; out of order is an error */

/* A copy of the tensor or variable on that device; a second handle if it lies there already. Copies to the CPU, and between two
 * other devices, wait for it; copies from the CPU have read it when they return. Gradient: the cotangent, copied back. In a
 * function's body it is x itself where the body runs on that device and x lies there, else KILN_EDEVICE, which names both. */
KILN_API kiln_tensor *kiln_to_at(kiln_site at, kiln_operand x, const char *device);
/* "cpu", "gpu:0": where the tensor lies; in a body, where the function runs; "" if poisoned or NULL. A constant lies on the CPU
 * until a call needs it elsewhere. The text lasts as long as the process. Of a variable: kiln_device_of(kiln_value(v)). */
KILN_API const char *kiln_device_of(const kiln_tensor *t);

/* Waits for all that was asked of the device (NULL: of every device), by any thread. False after an error: what went wrong there,
 * or no such device. */
KILN_API bool kiln_sync_at(kiln_site at, kiln *k, const char *device);

/* ---- memory --------------------------------------------------------------------------------------------------------------
 * A device's memory is taken as tensors need it, and what they release is kept for the next ones (cache_bytes of kiln_options for
 * each thread). If there is no more, the call is KILN_EMEMORY, which says how much it asked for, what is in use and what the limit
 * is; nothing else changes, and calls go on once something was released. */
typedef struct kiln_device_memory { /* bytes, of all engines */
    size_t used, kept;              /* in tensors, variables and workspaces; taken, and idle */
    size_t peak;                    /* the most that was used at one time */
    size_t limit;                   /* of used and kept together; 0: none */
} kiln_device_memory;
/* Zeros after an error. Of the CPU: what kiln_memory_count says. */
KILN_API kiln_device_memory kiln_device_memory_count_at(kiln_site at, kiln *k, const char *device);
/* From now on no more than so many bytes are taken of the device; 0: as much as there is, as at first. What is taken beyond that
 * already stays. KILN_EUNSUPPORTED for the CPU. */
KILN_API bool kiln_device_limit_at(kiln_site at, kiln *k, const char *device, size_t bytes);
/* kiln_device_split(k, "gpu:0", ((size_t[]){1 << 30, 2 << 30}), 2): from now on gpu:0/0 and gpu:0/1 are devices, too, each on the
 * same card with a memory of that size, so that a program for several cards can be tried on one. A device is split once, for good;
 * it can still be used by its own name. KILN_EUNSUPPORTED: it is no card (the CPU). */
KILN_API bool kiln_device_split_at(kiln_site at, kiln *k, const char *device, const size_t *bytes, int n);

#ifdef __cplusplus
} /* extern "C" */
struct kiln_device_guard {
    kiln_device_block b;
    kiln_device_guard(kiln_site at, kiln *k, const char *device) : b(kiln_device_open_at(at, k, device)) {}
    ~kiln_device_guard() { kiln_device_close(&b); }
    kiln_device_guard(const kiln_device_guard &) = delete;
    kiln_device_guard &operator=(const kiln_device_guard &) = delete;
};
#define KILN_DEVICE(k, device) kiln_device_guard KILN_CAT(kiln_device_, __COUNTER__)(KILN_HERE, (k), (device))
#else
#define KILN_DEVICE(k, device)                                                              \
    kiln_device_block KILN_CAT(kiln_device_, __COUNTER__) KILN_CLEANUP(kiln_device_close) = \
        kiln_device_open_at(KILN_HERE, (k), (device))
#endif

#define kiln_to(x, device) kiln_to_at(KILN_HERE, KILN_OPERAND(x), (device))
#define kiln_devices_visible(k, ...) kiln_devices_visible_at(KILN_HERE, (k), __VA_ARGS__) /* an array and its count */
#define kiln_sync(k, device) kiln_sync_at(KILN_HERE, (k), (device))
#define kiln_device_memory_count(k, device) kiln_device_memory_count_at(KILN_HERE, (k), (device))
#define kiln_device_split(k, device, ...) kiln_device_split_at(KILN_HERE, (k), (device), __VA_ARGS__) /* an array and its count */
#define kiln_device_limit(k, device, bytes) kiln_device_limit_at(KILN_HERE, (k), (device), (bytes))

#endif
