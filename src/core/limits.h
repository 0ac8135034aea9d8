/* SPDX-License-Identifier: Apache-2.0 */
/* Every fixed limit on what a peer can make us hold. */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

#define LIMIT_HEADER_BYTES (16 * 1024)
#define LIMIT_BODY_BYTES (1024 * 1024)
#define LIMIT_STRANGER_BODY_BYTES (64 * 1024) /* … of who has shown neither key nor session */
#define LIMIT_UPLOAD_BYTES (INT64_C(4) * 1024 * 1024 * 1024) /* NDJSON that is taken in pieces */
#define LIMIT_UPLOAD_PIECE_BYTES \
	(256 * 1024)           /* … of about that size, each within LIMIT_REQUEST_MS */
#define LIMIT_REQUEST_MS 30000 /* to send a whole request */
#define LIMIT_IDLE_MS 120000   /* keep-alive without a request */
#define LIMIT_LIST_DEFAULT 50
#define LIMIT_LIST_MAX 500
#define LIMIT_BRANCH_ID_BYTES 255
#define LIMIT_CLIENT_ID_BYTES 255
#define LIMIT_CLIENT_SECRET_BYTES 512
#define LIMIT_PRIVATE_KEY_BYTES 16384
#define LIMIT_KEY_ID_BYTES 255
#define LIMIT_SCOPE_BYTES 4096
#define LIMIT_URL_BYTES 2048
#define LIMIT_EMAIL_BYTES 254 /* RFC 5321 section 4.5.3.1.3 */
#define LIMIT_NAME_BYTES 255
#define LIMIT_ACCESS_TOKEN_BYTES (16 * 1024)
#define LIMIT_TOKEN_RESPONSE_BYTES (256 * 1024)
#define LIMIT_GOOGLE_PAGE_BYTES (8 * 1024 * 1024)
#define LIMIT_RESPONSE_BYTES (64 * 1024 * 1024) /* one buffered answer; larger ones stream */

#endif
