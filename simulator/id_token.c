/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/id_token.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#define KEY_BITS 2048
#define KEY_ID "simulator-%d"

struct id_key {
	pthread_mutex_t lock;
	gnutls_x509_privkey_t x509;
	gnutls_privkey_t key;
	bool is_made;
	int number; /* the key's id ends with it */
};

struct id_key *id_key_new(void)
{
	struct id_key *k = mem_alloc(sizeof(*k));

	pthread_mutex_init(&k->lock, NULL);
	return k;
}

static void drop_key(struct id_key *k)
{
	if (k->key)
		gnutls_privkey_deinit(k->key);
	if (k->x509)
		gnutls_x509_privkey_deinit(k->x509);
	k->key = NULL;
	k->x509 = NULL;
	k->is_made = false;
}

void id_key_free(struct id_key *k)
{
	if (!k)
		return;
	drop_key(k);
	pthread_mutex_destroy(&k->lock);
	mem_free(k);
}

/* The lock is held. */
static int make_key(struct id_key *k, struct fault *f)
{
	int result;

	if (k->is_made)
		return 0;
	result = gnutls_x509_privkey_init(&k->x509);
	if (result >= 0)
		result = gnutls_x509_privkey_generate(k->x509, GNUTLS_PK_RSA, KEY_BITS, 0);
	if (result >= 0)
		result = gnutls_privkey_init(&k->key);
	if (result >= 0)
		result = gnutls_privkey_import_x509(k->key, k->x509, 0);
	if (result < 0)
		return fault_raise(f, FAULT_BUG, "no RSA key: %s", gnutls_strerror(result));
	k->is_made = true;
	k->number++;
	return 0;
}

int id_key_rotate(struct id_key *k, struct fault *f)
{
	int result;

	pthread_mutex_lock(&k->lock);
	result = make_key(k, f);
	if (result == 0) {
		drop_key(k);
		result = make_key(k, f);
	}
	pthread_mutex_unlock(&k->lock);
	return result;
}

static void write_header(const struct id_key *k, const char *typ, struct buf *ret)
{
	AUTO(buf_drop) struct buf header = BUF_INIT(1024);
	struct json_out o = JSON_OUT(&header);
	char kid[32];

	snprintf(kid, sizeof(kid), KEY_ID, k->number);
	json_open(&o, '{');
	json_add_text(&o, "alg", "RS256");
	json_add_text(&o, "kid", kid);
	json_add_text(&o, "typ", typ ? typ : "JWT");
	json_close(&o, '}');
	text_base64url(ret, header.data, header.len);
}

/* The lock is held. */
static int sign(struct id_key *k, const char *typ, const char *claims, size_t len, struct buf *ret)
{
	gnutls_datum_t data, signature;
	size_t start = ret->len;
	int result;

	write_header(k, typ, ret);
	buf_add_char(ret, '.');
	text_base64url(ret, claims, len);
	data = (gnutls_datum_t){
		.data = (unsigned char *)ret->data + start, .size = (unsigned)(ret->len - start)};
	result = gnutls_privkey_sign_data(k->key, GNUTLS_DIG_SHA256, 0, &data, &signature);
	if (result < 0)
		return result;
	buf_add_char(ret, '.');
	text_base64url(ret, signature.data, signature.size);
	gnutls_free(signature.data);
	return 0;
}

int id_token_sign(struct id_key *k, const char *typ, const char *claims, size_t len,
	struct buf *ret, struct fault *f)
{
	int result = 0;
	bool is_made;

	pthread_mutex_lock(&k->lock);
	is_made = make_key(k, f) == 0;
	if (is_made)
		result = sign(k, typ, claims, len, ret);
	pthread_mutex_unlock(&k->lock);
	if (is_made && result < 0)
		return fault_raise(f, FAULT_BUG, "not signed: %s", gnutls_strerror(result));
	return is_made ? 0 : -1;
}

/* A number as JWK has it (RFC 7518 section 6.3.1): big-endian without a leading zero byte. */
static void add_number(struct json_out *o, const char *key, const gnutls_datum_t *number)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1024);
	unsigned zeros = 0;

	while (zeros < number->size && number->data[zeros] == 0)
		zeros++;
	text_base64url(&text, number->data + zeros, number->size - zeros);
	json_add_text(o, key, buf_text(&text));
}

/* The lock is held. */
static int write_key(struct id_key *k, struct json_out *o)
{
	gnutls_datum_t modulus, exponent;
	int result = gnutls_privkey_export_rsa_raw(
		k->key, &modulus, &exponent, NULL, NULL, NULL, NULL, NULL, NULL);
	char kid[32];

	if (result < 0)
		return result;
	snprintf(kid, sizeof(kid), KEY_ID, k->number);
	json_open(o, '{');
	json_add_text(o, "kty", "RSA");
	json_add_text(o, "alg", "RS256");
	json_add_text(o, "use", "sig");
	json_add_text(o, "kid", kid);
	add_number(o, "n", &modulus);
	add_number(o, "e", &exponent);
	json_close(o, '}');
	gnutls_free(modulus.data);
	gnutls_free(exponent.data);
	return 0;
}

int id_key_write(struct id_key *k, struct buf *ret, struct fault *f)
{
	struct json_out o = JSON_OUT(ret);
	bool is_made;
	int result = 0;

	json_open(&o, '{');
	json_key(&o, "keys");
	json_open(&o, '[');
	pthread_mutex_lock(&k->lock);
	is_made = make_key(k, f) == 0;
	if (is_made)
		result = write_key(k, &o);
	pthread_mutex_unlock(&k->lock);
	json_close(&o, ']');
	json_close(&o, '}');
	if (is_made && result < 0)
		return fault_raise(f, FAULT_BUG, "no public key: %s", gnutls_strerror(result));
	return is_made ? 0 : -1;
}
