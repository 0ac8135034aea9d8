/* SPDX-License-Identifier: Apache-2.0 */
/* Values cross in binary: numbers keep every bit, and bytes are not spelled out. */
#include "store/db_postgres.h"

#include <endian.h>
#include <math.h>
#include <string.h>

/* Object identifiers of types, fixed in PostgreSQL's catalogue (pg_type.dat). */
enum {
	TYPE_BOOL = 16,
	TYPE_BYTEA = 17,
	TYPE_CHAR = 18,
	TYPE_NAME = 19,
	TYPE_INT8 = 20,
	TYPE_INT2 = 21,
	TYPE_INT4 = 23,
	TYPE_TEXT = 25,
	TYPE_JSON = 114,
	TYPE_FLOAT4 = 700,
	TYPE_FLOAT8 = 701,
	TYPE_UNKNOWN = 705,
	TYPE_BPCHAR = 1042,
	TYPE_VARCHAR = 1043,
	TYPE_NUMERIC = 1700,
	TYPE_VOID = 2278,
};

static const char *skip_quoted(const char *at)
{
	char quote = *at++;

	while (*at != '\0' && *at != quote)
		at++;
	return *at != '\0' ? at + 1 : at;
}

static const char *skip_digits(const char *at, size_t *ret)
{
	size_t n = 0;

	while (*at >= '0' && *at <= '9' && n < 100000)
		n = n * 10 + (size_t)(*at++ - '0');
	*ret = n;
	return at;
}

size_t postgres_count_args(const char *sql)
{
	size_t highest = 0, n;

	for (const char *at = sql; *at != '\0';) {
		if (*at == '\'' || *at == '"') {
			at = skip_quoted(at);
		} else if (at[0] == '-' && at[1] == '-') {
			at += strcspn(at, "\n");
		} else if (*at++ == '$') {
			at = skip_digits(at, &n);
			highest = n > highest ? n : highest;
		}
	}
	return highest;
}

/* A NULL has no type of its own: the server takes what its place asks for. */
static void bind_one(struct postgres_args *a, int i, const struct db_value *v)
{
	const void *bytes = v->len > 0 ? v->bytes : "";

	a->formats[i] = 1;
	a->lengths[i] = (int)v->len;
	a->values[i] = NULL;
	a->types[i] = 0;
	switch (v->type) {
	case DB_NULL:
		break;
	case DB_INT:
		a->types[i] = TYPE_INT8;
		a->numbers[i] = htobe64((uint64_t)v->number);
		a->values[i] = (const char *)&a->numbers[i];
		a->lengths[i] = sizeof(a->numbers[i]);
		break;
	case DB_DOUBLE:
		a->types[i] = TYPE_FLOAT8;
		memcpy(&a->numbers[i], &v->real, sizeof(v->real));
		a->numbers[i] = htobe64(a->numbers[i]);
		a->values[i] = (const char *)&a->numbers[i];
		a->lengths[i] = sizeof(a->numbers[i]);
		break;
	case DB_TEXT:
		a->types[i] = TYPE_TEXT;
		a->values[i] = bytes;
		break;
	case DB_BYTES:
		a->types[i] = TYPE_BYTEA;
		a->values[i] = bytes;
		break;
	}
}

void postgres_bind(struct postgres_args *a, const struct db_value *args, size_t n_args)
{
	a->n = (int)n_args;
	for (int i = 0; i < a->n; i++)
		bind_one(a, i, &args[i]);
}

static uint64_t read_be(const char *bytes, int len)
{
	uint64_t n = 0;

	for (int i = 0; i < len; i++)
		n = n << 8 | (uint8_t)bytes[i];
	return n;
}

static int64_t read_int(const char *bytes, int len)
{
	uint64_t n = read_be(bytes, len);

	switch (len) {
	case 2:
		return (int16_t)n;
	case 4:
		return (int32_t)n;
	default:
		return (int64_t)n;
	}
}

static double read_float(const char *bytes, int len)
{
	uint64_t wide = read_be(bytes, len);
	uint32_t narrow = (uint32_t)wide;
	float single;
	double real;

	if (len == sizeof(single)) {
		memcpy(&single, &narrow, sizeof(single));
		return (double)single;
	}
	memcpy(&real, &wide, sizeof(real));
	return real;
}

/*
 * What sums and averages of integers come as: digits to the base 10,000, the first of them worth
 * 10,000^weight. A whole number that fits is an integer, as on SQLite; all else is a double.
 */
static struct db_value read_numeric(const char *bytes)
{
	int64_t n_digits = read_int(bytes, 2), weight = read_int(bytes + 2, 2), whole = 0;
	bool is_negative = read_be(bytes + 4, 2) == 0x4000, fits = n_digits <= weight + 1;
	double real = 0;

	if (read_be(bytes + 4, 2) >= 0xc000) /* not a number, or infinite */
		return db_double(NAN);
	for (int64_t i = 0; i <= weight || i < n_digits; i++) {
		int64_t digit = i < n_digits ? read_int(bytes + 8 + 2 * i, 2) : 0;

		fits = fits && !__builtin_mul_overflow(whole, 10000, &whole) &&
		       !__builtin_add_overflow(whole, is_negative ? -digit : digit, &whole);
		real = real * 10000 + (double)digit;
	}
	for (int64_t i = weight + 1; i < n_digits; i++)
		real /= 10000;
	return fits ? db_int(whole) : db_double(is_negative ? -real : real);
}

enum form {
	FORM_NONE,
	FORM_BOOL,
	FORM_INT,
	FORM_FLOAT,
	FORM_NUMERIC,
	FORM_BYTES,
	FORM_TEXT,
	FORM_VOID,
};

static enum form form_of(Oid type)
{
	static const struct {
		Oid type;
		enum form form;
	} forms[] = {
		{TYPE_BOOL, FORM_BOOL},
		{TYPE_INT2, FORM_INT},
		{TYPE_INT4, FORM_INT},
		{TYPE_INT8, FORM_INT},
		{TYPE_FLOAT4, FORM_FLOAT},
		{TYPE_FLOAT8, FORM_FLOAT},
		{TYPE_NUMERIC, FORM_NUMERIC},
		{TYPE_BYTEA, FORM_BYTES},
		{TYPE_TEXT, FORM_TEXT},
		{TYPE_VARCHAR, FORM_TEXT},
		{TYPE_BPCHAR, FORM_TEXT},
		{TYPE_NAME, FORM_TEXT},
		{TYPE_CHAR, FORM_TEXT},
		{TYPE_JSON, FORM_TEXT},
		{TYPE_UNKNOWN, FORM_TEXT},
		{TYPE_VOID, FORM_VOID},
	};

	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (forms[i].type == type)
			return forms[i].form;
	return FORM_NONE;
}

int postgres_column(const struct pq *pq, const PGresult *result, int row, int col,
	struct db_value *ret, struct fault *f)
{
	const char *bytes = pq->PQgetvalue(result, row, col);
	int len = pq->PQgetlength(result, row, col);

	*ret = db_null();
	if (pq->PQgetisnull(result, row, col))
		return 0;
	switch (form_of(pq->PQftype(result, col))) {
	case FORM_BOOL:
		*ret = db_int(bytes[0] != 0);
		return 0;
	case FORM_INT:
		*ret = db_int(read_int(bytes, len));
		return 0;
	case FORM_FLOAT:
		*ret = db_double(read_float(bytes, len));
		return 0;
	case FORM_NUMERIC:
		*ret = read_numeric(bytes);
		return 0;
	case FORM_BYTES:
		*ret = db_bytes(bytes, (size_t)len);
		return 0;
	case FORM_TEXT:
		*ret = db_text_n(bytes, (size_t)len);
		return 0;
	case FORM_VOID:
		return 0;
	case FORM_NONE:
		break;
	}
	return fault_raise(
		f, FAULT_BUG, "a column of PostgreSQL's type %u", pq->PQftype(result, col));
}
