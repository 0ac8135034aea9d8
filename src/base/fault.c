/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int raise(struct fault *f, enum fault_kind kind, const char *field, const char *file,
	int line, const char *format, va_list args) PRINTF_LIKE(6, 0);

static int raise(struct fault *f, enum fault_kind kind, const char *field, const char *file,
	int line, const char *format, va_list args)
{
	f->kind = kind;
	f->retry_after_ms = 0;
	f->file = file;
	f->line = line;
	snprintf(f->field, sizeof(f->field), "%s", field);
	vsnprintf(f->text, sizeof(f->text), format, args);
	return -1;
}

int fault_raise_at(
	struct fault *f, enum fault_kind kind, const char *file, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	raise(f, kind, "", file, line, format, args);
	va_end(args);
	return -1;
}

int fault_input_at(
	struct fault *f, const char *name, const char *file, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	raise(f, FAULT_INPUT, name, file, line, format, args);
	va_end(args);
	return -1;
}

const char *fault_kind_name(enum fault_kind kind)
{
	switch (kind) {
	case FAULT_NONE:
		return "none";
	case FAULT_INPUT:
		return "input";
	case FAULT_DENIED:
		return "denied";
	case FAULT_MISSING:
		return "missing";
	case FAULT_CONFLICT:
		return "conflict";
	case FAULT_THROTTLED:
		return "throttled";
	case FAULT_UPSTREAM:
		return "upstream";
	case FAULT_STORE:
		return "store";
	case FAULT_BUG:
		break;
	}
	return "bug";
}
