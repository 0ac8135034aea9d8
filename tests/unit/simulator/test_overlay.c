/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/overlay.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "simulator/changes.h"
#include "../test.h"

#define NOW_US INT64_C(1767312000000000)

static struct world small(int64_t reviews)
{
	return (struct world){.seed = 3,
		.users = 1,
		.accounts = 1,
		.locations = 4,
		.reviews = reviews,
		.reviews_exact = true,
		.end_us = INT64_C(1767225600000000)};
}

static int start(void **state)
{
	struct overlay *o = mem_alloc(sizeof(*o));
	struct world w = small(237);

	hash_init();
	overlay_init(o, &w);
	*state = o;
	return 0;
}

static int end(void **state)
{
	overlay_free(*state);
	mem_free(*state);
	return 0;
}

/* Walks all pages of `size`, each from the last key of the one before; how often each index came.
 */
static int64_t walk(const struct overlay *o, uint64_t location, enum review_order order, int size,
	unsigned char seen[static 1000])
{
	struct review_cursor c;
	struct review_key last = {0}, key;
	struct review r;
	int64_t n = 0;
	bool is_first = true;
	int on_page;

	memset(seen, 0, 1000);
	do {
		review_cursor_open(&c, o, location, order, is_first ? NULL : &last);
		for (on_page = 0; on_page < size && review_cursor_next(&c, &r); on_page++, n++) {
			key = (struct review_key){.star = r.star_name ? 0 : r.star,
				.update_us = r.update_us,
				.index = r.index};
			if (!is_first)
				assert_true(review_key_compare(order, &last, &key) < 0);
			is_first = false;
			last = key;
			seen[r.index]++;
		}
	} while (on_page == size);
	return n;
}

static void make_changes(struct overlay *o)
{
	struct review_edit edit = REVIEW_EDIT_NONE;
	uint32_t index;

	for (int i = 0; i < 30; i++) {
		edit.star = i % 6;
		overlay_add(o, 0, overlay_tick(o, NOW_US), &edit, &index);
	}
	for (uint32_t i = 0; i < 260; i += 7) {
		edit.star = (int)(i % 5) + 1;
		assert_int_equal(overlay_edit(o, 0, i, overlay_tick(o, NOW_US), &edit), 0);
	}
	for (uint32_t i = 0; i < 260; i += 11)
		assert_int_equal(overlay_delete(o, 0, i), 0);
	for (uint32_t i = 0; i < 260; i += 22)
		assert_int_equal(overlay_restore(o, 0, i), 0);
}

static void paging_covers_every_review_once_at_any_page_size_in_any_order(void **state)
{
	static const enum review_order orders[] = {
		ORDER_UPDATE_DESC, ORDER_RATING, ORDER_RATING_DESC};
	struct overlay *o = *state;
	unsigned char seen[1000];
	struct place_totals totals;

	make_changes(o);
	overlay_totals(o, 0, &totals);
	for (size_t order = 0; order < ARRAY_LEN(orders); order++) {
		for (int size = 1; size <= 60; size += size < 8 ? 1 : 13) {
			assert_int_equal(walk(o, 0, orders[order], size, seen), totals.count);
			for (uint32_t i = 0; i < overlay_index_limit(o, 0); i++)
				assert_int_equal(seen[i], !overlay_is_deleted(o, 0, i));
		}
	}
}

static void totals_agree_with_the_reviews_that_are_there(void **state)
{
	struct overlay *o = *state;
	struct place_totals totals;
	int64_t count = 0, rated = 0, sum = 0;
	struct review_cursor c;
	struct review r;

	make_changes(o);
	assert_int_equal(
		overlay_edit(o, 0, 1, overlay_tick(o, NOW_US),
			&(struct review_edit){.star = -1, .star_name = "SIX", .is_anonymous = -1}),
		0);
	overlay_totals(o, 0, &totals);
	review_cursor_open(&c, o, 0, ORDER_UPDATE_DESC, NULL);
	while (review_cursor_next(&c, &r)) {
		count++;
		if (r.star_name || r.star == 0)
			continue;
		rated++;
		sum += r.star;
	}
	assert_int_equal(totals.count, count);
	assert_int_equal(totals.rated, rated);
	assert_int_equal(totals.star_sum, sum);
}

static void a_walk_sees_every_unchanged_review_once_while_others_change(void **state)
{
	struct overlay *o = *state;
	struct review_edit edit = REVIEW_EDIT_NONE;
	struct review_key last = {0};
	struct review_cursor c;
	struct review r;
	unsigned char seen[1000] = {0};
	bool is_first = true, is_more = true;
	uint32_t index;

	edit.star = 4;
	for (uint32_t page = 0; is_more; page++) {
		review_cursor_open(&c, o, 1, ORDER_UPDATE_DESC, is_first ? NULL : &last);
		for (int i = 0; i < 10 && (is_more = review_cursor_next(&c, &r)); i++) {
			seen[r.index]++;
			last = (struct review_key){.update_us = r.update_us, .index = r.index};
			is_first = false;
		}
		overlay_add(o, 1, overlay_tick(o, NOW_US), &edit, &index);
		/* Even ones move to the top; one that was seen may not come again. */
		(void)!overlay_edit(o, 1, page * 2 % 237, overlay_tick(o, NOW_US), &edit);
		(void)!overlay_delete(o, 1, 236 - page * 4 % 230);
	}
	for (uint32_t i = 0; i < 237; i++)
		assert_true(seen[i] <= 1);
	for (uint32_t i = 1; i < 237; i += 2)
		assert_int_equal(seen[i] + overlay_is_deleted(o, 1, i) > 0, 1);
}

static void a_deleted_review_is_gone_and_a_restored_one_is_as_it_was(void **state)
{
	struct overlay *o = *state;
	struct review before, after;

	assert_int_equal(overlay_review(o, 2, 17, &before), 0);
	assert_int_equal(overlay_delete(o, 2, 17), 0);
	assert_int_equal(overlay_delete(o, 2, 17), 1);
	assert_int_equal(overlay_review(o, 2, 17, &after), 1);
	assert_int_equal(overlay_edit(o, 2, 17, NOW_US, &REVIEW_EDIT_NONE), 1);
	assert_int_equal(overlay_restore(o, 2, 17), 0);
	assert_int_equal(overlay_restore(o, 2, 17), 1);
	assert_int_equal(overlay_review(o, 2, 17, &after), 0);
	assert_int_equal(before.update_us, after.update_us);
	assert_int_equal(before.star, after.star);
	assert_int_equal(overlay_delete(o, 2, 237), 1);
}

static void a_reply_moves_its_review_only_when_told_to(void **state)
{
	struct overlay *o = *state;
	struct review before, after;

	assert_int_equal(overlay_review(o, 2, 5, &before), 0);
	assert_int_equal(overlay_reply(o, 2, 5, NOW_US, "Thanks", "APPROVED", NULL), 0);
	assert_int_equal(overlay_review(o, 2, 5, &after), 0);
	assert_int_equal(after.update_us, before.update_us);
	assert_string_equal(after.reply.comment, "Thanks");
	o->reply_moves_review = true;
	assert_int_equal(overlay_reply(o, 2, 5, NOW_US + 1, NULL, NULL, NULL), 0);
	assert_int_equal(overlay_review(o, 2, 5, &after), 0);
	assert_int_equal(after.update_us, NOW_US + 1);
	assert_false(after.reply.is_there);
}

static void instants_of_changes_strictly_rise(void **state)
{
	struct overlay *o = *state;

	assert_int_equal(overlay_tick(o, NOW_US), NOW_US);
	assert_int_equal(overlay_tick(o, NOW_US), NOW_US + 1);
	assert_int_equal(overlay_tick(o, NOW_US - 5), NOW_US + 2);
	assert_int_equal(overlay_tick(o, NOW_US + 9), NOW_US + 9);
}

static void journalled_changes_replayed_make_the_same_world(void **state)
{
	struct overlay *o = *state, again;
	AUTO(buf_drop) struct buf journal = BUF_INIT(1024 * 1024);
	struct world_op ops[] = {
		{.kind = WORLD_ADD,
			.edit = {.star = 2, .comment = "new \"one\"\n", .is_anonymous = 1}},
		{.kind = WORLD_EDIT,
			.index = 4,
			.edit = {.star = -1,
				.star_name = "TEN",
				.no_comment = true,
				.is_anonymous = -1}},
		{.kind = WORLD_DELETE, .index = 5},
		{.kind = WORLD_REPLY,
			.index = 6,
			.reply = "a reply",
			.reply_state = "REJECTED",
			.reply_policy = "SPAM"},
		{.kind = WORLD_STATE, .state = PLACE_UNVERIFIED},
	};
	struct world w = small(237);
	struct review a, b;
	struct fault f;
	char *save = NULL;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		ops[i].at_us = overlay_tick(o, NOW_US);
		assert_int_equal(world_op_apply(o, &ops[i], &journal), 0);
	}
	overlay_init(&again, &w);
	for (char *line = strtok_r(journal.data, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		AUTO(json_drop) json_t *parsed = NULL;

		assert_int_equal(json_parse(line, strlen(line), &parsed, &f), 0);
		world_op_replay(&again, parsed);
	}
	for (uint32_t i = 0; i < 238; i++) {
		int there = overlay_review(o, 0, i, &a);

		assert_int_equal(overlay_review(&again, 0, i, &b), there);
		if (there)
			continue;
		assert_int_equal(a.update_us, b.update_us);
		assert_int_equal(a.star, b.star);
		assert_int_equal(a.is_rating_only, b.is_rating_only);
		assert_true(!a.comment || strcmp(a.comment, b.comment) == 0);
		assert_true(!a.reply.comment || strcmp(a.reply.comment, b.reply.comment) == 0);
	}
	assert_int_equal(overlay_state(&again, 0), PLACE_UNVERIFIED);
	assert_int_equal(again.last_us, o->last_us);
	overlay_free(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			paging_covers_every_review_once_at_any_page_size_in_any_order, start, end),
		cmocka_unit_test_setup_teardown(
			totals_agree_with_the_reviews_that_are_there, start, end),
		cmocka_unit_test_setup_teardown(
			a_walk_sees_every_unchanged_review_once_while_others_change, start, end),
		cmocka_unit_test_setup_teardown(
			a_deleted_review_is_gone_and_a_restored_one_is_as_it_was, start, end),
		cmocka_unit_test_setup_teardown(
			a_reply_moves_its_review_only_when_told_to, start, end),
		cmocka_unit_test_setup_teardown(instants_of_changes_strictly_rise, start, end),
		cmocka_unit_test_setup_teardown(
			journalled_changes_replayed_make_the_same_world, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
