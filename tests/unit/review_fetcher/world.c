/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include "../database.h"
#include "shop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

struct world world;

/* ---- time, pool, scheduler ---- */

static int64_t wall_ms(void *arg)
{
	(void)arg;
	return world.wall_ms;
}

static int64_t mono_ms(void *arg)
{
	(void)arg;
	return world.mono_ms;
}

static void no_sleep(void *arg, int64_t ms)
{
	(void)arg;
	(void)ms;
	fail_msg("somebody sleeps");
}

static const struct clock_source fake_clock = {wall_ms, mono_ms, no_sleep, NULL};
static struct task *tasks, **last_task = &tasks;
static struct timer *armed;

void pool_submit(struct pool *p, struct task *task)
{
	(void)p;
	for (struct task *t = tasks; t; t = t->next)
		assert_ptr_not_equal(t, task); /* a task that is queued twice breaks the queue */
	task->next = NULL;
	*last_task = task;
	last_task = &task->next;
}

void scheduler_arm(struct scheduler *s, struct timer *t, int64_t due_mono_ms)
{
	(void)s;
	armed = t; /* the engine has one */
	t->due_ms = due_mono_ms;
}

bool scheduler_disarm(struct scheduler *s, struct timer *t)
{
	(void)s;
	(void)t;
	armed = NULL;
	return true;
}

/* ---- the database, when it fails (the linker sends the engine's calls here) ---- */

int __real_store_transact(struct store *s, store_body_fn *body, void *arg, struct fault *f);
int __wrap_store_transact(struct store *s, store_body_fn *body, void *arg, struct fault *f);
int __real_store_use(struct store *s, store_body_fn *body, void *arg, struct fault *f);
int __wrap_store_use(struct store *s, store_body_fn *body, void *arg, struct fault *f);

static unsigned n_transactions;

static bool store_fails(void)
{
	if (world.store_fails == 0 || --world.store_fails_in >= 0)
		return false;
	world.store_fails--;
	return true;
}

int __wrap_store_transact(struct store *s, store_body_fn *body, void *arg, struct fault *f)
{
	n_transactions++;
	if (store_fails())
		return fault_raise(f, FAULT_STORE, "the disk is full");
	return __real_store_transact(s, body, arg, f);
}

int __wrap_store_use(struct store *s, store_body_fn *body, void *arg, struct fault *f)
{
	if (!world.looking && store_fails())
		return fault_raise(f, FAULT_STORE, "the disk is full");
	return __real_store_use(s, body, arg, f);
}

/* PostgreSQL would say its own time, which the tests do not move. */
int __wrap_db_now_us(struct db *db, int64_t *ret, struct fault *f);

int __wrap_db_now_us(struct db *db, int64_t *ret, struct fault *f)
{
	(void)db;
	(void)f;
	*ret = world.wall_ms * 1000;
	return 0;
}

/* ---- tokens ---- */

struct wish {
	struct wish *next;
	token_done_fn *done;
	void *arg;
};
static struct wish *wishes;

void tokens_obtain(struct token_management *tm, const char *branch_id, int64_t min_ttl_ms,
	bool force, token_done_fn *done, void *arg)
{
	struct wish *w = mem_alloc(sizeof(*w));

	(void)tm;
	(void)force;
	(void)branch_id;
	assert_true(min_ttl_ms > 0);
	world.tokens_asked++;
	*w = (struct wish){wishes, done, arg};
	wishes = w;
}

static const char *token_text(int number)
{
	static char text[32];

	snprintf(text, sizeof(text), "token-%d", number);
	return text;
}

void tokens_reject(
	struct token_management *tm, const char *branch_id, const char *access_token, size_t len)
{
	(void)tm;
	(void)branch_id;
	if (strlen(token_text(world.token_number)) != len ||
		memcmp(access_token, token_text(world.token_number), len) != 0)
		return; /* another walk was faster */
	world.tokens_rejected++;
	world.token_number++;
	world.calls_of_token = 0;
}

static void answer_wish(void)
{
	struct wish *w = wishes;
	const char *token = token_text(world.token_number);
	struct token_view view = {
		.branch_id = "harbour", .access_token = token, .access_token_len = strlen(token)};
	struct token_result result = {.outcome = world.token_outcome,
		.view = world.token_outcome == TOKEN_READY ? &view : NULL,
		.retry_after_ms = 1000,
		.reason = "the grant was revoked"};

	wishes = w->next;
	w->done(w->arg, &result);
	mem_free(w);
}

int clients_get_by_branch(
	struct token_management *tm, const char *branch_id, struct client *ret, struct fault *f)
{
	(void)tm;
	if (text_equal(branch_id, "nowhere"))
		return fault_raise(f, FAULT_MISSING, "No client is registered for this branch");
	*ret = (struct client){.id = 7,
		.client_oauth_id = mem_text("123456-app.apps"),
		.branch_id = mem_text(branch_id),
		.status = mem_text(text_equal(branch_id, world.dead_branch) ? "needs_reconnect"
									    : world.client_status),
		.is_active = true};
	return 0;
}

int clients_list(struct token_management *tm, const struct client_filter *filter,
	client_each_fn *each, void *arg, struct fault *f)
{
	for (size_t i = (size_t)filter->after_id; i < ARRAY_LEN(world.clients); i++) {
		struct client c = {0};
		int done;

		if (!world.clients[i])
			break;
		if (clients_get_by_branch(tm, world.clients[i], &c, f) < 0)
			return -1;
		c.id = (int64_t)i + 1;
		done = each(arg, &c, f);
		client_done(&c);
		if (done != 0)
			return done < 0 ? -1 : 0;
	}
	return 0;
}

void client_done(struct client *c)
{
	mem_free(c->client_oauth_id);
	mem_free(c->branch_id);
	mem_free(c->status);
	*c = (struct client){0};
}

/* ---- the network and Google ---- */

struct call {
	struct call *next;
	char *url, *token, *body;
	net_done_fn *done;
	void *arg;
};
static struct call *calls, **last_call = &calls;

void net_send(struct net *n, struct net_request *moved, net_done_fn *done, void *arg)
{
	struct call *c = mem_alloc(sizeof(*c));

	(void)n;
	assert_string_equal(moved->method, strstr(moved->url, ":batchGetReviews") ? "POST" : "GET");
	*c = (struct call){.url = mem_text(moved->url),
		.token = mem_text(moved->bearer.bytes),
		.body = mem_text(buf_text(&moved->body)),
		.done = done,
		.arg = arg};
	secret_drop(&moved->bearer);
	buf_drop(&moved->body);
	*last_call = c;
	last_call = &c->next;
	if (++world.in_flight > world.in_flight_most)
		world.in_flight_most = world.in_flight;
}

static int number_of(const char *url, const char *name, int fallback)
{
	const char *at = strstr(url, name);

	return at ? atoi(at + strlen(name)) : fallback;
}

static void write_review(struct json_out *o, const char *location, int i)
{
	char id[128];

	json_open(o, '{');
	snprintf(id, sizeof(id), "%s-r%d", location, i);
	json_add_text(o, "reviewId", id);
	json_add_text(o, "starRating", i % 7 == 6 ? "STAR_RATING_UNSPECIFIED" : "FOUR");
	if (i % 3)
		json_add_text(o, "comment", "Gut \xf0\x9f\x91\x8d");
	json_add_text(o, "updateTime", "2026-02-03T04:05:06.123456789Z");
	json_add_text(o, "createTime", "2026-02-03T04:05:06Z");
	json_close(o, '}');
}

static int location_number(const char *location)
{
	const char *dash = strrchr(location, '-');

	return dash ? atoi(dash + 1) : 0;
}

/* The offset that is behind this page, or -1. */
static int write_items(
	struct json_out *o, const char *kind, const char *owner, int offset, int size, int all)
{
	char text[64];
	int i;

	json_key(o, kind);
	json_open(o, '[');
	for (i = offset; i < all && i < offset + size; i++) {
		if (text_equal(kind, "reviews")) {
			write_review(o, owner, i);
			continue;
		}
		json_open(o, '{');
		if (text_equal(kind, "accounts"))
			snprintf(text, sizeof(text), "accounts/10000000000000000000%d", i);
		else if (world.all_share_one && i == all - 1)
			snprintf(text, sizeof(text), "locations/shared");
		else
			snprintf(text, sizeof(text), "locations/l%s-%d", owner + 18, i);
		json_add_text(o, "name", text);
		json_add_text(o, "title", "A place");
		json_close(o, '}');
	}
	json_close(o, ']');
	return i < all ? i : -1;
}

static void write_next(struct json_out *o, const char *location, int offset, int next)
{
	char text[32];

	if (text_equal(location, world.circling_location))
		next = world.circle_is_short ? (offset ? offset : 1)
					     : (offset == 0 ? 4 : 8 - offset);
	if (next < 0)
		return;
	snprintf(text, sizeof(text), "p%d", next);
	json_add_text(o, "nextPageToken", text);
}

static void write_reviews(struct json_out *o, const char *url, int offset, int size)
{
	static char location[64];
	const char *at = strstr(url, "/locations/") + 11;
	int all = world.reviews, shown = all, next;

	snprintf(location, sizeof(location), "%.*s", (int)strcspn(at, "/"), at);
	if (location_number(location) == 1 && world.reviews)
		shown = all = world.reviews + 1; /* they are not all alike */
	/* A review that moves to the top after page one was read is on no page of this pass. */
	if (text_equal(location, world.moving_location))
		shown--;
	next = write_items(o, "reviews", location, offset, size, shown);
	if (text_equal(location, world.lying_location) && world.lies > 0)
		all += world.lie;
	if (text_equal(location, world.lying_location) && next < 0)
		world.lies--;
	if (text_equal(location, world.moving_location) && next < 0)
		world.moving_location = NULL;
	if (all)
		json_add_int(o, "totalReviewCount", all);
	json_key(o, "averageRating");
	json_put_double(o, 4.0);
	write_next(o, location, offset, next);
}

static int page_size_of(const char *url)
{
	int asked = number_of(url, "pageSize=", 1);

	return world.page_size && world.page_size < asked ? world.page_size : asked;
}

static void write_page(struct buf *ret, const char *url)
{
	struct json_out o = JSON_OUT(ret);
	int offset = number_of(url, "pageToken=p", 0), size = page_size_of(url);
	const char *account = strstr(url, "/v1/accounts/");
	char owner[64];

	json_open(&o, '{');
	json_add_text(&o, "unknownField", "2027");
	if (strstr(url, "/v4/")) {
		world.calls[2]++;
		write_reviews(&o, url, offset, size);
	} else if (account) {
		world.calls[1]++;
		account += strlen("/v1/accounts/");
		snprintf(owner, sizeof(owner), "%.*s", (int)strcspn(account, "/"), account);
		assert_non_null(strstr(url, "readMask=name"));
		write_next(&o, owner, offset,
			write_items(&o, "locations", owner, offset, size,
				world.locations + (world.all_share_one ? 1 : 0)));
	} else {
		world.calls[0]++;
		write_next(&o, "", offset,
			write_items(&o, "accounts", "", offset, size, world.accounts));
	}
	json_close(&o, '}');
}

static struct rule *find_rule(const char *url)
{
	for (size_t i = 0; i < ARRAY_LEN(world.rules); i++) {
		struct rule *r = &world.rules[i];

		if (!r->match || !strstr(url, r->match) || r->count == 0 || r->skip-- > 0)
			continue;
		r->count--;
		return r;
	}
	return NULL;
}

static void answer_call(void)
{
	struct call *c = calls;
	struct net_reply reply = {.result = NET_ANSWERED,
		.status = 200,
		.retry_after_ms = -1,
		.body = BUF_INIT_WIPED(1 << 24)};
	const struct rule *rule = find_rule(c->url);

	calls = c->next;
	if (!calls)
		last_call = &calls;
	world.in_flight--;
	world.calls_all++;
	snprintf(world.last_token, sizeof(world.last_token), "%s", c->token);
	snprintf(world.last_url, sizeof(world.last_url), "%s", c->url);
	if (world.max_per_run && ++world.calls_of_token > world.max_per_run &&
		text_equal(c->token, token_text(world.token_number))) {
		reply.status = 401;
	} else if (!text_equal(c->token, token_text(world.token_number)) &&
		   !text_starts(c->token, "own")) {
		reply.status = 401;
	} else if (rule) {
		reply.result = rule->result;
		reply.status = rule->status;
		reply.retry_after_ms = rule->retry_after_ms;
		buf_add_text(&reply.body, rule->body ? rule->body : "");
		snprintf(reply.error, sizeof(reply.error), "connection reset");
	} else if (shops.n && strstr(c->url, "/v4/")) {
		world.calls[2]++;
		reply.status = shops_answer(c->url, c->body, page_size_of(c->url), &reply.body);
	} else if (strstr(c->url, ":batchGetReviews")) {
		buf_add_text(&reply.body, "{}");
	} else {
		write_page(&reply.body, c->url);
	}
	c->done(c->arg, &reply);
	buf_drop(&reply.body);
	mem_free(c->url);
	mem_free(c->token);
	mem_free(c->body);
	mem_free(c);
}

/* ---- steps ---- */

static void run_task(void)
{
	struct task *t = tasks;

	tasks = t->next;
	if (!tasks)
		last_task = &tasks;
	t->run(t);
}

bool world_step(void)
{
	struct timer *t = armed;

	world.steps++;
	if (tasks) {
		run_task();
	} else if (wishes) {
		answer_wish();
	} else if (calls) {
		answer_call();
	} else if (t) {
		if (t->due_ms > world.mono_ms) {
			world.wall_ms += t->due_ms - world.mono_ms;
			world.mono_ms = t->due_ms;
		}
		armed = NULL;
		t->fire(t);
	} else {
		return false;
	}
	return true;
}

bool world_is_quiet(void)
{
	return !tasks && !wishes && !calls && (!armed || armed->due_ms > world.mono_ms);
}

const char *world_run(const char *job_id)
{
	static char status[64];
	unsigned seen = n_transactions - 1;
	char sql[160];

	snprintf(sql, sizeof(sql),
		"SELECT status FROM jobs WHERE id = '%s' AND finished_at_ms IS NOT NULL", job_id);
	for (int i = 0; i < 200000; i++) {
		if (seen != n_transactions && *world_text(sql))
			break;
		seen = n_transactions;
		assert_true(world_step());
	}
	snprintf(status, sizeof(status), "%s", world_text(sql));
	if (!*status)
		fail_msg("the job does not end: %s", world_status(job_id));
	return status;
}

void world_begin(void)
{
	struct review_fetcher_parts parts = {.settings = &world.settings, .store = world.store};
	struct fault f = {0};

	if (review_fetcher_new(&parts, &world.rf, &f) < 0)
		fail_msg("%s", f.text);
}

void world_kill(void)
{
	review_fetcher_stop(world.rf);
	review_fetcher_free(world.rf);
	world.rf = NULL;
	tasks = NULL;
	last_task = &tasks;
	while (wishes) {
		struct wish *w = wishes;

		wishes = w->next;
		mem_free(w);
	}
	while (calls) {
		struct call *c = calls;

		calls = c->next;
		mem_free(c->url);
		mem_free(c->token);
		mem_free(c->body);
		mem_free(c);
	}
	last_call = &calls;
	armed = NULL;
	world.in_flight = 0;
}

static void no_log(const char *line, size_t len)
{
	(void)line;
	(void)len;
}

int world_up(void **state)
{
	struct store_options options = {.url = world.database, .connections = 2};
	struct fault f = {0};

	(void)state;
	hash_init();
	log_use(no_log);
	clock_use(&fake_clock);
	shops.n = 0;
	world = (struct world){
		.settings = {.google_accounts_url = "http://a",
			.google_locations_url = "http://b",
			.google_reviews_url = "http://c",
			.google_requests_per_minute = 300,
			.review_full_sync_interval_ms = 86400000,
			.retry_max_retries = 3,
			.retry_initial_backoff_ms = 100,
			.retry_max_backoff_ms = 1000,
			.retry_backoff_multiplier = 2.0},
		.accounts = 2,
		.locations = 2,
		.reviews = 7,
		.token_number = 1,
		.token_outcome = TOKEN_READY,
		.client_status = "connected",
		.wall_ms = 1767225600000,
		.mono_ms = 1000,
	};
	snprintf(world.folder, sizeof(world.folder), "%s/rf-walk-XXXXXX", database_home());
	assert_non_null(mkdtemp(world.folder));
	world.has_server = database_server() != NULL;
	database_make(world.folder, world.database, sizeof(world.database));
	if (store_open(&options, &world.store, &f) < 0)
		fail_msg("%s", f.text);
	database_prepare(world.store);
	world_begin();
	return 0;
}

int world_down(void **state)
{
	static const char *const files[] = {
		"test.db", "test.db-wal", "test.db-shm", "test.db.lock"};
	char path[160];

	(void)state;
	world_kill();
	store_close(world.store);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", world.folder, files[i]);
		unlink(path);
	}
	rmdir(world.folder);
	clock_use(NULL);
	log_use(NULL);
	return 0;
}

/* ---- looking ---- */

struct reading {
	const char *sql;
	int64_t number;
	char text[512];
};

static int take_first(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct reading *r = arg;

	(void)n_cols;
	(void)f;
	r->number = db_get_int(&cols[0]);
	snprintf(
		r->text, sizeof(r->text), "%s", db_get_text(&cols[0]) ? db_get_text(&cols[0]) : "");
	return 1;
}

static int read_body(struct db *db, void *arg, struct fault *f)
{
	struct reading *r = arg;

	return db_run(db, r->sql, NULL, 0, take_first, r, NULL, f);
}

static void look(struct reading *r)
{
	struct fault f = {0};

	world.looking = true;
	if (store_use(world.store, read_body, r, &f) < 0)
		fail_msg("%s: %s", r->sql, f.text);
	world.looking = false;
}

int64_t world_number(const char *sql)
{
	struct reading r = {.sql = sql};

	look(&r);
	return r.number;
}

const char *world_text(const char *sql)
{
	static struct reading r;

	r = (struct reading){.sql = sql};
	look(&r);
	return r.text;
}

const char *world_job(void)
{
	return world_job_of("full");
}

const char *world_job_of(const char *mode)
{
	static char id[37];
	struct job_input in = {.branch_id = "harbour", .mode = mode, .actor = "test"};
	struct fault f = {0};

	if (jobs_start(world.rf, &in, id, &f) < 0)
		fail_msg("%s", f.text);
	return id;
}

const char *world_status(const char *job_id)
{
	static char text[8192];
	AUTO(buf_drop) struct buf b = BUF_INIT(1 << 20);
	struct json_out o = JSON_OUT(&b);
	struct fault f = {0};

	if (jobs_write(world.rf, job_id, &o, &f) < 0)
		fail_msg("%s", f.text);
	snprintf(text, sizeof(text), "%s", buf_text(&b));
	return text;
}
