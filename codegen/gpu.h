/* gpu: a row of the table of devices over any CUDA driver, real or emulated: what device.h asks for, made of streams, events, the
 * driver's memory, and code that the CUDA backend prints and the driver's own compiler builds. Relies on device.h, cuda/api.h.
 * Never knows which driver it is. */
#ifndef KILN_CODEGEN_GPU_H
#define KILN_CODEGEN_GPU_H

#include "device.h"

struct CudaDriver;
/* For device_add under that number; kept until the process ends. name ("gpu:0") is copied. NULL: st. */
const Device *gpu_open(const struct CudaDriver *d, const char *name, uint8_t number, Status *st);

/* The cards that the real driver sees: how many (0: st says what was looked for), what one is, and the driver as it serves it
 * (NULL: st). */
uint32_t gpu_cards(Status *st);
void gpu_card_text(uint32_t ordinal, char *text, size_t cap);
const struct CudaDriver *gpu_card(uint32_t ordinal, Status *st);

/* What compiles for an architecture (sm_90) without a card, by NVRTC, as CompileOptions.there; in the arena, whose border must be
 * set. NULL: st. */
const struct CudaDriver *gpu_architecture(const char *name, Arena *arena, Status *st);

#endif
