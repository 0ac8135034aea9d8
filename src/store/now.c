/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "store/db.h"

static int take_number(void *arg, const struct db_value *cols, size_t n_cols, struct fault *f)
{
	(void)n_cols, (void)f;
	*(int64_t *)arg = db_get_int(&cols[0]);
	return 1;
}

int db_now_us(struct db *db, int64_t *ret, struct fault *f)
{
	*ret = clock_wall_ms() * 1000;
	if (db_engine(db) == DB_SQLITE)
		return 0;
	return db_read(db,
		"SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000000) AS BIGINT)",
		take_number, ret, f);
}
