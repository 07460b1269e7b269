/* late: two devices for tests, late:0 and late:1, which are CPUs that keep all the rules of a device and none of its habits. Nothing runs when it is
 * asked for: queues are worked off later, at the latest when somebody waits, and among several in an order drawn from $KILN_LATE_SEED. Memory is an
 * address that nobody may touch (PROT_NONE); only the queues know where the bytes are. So a read by the host, or a wait that is missing, crashes or shows
 * wrong numbers. With KILN_TEST_DEVICE=late in the environment, late:0 is the device that threads take for their own; with KILN_TEST_DEVICE=emu,
 * an emulated CUDA device; with KILN_TEST_DEVICE=gpu, a part of the card gpu:0, or of the device that KILN_TEST_CARD names. */
#ifndef KILN_TESTS_LATE_H
#define KILN_TESTS_LATE_H

#include <kiln/kiln.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

bool late_is_own(void);                 /* threads are on late:0, or on an emulated device */
bool late_keeps(void);                  /* the device keeps code of its own from one engine to the next */
bool late_is_emulated(void);            /* its kernels take a thousand times as long as on the host, and each a start of a compiler */
const char *late_name(int i);           /* late:i, or emu:i with KILN_TEST_DEVICE=emu, gpu:0/i with KILN_TEST_DEVICE=gpu */
uint32_t late_number(int i);            /* the number of late:i */
uint64_t late_ran(void);                /* tasks that queues have run */
void late_fail(int i, const char *why); /* late:i has a fault, found at the next read */
/* Skips the running case there. */
#define LATE_SKIP(why)                       \
    do {                                     \
        if (late_is_own()) {                 \
            printf("skip: %s\n", why);       \
            skip();                          \
        }                                    \
    } while (0)
#define LATE_BORROWS "a device copies borrowed memory once"
#define LATE_STARVES "work that runs out of memory on a device says so later"
/* kiln_data, but that of a tensor there it gives a copy, which is kept until the program ends: for tests that only look. */
const void *late_data_at(kiln_site at, kiln_tensor *x);
#undef kiln_data
#define kiln_data(x) late_data_at(KILN_HERE, (x))

#endif
