/* SPDX-License-Identifier: Apache-2.0 */
#include "contract.h"

#include <float.h>

#include "base/rand.h"

#define MIB (1024 * 1024)

struct trip {
	struct db_value in;
	const char *column;
	int seen;
};

static void assert_same(const struct db_value *a, const struct db_value *b)
{
	assert_int_equal(a->type, b->type);
	switch (a->type) {
	case DB_NULL:
		break;
	case DB_INT:
		assert_true(a->number == b->number);
		break;
	case DB_DOUBLE:
		assert_memory_equal(&a->real, &b->real, sizeof(a->real));
		break;
	case DB_TEXT:
		assert_int_equal(((const char *)b->bytes)[b->len], '\0');
		__attribute__((fallthrough));
	case DB_BYTES:
		assert_int_equal(a->len, b->len);
		assert_non_null(b->bytes);
		if (a->len > 0)
			assert_memory_equal(a->bytes, b->bytes, a->len);
		break;
	}
}

static int see_value(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct trip *t = arg;

	(void)f;
	assert_int_equal(n_cols, 1);
	assert_same(&t->in, &cols[0]);
	t->seen++;
	return 0;
}

static const char *insert_of(const char *column)
{
	if (strcmp(column, "name") == 0)
		return "INSERT INTO items (id, name) VALUES ($1, $2)";
	if (strcmp(column, "total") == 0)
		return "INSERT INTO items (id, total) VALUES ($1, $2)";
	if (strcmp(column, "ratio") == 0)
		return "INSERT INTO items (id, ratio) VALUES ($1, $2)";
	if (strcmp(column, "note") == 0)
		return "INSERT INTO items (id, note) VALUES ($1, $2)";
	return "INSERT INTO items (id, data) VALUES ($1, $2)";
}

static const char *select_of(const char *column)
{
	if (strcmp(column, "name") == 0)
		return "SELECT name FROM items WHERE id = $1";
	if (strcmp(column, "total") == 0)
		return "SELECT total FROM items WHERE id = $1";
	if (strcmp(column, "ratio") == 0)
		return "SELECT ratio FROM items WHERE id = $1";
	if (strcmp(column, "note") == 0)
		return "SELECT note FROM items WHERE id = $1";
	return "SELECT data FROM items WHERE id = $1";
}

static int travel(struct db *db, void *arg, struct fault *f)
{
	static int64_t id;
	struct trip *t = arg;
	int64_t changed = 0;

	id++;
	if (db_exec(db, insert_of(t->column), &changed, f, db_int(id), t->in) < 0)
		return -1;
	assert_int_equal(changed, 1);
	return db_read(db, select_of(t->column), see_value, t, f, db_int(id));
}

static void assert_round_trip(void **state, const char *column, struct db_value v)
{
	struct contract *c = *state;
	struct trip t = {.in = v, .column = column};
	struct fault f = {0};

	assert_done(store_transact(c->store, travel, &t, &f), &f);
	assert_int_equal(t.seen, 1);
}

static void null_stays_null_in_every_type(void **state)
{
	assert_round_trip(state, "name", db_null());
	assert_round_trip(state, "total", db_null());
	assert_round_trip(state, "ratio", db_null());
	assert_round_trip(state, "data", db_null());
	assert_round_trip(state, "name", db_text(NULL));
	assert_round_trip(state, "data", db_bytes(NULL, 0));
	assert_round_trip(state, "total", db_int_or_null(5, false));
	assert_round_trip(state, "data", db_sealed(&(struct sealed){0}));
}

static void integers_keep_all_64_bits(void **state)
{
	const int64_t numbers[] = {
		0, 1, -1, INT32_MAX + 1LL, INT32_MIN - 1LL, INT64_MAX, INT64_MIN, (1LL << 53) + 1};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_round_trip(state, "total", db_int(numbers[i]));
}

static void doubles_keep_every_bit(void **state)
{
	const double numbers[] = {0, 1, -1.5, 0.1, 4.7, DBL_MAX, DBL_MIN, 5e-324, 1e300, 1.0 / 3};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_round_trip(state, "ratio", db_double(numbers[i]));
}

static void texts_of_any_script_come_back(void **state)
{
	const char *texts[] = {"plain", "", " \t\r\n",
		"\xe2\x98\x95 \xf0\x9f\x98\x80\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa",
		"\xd8\xb4\xd9\x83\xd8\xb1\xd8\xa7", "\xe6\x9d\xb1\xe4\xba\xac",
		"'; DROP TABLE items; --", "100% \\ \"quoted\" $1 ?", "123", "NULL",
		"\xef\xbf\xbd\xf4\x8f\xbf\xbf"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_round_trip(state, "name", db_text(texts[i]));
}

static void a_text_is_as_long_as_it_says(void **state)
{
	assert_round_trip(state, "name", db_text_n("canary in a mine", 6));
}

static void bytes_of_any_value_and_size_come_back(void **state)
{
	uint8_t every[256], *big = malloc(MIB);

	for (size_t i = 0; i < sizeof(every); i++)
		every[i] = (uint8_t)i;
	rand_bytes(big, MIB);
	assert_round_trip(state, "data", db_bytes(every, sizeof(every)));
	assert_round_trip(state, "data", db_bytes("", 0));
	assert_round_trip(state, "data", db_bytes("\0\0", 2));
	assert_round_trip(state, "data", db_bytes(big, MIB));
	free(big);
}

static void a_long_text_comes_back(void **state)
{
	char *big = malloc(MIB);

	memset(big, 'x', MIB);
	assert_round_trip(state, "note", db_text_n(big, MIB)); /* no index takes so long a key */
	free(big);
}

static int insert_name(struct db *db, void *arg, struct fault *f)
{
	return db_exec(db, "INSERT INTO items (id, name) VALUES (1, $1)", NULL, f,
		*(const struct db_value *)arg);
}

static void a_text_that_only_one_engine_could_keep_is_refused(void **state)
{
	struct contract *c = *state;
	const struct db_value texts[] = {db_text_n("a\0b", 3), db_text("\xff"), db_text("\xc0\xaf"),
		db_text("\xed\xa0\x80")};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct db_value text = texts[i];
		struct fault f = {0};

		assert_int_equal(store_transact(c->store, insert_name, &text, &f), -1);
		assert_fault(&f, FAULT_INPUT);
	}
	assert_int_equal(read_number(c->store, "SELECT count(*) FROM items"), 0);
}

static void lenient_readers_give_zero_for_null(void **state)
{
	const struct db_value null = db_null(), text = db_text("7"), number = db_int(7);

	(void)state;
	assert_int_equal(db_get_int(&null), 0);
	assert_true(db_get_double(&null) == 0);
	assert_null(db_get_text(&null));
	assert_int_equal(db_get_int(&text), 0);
	assert_null(db_get_text(&number));
	assert_true(db_get_double(&number) == 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTRACT_TEST(null_stays_null_in_every_type),
		CONTRACT_TEST(integers_keep_all_64_bits),
		CONTRACT_TEST(doubles_keep_every_bit),
		CONTRACT_TEST(texts_of_any_script_come_back),
		CONTRACT_TEST(a_text_is_as_long_as_it_says),
		CONTRACT_TEST(bytes_of_any_value_and_size_come_back),
		CONTRACT_TEST(a_long_text_comes_back),
		CONTRACT_TEST(a_text_that_only_one_engine_could_keep_is_refused),
		cmocka_unit_test(lenient_readers_give_zero_for_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
