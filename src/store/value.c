/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <string.h>

struct db_value db_int(int64_t v)
{
	return (struct db_value){.type = DB_INT, .number = v};
}

struct db_value db_int_or_null(int64_t v, bool is_set)
{
	return is_set ? db_int(v) : db_null();
}

struct db_value db_double(double v)
{
	return (struct db_value){.type = DB_DOUBLE, .real = v};
}

struct db_value db_text(const char *text)
{
	return text != NULL ? db_text_n(text, strlen(text)) : db_null();
}

struct db_value db_text_n(const char *text, size_t len)
{
	return (struct db_value){.type = DB_TEXT, .bytes = text, .len = len};
}

struct db_value db_bytes(const void *bytes, size_t len)
{
	if (bytes == NULL)
		return db_null();
	return (struct db_value){.type = DB_BYTES, .bytes = bytes, .len = len};
}

struct db_value db_sealed(const struct sealed *s)
{
	return db_bytes(s->bytes, s->len);
}

struct db_value db_null(void)
{
	return (struct db_value){.type = DB_NULL};
}

int64_t db_get_int(const struct db_value *col)
{
	return col->type == DB_INT ? col->number : 0;
}

double db_get_double(const struct db_value *col)
{
	return col->type == DB_INT ? (double)col->number : col->type == DB_DOUBLE ? col->real : 0;
}

const char *db_get_text(const struct db_value *col)
{
	return col->type == DB_TEXT ? col->bytes : NULL;
}
