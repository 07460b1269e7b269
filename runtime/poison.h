/* poison: tells AddressSanitizer which bytes of our own pools nobody may touch just now. Free in other builds.
 * Relies on the compiler alone. */
#ifndef KILN_RUNTIME_POISON_H
#define KILN_RUNTIME_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define KILN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KILN_ASAN 1
#endif
#endif

#ifdef KILN_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, bytes) __asan_poison_memory_region((p), (bytes))
#define UNPOISON(p, bytes) __asan_unpoison_memory_region((p), (bytes))
#else
#define POISON(p, bytes) ((void)(p), (void)(bytes))
#define UNPOISON(p, bytes) ((void)(p), (void)(bytes))
#endif

#endif
