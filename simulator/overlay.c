/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/overlay.h"

#include <string.h>

#include "base/mem.h"

void overlay_init(struct overlay *o, const struct world *w)
{
	*o = (struct overlay){.world = *w, .places = MAP_INIT};
	pthread_rwlock_init(&o->lock, NULL);
}

static void change_free(struct change *c)
{
	mem_free(c->star_name);
	mem_free(c->comment);
	mem_free(c->reply_comment);
	mem_free(c->reply_state);
	mem_free(c->reply_policy);
	mem_free(c);
}

static int free_change(void *arg, const void *key, size_t len, void *value)
{
	(void)arg, (void)key, (void)len;
	change_free(value);
	return 0;
}

static int free_place(void *arg, const void *key, size_t len, void *value)
{
	struct place *p = value;

	(void)arg, (void)key, (void)len;
	map_each(&p->by_index, free_change, NULL);
	map_drop(&p->by_index);
	mem_free(p->by_time);
	mem_free(p);
	return 0;
}

void overlay_free(struct overlay *o)
{
	map_each(&o->places, free_place, NULL);
	map_drop(&o->places);
	pthread_rwlock_destroy(&o->lock);
}

void overlay_read(struct overlay *o)
{
	pthread_rwlock_rdlock(&o->lock);
}

void overlay_write(struct overlay *o)
{
	pthread_rwlock_wrlock(&o->lock);
}

void overlay_done(struct overlay *o)
{
	pthread_rwlock_unlock(&o->lock);
}

/* ---- reading ---- */

const struct place *overlay_place(const struct overlay *o, uint64_t location)
{
	return map_get(&o->places, &location, sizeof(location));
}

enum place_state overlay_state(const struct overlay *o, uint64_t location)
{
	const struct place *p = overlay_place(o, location);
	int64_t every = o->world.unverified_every;

	if (p && p->has_state)
		return p->state;
	return every > 0 && location % (uint64_t)every == (uint64_t)every - 1 ? PLACE_UNVERIFIED
									      : PLACE_LIVE;
}

void overlay_totals(const struct overlay *o, uint64_t location, struct place_totals *ret)
{
	const struct place *p = overlay_place(o, location);
	uint32_t n = world_review_count(&o->world, location);

	ret->count = n;
	world_star_sum(&o->world, location, n, &ret->star_sum, &ret->rated);
	if (p) {
		ret->count += p->count_delta;
		ret->star_sum += p->star_delta;
		ret->rated += p->rated_delta;
	}
}

uint32_t overlay_index_limit(const struct overlay *o, uint64_t location)
{
	const struct place *p = overlay_place(o, location);

	return p ? p->next_index : world_review_count(&o->world, location);
}

static struct change *find_change(const struct place *p, uint32_t index)
{
	return p ? map_get(&p->by_index, &index, sizeof(index)) : NULL;
}

int overlay_review(const struct overlay *o, uint64_t location, uint32_t index, struct review *ret)
{
	const struct change *c = find_change(overlay_place(o, location), index);

	if (c) {
		*ret = c->review;
		return c->is_deleted;
	}
	if (index >= world_review_count(&o->world, location))
		return 1;
	world_review(&o->world, location, index, ret);
	return 0;
}

bool overlay_is_deleted(const struct overlay *o, uint64_t location, uint32_t index)
{
	const struct change *c = find_change(overlay_place(o, location), index);

	return c && c->is_deleted;
}

/* ---- changing ---- */

int64_t overlay_tick(struct overlay *o, int64_t now_us)
{
	o->last_us = now_us > o->last_us ? now_us : o->last_us + 1;
	return o->last_us;
}

static struct place *place_make(struct overlay *o, uint64_t location)
{
	struct place *p = map_get(&o->places, &location, sizeof(location));

	if (p)
		return p;
	p = mem_alloc(sizeof(*p));
	p->location = location;
	p->next_index = world_review_count(&o->world, location);
	map_put(&o->places, &location, sizeof(location), p);
	return p;
}

static bool is_before(int64_t update_us, uint32_t index, const struct change *c)
{
	return update_us < c->review.update_us ||
	       (update_us == c->review.update_us && index <= c->review.index);
}

/* How many of the live changes come before (update_us, index). */
static size_t rank(const struct place *p, int64_t update_us, uint32_t index)
{
	size_t low = 0, high = p->n_live, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (is_before(update_us, index, p->by_time[middle]))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void insert(struct place *p, struct change *c)
{
	size_t at = rank(p, c->review.update_us, c->review.index);

	if (p->n_live == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 4;
		p->by_time = mem_resize(p->by_time, p->cap * sizeof(struct change *));
	}
	memmove(p->by_time + at + 1, p->by_time + at, (p->n_live - at) * sizeof(struct change *));
	p->by_time[at] = c;
	p->n_live++;
}

static void take_out(struct place *p, const struct change *c)
{
	size_t at = rank(p, c->review.update_us, c->review.index);

	p->n_live--;
	memmove(p->by_time + at, p->by_time + at + 1, (p->n_live - at) * sizeof(struct change *));
}

/* Adds a review's part of the totals, or takes it away (sign -1). */
static void count_in(struct place *p, const struct review *r, int sign)
{
	bool is_rated = r->star > 0 && !r->star_name;

	p->count_delta += sign;
	p->rated_delta += is_rated ? sign : 0;
	p->star_delta += is_rated ? sign * r->star : 0;
}

/* The change of an existing review, made on first touch with the review as it is. NULL: never
 * there. */
static struct change *change_make(
	struct overlay *o, uint64_t location, uint32_t index, struct place **ret_place)
{
	struct place *p;
	struct change *c;
	struct review r;

	c = find_change(overlay_place(o, location), index);
	if (!c && overlay_review(o, location, index, &r) != 0)
		return NULL;
	p = *ret_place = place_make(o, location);
	if (c)
		return c;
	c = mem_alloc(sizeof(*c));
	c->review = r;
	map_put(&p->by_index, &index, sizeof(index), c);
	insert(p, c);
	o->n_changes++;
	return c;
}

static void set_text(char **text, const char *to)
{
	char *copy = to ? mem_text(to) : NULL;

	mem_free(*text);
	*text = copy;
}

static void apply_edit(struct change *c, const struct review_edit *edit)
{
	struct review *r = &c->review;

	if (edit->star_name || edit->star >= 0) {
		set_text(&c->star_name, edit->star_name);
		r->star_name = c->star_name;
		r->star = edit->star_name ? 0 : edit->star;
	}
	if (edit->comment) {
		set_text(&c->comment, edit->comment);
		r->comment = c->comment;
		r->is_rating_only = false;
	}
	if (edit->no_comment)
		r->is_rating_only = true;
	if (edit->is_anonymous >= 0)
		r->is_anonymous = edit->is_anonymous;
}

void overlay_add(struct overlay *o, uint64_t location, int64_t at_us,
	const struct review_edit *edit, uint32_t *ret_index)
{
	struct place *p = place_make(o, location);
	struct change *c = mem_alloc(sizeof(*c));
	uint32_t index = p->next_index++;

	world_review(&o->world, location, index, &c->review);
	c->review.create_us = c->review.update_us = at_us;
	c->review.fraction_digits = 6;
	c->review.reply = (struct review_reply){0};
	apply_edit(c, edit);
	map_put(&p->by_index, &index, sizeof(index), c);
	insert(p, c);
	count_in(p, &c->review, 1);
	o->n_changes++;
	*ret_index = index;
}

int overlay_edit(struct overlay *o, uint64_t location, uint32_t index, int64_t at_us,
	const struct review_edit *edit)
{
	struct place *p;
	struct change *c = change_make(o, location, index, &p);

	if (!c || c->is_deleted)
		return 1;
	take_out(p, c);
	count_in(p, &c->review, -1);
	apply_edit(c, edit);
	c->review.update_us = at_us;
	c->review.fraction_digits = 6;
	count_in(p, &c->review, 1);
	insert(p, c);
	return 0;
}

int overlay_delete(struct overlay *o, uint64_t location, uint32_t index)
{
	struct place *p;
	struct change *c = change_make(o, location, index, &p);

	if (!c || c->is_deleted)
		return 1;
	take_out(p, c);
	count_in(p, &c->review, -1);
	c->is_deleted = true;
	return 0;
}

int overlay_restore(struct overlay *o, uint64_t location, uint32_t index)
{
	struct place *p;
	struct change *c = change_make(o, location, index, &p);

	if (!c || !c->is_deleted)
		return 1;
	c->is_deleted = false;
	insert(p, c);
	count_in(p, &c->review, 1);
	return 0;
}

int overlay_reply(struct overlay *o, uint64_t location, uint32_t index, int64_t at_us,
	const char *comment, const char *state, const char *policy)
{
	struct place *p;
	struct change *c = change_make(o, location, index, &p);
	struct review_reply *reply;

	if (!c || c->is_deleted)
		return 1;
	set_text(&c->reply_comment, comment);
	set_text(&c->reply_state, state);
	set_text(&c->reply_policy, policy);
	reply = &c->review.reply;
	*reply = (struct review_reply){.is_there = comment != NULL,
		.comment = c->reply_comment,
		.state = c->reply_state,
		.policy = c->reply_policy,
		.update_us = at_us};
	if (o->reply_moves_review) {
		take_out(p, c);
		c->review.update_us = at_us;
		insert(p, c);
	}
	return 0;
}

void overlay_set_state(struct overlay *o, uint64_t location, enum place_state state)
{
	struct place *p = place_make(o, location);

	p->state = state;
	p->has_state = true;
}
