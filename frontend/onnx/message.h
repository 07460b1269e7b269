/* message: messages of protobuf's wire format, written: the other direction of wire.h. Each is a text that grows. Knows no message.
 * Relies on base.h. */
#ifndef KILN_FRONTEND_ONNX_MESSAGE_H
#define KILN_FRONTEND_ONNX_MESSAGE_H

#include "../../runtime/base.h"

void put_number(Text *to, uint32_t field, int64_t value);
void put_head(Text *to, uint32_t field, uint64_t bytes); /* of a field whose bytes follow */
void put_bytes(Text *to, uint32_t field, const void *at, size_t n);
void put_text(Text *to, uint32_t field, const char *text);
void put_message(Text *to, uint32_t field, Text *message); /* frees it */

#endif
