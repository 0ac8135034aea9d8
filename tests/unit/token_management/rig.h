/* SPDX-License-Identifier: Apache-2.0 */
/* A whole token management over a real database and vault in a folder of its own. */
#ifndef TESTS_UNIT_TOKEN_MANAGEMENT_RIG_H
#define TESTS_UNIT_TOKEN_MANAGEMENT_RIG_H

#include "../test.h"

#include "base/json.h"
#include "core/limits.h"
#include "core/pool.h"
#include "provider_double.h"
#include "store/store.h"
#include "token_management/internal.h"
#include "vault/vault.h"

struct rig {
	char folder[64], database[128], url[240], key_file[128];
	struct settings settings;
	struct store *store;
	struct vault *vault;
	struct pool *pool;
	struct token_management *tm;
};
int rig_up(void **state); /* cmocka setup and teardown */
int rig_down(void **state);
/* A second process on the same database: its own pool, memory and instance. */
struct token_management *rig_second(struct rig *r);
void rig_second_down(struct token_management *tm);

/* Until nothing runs in the background. */
void rig_wait_idle(struct token_management *tm);

#define CHECK(call, f)                                        \
	do {                                                  \
		if ((call) < 0)                               \
			fail_msg("%s: %s", #call, (f)->text); \
	} while (0)

/* A registered branch: the row id of its client. Its app is "app-<branch>" / "secret-<branch>". */
int64_t rig_register(struct rig *r, const char *branch);
/* A branch with tokens: life_ms left of lifetime_ms. NULL refresh: none stored. */
int64_t rig_connected(struct rig *r, const char *branch, const char *access, const char *refresh,
	int64_t life_ms, int64_t lifetime_ms);

bool rig_is_postgres(const struct rig *r);
/* SQL that both engines take; {bytes} is the type of bytes, and instr() is there on both. */
void rig_run(struct rig *r, const char *sql);
/*
 * From here on "INSERT", "UPDATE" or "UPDATE OF column" of a row of the table fails, of one for
 * which `when` holds (about OLD and NEW; NULL: of any). rig_mend ends it.
 */
void rig_break(struct rig *r, const char *verb, const char *table, const char *when);
void rig_mend(struct rig *r, const char *table);
/* Of how many rows with one of these refs ("'a', 'b'") it was noted that they changed. */
int64_t rig_changes(struct rig *r, const char *refs, bool distinct);
int64_t rig_number(struct rig *r, const char *sql);
/* First column of the first row as text; owned; "" for none or NULL. */
char *rig_text(struct rig *r, const char *sql);
/* What a sealed column of a client's tokens row holds now; owned; "" for NULL. */
char *rig_unsealed(struct rig *r, int64_t client_row, const char *column);

/* One call of tokens_obtain and what became of it. */
struct call {
	struct rig *rig;
	enum token_outcome outcome;
	bool degraded;
	int64_t client_row, expires_at_ms;
	uint32_t retry_after_ms;
	char access[64], reason[280], branch[64];
	/* look, inside done, at what the database holds (rotation before answer) */
	bool looks;
	char *stored_refresh;
	unsigned answers;
};
void call_obtain(struct token_management *tm, struct call *c, const char *branch,
	int64_t min_ttl_ms, bool force);
/* Until n calls in all were answered since the last calls_forget. */
void calls_wait(unsigned n);
void calls_forget(void);
/* Obtain and wait: for when no request to the provider is expected. */
void call_now(struct token_management *tm, struct call *c, const char *branch);
/* Reads from memory; false when it may not. */
bool call_read(struct token_management *tm, struct call *c, const char *branch, int64_t min_ttl_ms);

/* How many log lines of an event there were since rig_up; and whether any line holds a text. */
unsigned log_count(const char *event);
bool log_holds(const char *text);

#endif
