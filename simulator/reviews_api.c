/* SPDX-License-Identifier: Apache-2.0 */
/* v4: reviews.list, reviews.get, updateReply, deleteReply. */
#include "simulator/reviews_api.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "simulator/changes.h"
#include "simulator/review_json.h"

static void refuse_unverified(struct request *r)
{
	answer_google_error(r, &(struct google_error){.status = 400,
				       .message = "This operation needs a verified location.",
				       .reason = "UNVERIFIED_LOCATION",
				       .service = "mybusiness.googleapis.com",
				       .is_v4_validation = true});
}

bool reviews_place(struct request *r, uint64_t user, const char *account, size_t account_len,
	const char *location, size_t location_len, struct place_name *ret)
{
	const struct overlay *o = &r->sim->overlay;
	uint64_t owner = world_account_find(&o->world, account, account_len);
	enum place_state state;

	ret->location = world_location_find(&o->world, location, location_len);
	if (owner == WORLD_NONE || ret->location == WORLD_NONE ||
		owner / (uint64_t)o->world.accounts != user ||
		!world_is_visible(&o->world, owner, ret->location)) {
		answer_not_found(r);
		return false;
	}
	state = overlay_state(o, ret->location);
	if (state == PLACE_LIVE) {
		snprintf(ret->text, sizeof(ret->text), "accounts/%.*s/locations/%.*s",
			(int)account_len, account, (int)location_len, location);
		return true;
	}
	if (state == PLACE_UNVERIFIED)
		refuse_unverified(r);
	else
		answer_not_found(r);
	return false;
}

static bool place_of_path(struct request *r, uint64_t user, struct place_name *ret)
{
	return reviews_place(
		r, user, r->args[0], strlen(r->args[0]), r->args[1], strlen(r->args[1]), ret);
}

bool reviews_order(struct request *r, const char *text, enum review_order *ret)
{
	if (!text || !*text || text_equal(text, "updateTime desc") ||
		text_equal(text, "update_time desc"))
		*ret = ORDER_UPDATE_DESC;
	else if (text_equal(text, "rating"))
		*ret = ORDER_RATING;
	else if (text_equal(text, "rating desc"))
		*ret = ORDER_RATING_DESC;
	else {
		answer_invalid(r, "order_by",
			"The order must be \"rating\", \"rating desc\" or \"updateTime desc\".");
		return false;
	}
	return true;
}

/* ---- list ---- */

struct listing {
	struct place_name place;
	enum review_order order;
	int64_t size;
	uint64_t scope;
	const struct review_key *after; /* NULL: from the start */
};

static void write_totals(const struct overlay *overlay, uint64_t location, struct json_out *o)
{
	struct place_totals totals;

	overlay_totals(overlay, location, &totals);
	if (totals.rated > 0) {
		json_key(o, "averageRating");
		json_put_double(o, round((double)totals.star_sum / (double)totals.rated * 10) / 10);
	}
	if (totals.count > 0)
		json_add_int(o, "totalReviewCount", totals.count);
}

static void write_page(struct request *r, const struct listing *l)
{
	const struct overlay *overlay = &r->sim->overlay;
	struct json_out o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
	struct page_token next = {.scope = l->scope};
	struct review_cursor cursor;
	struct review review;
	bool is_more;
	int64_t n = 0;

	review_cursor_open(&cursor, overlay, l->place.location, l->order, l->after);
	json_open(&o, '{');
	while ((is_more = review_cursor_next(&cursor, &review)) && n < l->size) {
		if (n++ == 0) {
			json_key(&o, "reviews");
			json_open(&o, '[');
		}
		review_write(&overlay->world, l->place.location, l->place.text, &review, &o);
		next.key = (struct review_key){.star = review.star_name ? 0 : review.star,
			.update_us = review.update_us,
			.index = review.index};
	}
	if (n)
		json_close(&o, ']');
	write_totals(overlay, l->place.location, &o);
	if (is_more)
		api_token_add(r, &o, &next);
	json_close(&o, '}');
}

void reviews_list(struct request *r)
{
	const char *order = params_get(&r->query, "orderBy");
	const char *scope_parts[] = {"reviews", r->args[0], r->args[1], order};
	struct listing l = {.scope = api_scope(scope_parts, ARRAY_LEN(scope_parts))};
	struct page_token after;
	uint64_t user;
	bool is_first;

	if (!api_begin(r, API_REVIEWS, NULL, &user) || !reviews_order(r, order, &l.order) ||
		!api_page_size(r,
			&(struct page_size){.text = params_get(&r->query, "pageSize"),
				.standard = REVIEWS_PAGE,
				.most = REVIEWS_PAGE},
			&l.size) ||
		!api_token_read(r, params_get(&r->query, "pageToken"), l.scope, &after, &is_first))
		return;
	l.after = is_first ? NULL : &after.key;
	overlay_read(&r->sim->overlay);
	if (place_of_path(r, user, &l.place))
		write_page(r, &l);
	overlay_done(&r->sim->overlay);
}

/* ---- one review ---- */

/* The live review of the path. The overlay is held. False: 404, answered. */
static bool find_review(struct request *r, const struct place_name *place, struct review *ret)
{
	const struct overlay *o = &r->sim->overlay;
	uint32_t index;

	if (world_review_find(&o->world, place->location, r->args[2], strlen(r->args[2]),
		    overlay_index_limit(o, place->location), &index) == 0 &&
		overlay_review(o, place->location, index, ret) == 0)
		return true;
	answer_not_found(r);
	return false;
}

void reviews_get(struct request *r)
{
	struct place_name place;
	struct review review;
	struct json_out o;
	uint64_t user;

	if (!api_begin(r, API_REVIEWS, NULL, &user))
		return;
	overlay_read(&r->sim->overlay);
	if (place_of_path(r, user, &place) && find_review(r, &place, &review)) {
		o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
		review_write(&r->sim->overlay.world, place.location, place.text, &review, &o);
	}
	overlay_done(&r->sim->overlay);
}

/* ---- replies ---- */

/* Sets or takes away the reply of the path's review; comment NULL takes it away. */
static void change_reply(struct request *r, const char *comment)
{
	struct overlay *overlay = &r->sim->overlay;
	AUTO(buf_drop) struct buf journal = BUF_INIT(JOURNAL_LINE_MAX);
	struct world_op op = {.kind = WORLD_REPLY, .reply = comment, .edit = REVIEW_EDIT_NONE};
	struct tunables set = tunables(r->sim);
	struct place_name place;
	struct review review;
	struct json_out o;
	uint64_t user,
		location = world_location_find(&overlay->world, r->args[1], strlen(r->args[1]));

	if (!api_begin(r, API_REVIEWS, &location, &user))
		return;
	op.reply_state = comment && *set.reply_state ? set.reply_state : NULL;
	overlay_write(overlay);
	if (place_of_path(r, user, &place) && find_review(r, &place, &review)) {
		op.location = place.location;
		op.index = review.index;
		op.at_us = overlay_tick(overlay, r->now_ms * 1000);
		if ((!comment && !review.reply.is_there) ||
			world_op_apply(overlay, &op, &journal) != 0 ||
			overlay_review(overlay, place.location, op.index, &review) != 0) {
			answer_not_found(r);
		} else {
			o = JSON_OUT(answer_start(r, 200, ANSWER_JSON));
			if (comment)
				reply_write(&overlay->world, place.location, &review, &o);
			else
				buf_add_text(o.to, "{}");
		}
	}
	overlay_done(overlay);
	if (journal.len)
		journal_add(r->sim->journal, &journal);
}

void reply_put(struct request *r)
{
	AUTO(json_drop) json_t *body = NULL;
	const char *comment;
	struct fault f;

	if (json_parse(buf_text(&r->body), r->body.len, &body, &f) < 0 ||
		!(comment = json_text(body, "comment"))) {
		answer_invalid(
			r, "reply.comment", "The body must be a JSON object with a comment.");
		return;
	}
	if (!*comment || strlen(comment) > WORLD_COMMENT_MAX) {
		answer_invalid(r, "reply.comment", "The comment must have 1 to 4096 bytes.");
		return;
	}
	change_reply(r, comment);
}

void reply_delete(struct request *r)
{
	change_reply(r, NULL);
}
