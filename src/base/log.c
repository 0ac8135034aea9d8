/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

#define LOG_LINE_MAX 8192

static _Atomic enum log_level least_level = LOG_INFO;
static void (*sink)(const char *line, size_t len); /* NULL: stderr; set before threads start */

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_DEBUG:
		return "debug";
	case LOG_INFO:
		return "info";
	case LOG_WARN:
		return "warn";
	case LOG_ERROR:
		break;
	}
	return "error";
}

void log_set_level(enum log_level least)
{
	atomic_store(&least_level, least);
}

bool log_is_on(enum log_level level)
{
	return level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

void log_use(void (*replacement)(const char *line, size_t len))
{
	sink = replacement;
}

/* A log that cannot be written (full disk, closed pipe) loses the line, never the service. */
static void emit(const char *line, size_t len)
{
	ssize_t n;

	if (sink) {
		sink(line, len);
		return;
	}
	while (len) {
		n = write(STDERR_FILENO, line, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line += n;
		len -= (size_t)n;
	}
}

static void put_field(struct json_out *o, const struct log_field *field)
{
	switch (field->type) {
	case LOG_FIELD_STR:
		json_add_text(o, field->key, field->text);
		break;
	case LOG_FIELD_INT:
		json_add_int(o, field->key, field->number);
		break;
	case LOG_FIELD_BOOL:
		json_add_bool(o, field->key, field->number != 0);
		break;
	}
}

static void put_line(struct buf *line, enum log_level level, const char *event,
	const struct log_field *fields, size_t n)
{
	struct json_out o = JSON_OUT(line);

	json_open(&o, '{');
	json_add_time(&o, "time", clock_wall_ms());
	json_add_text(&o, "level", level_name(level));
	json_add_text(&o, "event", event);
	for (size_t i = 0; i < n; i++)
		put_field(&o, &fields[i]);
	json_close(&o, '}');
	buf_add_char(line, '\n');
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
	AUTO(buf_drop) struct buf line = BUF_INIT(LOG_LINE_MAX);

	if (!log_is_on(level))
		return;
	put_line(&line, level, event, fields, n);
	if (buf_failed(&line)) { /* a field past all measure: the event matters more than it */
		buf_reset(&line);
		put_line(&line, level, event, fields, 0);
	}
	emit(line.data, line.len);
}
