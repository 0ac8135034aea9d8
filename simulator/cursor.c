/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One order out of two sources: the seed's reviews, whose update times rise with the index, and the
 * changed ones, sorted by the same key. The walk goes down both at once and skips in the first what
 * the second has. The rating orders walk once per number of stars.
 */
#include "simulator/overlay.h"

static int class_of(const struct review *r)
{
	return r->star_name ? 0 : r->star;
}

static int first_class(enum review_order order)
{
	return order == ORDER_RATING ? 0 : 5;
}

/* The first index whose (update time, index) is not below the key's: what comes before is [0, it).
 */
static int64_t base_below(const struct review_cursor *c, int64_t update_us, uint32_t index)
{
	const struct world *w = &c->overlay->world;
	int64_t low = 0, high = c->base_n, middle, at;

	while (low < high) {
		middle = low + (high - low) / 2;
		at = world_update_us(w, c->location, (uint32_t)middle);
		if (at < update_us || (at == update_us && middle < index))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int64_t top_below(const struct review_cursor *c, int64_t update_us, uint32_t index)
{
	size_t low = 0, high = c->place ? c->place->n_live : 0, middle;
	const struct review *r;

	while (low < high) {
		middle = low + (high - low) / 2;
		r = &c->place->by_time[middle]->review;
		if (r->update_us < update_us || (r->update_us == update_us && r->index < index))
			low = middle + 1;
		else
			high = middle;
	}
	return (int64_t)low;
}

static void rewind_both(struct review_cursor *c)
{
	c->base_at = (int64_t)c->base_n - 1;
	c->top_at = c->place ? (int64_t)c->place->n_live - 1 : -1;
}

void review_cursor_open(struct review_cursor *c, const struct overlay *o, uint64_t location,
	enum review_order order, const struct review_key *after)
{
	*c = (struct review_cursor){.overlay = o,
		.place = overlay_place(o, location),
		.location = location,
		.order = order,
		.star = first_class(order),
		.base_n = world_review_count(&o->world, location)};
	if (!after) {
		rewind_both(c);
		return;
	}
	c->star = after->star;
	c->base_at = base_below(c, after->update_us, after->index) - 1;
	c->top_at = top_below(c, after->update_us, after->index) - 1;
}

/* Moves down to the next unchanged review of the seed that belongs to the class. */
static bool settle_base(struct review_cursor *c)
{
	const struct world *w = &c->overlay->world;
	uint32_t index;

	for (; c->base_at >= 0; c->base_at--) {
		index = (uint32_t)c->base_at;
		if (c->order != ORDER_UPDATE_DESC && world_star(w, c->location, index) != c->star)
			continue;
		if (!c->place || !map_get(&c->place->by_index, &index, sizeof(index)))
			return true;
	}
	return false;
}

static bool settle_top(struct review_cursor *c)
{
	for (; c->top_at >= 0; c->top_at--)
		if (c->order == ORDER_UPDATE_DESC ||
			class_of(&c->place->by_time[c->top_at]->review) == c->star)
			return true;
	return false;
}

static bool next_class(struct review_cursor *c)
{
	if (c->order == ORDER_UPDATE_DESC)
		return false;
	c->star += c->order == ORDER_RATING ? 1 : -1;
	if (c->star < 0 || c->star > 5)
		return false;
	rewind_both(c);
	return true;
}

bool review_cursor_next(struct review_cursor *c, struct review *ret)
{
	bool has_base, has_top;
	const struct review *top;

	while (!c->at_end) {
		has_base = settle_base(c);
		has_top = settle_top(c);
		if (has_base)
			world_review(&c->overlay->world, c->location, (uint32_t)c->base_at, ret);
		top = has_top ? &c->place->by_time[c->top_at]->review : NULL;
		if (top && (!has_base || top->update_us > ret->update_us ||
				   (top->update_us == ret->update_us && top->index > ret->index))) {
			*ret = *top;
			c->top_at--;
			return true;
		}
		if (has_base) {
			c->base_at--;
			return true;
		}
		c->at_end = !next_class(c);
	}
	return false;
}

int review_key_compare(
	enum review_order order, const struct review_key *a, const struct review_key *b)
{
	if (order != ORDER_UPDATE_DESC && a->star != b->star)
		return (a->star < b->star) == (order == ORDER_RATING) ? -1 : 1;
	if (a->update_us != b->update_us)
		return a->update_us > b->update_us ? -1 : 1;
	return a->index == b->index ? 0 : a->index > b->index ? -1 : 1;
}
