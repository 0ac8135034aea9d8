/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many background refreshes may run. The gate of the provider narrows while it fails for all
 * and widens by one with each answer that is one; narrowed to one it also pauses, so that an outage
 * is probed by one connection at a time, and its end is no storm. The gate of an app does the same
 * for an OAuth app that the provider refuses, without touching others. Pure but for metrics and
 * log; the owner locks, and logs what they tell it.
 */
#ifndef TOKEN_MANAGEMENT_DUE_GATE_H
#define TOKEN_MANAGEMENT_DUE_GATE_H

#include "base/attr.h"
#include "base/map.h"

struct due_gate {
	int64_t cap;      /* in flight, when all is well */
	int64_t allowed;  /* now */
	int64_t failures; /* in a row */
	int64_t pauses;   /* in a row */
	int64_t shut_until_mono_ms;
	int64_t budget_milli;    /* starts, in thousandths */
	int64_t counted_mono_ms; /* up to when budget was given */
};
/* What changed for people to hear. */
enum due_news { DUE_SAME, DUE_SHUT, DUE_OPEN };

void due_gate_init(struct due_gate *g, int64_t cap, int64_t mono_ms);
/* Milliseconds to wait before one more may start while n run; 0: now; -1: when one has ended. */
int64_t due_gate_wait_ms(struct due_gate *g, int64_t n_running, int64_t mono_ms);
void due_gate_start(struct due_gate *g);
enum due_news due_gate_hear(
	struct due_gate *g, bool failed, int64_t retry_after_ms, int64_t mono_ms);

struct due_apps {
	struct map failing; /* by app id */
};
void due_apps_done(struct due_apps *a);
/* 0: may start, and if it fails it is the one probe; else for how long it must not. */
int64_t due_apps_wait_ms(struct due_apps *a, const char *app_id, int64_t mono_ms);
/* The probe has ended, however. */
void due_apps_probed(struct due_apps *a, const char *app_id);
enum due_news due_apps_hear(struct due_apps *a, const char *app_id, bool refused, int64_t mono_ms);
/* All may be probed at once. */
void due_apps_retry(struct due_apps *a);

#endif
