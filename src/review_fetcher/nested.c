/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The original's nested snapshot: accounts, in them locations, in them reviews. Its shape forces
 * that everything is said again each time; so it is made only when the job has stored as many pages
 * as the caller waits for, and is held within the caller's bounds and NESTED_BYTES_MAX.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"
#include "review_fetcher/engine.h"
#include "review_fetcher/query.h"
#include "token_management/token_management.h"

#define NESTED_BYTES_MAX (16 * 1024 * 1024)
#define SAMPLE_ACCOUNTS 3
#define SAMPLE_ACCOUNTS_MOST 60
#define SAMPLE_LOCATIONS 10
#define SAMPLE_LOCATIONS_MOST 500
#define SAMPLE_REVIEWS_MOST 50

struct account {
	int64_t id; /* of its walk: a number that stays, where the original had one */
	char *account_id, *name;
	int64_t created_at_ms, updated_at_ms;
};

struct location {
	int64_t id;
	char *location_id, *title, *address, *phone, *category;
	int64_t created_at_ms, updated_at_ms;
};

struct snapshot {
	struct review_fetcher *rf;
	const char *job_id;
	struct nested_bounds bounds;
	uint64_t sample; /* reviews of a location are drawn with it */
	struct json_out out;
	struct nested_seen now;
	bool found;
	int64_t client_id;
	char *branch_id;
	struct account *accounts;
	size_t n_accounts;
	struct location *locations; /* of the account that is being written */
	size_t n_locations;
	int64_t locations_written, reviews_written;
	int64_t account_locations, account_reviews;
	const struct account *account;
	bool truncated;
};

static char *copy(const struct db_value *col)
{
	const char *text = db_get_text(col);

	return text ? mem_text(text) : NULL;
}

static void drop_locations(struct snapshot *s)
{
	for (size_t i = 0; i < s->n_locations; i++) {
		struct location *l = &s->locations[i];

		mem_free(l->location_id);
		mem_free(l->title);
		mem_free(l->address);
		mem_free(l->phone);
		mem_free(l->category);
	}
	mem_free(TAKE(s->locations));
	s->n_locations = 0;
}

static void snapshot_done(struct snapshot *s)
{
	drop_locations(s);
	for (size_t i = 0; i < s->n_accounts; i++) {
		mem_free(s->accounts[i].account_id);
		mem_free(s->accounts[i].name);
	}
	mem_free(s->accounts);
	mem_free(s->branch_id);
}

static int read_job(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct snapshot *s = arg;

	(void)n_cols;
	(void)f;
	s->found = true;
	s->now = (struct nested_seen){
		.pages = db_get_int(&cols[0]), .has_ended = cols[1].type != DB_NULL};
	s->branch_id = copy(&cols[2]);
	return 0;
}

static int read_account(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct snapshot *s = arg;

	(void)n_cols;
	(void)f;
	s->accounts[s->n_accounts++] = (struct account){
		.id = db_get_int(&cols[0]),
		.account_id = copy(&cols[1]),
		.name = copy(&cols[2]),
		.created_at_ms = db_get_int(&cols[3]),
		.updated_at_ms = db_get_int(&cols[4]),
	};
	return 0;
}

static int read_location(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct snapshot *s = arg;

	(void)n_cols;
	(void)f;
	/* Grows at powers of two, so that no capacity has to be remembered. */
	if ((s->n_locations & (s->n_locations - 1)) == 0)
		s->locations = mem_resize(s->locations,
			(s->n_locations ? s->n_locations * 2 : 1) * sizeof(*s->locations));
	s->locations[s->n_locations++] = (struct location){
		.id = db_get_int(&cols[0]),
		.location_id = copy(&cols[1]),
		.title = copy(&cols[2]),
		.address = copy(&cols[3]),
		.phone = copy(&cols[4]),
		.category = copy(&cols[5]),
		.created_at_ms = db_get_int(&cols[6]),
		.updated_at_ms = db_get_int(&cols[7]),
	};
	return 0;
}

static int write_review(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	struct snapshot *s = arg;
	struct json_out *o = &s->out;

	(void)n_cols;
	(void)f;
	if (o->to->len > NESTED_BYTES_MAX) {
		s->truncated = true;
		return 1;
	}
	json_open(o, '{');
	json_add_int(o, "id", db_get_int(&cols[0]));
	json_add_int(o, "client_id", s->client_id);
	put_column(o, "account_id", &cols[1]);
	put_column(o, "location_id", &cols[2]);
	put_column(o, "google_review_id", &cols[3]);
	put_number(o, "rating", &cols[4]);
	put_column(o, "comment", &cols[5]);
	put_column(o, "reviewer_name", &cols[6]);
	put_column(o, "reviewer_photo_url", &cols[7]);
	put_instant(o, "review_created_time", db_get_int(&cols[8]));
	put_column(o, "reply_text", &cols[9]);
	put_instant(o, "reply_time", db_get_int(&cols[10]));
	json_add_time(o, "created_at", db_get_int(&cols[11]));
	json_add_time(o, "updated_at", db_get_int(&cols[12]));
	json_close(o, '}');
	s->account_reviews++;
	return 0;
}

/* least, or more, up to most; a bound below the least is what there may be. */
static int64_t draw(uint64_t dice, int64_t least, int64_t most, int64_t bound)
{
	const int64_t end = bound < most ? bound : most;

	return end <= least ? end : least + (int64_t)(dice % (uint64_t)(end - least + 1));
}

/* The same job is sampled the same each time. */
static void take_sample(struct snapshot *s)
{
	uint8_t hash[HASH_SHA256_SIZE];
	uint64_t dice[3];

	if (!s->bounds.is_sample)
		return;
	hash_sha256(s->job_id, strlen(s->job_id), hash);
	memcpy(dice, hash, sizeof(dice));
	s->bounds.max_accounts =
		draw(dice[0], SAMPLE_ACCOUNTS, SAMPLE_ACCOUNTS_MOST, s->bounds.max_accounts);
	s->bounds.max_locations_total = draw(
		dice[1], SAMPLE_LOCATIONS, SAMPLE_LOCATIONS_MOST, s->bounds.max_locations_total);
	s->sample = dice[2];
}

static int64_t reviews_most(const struct snapshot *s, const struct location *l)
{
	const int64_t bound = s->bounds.max_reviews_per_location;
	const uint64_t place = hash_stable(l->location_id, strlen(l->location_id));

	return s->bounds.is_sample ? draw(s->sample ^ place, 0, SAMPLE_REVIEWS_MOST, bound) : bound;
}

static int write_location(
	struct snapshot *s, struct db *db, const struct location *l, struct fault *f)
{
	static const char sql[] =
		"SELECT id, account_id, location_id, review_id, rating, comment, reviewer_name,"
		" reviewer_photo_url, review_created_us, reply_text, reply_updated_us, "
		"created_at_ms,"
		" updated_at_ms FROM reviews WHERE location_id = $1 AND deleted_at_ms IS NULL"
		" ORDER BY review_updated_us DESC, id DESC LIMIT $2";
	struct json_out *o = &s->out;
	char name[600];

	snprintf(name, sizeof(name), "locations/%s", l->location_id);
	json_open(o, '{');
	json_add_int(o, "id", l->id);
	json_add_text(o, "location_id", l->location_id);
	json_add_int(o, "client_id", s->client_id);
	json_add_text(o, "google_account_id", s->account->account_id);
	json_add_text(o, "location_name", name);
	json_add_text(o, "location_title", l->title);
	json_add_text(o, "address", l->address);
	json_add_text(o, "phone", l->phone);
	json_add_text(o, "category", l->category);
	json_add_time(o, "created_at", l->created_at_ms);
	json_add_time(o, "updated_at", l->updated_at_ms);
	json_key(o, "reviews");
	json_open(o, '[');
	if (db_read(db, sql, write_review, s, f, db_text(l->location_id),
		    db_int(reviews_most(s, l))) < 0)
		return -1;
	json_close(o, ']');
	json_close(o, '}');
	s->account_locations++;
	return 0;
}

static void write_account(struct snapshot *s, const struct account *a)
{
	struct json_out *o = &s->out;
	char name[600];

	snprintf(name, sizeof(name), "accounts/%s", a->account_id);
	json_key(o, "account");
	json_open(o, '{');
	json_add_int(o, "id", a->id);
	json_add_text(o, "account_id", a->account_id);
	json_add_int(o, "client_id", s->client_id);
	json_add_text(o, "google_account_name", name);
	json_add_text(o, "account_display_name", a->name);
	json_add_time(o, "created_at", a->created_at_ms);
	json_add_time(o, "updated_at", a->updated_at_ms);
	json_close(o, '}');
}

static int write_locations(struct snapshot *s, struct db *db, struct fault *f)
{
	static const char sql[] =
		"SELECT l.id, l.location_id, l.title, l.address, l.phone, l.category,"
		" l.created_at_ms, l.updated_at_ms FROM job_walks w"
		" JOIN locations l ON l.location_id = w.location_id"
		" WHERE w.job_id = $1 AND w.kind = 'reviews' AND w.account_id = $2"
		" ORDER BY w.location_id LIMIT $3";

	if (db_read(db, sql, read_location, s, f, db_text(s->job_id),
		    db_text(s->account->account_id),
		    db_int(s->bounds.max_locations_total - s->locations_written)) < 0)
		return -1;
	json_key(&s->out, "locations");
	json_open(&s->out, '[');
	for (size_t i = 0; i < s->n_locations && !s->truncated; i++) {
		if (write_location(s, db, &s->locations[i], f) < 0)
			return -1;
	}
	json_close(&s->out, ']');
	drop_locations(s);
	return 0;
}

static void write_stats(struct snapshot *s, int64_t accounts, int64_t locations, int64_t reviews)
{
	json_key(&s->out, "stats");
	json_open(&s->out, '{');
	if (accounts >= 0)
		json_add_int(&s->out, "accounts", accounts);
	json_add_int(&s->out, "locations", locations);
	json_add_int(&s->out, "reviews", reviews);
	json_close(&s->out, '}');
}

static int write_accounts(struct snapshot *s, struct db *db, struct fault *f)
{
	json_key(&s->out, "accounts");
	json_open(&s->out, '[');
	for (size_t i = 0; i < s->n_accounts; i++) {
		s->account = &s->accounts[i];
		s->account_locations = s->account_reviews = 0;
		json_open(&s->out, '{');
		write_account(s, s->account);
		if (write_locations(s, db, f) < 0)
			return -1;
		write_stats(s, -1, s->account_locations, s->account_reviews);
		json_close(&s->out, '}');
		s->locations_written += s->account_locations;
		s->reviews_written += s->account_reviews;
	}
	json_close(&s->out, ']');
	return 0;
}

/* Rows hang on each other by key here, so what the original had to check always holds. */
static void write_joins(struct snapshot *s)
{
	json_key(&s->out, "joins_ok");
	json_open(&s->out, '{');
	json_add_bool(&s->out, "account.account_id == location.google_account_id", true);
	json_add_bool(&s->out, "location.location_id == review.location_id", true);
	json_close(&s->out, '}');
}

static int write_snapshot(struct snapshot *s, struct db *db, struct fault *f)
{
	static const char sql[] =
		"SELECT w.id, w.account_id, a.name, a.created_at_ms, a.updated_at_ms FROM "
		"job_walks w"
		" LEFT JOIN accounts a ON a.branch_id = $2 AND a.account_id = w.account_id"
		" WHERE w.job_id = $1 AND w.kind = 'locations' ORDER BY w.account_id LIMIT $3";

	s->accounts = mem_alloc_array((size_t)s->bounds.max_accounts, sizeof(*s->accounts));
	if (db_read(db, sql, read_account, s, f, db_text(s->job_id),
		    db_text(s->branch_id ? s->branch_id : ""), db_int(s->bounds.max_accounts)) < 0)
		return -1;
	json_open(&s->out, '{');
	json_add_text(&s->out, "job_id", s->job_id);
	if (write_accounts(s, db, f) < 0)
		return -1;
	write_stats(s, (int64_t)s->n_accounts, s->locations_written, s->reviews_written);
	write_joins(s);
	if (s->truncated)
		json_add_bool(&s->out, "truncated", true);
	json_close(&s->out, '}');
	return 0;
}

static int read_progress(struct db *db, void *arg, struct fault *f)
{
	struct snapshot *s = arg;

	if (db_read(db, "SELECT pages, finished_at_ms, branch_id FROM jobs WHERE id = $1", read_job,
		    s, f, db_text(s->job_id)) < 0)
		return -1;
	if (!s->found)
		return fault_raise(f, FAULT_MISSING, "Job %.80s not found", s->job_id);
	return 0;
}

static int write_body(struct db *db, void *arg, struct fault *f)
{
	return write_snapshot(arg, db, f);
}

/* The original had a number here; a job with a token of its own has no client, and it said 1. */
static void find_client(struct snapshot *s)
{
	struct client client = {0};
	struct fault ignored;

	s->client_id = 1;
	if (s->branch_id && clients_get_by_branch(s->rf->parts.token_management, s->branch_id,
				    &client, &ignored) == 0) {
		s->client_id = client.id;
		client_done(&client);
	}
}

static bool is_news(
	const struct nested_seen *now, const struct nested_seen *before, int64_t least_pages)
{
	if (now->has_ended && !before->has_ended)
		return true;
	return now->pages != before->pages && now->pages >= least_pages;
}

int nested_write(struct review_fetcher *rf, const char *job_id, const struct nested_bounds *bounds,
	int64_t least_pages, struct buf *ret, struct nested_seen *seen, struct fault *f)
{
	AUTO(snapshot_done)
	struct snapshot s = {.rf = rf, .job_id = job_id, .bounds = *bounds, .out = JSON_OUT(ret)};

	if (store_use(rf->parts.store, read_progress, &s, f) < 0)
		return -1;
	if (!is_news(&s.now, seen, least_pages))
		return 0;
	find_client(&s);
	take_sample(&s);
	if (store_use(rf->parts.store, write_body, &s, f) < 0)
		return -1;
	*seen = s.now;
	return 0;
}
