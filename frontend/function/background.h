/* background: what the files of this room share of the compile thread (background.c) and of its jobs. */
#ifndef KILN_FRONTEND_BACKGROUND_H
#define KILN_FRONTEND_BACKGROUND_H

#include "function.h"

bool background_open(kiln *k); /* false: no memory */
/* Compiles it soon, before what waits already; asking again moves it to the front. False: no thread can be started. */
bool background_ask(kiln *k, CodeJob *job);
void background_wait(kiln *k, CodeJob *job, double most); /* until it is done, if it was asked for; at most so many seconds */
/* It is about to go, or its code is made elsewhere: takes it out of the queue, or waits until it is compiled. Whoever asks for it
 * later asks in vain. */
void background_drop(kiln *k, CodeJob *job);
uint32_t background_waiting(kiln *k, const kiln_function *f); /* f's jobs that wait or are being compiled */
bool background_compiles(kiln *k, const kiln_function *f);    /* one of f's, now */

#endif
