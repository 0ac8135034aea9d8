/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/changes.h"

#include "base/text.h"

static const char *const names[] = {
	[WORLD_ADD] = "add",
	[WORLD_EDIT] = "edit",
	[WORLD_DELETE] = "delete",
	[WORLD_RESTORE] = "restore",
	[WORLD_REPLY] = "reply",
	[WORLD_STATE] = "state",
};

static int apply(struct overlay *o, struct world_op *op)
{
	switch (op->kind) {
	case WORLD_ADD:
		overlay_add(o, op->location, op->at_us, &op->edit, &op->index);
		return 0;
	case WORLD_EDIT:
		return overlay_edit(o, op->location, op->index, op->at_us, &op->edit);
	case WORLD_DELETE:
		return overlay_delete(o, op->location, op->index);
	case WORLD_RESTORE:
		return overlay_restore(o, op->location, op->index);
	case WORLD_REPLY:
		return overlay_reply(o, op->location, op->index, op->at_us, op->reply,
			op->reply_state, op->reply_policy);
	case WORLD_STATE:
		overlay_set_state(o, op->location, op->state);
		return 0;
	}
	return 1;
}

static void add_text(struct json_out *o, const char *key, const char *text)
{
	if (text)
		json_add_text(o, key, text);
}

static void note(const struct world_op *op, struct buf *journal)
{
	struct json_out o = JSON_OUT(journal);

	json_open(&o, '{');
	json_add_text(&o, "k", "world");
	json_add_text(&o, "op", names[op->kind]);
	json_add_int(&o, "l", (int64_t)op->location);
	json_add_int(&o, "i", op->index);
	json_add_int(&o, "at", op->at_us);
	if (op->kind == WORLD_ADD || op->kind == WORLD_EDIT) {
		json_add_int(&o, "star", op->edit.star);
		add_text(&o, "star_name", op->edit.star_name);
		add_text(&o, "comment", op->edit.comment);
		json_add_bool(&o, "no_comment", op->edit.no_comment);
		json_add_int(&o, "anonymous", op->edit.is_anonymous);
	}
	add_text(&o, "reply", op->reply);
	add_text(&o, "reply_state", op->reply_state);
	add_text(&o, "reply_policy", op->reply_policy);
	if (op->kind == WORLD_STATE)
		json_add_int(&o, "state", op->state);
	json_close(&o, '}');
	buf_add_char(journal, '\n');
}

int world_op_apply(struct overlay *o, struct world_op *op, struct buf *journal)
{
	int result = apply(o, op);

	if (result == 0 && journal)
		note(op, journal);
	return result;
}

void world_op_replay(struct overlay *o, const json_t *line)
{
	struct world_op op = {
		.location = (uint64_t)json_int(line, "l", 0),
		.index = (uint32_t)json_int(line, "i", 0),
		.at_us = json_int(line, "at", 0),
		.edit = {.star = (int)json_int(line, "star", -1),
			.star_name = json_text(line, "star_name"),
			.comment = json_text(line, "comment"),
			.no_comment = json_flag(line, "no_comment", false),
			.is_anonymous = (int)json_int(line, "anonymous", -1)},
		.reply = json_text(line, "reply"),
		.reply_state = json_text(line, "reply_state"),
		.reply_policy = json_text(line, "reply_policy"),
		.state = (enum place_state)json_int(line, "state", 0),
	};

	if (!text_equal(json_text(line, "k"), "world") ||
		!world_op_kind_from(json_text(line, "op"), &op.kind) ||
		op.location >= world_location_count(&o->world))
		return;
	overlay_tick(o, op.at_us);
	(void)!world_op_apply(o, &op, NULL);
}

bool world_op_kind_from(const char *name, enum world_op_kind *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (text_equal(names[i], name)) {
			*ret = (enum world_op_kind)i;
			return true;
		}
	}
	return false;
}
