/* SPDX-License-Identifier: Apache-2.0 */
/* One change of the world: applied, and written to the journal so that a restart can do it again.
 */
#ifndef SIMULATOR_CHANGES_H
#define SIMULATOR_CHANGES_H

#include "base/attr.h"
#include "base/json.h"
#include "simulator/overlay.h"

enum world_op_kind { WORLD_ADD, WORLD_EDIT, WORLD_DELETE, WORLD_RESTORE, WORLD_REPLY, WORLD_STATE };

struct world_op { /* strings are borrowed */
	enum world_op_kind kind;
	uint64_t location;
	uint32_t index; /* of WORLD_ADD: set by world_op_apply */
	int64_t at_us;
	struct review_edit edit;
	const char *reply, *reply_state, *reply_policy; /* WORLD_REPLY; reply NULL: takes it away */
	enum place_state state;                         /* WORLD_STATE */
};
#define REVIEW_EDIT_NONE ((struct review_edit){.star = -1, .is_anonymous = -1})

/* The overlay is held for writing. Adds a line to journal unless that is NULL. 0 done, 1 does not
 * fit. */
MUST_CHECK int world_op_apply(struct overlay *o, struct world_op *op, struct buf *journal);
/* A line of the journal; other kinds are passed over. */
void world_op_replay(struct overlay *o, const json_t *line);

/* "delete" → true and *ret. */
bool world_op_kind_from(const char *name, enum world_op_kind *ret);

#endif
