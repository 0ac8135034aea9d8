/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as values. A function answers 0 for done, a positive outcome listed above its prototype
 * that its direct caller must handle, or -1 with the cause in the caller's struct fault. A fault is
 * passed up untouched to one of three boundaries (HTTP handler, job runner, main), which alone log
 * it and map it to a status, a back-off or an exit code. The text never holds a secret.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/attr.h"

/* Kinds answer one question: what should the boundary do next? */
enum fault_kind {
	FAULT_NONE = 0,
	FAULT_INPUT,     /* the request is wrong            400/422, never retry   */
	FAULT_DENIED,    /* identity or scope is wrong      401/403                */
	FAULT_MISSING,   /* not there                       404                    */
	FAULT_CONFLICT,  /* lost a race, broke uniqueness   409                    */
	FAULT_THROTTLED, /* told to slow down               429, honour retry_after */
	FAULT_UPSTREAM,  /* the other side failed           502/503, back-off      */
	FAULT_STORE,     /* the database failed             503, back-off          */
	FAULT_BUG,       /* cannot happen                   500                    */
};

struct fault {
	enum fault_kind kind;
	uint32_t retry_after_ms; /* 0: unknown */
	const char *file;        /* where it was raised, not where it was seen */
	int line;
	char field[48]; /* the input field at fault, "" when there is none */
	char text[240]; /* for the operator; never holds a secret */
};

/* Fills *f and returns -1, so that `return fault_raise(…)` is the whole error path. */
#define fault_raise(f, kind, ...) fault_raise_at((f), (kind), __FILE__, __LINE__, __VA_ARGS__)
int fault_raise_at(struct fault *f, enum fault_kind kind, const char *file, int line,
	const char *format, ...) PRINTF_LIKE(5, 6);

/* As fault_raise with FAULT_INPUT, and names the field at fault (copied, cut to fit). */
#define fault_input(f, name, ...) fault_input_at((f), (name), __FILE__, __LINE__, __VA_ARGS__)
int fault_input_at(struct fault *f, const char *name, const char *file, int line,
	const char *format, ...) PRINTF_LIKE(5, 6);

/* The kind as a word for logs: "input", "denied", … Never NULL. */
const char *fault_kind_name(enum fault_kind kind);

#endif
