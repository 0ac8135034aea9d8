/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One JSON line on stderr per event: an event name and typed fields, no format strings. There is no
 * field type that takes a secret. Any thread; one write(2) a line, so lines never mix.
 *
 *	log_event(LOG_WARN, "grant.refresh_failed", F_STR("branch", id), F_INT("attempt", n));
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/attr.h"
#include "base/fault.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_field_type { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_BOOL };
struct log_field {
	const char *key;
	enum log_field_type type;
	const char *text;
	int64_t number;
};
#define F_STR(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_STR, .text = (v)})
#define F_INT(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_INT, .number = (int64_t)(v)})
#define F_BOOL(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_BOOL, .number = (v)})
/* kind, text and origin of a fault: what a boundary adds when it logs one. */
#define F_FAULT(f)                                                            \
	F_STR("kind", fault_kind_name((f)->kind)), F_STR("cause", (f)->text), \
		F_STR("file", (f)->file), F_INT("line", (f)->line)

#define log_event(level, event, ...)                                                    \
	log_write((level), (event), (const struct log_field[]){{0}, ##__VA_ARGS__} + 1, \
		sizeof((const struct log_field[]){{0}, ##__VA_ARGS__}) /                \
				sizeof(struct log_field) -                              \
			1)

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);
void log_set_level(enum log_level least);
bool log_is_on(enum log_level level);
/* Tests: lines go to sink instead of stderr; NULL restores. */
void log_use(void (*sink)(const char *line, size_t len));

#endif
