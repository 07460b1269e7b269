/* escape: text from outside (names of functions, variables, files) for the text formats that Kiln writes. Relies on base.h alone.
 */
#ifndef KILN_FRONTEND_ESCAPE_H
#define KILN_FRONTEND_ESCAPE_H

#include "../../runtime/base.h"

/* The bytes of the character that begins at s, of n bytes; 0: it is not UTF-8. */
size_t utf8_one(const char *s, size_t n);
/* For a comment of C: what is not plain ASCII, and what could end the comment, open another or splice lines, becomes '?'. */
void text_comment(Text *out, const char *s);
/* As a JSON string, quotes included. What is not UTF-8 becomes U+FFFD; < > & are escaped, so that it may stand in a page as well.
 */
void text_json(Text *out, const char *s);
/* For the text and the attributes of XML: as above, and so do characters that XML 1.0 does not know. */
void text_xml(Text *out, const char *s);
/* For a line on a terminal or in a log, in place: line ends and tabs become spaces, other control characters and what is not UTF-8
 * become '?'. */
void text_line(char *s);

#endif
