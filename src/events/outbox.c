/* SPDX-License-Identifier: Apache-2.0 */
#include "events/events.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "store/store.h"

void event_id_of(const char *kind, const char *key, char ret[static EVENT_ID_SIZE])
{
	uint8_t part[2][HASH_BLAKE2B_SIZE], whole[HASH_BLAKE2B_SIZE];

	/* Each on its own first: no kind and key run together into those of another. */
	hash_blake2b(kind, strlen(kind), part[0]);
	hash_blake2b(key, strlen(key), part[1]);
	hash_blake2b(part, sizeof(part), whole);
	for (size_t i = 0; i < (EVENT_ID_SIZE - 1) / 2; i++)
		snprintf(ret + 2 * i, 3, "%02x", whole[i]);
}

int events_add(struct db *db, const struct event *e, struct fault *f)
{
	char id[EVENT_ID_SIZE];
	int64_t changed;

	event_id_of(e->kind, e->key, id);
	if (db_exec(db,
		    "INSERT INTO events (event_id, kind, branch_id, ref, account_id, location_id,"
		    " data, at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
		    " ON CONFLICT (event_id) DO NOTHING",
		    &changed, f, db_text(id), db_text(e->kind), db_text(e->branch_id),
		    db_text(e->ref), db_text(e->account_id), db_text(e->location_id),
		    db_text(e->data != NULL ? e->data : "{}"),
		    db_int(e->at_ms != 0 ? e->at_ms : clock_wall_ms())) < 0)
		return -1;
	return changed == 1 ? EVENT_ADDED : EVENT_KNOWN;
}

void event_write(struct buf *ret, const struct event_row *row)
{
	struct json_out o = JSON_OUT(ret);
	size_t from;

	json_open(&o, '{');
	json_add_text(&o, "event_id", row->event_id);
	json_add_text(&o, "event", row->kind);
	json_add_int(&o, "position", row->position);
	json_add_text(&o, "branch_id", row->branch_id);
	json_add_text(&o, "ref", row->ref);
	json_add_text(&o, "account_id", row->account_id);
	json_add_text(&o, "location_id", row->location_id);
	json_add_time(&o, "at", row->at_ms);
	json_key(&o, "data");
	from = ret->len;
	json_put_raw(&o, row->data, strlen(row->data));
	/* One line, whatever the writer thought pretty: inside a string they would be escaped. */
	for (; from < ret->len; from++) {
		if (ret->data[from] == '\n' || ret->data[from] == '\r')
			ret->data[from] = ' ';
	}
	json_close(&o, '}');
}
