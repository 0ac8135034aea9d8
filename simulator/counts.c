/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/counts.h"

#include <stdio.h>

static void raise_max(_Atomic int64_t *max, int64_t value)
{
	int64_t seen = atomic_load_explicit(max, memory_order_relaxed);

	while (seen < value && !atomic_compare_exchange_weak(max, &seen, value))
		;
}

void counts_begin(struct counts *c, enum kind kind)
{
	if (kind >= KIND_COUNTED)
		return;
	atomic_fetch_add(&c->requests[kind], 1);
	raise_max(&c->in_flight_max, atomic_fetch_add(&c->in_flight, 1) + 1);
	if (kind_is_token(kind))
		raise_max(&c->token_in_flight_max, atomic_fetch_add(&c->token_in_flight, 1) + 1);
}

void counts_answer(struct counts *c, enum kind kind, unsigned status)
{
	if (kind >= KIND_COUNTED)
		return;
	atomic_fetch_add(&c->statuses[kind][status < COUNTS_STATUSES ? status : 0], 1);
	if (status == 429)
		atomic_fetch_add(&c->throttled, 1);
}

void counts_end(struct counts *c, enum kind kind)
{
	if (kind >= KIND_COUNTED)
		return;
	atomic_fetch_sub(&c->in_flight, 1);
	if (kind_is_token(kind))
		atomic_fetch_sub(&c->token_in_flight, 1);
}

void counts_reset(struct counts *c)
{
	for (int k = 0; k < KIND_COUNTED; k++) {
		atomic_store(&c->requests[k], 0);
		for (int s = 0; s < COUNTS_STATUSES; s++)
			atomic_store(&c->statuses[k][s], 0);
	}
	atomic_store(&c->in_flight_max, atomic_load(&c->in_flight));
	atomic_store(&c->token_in_flight_max, atomic_load(&c->token_in_flight));
	atomic_store(&c->throttled, 0);
	atomic_store(&c->quota_refused, 0);
	atomic_store(&c->code_reused, 0);
	atomic_store(&c->refresh_reused, 0);
	atomic_store(&c->tokens_issued, 0);
	atomic_store(&c->refresh_tokens_issued, 0);
}

static void write_statuses(struct json_out *o, const int64_t by_status[COUNTS_STATUSES])
{
	char name[16];

	json_open(o, '{');
	for (int s = 0; s < COUNTS_STATUSES; s++) {
		if (!by_status[s])
			continue;
		snprintf(name, sizeof(name), "%d", s);
		json_add_int(o, s ? name : "reset", by_status[s]);
	}
	json_close(o, '}');
}

void counts_write(struct counts *c, struct json_out *o, int64_t faults_applied)
{
	int64_t by_status[COUNTS_STATUSES] = {0}, mine[COUNTS_STATUSES];

	json_open(o, '{');
	for (unsigned k = 0; k < KIND_COUNTED; k++)
		json_add_int(o, kind_name(k), atomic_load(&c->requests[k]));
	json_key(o, "by_kind");
	json_open(o, '{');
	for (unsigned k = 0; k < KIND_COUNTED; k++) {
		for (int s = 0; s < COUNTS_STATUSES; s++) {
			mine[s] = atomic_load(&c->statuses[k][s]);
			by_status[s] += mine[s];
		}
		json_key(o, kind_name(k));
		write_statuses(o, mine);
	}
	json_close(o, '}');
	json_key(o, "by_status");
	write_statuses(o, by_status);
	json_add_int(o, "in_flight", atomic_load(&c->in_flight));
	json_add_int(o, "max_in_flight", atomic_load(&c->in_flight_max));
	json_add_int(o, "max_token_in_flight", atomic_load(&c->token_in_flight_max));
	json_add_int(o, "throttled", atomic_load(&c->throttled));
	json_add_int(o, "quota_refused", atomic_load(&c->quota_refused));
	json_add_int(o, "code_reused", atomic_load(&c->code_reused));
	json_add_int(o, "refresh_reused", atomic_load(&c->refresh_reused));
	json_add_int(o, "tokens_issued", atomic_load(&c->tokens_issued));
	json_add_int(o, "refresh_tokens_issued", atomic_load(&c->refresh_tokens_issued));
	json_add_int(o, "faults_applied", faults_applied);
	json_close(o, '}');
}
