/* SPDX-License-Identifier: Apache-2.0 */
#include "store/turn.h"

void turn_init(struct turn *t)
{
	*t = (struct turn){0};
	pthread_mutex_init(&t->mutex, NULL);
	pthread_cond_init(&t->moved, NULL);
}

void turn_done(struct turn *t)
{
	pthread_cond_destroy(&t->moved);
	pthread_mutex_destroy(&t->mutex);
}

enum turn_outcome turn_take(struct turn *t)
{
	enum turn_outcome outcome = TURN_OWN;
	uint64_t mine;

	pthread_mutex_lock(&t->mutex);
	if (!t->is_held || !pthread_equal(t->holder, pthread_self())) {
		mine = t->next++;
		while (t->serving != mine)
			pthread_cond_wait(&t->moved, &t->mutex);
		t->holder = pthread_self();
		t->is_held = true;
		outcome = TURN_TAKEN;
	}
	pthread_mutex_unlock(&t->mutex);
	return outcome;
}

void turn_give(struct turn *t)
{
	pthread_mutex_lock(&t->mutex);
	t->is_held = false;
	t->serving++;
	pthread_cond_broadcast(&t->moved);
	pthread_mutex_unlock(&t->mutex);
}
