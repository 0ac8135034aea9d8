/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../database.h"
#include "base/clock.h"
#include "base/hash.h"
#include "events/events.h"

struct rig rig;

static int64_t mono(void *arg)
{
	(void)arg;
	return rig.mono_ms;
}

static int64_t wall(void *arg)
{
	(void)arg;
	return rig.wall_ms;
}

int rig_up(void **state)
{
	static const struct clock_source source = {.wall_ms = wall, .mono_ms = mono};
	const struct store_options options = {.url = rig.url, .connections = 4};
	struct fault f = {0};

	(void)state;
	hash_init();
	rig = (struct rig){.mono_ms = 1000000, .wall_ms = INT64_C(1767225600000)};
	snprintf(rig.folder, sizeof(rig.folder), "%s/delivery-XXXXXX", database_home());
	assert_non_null(mkdtemp(rig.folder));
	snprintf(rig.url, sizeof(rig.url), "sqlite:%s/test.db", rig.folder);
	clock_use(&source);
	CHECK(store_open(&options, &rig.store, &f), &f);
	database_prepare(rig.store);
	rig.settings = (struct settings){.retry_initial_backoff_ms = 1000,
		.retry_max_backoff_ms = 60000,
		.retry_backoff_multiplier = 2,
		.webhook_max_tries = 3,
		.webhook_give_up_ms = INT64_C(3) * 24 * 3600 * 1000,
		.webhook_timeout_ms = 10000,
		.webhook_url = "https://shop.example/hook",
		.kafka_bootstrap_servers = "broker:9092"};
	rig.parts = (struct delivery_parts){.settings = &rig.settings, .store = rig.store};
	return 0;
}

int rig_down(void **state)
{
	DIR *dir = opendir(rig.folder);
	const struct dirent *e;

	(void)state;
	store_close(rig.store);
	clock_use(NULL);
	while (dir != NULL && (e = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(rig.folder);
	return 0;
}

static int add_body(struct db *db, void *arg, struct fault *f)
{
	return events_add(db, arg, f);
}

void rig_event(const char *kind, const char *ref, const char *data)
{
	char key[200];
	struct event e = {.kind = kind,
		.key = key,
		.branch_id = "harbour",
		.ref = ref,
		.data = data,
		.at_ms = rig.wall_ms};
	struct fault f = {0};

	snprintf(key, sizeof(key), "%s/%s/%.150s", kind, ref, data);
	CHECK(store_transact(rig.store, add_body, &e, &f), &f);
}

struct asking {
	const char *sql;
	int64_t number;
};

static int take_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = cols[0].type == DB_NULL ? 0 : db_get_int(&cols[0]);
	return 0;
}

static int number_body(struct db *db, void *arg, struct fault *f)
{
	struct asking *a = arg;

	return db_read(db, a->sql, take_number, &a->number, f);
}

int64_t rig_number(const char *sql)
{
	struct asking a = {.sql = sql};
	struct fault f = {0};

	CHECK(store_use(rig.store, number_body, &a, &f), &f);
	return a.number;
}

int64_t rig_round(struct courier *c)
{
	struct fault f = {0};
	const int64_t wait = courier_step(c, &f);

	if (wait < 0)
		fail_msg("a round: %s", f.text);
	return wait;
}

void rig_pass(int64_t ms)
{
	rig.mono_ms += ms;
	rig.wall_ms += ms;
}
