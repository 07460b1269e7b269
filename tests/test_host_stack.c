/* host_stack: what lies in a stack stays when it grows; stacks do not share memory; a failed allocation leaves the old one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "codegen/host_stack.h"

static void what_lies_there_stays(void **state)
{
    (void)state;
    HostStack stacks[2] = {{0}};
    const KilnHost h = {.stack = host_stack_grow, .stacks = stacks};
    int64_t room = 0;
    unsigned char *a = NULL, *b = host_stack_grow(&h, 1, 1, &room);
    b[0] = 77;
    for (int64_t n = 1; n < 100000; n += 997) {
        if (n > (a == NULL ? 0 : stacks[0].bytes) || a == NULL) a = host_stack_grow(&h, 0, n, &room);
        assert_non_null(a);
        assert_true(room >= n && room == stacks[0].bytes && (uintptr_t)a % 64 == 0);
        a[n - 1] = (unsigned char)(n % 251);
    }
    for (int64_t n = 1; n < 100000; n += 997) assert_int_equal(a[n - 1], n % 251);
    assert_int_equal(b[0], 77);
    assert_null(host_stack_grow(&h, 0, INT64_MAX, &room));
    assert_int_equal(a[0], 1);
    host_stacks_free(stacks, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_lies_there_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
