/* The counter lives in a tensor; the host reads it out and decides. */
#include <kiln/kiln.h>

int main(void)
{
    kiln *k = kiln_open(NULL);
    {
        KILN_SCOPE(k);
        kiln_variable *counter = kiln_variable_new(k, "counter", KILN_I32, 1);
        for (; kiln_item_i64(counter) <= 15; kiln_assign_add(counter, 1)) {
            KILN_SCOPE(k);
            bool fizz = kiln_item_i64(kiln_mod(counter, 3)) == 0;
            bool buzz = kiln_item_i64(kiln_mod(counter, 5)) == 0;
            if (fizz || buzz)
                printf("%s%s\n", fizz ? "Fizz" : "", buzz ? "Buzz" : "");
            else
                printf("%lld\n", (long long)kiln_item_i64(counter));
        }
    }
    return kiln_close(k);
}
