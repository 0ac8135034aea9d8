/* SPDX-License-Identifier: Apache-2.0 */
#include "signer.h"

#include "../test.h"

#include <gnutls/abstract.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

static gnutls_x509_privkey_t x509;
static gnutls_privkey_t key;

static void make_key(void)
{
	if (key != NULL)
		return;
	assert_true(gnutls_x509_privkey_init(&x509) >= 0);
	assert_true(gnutls_x509_privkey_generate(x509, GNUTLS_PK_RSA, 2048, 0) >= 0);
	assert_true(gnutls_privkey_init(&key) >= 0);
	assert_true(gnutls_privkey_import_x509(key, x509, 0) >= 0);
}

__attribute__((destructor)) static void drop_key(void)
{
	if (key == NULL)
		return;
	gnutls_privkey_deinit(key);
	gnutls_x509_privkey_deinit(x509);
}

void signer_sign(const char *kid, const char *claims, struct buf *ret)
{
	AUTO(buf_drop) struct buf header = BUF_INIT(1024);
	gnutls_datum_t text, signature;

	make_key();
	buf_addf(&header, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", kid);
	text_base64url(ret, header.data, header.len);
	buf_add_char(ret, '.');
	text_base64url(ret, claims, strlen(claims));
	text = (gnutls_datum_t){(unsigned char *)ret->data, (unsigned)ret->len};
	assert_true(gnutls_privkey_sign_data(key, GNUTLS_DIG_SHA256, 0, &text, &signature) >= 0);
	buf_add_char(ret, '.');
	text_base64url(ret, signature.data, signature.size);
	gnutls_free(signature.data);
}

static void add_number(struct json_out *o, const char *name, const gnutls_datum_t *number)
{
	AUTO(buf_drop) struct buf text = BUF_INIT(1024);
	unsigned zeros = number->data[0] == 0;

	text_base64url(&text, number->data + zeros, number->size - zeros);
	json_add_text(o, name, buf_text(&text));
}

static void add_key(struct json_out *o, const char *kid)
{
	gnutls_datum_t n, e;

	assert_true(gnutls_privkey_export_rsa_raw(
			    key, &n, &e, NULL, NULL, NULL, NULL, NULL, NULL) >= 0);
	json_open(o, '{');
	json_add_text(o, "kty", "RSA");
	json_add_text(o, "kid", kid);
	add_number(o, "n", &n);
	add_number(o, "e", &e);
	json_close(o, '}');
	gnutls_free(n.data);
	gnutls_free(e.data);
}

void signer_keys(const char *kid, const char *another, struct buf *ret)
{
	struct json_out o = JSON_OUT(ret);

	make_key();
	json_open(&o, '{');
	json_key(&o, "keys");
	json_open(&o, '[');
	add_key(&o, kid);
	if (another != NULL)
		add_key(&o, another);
	json_close(&o, ']');
	json_close(&o, '}');
}
