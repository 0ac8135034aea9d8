/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db_postgres.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libpq.so.5"

static struct pq functions;
static bool is_loaded;
static char missing[120];

static bool find(void *library, const char *name, void *ret, size_t size)
{
	void *address = dlsym(library, name);

	if (address == NULL)
		return false;
	memcpy(ret, &address,
		size); /* ISO C knows no way from an object's pointer to a function's */
	return true;
}

static void load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	const char *lacking = NULL;

	if (library == NULL) {
		snprintf(missing, sizeof(missing), "%s", dlerror());
		return;
	}
#define PQ_FIND(name)                                                                   \
	if (!find(library, #name, &functions.name, sizeof(functions.name)) && !lacking) \
		lacking = #name;
	PQ_FUNCTIONS(PQ_FIND)
#undef PQ_FIND
	if (lacking != NULL)
		snprintf(missing, sizeof(missing), "it lacks %s", lacking);
	is_loaded = lacking == NULL;
}

int postgres_library(const struct pq **ret, struct fault *f)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	if (!is_loaded)
		return fault_raise(f, FAULT_INPUT,
			"PostgreSQL's library " LIBRARY " cannot be used (%s): install Debian's "
			"package libpq5",
			missing);
	*ret = &functions;
	return 0;
}
