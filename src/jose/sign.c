/* SPDX-License-Identifier: Apache-2.0 */
#include "jose/jose_sign.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

#define RSA_LEAST_BITS 2048
#define RSA_MOST_BITS 16384 /* a signature of such a key takes seconds; beyond it, minutes */
#define P256_BYTES 32

static const struct {
	const char *name;
	gnutls_sign_algorithm_t sign;
	gnutls_pk_algorithm_t key;
} algs[JOSE_SIGN_ALG_COUNT] = {
	[JOSE_SIGN_RS256] = {"RS256", GNUTLS_SIGN_RSA_SHA256, GNUTLS_PK_RSA},
	[JOSE_SIGN_PS256] = {"PS256", GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, GNUTLS_PK_RSA},
	[JOSE_SIGN_ES256] = {"ES256", GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_PK_ECDSA},
};

const char *jose_sign_alg_name(enum jose_sign_alg alg)
{
	return algs[alg].name;
}

static void drop_x509(gnutls_x509_privkey_t *key)
{
	if (*key != NULL)
		gnutls_x509_privkey_deinit(*key);
}

static void drop_key(gnutls_privkey_t *key)
{
	if (*key != NULL)
		gnutls_privkey_deinit(*key);
}

static void drop_datum(gnutls_datum_t *d)
{
	gnutls_free(d->data);
}

static int read_key(
	const struct secret *pem, const char *field, gnutls_privkey_t *ret, struct fault *f)
{
	AUTO(drop_x509) gnutls_x509_privkey_t x509 = NULL;
	gnutls_datum_t text = {.data = (unsigned char *)pem->bytes, .size = (unsigned)pem->len};
	int result;

	if (strstr(pem->bytes, "ENCRYPTED") != NULL)
		return fault_input(f, field,
			"%s is locked with a passphrase: give the key without one", field);
	result = gnutls_x509_privkey_init(&x509);
	if (result >= 0)
		result = gnutls_x509_privkey_import(x509, &text, GNUTLS_X509_FMT_PEM);
	if (result < 0)
		return fault_input(f, field,
			"%s is not a private key in PEM (-----BEGIN PRIVATE KEY-----)", field);
	result = gnutls_privkey_init(ret);
	if (result >= 0)
		result = gnutls_privkey_import_x509(*ret, x509, GNUTLS_PRIVKEY_IMPORT_COPY);
	if (result < 0)
		return fault_raise(f, FAULT_BUG, "a key that was read cannot be used: %s",
			gnutls_strerror(result));
	return 0;
}

static int check_kind(gnutls_privkey_t key, const enum jose_sign_alg *wanted, const char *field,
	enum jose_sign_alg *ret, struct fault *f)
{
	unsigned bits = 0;
	int kind = gnutls_privkey_get_pk_algorithm(key, &bits);

	if (kind != GNUTLS_PK_RSA && kind != GNUTLS_PK_ECDSA)
		return fault_input(
			f, field, "%s is neither an RSA nor an EC key: make one of these", field);
	if (kind == GNUTLS_PK_RSA && (bits < RSA_LEAST_BITS || bits > RSA_MOST_BITS))
		return fault_input(f, field,
			"%s is an RSA key of %u bits: it must have %d to %d, 2048 is usual", field,
			bits, RSA_LEAST_BITS, RSA_MOST_BITS);
	if (kind == GNUTLS_PK_ECDSA && bits != P256_BYTES * 8)
		return fault_input(
			f, field, "%s is an EC key on another curve: it must be on P-256", field);
	*ret = wanted != NULL ? *wanted : kind == GNUTLS_PK_RSA ? JOSE_SIGN_RS256 : JOSE_SIGN_ES256;
	if ((int)algs[*ret].key != kind)
		return fault_input(f, field, "%s cannot sign with %s: it is an %s key", field,
			algs[*ret].name, kind == GNUTLS_PK_RSA ? "RSA" : "EC");
	return 0;
}

int jose_sign_check(const struct secret *pem, const enum jose_sign_alg *wanted, const char *field,
	enum jose_sign_alg *ret, struct fault *f)
{
	AUTO(drop_key) gnutls_privkey_t key = NULL;

	if (read_key(pem, field, &key, f) < 0)
		return -1;
	return check_kind(key, wanted, field, ret, f);
}

static void add_header(const struct jose_claims *claims, struct buf *ret)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(4096);
	struct json_out o = JSON_OUT(&text);

	json_open(&o, '{');
	json_add_text(&o, "alg", algs[claims->alg].name);
	json_add_text(&o, "typ", "JWT");
	if (claims->key_id != NULL)
		json_add_text(&o, "kid", claims->key_id);
	json_close(&o, '}');
	text_base64url(ret, buf_text(&text), text.len);
}

/* A number as JWS has it: exactly as long as the curve's, whatever zeros DER added or left out. */
static int put_number(const gnutls_datum_t *number, uint8_t ret[static P256_BYTES])
{
	const unsigned char *bytes = number->data;
	unsigned len = number->size;

	while (len > 0 && *bytes == 0) {
		bytes++;
		len--;
	}
	if (len > P256_BYTES)
		return -1;
	memset(ret, 0, P256_BYTES);
	memcpy(ret + P256_BYTES - len, bytes, len);
	return 0;
}

/* RFC 7518 section 3.4: r and s side by side, where GnuTLS writes DER. */
static int add_ecdsa(const gnutls_datum_t *der, struct buf *ret, struct fault *f)
{
	AUTO(drop_datum) gnutls_datum_t r = {0};
	AUTO(drop_datum) gnutls_datum_t s = {0};
	uint8_t both[2 * P256_BYTES];

	if (gnutls_decode_rs_value(der, &r, &s) < 0 || put_number(&r, both) < 0 ||
		put_number(&s, both + P256_BYTES) < 0)
		return fault_raise(f, FAULT_BUG, "a signature came out in an unknown shape");
	text_base64url(ret, both, sizeof(both));
	return 0;
}

int jose_sign(const struct secret *pem, const struct jose_claims *claims, struct buf *ret,
	struct fault *f)
{
	AUTO(drop_key) gnutls_privkey_t key = NULL;
	AUTO(drop_datum) gnutls_datum_t signature = {0};
	size_t start = ret->len;
	enum jose_sign_alg alg;
	gnutls_datum_t data;
	int result;

	if (read_key(pem, "private_key", &key, f) < 0 ||
		check_kind(key, &claims->alg, "private_key", &alg, f) < 0)
		return -1;
	add_header(claims, ret);
	buf_add_char(ret, '.');
	text_base64url(ret, claims->json, claims->len);
	if (buf_failed(ret))
		return fault_raise(f, FAULT_BUG, "claims too long to be signed");
	data = (gnutls_datum_t){
		.data = (unsigned char *)ret->data + start, .size = (unsigned)(ret->len - start)};
	result = gnutls_privkey_sign_data2(key, algs[alg].sign, 0, &data, &signature);
	if (result < 0)
		return fault_raise(f, FAULT_BUG, "not signed: %s", gnutls_strerror(result));
	buf_add_char(ret, '.');
	if (alg == JOSE_SIGN_ES256)
		return add_ecdsa(&signature, ret, f);
	text_base64url(ret, signature.data, signature.size);
	return buf_failed(ret) ? fault_raise(f, FAULT_BUG, "a signature too long") : 0;
}
