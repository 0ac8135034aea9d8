/* SPDX-License-Identifier: Apache-2.0 */
/* An outbox in a folder of its own, and a clock that stands still. */
#ifndef TESTS_UNIT_DELIVERY_RIG_H
#define TESTS_UNIT_DELIVERY_RIG_H

#include "../test.h"

#include "core/settings.h"
#include "delivery/courier.h"
#include "delivery/delivery.h"
#include "store/store.h"

#define CHECK(call, f)                                        \
	do {                                                  \
		if ((call) < 0)                               \
			fail_msg("%s: %s", #call, (f)->text); \
	} while (0)

struct rig {
	char folder[64], url[128];
	struct settings settings;
	struct store *store;
	struct delivery_parts parts;
	int64_t mono_ms, wall_ms;
};
extern struct rig rig;

int rig_up(void **state); /* cmocka setup and teardown */
int rig_down(void **state);
/* One more event; the key is made of all three. */
void rig_event(const char *kind, const char *ref, const char *data);
int64_t rig_number(const char *sql);
/* What the thread of a courier does, once. */
int64_t rig_round(struct courier *c);
void rig_pass(int64_t ms);

#endif
