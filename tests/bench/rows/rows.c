/* rows: every row, in the order of the tables. */
#include "row.h"

#include <string.h>

static const Row *const all[] = {small_rows, memory_rows, product_rows, conv_rows, model_rows, sequence_rows, order_rows};

const Row *row_at(int i)
{
    for (size_t table = 0; table < sizeof all / sizeof *all; table++)
        for (const Row *r = all[table]; r->name; r++)
            if (i-- == 0) return r;
    return NULL;
}

const Row *row_named(const char *name)
{
    const Row *r;
    for (int i = 0; (r = row_at(i)); i++)
        if (strcmp(r->name, name) == 0) return r;
    return NULL;
}
