/* message: see message.h. */
#include "message.h"

static void put_varint(Text *to, uint64_t value)
{
    char byte;
    for (; value >= 128; value >>= 7) byte = (char)(value | 128), text_add(to, &byte, 1);
    byte = (char)value;
    text_add(to, &byte, 1);
}

void put_number(Text *to, uint32_t field, int64_t value)
{
    put_varint(to, (uint64_t)field << 3);
    put_varint(to, (uint64_t)value);
}

void put_head(Text *to, uint32_t field, uint64_t bytes)
{
    put_varint(to, (uint64_t)field << 3 | 2);
    put_varint(to, bytes);
}

void put_bytes(Text *to, uint32_t field, const void *at, size_t n)
{
    put_head(to, field, n);
    text_add(to, at, n);
}

void put_text(Text *to, uint32_t field, const char *text) { put_bytes(to, field, text, strlen(text)); }

void put_message(Text *to, uint32_t field, Text *message)
{
    put_bytes(to, field, message->at, message->len);
    to->failed |= message->failed;
    text_free(message);
}
