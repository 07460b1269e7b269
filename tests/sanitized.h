/* sanitized: which sanitizers a test runs under, for what they do not allow or make slow. */
#ifndef KILN_TESTS_SANITIZED_H
#define KILN_TESTS_SANITIZED_H

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#endif
