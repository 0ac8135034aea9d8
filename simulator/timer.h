/* SPDX-License-Identifier: Apache-2.0 */
/* One thread that calls back at a due time, so that waiting requests cost no thread each. */
#ifndef SIMULATOR_TIMER_H
#define SIMULATOR_TIMER_H

#include "base/attr.h"

struct timer;

struct timer *timer_start(void);
/* Calls done(arg) on the timer's thread in delay_ms. False: the timer is stopping; done is not
 * called. */
bool timer_add(struct timer *t, int64_t delay_ms, void (*done)(void *arg), void *arg);
/* Calls all that wait at once, and takes no more. */
void timer_stop(struct timer *t);
void timer_free(struct timer *t); /* after timer_stop */

#endif
