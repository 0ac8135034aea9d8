/* SPDX-License-Identifier: Apache-2.0 */
/* An account as Google's JSON. */
#ifndef SIMULATOR_ACCOUNTS_API_H
#define SIMULATOR_ACCOUNTS_API_H

#include "base/json.h"
#include "simulator/world.h"

void account_write(const struct world *w, uint64_t account, struct json_out *o);

#endif
