/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ATTR_H
#define BASE_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A result that must not be thrown away: every function that can fail bears it. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* A local that cleans itself up: `drop` gets the address of the variable when it leaves scope. */
#define AUTO(drop) __attribute__((cleanup(drop)))

/* Hands a pointer on and empties the variable, so that its AUTO cleanup finds nothing to do. */
#define TAKE(p)                            \
	({                                 \
		__typeof__(p) take_ = (p); \
		(p) = NULL;                \
		take_;                     \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The object that holds `member` at address `p`. */
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

#endif
