/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/review_json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/text.h"

static const char *const star_names[] = {
	"STAR_RATING_UNSPECIFIED", "ONE", "TWO", "THREE", "FOUR", "FIVE"};

const char *review_star_name(const struct review *review)
{
	return review->star_name ? review->star_name : star_names[review->star];
}

void review_star_from(const char *text, struct review_edit *edit)
{
	for (int i = 0; i < (int)ARRAY_LEN(star_names); i++) {
		if (text_equal(text, star_names[i]) || (text[0] == '0' + i && !text[1])) {
			edit->star = i;
			edit->star_name = NULL;
			return;
		}
	}
	edit->star_name = text;
}

static void add_time(struct json_out *o, const char *key, int64_t us, int fraction_digits)
{
	time_t seconds = (time_t)(us / 1000000);
	int fraction = (int)(us % 1000000);
	char text[64];
	struct tm at;
	size_t len;

	gmtime_r(&seconds, &at);
	len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &at);
	if (fraction_digits == 3)
		len += (size_t)snprintf(text + len, sizeof(text) - len, ".%03d", fraction / 1000);
	else if (fraction_digits == 6)
		len += (size_t)snprintf(text + len, sizeof(text) - len, ".%06d", fraction);
	else if (fraction_digits == 9)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, ".%06d%03d", fraction, fraction % 1000);
	snprintf(text + len, sizeof(text) - len, "Z");
	json_add_text(o, key, text);
}

static void put_reviewer(
	const struct world *w, uint64_t location, const struct review *review, struct json_out *o)
{
	unsigned long long number = world_dice(w, 'R', location, review->index) % 900000 + 1000;
	char text[64];

	json_key(o, "reviewer");
	json_open(o, '{');
	snprintf(text, sizeof(text), "https://photos.example/reviewer/%llu", number);
	json_add_text(o, "profilePhotoUrl", text);
	if (review->is_anonymous) {
		json_add_bool(o, "isAnonymous", true);
	} else {
		snprintf(text, sizeof(text), "Reviewer %llu", number);
		json_add_text(o, "displayName", text);
	}
	json_close(o, '}');
}

static void put_comment(
	const struct world *w, uint64_t location, const struct review *review, struct json_out *o)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(2 * WORLD_COMMENT_MAX);

	if (review->is_rating_only)
		return;
	if (!review->comment)
		world_comment(w, location, review->index, &text);
	json_add_text(o, "comment", review->comment ? review->comment : buf_text(&text));
}

void reply_write(
	const struct world *w, uint64_t location, const struct review *review, struct json_out *o)
{
	const struct review_reply *reply = &review->reply;
	AUTO(buf_drop) struct buf text = BUF_INIT(2 * WORLD_COMMENT_MAX);

	if (!reply->comment)
		world_reply_text(w, location, review->index, &text);
	json_open(o, '{');
	json_add_text(o, "comment", reply->comment ? reply->comment : buf_text(&text));
	add_time(o, "updateTime", reply->update_us, 6);
	if (reply->state)
		json_add_text(o, "reviewReplyState", reply->state);
	if (reply->policy)
		json_add_text(o, "policyViolation", reply->policy);
	json_close(o, '}');
}

static void put_media(const char *id, struct json_out *o)
{
	char text[128];

	json_key(o, "reviewMediaItems");
	json_open(o, '[');
	json_open(o, '{');
	snprintf(text, sizeof(text), "https://photos.example/media/%s", id);
	json_add_text(o, "thumbnailUrl", text);
	json_add_text(o, "thumbnailLabel", "Photo");
	json_close(o, '}');
	json_close(o, ']');
}

void review_write(const struct world *w, uint64_t location, const char *parent,
	const struct review *review, struct json_out *o)
{
	static const char future[] = "{\"nested\":[1,null,{\"deep\":true}]}";
	char id[WORLD_REVIEW_ID_SIZE], name[256];

	world_review_id(w, location, review->index, id);
	snprintf(name, sizeof(name), "%s/reviews/%s", parent, id);
	json_open(o, '{');
	json_add_text(o, "reviewId", id);
	put_reviewer(w, location, review, o);
	json_add_text(o, "starRating", review_star_name(review));
	put_comment(w, location, review, o);
	add_time(o, "createTime", review->create_us, review->fraction_digits);
	add_time(o, "updateTime", review->update_us, review->fraction_digits);
	if (review->reply.is_there) {
		json_key(o, "reviewReply");
		reply_write(w, location, review, o);
	}
	json_add_text(o, "name", name);
	if (review->has_media)
		put_media(id, o);
	snprintf(name, sizeof(name), "https://maps.example/reply/%s", id);
	json_add_text(o, "reviewReplyUrl", name);
	if (review->has_future_field) {
		json_key(o, "fieldOfTheFuture");
		json_put_raw(o, future, sizeof(future) - 1);
	}
	json_close(o, '}');
}
