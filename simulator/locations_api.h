/* SPDX-License-Identifier: Apache-2.0 */
/* A location as JSON, as far as the read mask shows it. */
#ifndef SIMULATOR_LOCATIONS_API_H
#define SIMULATOR_LOCATIONS_API_H

#include "base/attr.h"
#include "simulator/simulator.h"

#define READ_MASK_FIELDS 20

struct read_mask {
	bool whole[READ_MASK_FIELDS];     /* the field and all below it */
	uint32_t parts[READ_MASK_FIELDS]; /* some of its members */
};
/* False: missing, unknown field, or a path into a repeated field; answered already. */
bool read_mask_parse(struct request *r, const char *text, struct read_mask *ret);
void location_write(const struct overlay *overlay, uint64_t location, const struct read_mask *mask,
	struct json_out *o);
void location_store_code(uint64_t location, char ret[static 32]);

#endif
