/* lex: reading the text form word by word. Each function skips blanks and comments first; those
 * that return a bool have recorded the failure when it is false. Relies on text. Knows no graph. */
#ifndef KILN_IR_LEX_H
#define KILN_IR_LEX_H

#include "text.h"

typedef struct Place {
    size_t byte, line_start;
    uint32_t line;
} Place;

typedef struct Lex {
    const char *text; /* not terminated */
    size_t len;
    Place at;
    Status *st;
    Arena *arena; /* of names */
    DimTable *dims;
} Lex;

bool lex_fail(Lex *l, StatusCode code, const char *format, ...) PRINTF_LIKE(3, 4); /* at the place where l is */
char lex_look(const Lex *l);             /* the next byte, nothing skipped; 0 at the end */
void lex_skip(Lex *l);                   /* past blanks and comments: two slashes to the end of the line */
bool lex_take(Lex *l, const char *what); /* only if it is there: records nothing */
bool lex_expect(Lex *l, const char *what);
bool lex_keyword(Lex *l, const char *what);   /* as a whole word */
size_t lex_word(Lex *l, const char **at);     /* letters, digits, _; its length may be 0 */
bool lex_scalar(Lex *l, DType t, int64_t *v); /* attribute bits */
bool lex_dim(Lex *l, Dim *d);
bool lex_dtype(Lex *l, DType *t);
bool lex_type(Lex *l, Type *out);
bool lex_graph_name(Lex *l, const char **out); /* @name or @"quoted", a copy in the arena */

#endif
