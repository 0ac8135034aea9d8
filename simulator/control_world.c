/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the world: one operation on one review, or on a fraction of all locations. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "simulator/changes.h"
#include "simulator/control.h"
#include "simulator/review_json.h"

#define SHOWN_MAX 100       /* so many changes are named in the answer */
#define CHANGES_MAX 2000000 /* so many are done at once */

enum { DICE_WHERE = 64, DICE_WHICH };

/* Which reviews an operation fits. */
enum suited { SUITED_LIVE, SUITED_UNANSWERED, SUITED_ANSWERED, SUITED_DELETED, SUITED_NONE };

static const struct operation {
	const char *name;
	enum world_op_kind kind;
	enum suited suited;
	enum place_state state;
	bool is_place;
} operations[] = {
	{"add", WORLD_ADD, SUITED_NONE, PLACE_LIVE, false},
	{"new", WORLD_ADD, SUITED_NONE, PLACE_LIVE, false},
	{"edit", WORLD_EDIT, SUITED_LIVE, PLACE_LIVE, false},
	{"delete", WORLD_DELETE, SUITED_LIVE, PLACE_LIVE, false},
	{"restore", WORLD_RESTORE, SUITED_DELETED, PLACE_LIVE, false},
	{"answer", WORLD_REPLY, SUITED_UNANSWERED, PLACE_LIVE, false},
	{"change_reply", WORLD_REPLY, SUITED_ANSWERED, PLACE_LIVE, false},
	{"remove_reply", WORLD_REPLY, SUITED_ANSWERED, PLACE_LIVE, false},
	{"unverify", WORLD_STATE, SUITED_NONE, PLACE_UNVERIFIED, true},
	{"verify", WORLD_STATE, SUITED_NONE, PLACE_LIVE, true},
	{"vanish", WORLD_STATE, SUITED_NONE, PLACE_VANISHED, true},
	{"return", WORLD_STATE, SUITED_NONE, PLACE_LIVE, true},
};

struct work { /* one operation while it is carried out; the overlay is held for writing */
	struct request *r;
	struct overlay *overlay;
	const json_t *asked;
	const struct operation *op;
	struct world_op template;
	const char *review; /* id or name; NULL: `count` that fit */
	int64_t count, salt;
	char rating_word[64], text[96];
	struct buf *journal, *shown;
	struct json_out out;
	int64_t n_done;
	bool has_failed;
};

static void fail(struct work *w, const char *text, const char *name)
{
	if (!w->has_failed)
		answer_control_error(
			w->r, 400, "%s%s%.100s", text, name ? ": " : "", name ? name : "");
	w->has_failed = true;
}

/* ---- one change ---- */

static void show(struct work *w, const struct world_op *op)
{
	const struct world *world = &w->overlay->world;
	char id[WORLD_REVIEW_ID_SIZE];

	if (w->n_done++ >= SHOWN_MAX)
		return;
	json_open(&w->out, '{');
	json_add_text(&w->out, "op", w->op->name);
	world_location_id(world, op->location, id);
	json_add_text(&w->out, "location", id);
	if (!w->op->is_place) {
		world_review_id(world, op->location, op->index, id);
		json_add_text(&w->out, "review", id);
		json_add_int(&w->out, "index", op->index);
	}
	json_close(&w->out, '}');
}

static bool change(struct work *w, uint64_t location, uint32_t index)
{
	struct world_op op = w->template;

	op.location = location;
	op.index = index;
	op.at_us = overlay_tick(w->overlay, w->r->now_ms * 1000);
	if (op.kind == WORLD_EDIT && !op.edit.comment && !op.edit.no_comment && op.edit.star < 0 &&
		!op.edit.star_name) {
		snprintf(w->text, sizeof(w->text),
			"Edited: on second thoughts, visit %lld was better.", (long long)op.at_us);
		op.edit.comment = w->text;
	}
	if (world_op_apply(w->overlay, &op, w->r->sim->journal ? w->journal : NULL) != 0)
		return false;
	show(w, &op);
	return true;
}

/* ---- which reviews ---- */

static bool suits(const struct work *w, uint64_t location, uint32_t index)
{
	struct review review;
	bool is_live = overlay_review(w->overlay, location, index, &review) == 0;

	switch (w->op->suited) {
	case SUITED_LIVE:
		return is_live;
	case SUITED_UNANSWERED:
		return is_live && !review.reply.is_there;
	case SUITED_ANSWERED:
		return is_live && review.reply.is_there;
	case SUITED_DELETED:
		return overlay_is_deleted(w->overlay, location, index);
	case SUITED_NONE:
		break;
	}
	return false;
}

/* Walks round the location from a place that the dice choose, until enough were changed. */
static void change_some(struct work *w, uint64_t location)
{
	uint32_t n = overlay_index_limit(w->overlay, location), start, index;
	int64_t done = 0;

	if (!n)
		return;
	start = (uint32_t)(world_dice(&w->overlay->world, DICE_WHICH, location, (uint64_t)w->salt) %
			   n);
	for (uint32_t i = 0; i < n && done < w->count && w->n_done < CHANGES_MAX; i++) {
		index = (uint32_t)(((uint64_t)start + i) % n);
		if (suits(w, location, index))
			done += change(w, location, index);
	}
}

static void change_named(struct work *w, uint64_t location)
{
	const char *id = strrchr(w->review, '/');
	uint32_t index;

	id = id ? id + 1 : w->review;
	if (world_review_find(&w->overlay->world, location, id, strlen(id),
		    overlay_index_limit(w->overlay, location), &index) != 0 ||
		!change(w, location, index))
		fail(w, "there is no such review here that this could be done to", w->review);
}

static void change_location(struct work *w, uint64_t location)
{
	if (w->n_done >= CHANGES_MAX)
		fail(w, "these are more than 2,000,000 changes at once; the first were made", NULL);
	else if (w->op->is_place)
		change(w, location, 0);
	else if (w->op->kind == WORLD_ADD)
		for (int64_t i = 0; i < w->count && w->n_done < CHANGES_MAX; i++)
			change(w, location, 0);
	else if (w->review)
		change_named(w, location);
	else
		change_some(w, location);
}

/* ---- which locations ---- */

/* From an id, locations/{id}, or a v4 name of the location or of one of its reviews. */
static uint64_t location_of(const struct work *w, const char *name)
{
	const char *at = name ? strstr(name, "locations/") : NULL;

	if (at)
		name = at + strlen("locations/");
	return name ? world_location_find(&w->overlay->world, name, strcspn(name, "/"))
		    : WORLD_NONE;
}

static void change_by_name(struct work *w, const char *name)
{
	uint64_t location = location_of(w, name);

	if (location == WORLD_NONE)
		fail(w, "there is no such location", name);
	else
		change_location(w, location);
}

static void change_fraction(struct work *w, double fraction)
{
	const struct world *world = &w->overlay->world;
	double dice;

	for (uint64_t l = 0; l < world_location_count(world) && !w->has_failed; l++) {
		dice = (double)(world_dice(world, DICE_WHERE, l, (uint64_t)w->salt) >> 11) /
		       9007199254740992.0;
		if (dice < fraction)
			change_location(w, l);
	}
}

static void change_locations(struct work *w)
{
	const json_t *list = json_member(w->asked, "locations");
	const json_t *fraction = json_member(w->asked, "fraction");
	const char *location = json_text(w->asked, "location");

	if (!location && w->review && strstr(w->review, "locations/"))
		location = w->review;
	if (location) {
		change_by_name(w, location);
	} else if (json_is_array(list)) {
		for (size_t i = 0; i < json_array_size(list) && !w->has_failed; i++)
			change_by_name(w, json_string_value(json_array_get(list, i)));
	} else if (json_is_number(fraction)) {
		change_fraction(w, json_number_value(fraction));
	} else if (json_flag(w->asked, "all", false)) {
		change_fraction(w, 2);
	} else {
		fail(w, "say where: location, locations, fraction or all", NULL);
	}
}

/* ---- what was asked ---- */

static bool read_rating(struct work *w)
{
	const json_t *rating = json_member(w->asked, "rating");

	if (!rating)
		return true;
	if (json_is_integer(rating))
		snprintf(w->rating_word, sizeof(w->rating_word), "%d",
			(int)json_integer_value(rating));
	else if (json_is_string(rating))
		snprintf(w->rating_word, sizeof(w->rating_word), "%s", json_string_value(rating));
	else
		return false;
	review_star_from(w->rating_word, &w->template.edit);
	return true;
}

static void read_texts(struct work *w)
{
	const json_t *anonymous = json_member(w->asked, "anonymous");
	const char *comment = json_text(w->asked, "comment");
	struct world_op *t = &w->template;

	if (t->kind == WORLD_REPLY) {
		t->reply_state = json_text(w->asked, "reply_state");
		t->reply_policy = json_text(w->asked, "policy_violation");
		if (strcmp(w->op->name, "remove_reply") == 0)
			return;
		t->reply = comment ? comment
			   : w->op->suited == SUITED_ANSWERED
				   ? "Thank you again; we have put it right."
				   : "Thank you for your review.";
		if (!t->reply_state)
			t->reply_state = "APPROVED";
		return;
	}
	t->edit.comment = comment;
	t->edit.no_comment = json_is_null(json_member(w->asked, "comment"));
	if (anonymous)
		t->edit.is_anonymous = json_is_true(anonymous);
}

static bool read_operation(struct work *w)
{
	const char *name = json_text(w->asked, "op");

	for (size_t i = 0; i < ARRAY_LEN(operations); i++)
		if (text_equal(operations[i].name, name))
			w->op = &operations[i];
	if (!w->op) {
		fail(w, "there is no such op", name ? name : "(none)");
		return false;
	}
	w->template = (struct world_op){
		.kind = w->op->kind, .edit = REVIEW_EDIT_NONE, .state = w->op->state};
	w->review = json_text(w->asked, "review");
	w->count = json_int(w->asked, "count", 1);
	w->salt = json_int(w->asked, "salt", w->overlay->n_changes);
	if (w->count < 0 || !read_rating(w)) {
		fail(w, "count must not be negative, rating must be 1 to 5 or a word", NULL);
		return false;
	}
	read_texts(w);
	return true;
}

/* expire_page_tokens touches no review. */
static bool is_page_tokens(struct request *r, const json_t *asked)
{
	if (!text_equal(json_text(asked, "op"), "expire_page_tokens"))
		return false;
	pthread_mutex_lock(&r->sim->tunables_lock);
	r->sim->tunables_now.page_generation++;
	pthread_mutex_unlock(&r->sim->tunables_lock);
	return true;
}

void control_world_post(struct request *r)
{
	static const char *const known[] = {"op", "location", "locations", "fraction", "all",
		"review", "count", "salt", "rating", "comment", "anonymous", "reply_state",
		"policy_violation", NULL};
	AUTO(json_drop) json_t *body = NULL;
	AUTO(buf_drop) struct buf journal = BUF_INIT((size_t)JOURNAL_LINE_MAX * 2048);
	AUTO(buf_drop) struct buf shown = BUF_INIT(ANSWER_BYTES_MAX);
	struct work w = {.r = r,
		.overlay = &r->sim->overlay,
		.journal = &journal,
		.shown = &shown,
		.out = JSON_OUT(&shown)};
	size_t n;

	if (!control_body(r, &body))
		return;
	n = json_is_array(body) ? json_array_size(body) : 1;
	overlay_write(w.overlay);
	for (size_t i = 0; i < n && !w.has_failed; i++) {
		w.asked = json_is_array(body) ? json_array_get(body, i) : body;
		w.op = NULL;
		if (!control_keys(r, w.asked, known))
			w.has_failed = true;
		else if (!is_page_tokens(r, w.asked) && read_operation(&w))
			change_locations(&w);
	}
	overlay_done(w.overlay);
	if (journal.len)
		journal_add(r->sim->journal, &journal);
	if (w.has_failed)
		return;
	w.out = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	json_open(&w.out, '{');
	json_add_int(&w.out, "count", w.n_done);
	json_key(&w.out, "applied");
	json_open(&w.out, '[');
	json_put_raw(&w.out, buf_text(&shown), shown.len);
	json_close(&w.out, ']');
	json_close(&w.out, '}');
}
