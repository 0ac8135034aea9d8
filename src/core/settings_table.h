/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table itself, for those who print it (help, man page) and for the settings' own files. The
 * rest of the program reads struct settings.
 */
#ifndef CORE_SETTINGS_TABLE_H
#define CORE_SETTINGS_TABLE_H

#include "core/settings.h"

enum setting_type {
	SETTING_TEXT,    /* const char *; min to max bytes */
	SETTING_INT,     /* int64_t */
	SETTING_SECONDS, /* whole seconds, held as int64_t milliseconds */
	SETTING_DAYS,    /* whole days, held as int64_t milliseconds */
	SETTING_DECIMAL, /* double */
	SETTING_BOOL,    /* bool: on/off, true/false, yes/no, 1/0 */
	SETTING_LEVEL,   /* enum log_level */
	SETTING_CHOICE,  /* int64_t: the index of one of the words in choices */
	SETTING_BASE, /* const char *; a base address: no query, the trailing slash is taken off */
	SETTING_ADDRESS, /* const char *; a whole address */
	SETTING_SECRET,  /* struct secret */
};

struct setting {
	const char *group; /* heading in the help */
	const char *key;
	const char *aliases[2]; /* older names; the first one given counts, the key before all */
	enum setting_type type;
	size_t offset;           /* in struct settings */
	const char *fallback;    /* default as text; NULL: none */
	const char *fallback_is; /* the default in words when the text does not tell */
	const char *unit;        /* of a number; NULL: a mere count */
	int64_t min, max;
	const char *const *choices; /* SETTING_CHOICE: its words, ended by NULL */
	bool secret;                /* the value is never printed */
	bool plain_http;            /* http is allowed beyond loopback */
	const char *mock_path;      /* Google's addresses: path at the simulator */
	const char *meaning;        /* one or two sentences */
};

extern const struct setting settings_table[];
extern const size_t settings_table_len;

/* The row of a key or alias in any spelling that flags allow (case, '-' or '_'); NULL: none.
 * *ret_name is 0 for the key itself, then the number of the alias. */
const struct setting *setting_find(const char *name, size_t len, unsigned *ret_name);
/* The key nearest to a misspelt one; NULL when none is near. */
const char *setting_nearest(const char *name);
/* "--api-port" for "API_PORT". */
#define SETTING_FLAG_SIZE 64
const char *setting_flag(const char *key, char ret[static SETTING_FLAG_SIZE]);
/* "a whole number of seconds from 0 to 86400": what a value of this row must be. */
void setting_bounds(const struct setting *row, struct buf *ret);

/* True when a database address holds a password, which makes it a secret too. */
bool setting_bears_password(const char *url);

/* Where a value came from. Later ones win. */
enum setting_rank { SETTING_DEFAULT, SETTING_FILE, SETTING_ENVIRONMENT, SETTING_FLAG };
struct setting_given {
	enum setting_rank rank;
	unsigned name;   /* as of setting_find */
	struct buf text; /* wiped */
	char from[64];   /* "the environment", "flag", "FILE:LINE" */
};

/* Puts one value of text into its place. -1 FAULT_INPUT. Frees what was there. */
MUST_CHECK int setting_assign(struct settings *s, const struct setting *row,
	const struct setting_given *given, struct fault *f);
/* The rules between settings, once each has its value; given[i] belongs to row i. */
MUST_CHECK int settings_relate(
	struct settings *s, const struct setting_given *given, struct fault *f);

/* The text of a row of type TEXT, BASE or ADDRESS, owned by the settings; NULL when there is none.
 */
char *setting_text(const struct settings *s, const struct setting *row);
void setting_set_text(struct settings *s, const struct setting *row, const char *text);
/* True for localhost, 127.0.0.0/8 and ::1, with or without brackets. */
bool settings_is_loopback(const char *host, size_t len);

#endif
