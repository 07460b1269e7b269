/* attributes: which attributes an operator has in a version. Relies on import.h. */
#include "import.h"

static const struct {
    const char *op;
    int64_t since;
    const char *names;
} defined[] = {
#define ATTRIBUTES(op, since, names) {#op, since, names},
#include "attributes.def"
};

static bool listed(const char *names, Bytes name)
{
    for (size_t n; *names; names += n + (names[n] != 0)) {
        n = strcspn(names, " ");
        if (bytes_equal(name, (Bytes){(const uint8_t *)names, n})) return true;
    }
    return false;
}

const OnnxAttribute *attribute_undefined(const OnnxNode *n, int64_t version)
{
    const char *names = NULL;
    for (size_t i = 0; i < COUNT_OF(defined); i++)
        if (defined[i].since <= version && bytes_equal(n->op, (Bytes){(const uint8_t *)defined[i].op, strlen(defined[i].op)}))
            names = defined[i].names;
    for (uint32_t i = 0; names && i < n->attribute.n; i++)
        if (!listed(names, n->attribute.at[i].name)) return &n->attribute.at[i];
    return NULL;
}
