/* devices: all devices of this machine by name, opened or not, and how a name becomes a row of device.h's table. Relies on device.h
 * and on what the rooms that make devices offer. Never runs work. */
#ifndef KILN_CODEGEN_DEVICES_H
#define KILN_CODEGEN_DEVICES_H

#include "device.h"

#define DEVICE_NAME 24

typedef struct DeviceOffer {
    char name[DEVICE_NAME]; /* "cpu", "gpu:0" */
    char text[168];         /* what it is, in words */
} DeviceOffer;

/* The device of that name; the first mention opens it, and it stays until the process ends. Safe from any thread. False: st names
 * what there is, or what was looked for and not found. */
bool device_named(const char *name, uint32_t *number, Status *st);
/* The i-th device that can be had; false beyond the last. Opens none. */
bool device_offered(uint32_t i, DeviceOffer *o);
/* The i-th kind of device of which this machine has none: the kind's name, and what was looked for; false beyond the last. */
bool device_absent(uint32_t i, DeviceOffer *o);
/* From now on names other than these are as if there were none; the CPU's always is one. What is open stays open. NULL: all names,
 * as at first if $KILN_DEVICES (with commas between names) is not set. False, and nothing has changed: one is no device; st. */
bool devices_show(const char *const *names, int n, Status *st);
/* Devices NAME/0, NAME/1 ... beside the one of that name, on the same card, each of which may take so many bytes of its memory.
 * They stay until the process ends. False: st; then there is none of them. */
bool device_split(const char *name, const size_t *bytes, uint32_t n, Status *st);

/* What code for a kind of device is compiled by and for, without one: an architecture of cards ("sm_90") or "emu". */
typedef struct DeviceTarget {
    const Backend *backend;
    const void *there; /* CompileOptions.there */
} DeviceTarget;
/* `there` may lie in the arena, whose border must be set. False: st. */
bool device_target(const char *name, Arena *arena, DeviceTarget *out, Status *st);
/* A function of the driver of emulated devices, by its name in libcuda; NULL: there is none. */
void *device_emulated(const char *symbol);

#endif
