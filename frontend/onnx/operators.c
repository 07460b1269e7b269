/* operators: the table of operators.def, and what an operator of a version means. Relies on import.h. */
#include "import.h"

#define NEWEST 28 /* of ai.onnx, to which all definitions are known */

#define ONE(name, since, f)
#define TWO(name, since, f)
#define OVER(name, since, f)
#define ROW(name, since, f, n) OperatorFn f;
#define UNKNOWN(name, since)
#include "operators.def"
OperatorFn op_one, op_two, op_over;

/* Operands whose numbers must be known, a bit for each; those of other operators are read while code runs. */
#define KNOWN_OF(name) SECOND_OF(KNOWN_IS_##name, 0, ~)
#define SECOND_OF(...) SECOND_OF_(__VA_ARGS__)
#define SECOND_OF_(a, b, ...) b
#define KNOWN_IS_BlackmanWindow ~, 1
#define KNOWN_IS_ConstantOfShape ~, 1
#define KNOWN_IS_CumSum ~, 2
#define KNOWN_IS_Dropout ~, 4
#define KNOWN_IS_Expand ~, 2
#define KNOWN_IS_HammingWindow ~, 1
#define KNOWN_IS_HannWindow ~, 1
#define KNOWN_IS_OneHot ~, 2
#define KNOWN_IS_Pad ~, 14
#define KNOWN_IS_Range ~, 7
#define KNOWN_IS_Reshape ~, 2
#define KNOWN_IS_Slice ~, 30
#define KNOWN_IS_Split ~, 2
#define KNOWN_IS_Squeeze ~, 2
#define KNOWN_IS_Tile ~, 2
#define KNOWN_IS_TopK ~, 2
#define KNOWN_IS_Trilu ~, 2
#define KNOWN_IS_Unsqueeze ~, 2

static const Operator operators[] = {
#define ONE(name, since, f) {#name, since, op_one, 0, {.one = f}},
#define TWO(name, since, f) {#name, since, op_two, 0, {.two = f}},
#define OVER(name, since, f) {#name, since, op_over, 2, {.over = f}},
#define ROW(name, since, f, n) {#name, since, f, KNOWN_OF(name), {.number = n}},
#define UNKNOWN(name, since) {#name, since, NULL, 0, {.number = 0}},
#include "operators.def"
};

static bool is_standard(Bytes domain)
{
    static const char name[] = "ai.onnx";
    return domain.n == 0 || bytes_equal(domain, (Bytes){(const uint8_t *)name, sizeof name - 1});
}

/* Rows stand in the order of their names, and of each name in that of versions. */
const Operator *operator_of(Bytes domain, Bytes op, int64_t version)
{
    const Operator *found = NULL;
    if (!is_standard(domain) || version > NEWEST) return NULL;
    for (size_t i = 0; i < COUNT_OF(operators); i++)
        if (operators[i].since <= version &&
            bytes_equal(op, (Bytes){(const uint8_t *)operators[i].name, strlen(operators[i].name)}))
            found = &operators[i];
    return found && found->fn ? found : NULL;
}
