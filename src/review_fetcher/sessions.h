/* SPDX-License-Identifier: Apache-2.0 */
#ifndef REVIEW_FETCHER_SESSIONS_H
#define REVIEW_FETCHER_SESSIONS_H

struct review_fetcher;

void sessions_tidy(struct review_fetcher *rf); /* drops those that have expired; any thread */
void sessions_free(struct review_fetcher *rf);

#endif
