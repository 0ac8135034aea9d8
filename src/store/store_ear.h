/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ear hears at once that something was noted in the change feed (store_note_change), where the
 * engine can tell: PostgreSQL's LISTEN and NOTIFY, over a connection of its own. It only saves
 * time. The truth is in the feed, which is read on a timer all the same: an ear that cannot listen
 * (SQLite, a pooler between, a connection that was lost) is silent and harms nothing.
 */
#ifndef STORE_STORE_EAR_H
#define STORE_STORE_EAR_H

#include "store/store.h"

struct store_ear;
/*
 * Listens from a thread of its own, which calls heard after each note that was committed by
 * whichever process, and whenever notes may have been missed. heard must be quick and not close the
 * ear. NULL: this engine has nothing to listen to. s must outlive the ear.
 */
struct store_ear *store_ear_open(struct store *s, void (*heard)(void *arg), void *arg);
/* heard is not running and will not run once it returns; within a moment, whatever the database
 * does. NULL is fine. */
void store_ear_close(struct store_ear *e);

#endif
