/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Never twice. When a reused connection ends before a byte of the answer came, curl sends the
 * request again on a new one, whatever its method: it takes the end for a keep-alive connection
 * that the server had closed meanwhile. A server that died between processing and answering looks
 * the same, a refresh token or a code that arrives twice can cost the grant, and a reply that is
 * put twice is a second edit. So the body of all but GET is given through a read function that
 * cannot be rewound: curl then still repeats the request when nothing of the body had left (a
 * server cannot have processed it), and fails when some had. A fresh connection for each would do
 * as well, at the price of a TLS handshake (and, with GnuTLS, of parsing the system's certificates)
 * per refresh; only what has no body takes one.
 */
#include "net/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define CONNECT_LONGEST_MS 10000
/* Well below what servers and firewalls usually allow an idle connection. */
#define CONNECTION_IDLE_LONGEST_SEC 60L
#define HEADERS_MAX_BYTES (256 * 1024)
#define RETRY_AFTER_LONGEST_SEC (30 * 24 * 60 * 60)
#define DATE_RANGE_MS (12LL * 60 * 60 * 1000)

static void forget_headers(struct transfer *t)
{
	t->retry_after_ms = t->max_age_ms = t->age_ms = -1;
	t->date_ahead_ms = NET_NO_DATE;
}
#define FRESH_LONGEST_SEC INT64_C(31536000) /* a year, as RFC 9111 advises */
#define EXPECT_FROM_BYTES (512 * 1024)      /* curl would wait for "100 Continue" from 1 MiB */
/* A thousand token requests in flight hold a thousand of these. */
#define BUFFER_SMALL_BYTES (8L * 1024)
#define BUFFER_LARGE_BYTES (64L * 1024)
#define REPLY_LARGE_BYTES (1024 * 1024)

struct transfer *transfer_new(struct net_request *moved, net_done_fn *done, void *arg)
{
	struct transfer *t = mem_alloc(sizeof(*t));

	ring_init(&t->in_ring);
	t->request = *moved;
	t->request.body.wiped = true;
	moved->bearer = moved->basic = (struct secret){0};
	moved->headers = (struct buf){0};
	moved->body = (struct buf){.max = moved->body.max, .wiped = moved->body.wiped};
	t->url = mem_text(moved->url);
	t->request.url = t->url;
	t->deadline_ms = clock_mono_ms() + moved->timeout_ms;
	t->reply = BUF_INIT_WIPED(moved->max_reply_bytes);
	forget_headers(t);
	t->done = done;
	t->arg = arg;
	return t;
}

void transfer_free(struct transfer *t)
{
	curl_slist_free_all(t->headers);
	secret_drop(&t->request.bearer);
	secret_drop(&t->request.basic);
	buf_drop(&t->request.body);
	buf_drop(&t->request.headers);
	buf_drop(&t->reply);
	mem_wipe_free(t->url);
	mem_free(t);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;

	buf_add(&t->reply, bytes, size * count);
	return buf_failed(&t->reply) ? 0 : size * count;
}

static size_t on_read(char *to, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t left = t->request.body.len - t->body_read;
	size_t n = size * count < left ? size * count : left;

	/* Looked at last, for DNS, TLS and a stopped process can all have taken their time. */
	if (t->body_read == 0 && t->request.send_by_mono_ms != 0 &&
		clock_mono_ms() > t->request.send_by_mono_ms) {
		t->is_late = true;
		return CURL_READFUNC_ABORT;
	}
	if (n)
		memcpy(to, t->request.body.data + t->body_read, n);
	t->body_read += n;
	return n;
}

/* The value behind a header's name, to the end of the line; NULL: another header. */
static const char *header_value(const char *line, size_t len, const char *name, size_t *ret_len)
{
	size_t name_len = strlen(name);

	if (len <= name_len || strncasecmp(line, name, name_len) != 0)
		return NULL;
	*ret_len = len - name_len;
	return line + name_len;
}

static void read_header(struct transfer *t, const char *line, size_t len)
{
	const char *value;
	size_t n;

	if ((value = header_value(line, len, "Retry-After:", &n)) != NULL)
		t->retry_after_ms = transfer_retry_after_ms(value, n, clock_wall_ms());
	else if ((value = header_value(line, len, "Cache-Control:", &n)) != NULL)
		t->max_age_ms = transfer_max_age_ms(value, n);
	else if ((value = header_value(line, len, "Age:", &n)) != NULL)
		t->age_ms = transfer_retry_after_ms(value, n, clock_wall_ms());
	else if ((value = header_value(line, len, "Date:", &n)) != NULL)
		t->date_ahead_ms =
			transfer_retry_after_ms(value, n, clock_wall_ms() - DATE_RANGE_MS) -
			DATE_RANGE_MS;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * count;

	t->header_bytes += len;
	if (t->header_bytes > HEADERS_MAX_BYTES)
		return 0;
	if (len > 5 && memcmp(line, "HTTP/", 5) == 0) /* before it: an interim answer */
		forget_headers(t);
	read_header(t, line, len);
	return len;
}

int64_t transfer_max_age_ms(const char *value, size_t len)
{
	char text[256];
	int64_t seconds = -1;
	size_t n;

	if (len >= sizeof(text) || memchr(value, '\0', len) != NULL)
		return -1;
	memcpy(text, value, len);
	text[len] = '\0';
	for (char *at = text; *at != '\0'; at += n) {
		at += strspn(at, " \t\r\n,");
		n = strcspn(at, " \t\r\n,");
		if (n == 8 && (strncasecmp(at, "no-store", n) == 0 ||
				      strncasecmp(at, "no-cache", n) == 0))
			return 0;
		if (n <= 8 || strncasecmp(at, "max-age=", 8) != 0)
			continue;
		if (strspn(at + 8, "0123456789") != n - 8)
			return -1;
		seconds = n - 8 > 8 ? FRESH_LONGEST_SEC : strtoll(at + 8, NULL, 10);
	}
	return seconds < 0 ? -1
			   : (seconds < FRESH_LONGEST_SEC ? seconds : FRESH_LONGEST_SEC) * 1000;
}

int64_t transfer_retry_after_ms(const char *value, size_t len, int64_t wall_ms)
{
	char text[64];
	int64_t seconds, wait_ms;
	time_t date;

	while (len && strchr(" \t", *value)) {
		value++;
		len--;
	}
	while (len && strchr(" \t\r\n", value[len - 1]))
		len--;
	if (len == 0 || len >= sizeof(text) || memchr(value, '\0', len))
		return -1;
	memcpy(text, value, len);
	text[len] = '\0';
	if (strspn(text, "0123456789") == len) {
		if (text_parse_int(text, &seconds) != 0 || seconds > RETRY_AFTER_LONGEST_SEC)
			seconds = RETRY_AFTER_LONGEST_SEC;
		return seconds * 1000;
	}
	/* a date names its month: curl would take bare numbers for one too */
	if (strspn(text, "+-0123456789. ") == len)
		return -1;
	date = curl_getdate(text, NULL);
	if (date < 0)
		return -1;
	wait_ms = (int64_t)date * 1000 - wall_ms;
	if (wait_ms > RETRY_AFTER_LONGEST_SEC * INT64_C(1000))
		wait_ms = RETRY_AFTER_LONGEST_SEC * INT64_C(1000);
	return wait_ms > 0 ? wait_ms : 0;
}

/* curl writes header lines as they are: a line break in a token would forge a header. */
static bool is_header_safe(const struct secret *s)
{
	for (size_t i = 0; i < s->len; i++)
		if (s->bytes[i] <= ' ' || s->bytes[i] > '~')
			return false;
	return true;
}

static const char *add_header(struct transfer *t, const struct buf *line)
{
	struct curl_slist *longer = curl_slist_append(t->headers, buf_text(line));

	if (!longer)
		return "out of memory";
	t->headers = longer;
	return NULL;
}

static const char *add_more_headers(struct transfer *t)
{
	AUTO(buf_drop) struct buf line = BUF_INIT_WIPED(64 * 1024);
	const char *flaw = NULL;
	size_t n;

	for (const char *at = buf_text(&t->request.headers); *at && !flaw; at += n + (at[n] != 0)) {
		n = strcspn(at, "\n");
		buf_reset(&line);
		buf_add(&line, at, n);
		flaw = add_header(t, &line);
	}
	return flaw;
}

/* The copies that curl takes are wiped when it frees them: client.c gives it such a free. */
static const char *add_headers(struct transfer *t)
{
	AUTO(buf_drop) struct buf line = BUF_INIT_WIPED(64 * 1024);
	const char *flaw = NULL;

	if (secret_is_set(&t->request.bearer)) {
		if (!is_header_safe(&t->request.bearer))
			return "the bearer token holds bytes that a header cannot carry";
		buf_add_text(&line, "Authorization: Bearer ");
		buf_add(&line, t->request.bearer.bytes, t->request.bearer.len);
	} else if (secret_is_set(&t->request.basic)) {
		buf_add_text(&line, "Authorization: Basic ");
		text_base64(&line, t->request.basic.bytes, t->request.basic.len);
	}
	if (buf_failed(&line))
		return "the authorization header is too long";
	if (line.len)
		flaw = add_header(t, &line);
	buf_reset(&line);
	if (t->request.body.len) {
		buf_add_text(&line, "Content-Type:");
		if (t->request.content_type) {
			buf_add_char(&line, ' ');
			buf_add_text(&line, t->request.content_type);
		}
		flaw = flaw ? flaw : add_header(t, &line);
	}
	if (t->request.body.len >= EXPECT_FROM_BYTES) {
		buf_reset(&line);
		buf_add_text(&line, "Expect:");
		flaw = flaw ? flaw : add_header(t, &line);
	}
	return flaw ? flaw : add_more_headers(t);
}

/* Results of setopt are or-ed together: they only tell an unknown option or no memory. */
static CURLcode set_method(struct transfer *t, CURL *e)
{
	const struct net_request *r = &t->request;
	CURLcode bad = 0;

	if (strcmp(r->method, "GET") == 0) {
		bad |= curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
		return bad | curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
	}
	t->is_once = true;
	bad |= curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	if (r->body.len == 0) /* nothing that could not be rewound */
		bad |= curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	if (r->body.len == 0 && strcmp(r->method, "DELETE") == 0)
		return bad;
	bad |= curl_easy_setopt(e, CURLOPT_POST, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
	if (r->body.len == 0)
		return bad | curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
	bad |= curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	return bad | curl_easy_setopt(e, CURLOPT_READDATA, t);
}

static CURLcode set_limits(struct transfer *t, CURL *e, long left_ms)
{
	long connect_ms = left_ms / 3 < CONNECT_LONGEST_MS ? left_ms / 3 : CONNECT_LONGEST_MS;
	bool is_large = t->request.max_reply_bytes > REPLY_LARGE_BYTES;
	CURLcode bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, left_ms);
	bad |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, connect_ms ? connect_ms : 1);
	bad |= curl_easy_setopt(
		e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->request.max_reply_bytes);
	bad |= curl_easy_setopt(
		e, CURLOPT_BUFFERSIZE, is_large ? BUFFER_LARGE_BYTES : BUFFER_SMALL_BYTES);
	bad |= curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 16L * 1024);
	return bad | curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_LONGEST_SEC);
}

static CURLcode set_safety(struct transfer *t, CURL *e, const struct net_options *options)
{
	bool is_tls = strncasecmp(t->url, "https:", 6) == 0;
	CURLcode bad = 0;

	bad |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	bad |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	bad |= curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	bad |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	bad |= curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	bad |= curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	bad |= curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (options->ca_file) {
		bad |= curl_easy_setopt(e, CURLOPT_CAINFO, options->ca_file);
		bad |= curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	}
	if (!transfer_is_proxy_allowed(t->url))
		bad |= curl_easy_setopt(e, CURLOPT_PROXY, "");
	/* over TLS wait for the first connection to say whether it takes many requests at once */
	bad |= curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
		is_tls ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
	return bad | curl_easy_setopt(e, CURLOPT_PIPEWAIT, is_tls ? 1L : 0L);
}

const char *transfer_prepare(
	struct transfer *t, CURL *easy, const struct net_options *options, int64_t now_ms)
{
	long left_ms = (long)(t->deadline_ms - now_ms);
	const char *flaw = add_headers(t);
	CURLcode bad = 0;

	if (flaw)
		return flaw;
	bad |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->words);
	bad |= curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	bad |= curl_easy_setopt(easy, CURLOPT_URL, t->url);
	bad |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
	bad |= curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent);
	bad |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	bad |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	bad |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	bad |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	bad |= set_method(t, easy);
	bad |= set_limits(t, easy, left_ms > 0 ? left_ms : 1);
	bad |= set_safety(t, easy, options);
	return bad ? "this libcurl lacks an option, or memory ran out" : NULL;
}

/*
 * Whether the other side can have got a whole request. The request line and headers alone do not
 * make one when a body was to follow.
 */
static bool was_sent(const struct transfer *t)
{
	long head_bytes = 0;

	if (!t->easy)
		return false;
	if (t->is_once && t->request.body.len)
		return t->body_read > 0;
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &head_bytes);
	return head_bytes > 0;
}

static enum net_result judge_failure(const struct transfer *t, CURLcode code)
{
	if (code == CURLE_FILESIZE_EXCEEDED || (code == CURLE_WRITE_ERROR && buf_failed(&t->reply)))
		return NET_TOO_LARGE;
	/*
	 * Not by CURLcode: most of them (timeout, send and receive errors, TLS errors, HTTP/2
	 * errors) can come before or after the request left. Whatever failed before, DNS, connect,
	 * proxy, TLS, an address curl refuses, no memory, has sent nothing; whatever failed later
	 * may have been seen.
	 */
	return was_sent(t) ? NET_BROKEN : NET_UNREACHABLE;
}

/* curl's words hold host, port and times; from '?' on they are cut, and what is not text goes. */
static void describe(const struct transfer *t, CURLcode code, struct net_reply *ret)
{
	const char *words = t->words[0] ? t->words : curl_easy_strerror(code);
	size_t n;

	if (ret->result == NET_TOO_LARGE)
		words = "the reply is larger than allowed";
	if (t->is_late)
		words = "it was too late to send it";
	snprintf(ret->error, sizeof(ret->error), "%.*s", (int)sizeof(ret->error) - 1, words);
	n = strcspn(ret->error, "?");
	ret->error[n] = '\0';
	for (char *p = ret->error; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '.';
}

void transfer_judge(struct transfer *t, CURLcode code, struct net_reply *ret)
{
	char *type = NULL;

	*ret = (struct net_reply){.result = NET_ANSWERED,
		.retry_after_ms = -1,
		.fresh_ms = -1,
		.date_ahead_ms = NET_NO_DATE};
	if (code == CURLE_OK)
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &ret->status);
	if (ret->status == 0) {
		ret->result = judge_failure(t, code);
		describe(t, code, ret);
		return;
	}
	ret->body = t->reply;
	t->reply = (struct buf){0};
	ret->retry_after_ms = t->retry_after_ms;
	ret->date_ahead_ms = t->date_ahead_ms;
	ret->fresh_ms = t->max_age_ms;
	if (t->max_age_ms > 0 && t->age_ms > 0)
		ret->fresh_ms = t->max_age_ms > t->age_ms ? t->max_age_ms - t->age_ms : 0;
	if (curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type)
		snprintf(ret->content_type, sizeof(ret->content_type), "%s", type);
}
