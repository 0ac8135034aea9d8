/* SPDX-License-Identifier: Apache-2.0 */
#include "vault/keyring.h"

#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/rand.h"
#include "base/text.h"

static const char first_line[] = "review-fetcher key ring 1";
static const char no_key[] = "-";
static const char number_label[] = "review-fetcher key number";
static const char *const states[] = {
	[VAULT_KEY_NEXT] = "next",
	[VAULT_KEY_ACTIVE] = "active",
	[VAULT_KEY_RETIRING] = "retiring",
	[VAULT_KEY_RETIRED] = "retired",
	[VAULT_KEY_FORGOTTEN] = "forgotten",
};

/* A word of a line: borrowed, not terminated. */
struct word {
	const char *at;
	size_t len;
};

static uint32_t number_of(const uint8_t key[static KEYRING_KEY_SIZE])
{
	uint8_t sum[crypto_generichash_BYTES_MIN];
	uint32_t number;

	crypto_generichash(sum, sizeof(sum), (const uint8_t *)number_label, strlen(number_label),
		key, KEYRING_KEY_SIZE);
	number = (uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 | (uint32_t)sum[2] << 8 | sum[3];
	return number != 0 ? number : 1;
}

/* One page of locked memory, shut out of core dumps; where locking is not allowed sodium goes on
 * without. */
static void keyring_init(struct keyring *r)
{
	*r = (struct keyring){0};
	r->keys = sodium_allocarray(VAULT_KEYS_MAX, KEYRING_KEY_SIZE);
	if (r->keys == NULL)
		abort();
}

void keyring_done(struct keyring *r)
{
	sodium_free(r->keys);
	*r = (struct keyring){0};
}

size_t keyring_place(const struct keyring *r, uint32_t number)
{
	size_t i = 0;

	while (i < r->n && r->entries[i].number != number)
		i++;
	return i;
}

const uint8_t *keyring_find(const struct keyring *r, uint32_t number)
{
	size_t i = keyring_place(r, number);

	return i < r->n && r->entries[i].state != VAULT_KEY_FORGOTTEN ? r->keys[i] : NULL;
}

/* Cuts the next word off *rest: exactly one blank between words, none at the ends. */
static struct word next_word(struct word *rest)
{
	const char *blank = rest->len > 0 ? memchr(rest->at, ' ', rest->len) : NULL;
	struct word w = {rest->at, blank != NULL ? (size_t)(blank - rest->at) : rest->len};
	size_t gone = blank != NULL ? w.len + 1 : w.len;

	rest->at += gone;
	rest->len -= gone;
	return w;
}

static bool word_is(struct word w, const char *text)
{
	return w.len == strlen(text) && memcmp(w.at, text, w.len) == 0;
}

static bool word_to_text(struct word w, char *ret, size_t size)
{
	if (w.len >= size || memchr(w.at, '\0', w.len) != NULL)
		return false;
	memcpy(ret, w.at, w.len);
	ret[w.len] = '\0';
	return true;
}

MUST_CHECK static int parse_key(struct word text, uint8_t ret[static KEYRING_KEY_SIZE])
{
	AUTO(buf_drop) struct buf bytes = BUF_INIT_WIPED(KEYRING_KEY_SIZE);

	if (text_base64url_decode(text.at, text.len, &bytes) != 0 || buf_failed(&bytes) ||
		bytes.len != KEYRING_KEY_SIZE)
		return 1;
	memcpy(ret, bytes.data, KEYRING_KEY_SIZE);
	return 0;
}

MUST_CHECK static int parse_state(struct word text, enum vault_key_state *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		if (!word_is(text, states[i]))
			continue;
		*ret = (enum vault_key_state)i;
		return 0;
	}
	return 1;
}

/* Reads one "key …" line into the next free place of the ring. */
MUST_CHECK static int parse_line(struct word line, int line_no, struct keyring *r, struct fault *f)
{
	struct word head = next_word(&line), number = next_word(&line), time = next_word(&line);
	struct word key = next_word(&line), state = next_word(&line);
	char text[CLOCK_TEXT_SIZE];
	enum vault_key_state key_state;
	int64_t n, created_us;

	if (!word_is(head, "key") || state.len == 0 || line.len != 0)
		return fault_raise(
			f, FAULT_INPUT, "line %d is not 'key NUMBER TIME KEY STATE'", line_no);
	if (!word_to_text(number, text, sizeof(text)) || text_parse_int(text, &n) != 0 || n < 1 ||
		n > UINT32_MAX)
		return fault_raise(f, FAULT_INPUT, "line %d: the key's number is wrong", line_no);
	if (keyring_place(r, (uint32_t)n) < r->n)
		return fault_raise(
			f, FAULT_INPUT, "line %d: key %lld is there twice", line_no, (long long)n);
	if (!word_to_text(time, text, sizeof(text)) || clock_parse_us(text, &created_us) != 0)
		return fault_raise(f, FAULT_INPUT, "line %d: the key's time is wrong", line_no);
	if (parse_state(state, &key_state) != 0)
		return fault_raise(f, FAULT_INPUT,
			"line %d: the state is neither active, next, retiring, retired nor "
			"forgotten",
			line_no);
	if (key_state == VAULT_KEY_FORGOTTEN ? !word_is(key, no_key)
					     : parse_key(key, r->keys[r->n]) != 0 ||
						       number_of(r->keys[r->n]) != (uint32_t)n)
		return fault_raise(f, FAULT_INPUT, "line %d: the key is damaged", line_no);
	r->entries[r->n] = (struct vault_key){(uint32_t)n, created_us / 1000, key_state};
	return 0;
}

/* One key seals; at most one is to be the next. */
MUST_CHECK static int check_states(struct keyring *r, struct fault *f)
{
	int n_active = 0, n_next = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (r->entries[i].state == VAULT_KEY_ACTIVE) {
			r->active = i;
			n_active++;
		}
		n_next += r->entries[i].state == VAULT_KEY_NEXT;
	}
	if (n_active != 1)
		return fault_raise(
			f, FAULT_INPUT, "it has %d active keys and must have one", n_active);
	if (n_next > 1)
		return fault_raise(f, FAULT_INPUT, "it has %d next keys", n_next);
	return 0;
}

MUST_CHECK static int parse_lines(struct word rest, struct keyring *r, struct fault *f)
{
	for (int line_no = 1; rest.len > 0; line_no++) {
		const char *end = memchr(rest.at, '\n', rest.len);
		struct word line = {rest.at, end != NULL ? (size_t)(end - rest.at) : 0};

		if (end == NULL)
			return fault_raise(f, FAULT_INPUT, "line %d has no end", line_no);
		rest.at += line.len + 1;
		rest.len -= line.len + 1;
		if (line_no == 1) {
			if (!word_is(line, first_line))
				return fault_raise(
					f, FAULT_INPUT, "line 1 is not '%s'", first_line);
			continue;
		}
		if (r->n == VAULT_KEYS_MAX)
			return fault_raise(
				f, FAULT_INPUT, "it holds more than %d keys", VAULT_KEYS_MAX);
		if (parse_line(line, line_no, r, f) < 0)
			return -1;
		r->n++;
	}
	return check_states(r, f);
}

int keyring_parse(const char *text, size_t len, struct keyring *ret, struct fault *f)
{
	struct keyring r;

	keyring_init(&r);
	if (parse_lines((struct word){text, len}, &r, f) < 0) {
		keyring_done(&r);
		return -1;
	}
	sodium_mprotect_readonly(r.keys);
	*ret = r;
	return 0;
}

void keyring_format(const struct keyring *r, struct buf *ret_wiped)
{
	buf_addf(ret_wiped, "%s\n", first_line);
	for (size_t i = 0; i < r->n; i++) {
		char time[CLOCK_TEXT_SIZE];

		buf_addf(ret_wiped, "key %u %s ", r->entries[i].number,
			clock_format_ms(r->entries[i].created_at_ms, time));
		if (r->entries[i].state == VAULT_KEY_FORGOTTEN)
			buf_add_text(ret_wiped, no_key);
		else
			text_base64url(ret_wiped, r->keys[i], KEYRING_KEY_SIZE);
		buf_addf(ret_wiped, " %s\n", states[r->entries[i].state]);
	}
}

void keyring_copy(const struct keyring *r, struct keyring *ret)
{
	keyring_init(ret);
	ret->n = r->n;
	ret->active = r->active;
	memcpy(ret->entries, r->entries, sizeof(ret->entries));
	memcpy(ret->keys, r->keys, r->n * KEYRING_KEY_SIZE);
}

void keyring_add(struct keyring *r, enum vault_key_state state)
{
	uint32_t number;

	if (r->n == VAULT_KEYS_MAX)
		abort();
	do {
		rand_bytes(r->keys[r->n], KEYRING_KEY_SIZE);
		number = number_of(r->keys[r->n]);
	} while (keyring_place(r, number) < r->n);
	r->entries[r->n++] = (struct vault_key){number, clock_wall_ms(), state};
}

void keyring_forget(struct keyring *r, size_t i)
{
	r->entries[i].state = VAULT_KEY_FORGOTTEN;
	sodium_memzero(r->keys[i], KEYRING_KEY_SIZE);
}

void keyring_make_room(struct keyring *r)
{
	size_t i = 0, behind;

	while (i < r->n && r->entries[i].state != VAULT_KEY_FORGOTTEN)
		i++;
	if (r->n < VAULT_KEYS_MAX || i == r->n)
		return;
	behind = r->n - i - 1;
	memmove(&r->entries[i], &r->entries[i + 1], behind * sizeof(r->entries[0]));
	memmove(r->keys[i], r->keys[i + 1], behind * KEYRING_KEY_SIZE);
	r->n--;
	sodium_memzero(r->keys[r->n], KEYRING_KEY_SIZE);
	if (r->active > i)
		r->active--;
}

void keyring_format_new(struct buf *ret_wiped)
{
	struct keyring r;

	keyring_init(&r);
	keyring_add(&r, VAULT_KEY_ACTIVE);
	keyring_format(&r, ret_wiped);
	keyring_done(&r);
}
