/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "base/json.h"
#include "base/text.h"
#include "jose/jose_sign.h"

static const char claims_json[] = "{\"iss\":\"app\",\"exp\":1}";

struct pair {
	gnutls_x509_privkey_t key;
	struct secret pem;
};
static struct pair rsa, ec, small, p384;

static void make_pair(struct pair *p, gnutls_pk_algorithm_t kind, unsigned bits)
{
	gnutls_datum_t out;

	assert_true(gnutls_x509_privkey_init(&p->key) >= 0);
	assert_true(gnutls_x509_privkey_generate(p->key, kind, bits, 0) >= 0);
	assert_true(gnutls_x509_privkey_export2_pkcs8(
			    p->key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &out) >= 0);
	p->pem = secret_from((const char *)out.data, out.size);
	gnutls_free(out.data);
}

static int make_keys(void **state)
{
	(void)state;
	json_start();
	make_pair(&rsa, GNUTLS_PK_RSA, 2048);
	make_pair(&small, GNUTLS_PK_RSA, 1024);
	make_pair(&ec, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
	make_pair(&p384, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1));
	return 0;
}

static int drop_keys(void **state)
{
	struct pair *all[] = {&rsa, &small, &ec, &p384};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		gnutls_x509_privkey_deinit(all[i]->key);
		secret_drop(&all[i]->pem);
	}
	return 0;
}

/* ---- verifying, by the library's own means ---- */

static gnutls_datum_t datum(const char *bytes, size_t len)
{
	gnutls_datum_t d = {.size = (unsigned)len};

	memcpy(&d.data, &bytes, sizeof(bytes)); /* it takes no const */
	return d;
}

static void assert_signed(
	const struct pair *p, gnutls_sign_algorithm_t alg, const char *jws, size_t len)
{
	const char *dot = memrchr(jws, '.', len);
	AUTO(buf_drop) struct buf raw = BUF_INIT(4096);
	gnutls_datum_t data = datum(jws, (size_t)(dot - jws)), signature, r, s;
	gnutls_privkey_t private;
	gnutls_pubkey_t public;

	assert_int_equal(text_base64url_decode(dot + 1, len - (size_t)(dot - jws) - 1, &raw), 0);
	signature = datum(raw.data, raw.len);
	if (p == &ec) {
		assert_int_equal(raw.len, 64);
		r = datum(raw.data, 32);
		s = datum(raw.data + 32, 32);
		assert_true(gnutls_encode_rs_value(&signature, &r, &s) >= 0);
	}
	gnutls_privkey_init(&private);
	gnutls_pubkey_init(&public);
	assert_true(gnutls_privkey_import_x509(private, p->key, 0) >= 0);
	assert_true(gnutls_pubkey_import_privkey(public, private, 0, 0) >= 0);
	assert_true(gnutls_pubkey_verify_data2(public, alg, 0, &data, &signature) >= 0);
	data.data[data.size - 1] ^= 1;
	assert_true(gnutls_pubkey_verify_data2(public, alg, 0, &data, &signature) < 0);
	data.data[data.size - 1] ^= 1;
	gnutls_pubkey_deinit(public);
	gnutls_privkey_deinit(private);
	if (p == &ec)
		gnutls_free(signature.data);
}

static void sign_and_verify(
	const struct pair *p, enum jose_sign_alg alg, gnutls_sign_algorithm_t check)
{
	const struct jose_claims claims = {
		.alg = alg, .key_id = "k\"1", .json = claims_json, .len = strlen(claims_json)};
	AUTO(buf_drop) struct buf jws = BUF_INIT(8192), header = BUF_INIT(1024);
	AUTO(buf_drop) struct buf body = BUF_INIT(1024);
	AUTO(json_drop) json_t *parsed = NULL;
	struct fault f = {0};
	const char *text, *dot;

	buf_add_text(&jws, "before.");
	if (jose_sign(&p->pem, &claims, &jws, &f) < 0)
		fail_msg("%s", f.text);
	assert_memory_equal(buf_text(&jws), "before.", 7);
	text = buf_text(&jws) + 7;
	dot = strchr(text, '.');
	assert_int_equal(text_base64url_decode(text, (size_t)(dot - text), &header), 0);
	assert_int_equal(json_parse(buf_text(&header), header.len, &parsed, &f), 0);
	assert_string_equal(json_text(parsed, "alg"), jose_sign_alg_name(alg));
	assert_string_equal(json_text(parsed, "typ"), "JWT");
	assert_string_equal(json_text(parsed, "kid"), "k\"1");
	assert_int_equal(text_base64url_decode(dot + 1, strcspn(dot + 1, "."), &body), 0);
	assert_string_equal(buf_text(&body), claims_json);
	assert_signed(p, check, text, jws.len - 7);
}

static void each_algorithm_signs_what_another_program_verifies(void **state)
{
	(void)state;
	sign_and_verify(&rsa, JOSE_SIGN_RS256, GNUTLS_SIGN_RSA_SHA256);
	sign_and_verify(&rsa, JOSE_SIGN_PS256, GNUTLS_SIGN_RSA_PSS_RSAE_SHA256);
	/* r or s begins with a zero byte in one signature of 128: each must come out 64 bytes long.
	 */
	for (int i = 0; i < 300; i++)
		sign_and_verify(&ec, JOSE_SIGN_ES256, GNUTLS_SIGN_ECDSA_SHA256);
}

/* ---- refusing ---- */

static void assert_refused(
	const struct secret *pem, const enum jose_sign_alg *wanted, const char *words)
{
	enum jose_sign_alg alg;
	struct fault f = {0};

	assert_int_equal(jose_sign_check(pem, wanted, "private_key", &alg, &f), -1);
	assert_int_equal(f.kind, FAULT_INPUT);
	assert_string_equal(f.field, "private_key");
	if (strstr(f.text, words) == NULL)
		fail_msg("%s lacks: %s", f.text, words);
}

static void a_key_that_cannot_sign_is_refused_with_the_reason(void **state)
{
	static const enum jose_sign_alg es256 = JOSE_SIGN_ES256, ps256 = JOSE_SIGN_PS256;
	AUTO(secret_drop) struct secret rubbish = secret_from("hello", 5);
	AUTO(secret_drop)
	struct secret locked = secret_from("-----BEGIN ENCRYPTED PRIVATE KEY-----", 37);

	(void)state;
	assert_refused(&rubbish, NULL, "not a private key in PEM");
	assert_refused(&locked, NULL, "passphrase");
	assert_refused(&small.pem, NULL, "1024 bits");
	assert_refused(&p384.pem, NULL, "P-256");
	assert_refused(&rsa.pem, &es256, "cannot sign with ES256");
	assert_refused(&ec.pem, &ps256, "cannot sign with PS256");
}

static void without_a_wish_the_key_decides(void **state)
{
	enum jose_sign_alg alg;
	struct fault f = {0};

	(void)state;
	assert_int_equal(jose_sign_check(&rsa.pem, NULL, "x", &alg, &f), 0);
	assert_int_equal(alg, JOSE_SIGN_RS256);
	assert_int_equal(jose_sign_check(&ec.pem, NULL, "x", &alg, &f), 0);
	assert_int_equal(alg, JOSE_SIGN_ES256);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_algorithm_signs_what_another_program_verifies),
		cmocka_unit_test(a_key_that_cannot_sign_is_refused_with_the_reason),
		cmocka_unit_test(without_a_wish_the_key_decides),
	};

	return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
