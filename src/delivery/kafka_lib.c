/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/kafka.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "librdkafka.so.1"

static struct rdkafka functions;
static char lacking[160]; /* why it is of no use; "": it is loaded */

static void find(void *library, const char *name, void *ret, size_t size)
{
	void *address = dlsym(library, name);

	if (address == NULL)
		snprintf(lacking, sizeof(lacking), "it lacks %s", name);
	else /* ISO C knows no way from an object's pointer to a function's */
		memcpy(ret, &address, size);
}

static void load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (library == NULL) {
		snprintf(lacking, sizeof(lacking), "%s", dlerror());
		return;
	}
#define RDKAFKA_FIND(name) find(library, #name, &functions.name, sizeof(functions.name));
	RDKAFKA_FUNCTIONS(RDKAFKA_FIND)
#undef RDKAFKA_FIND
}

int kafka_library(const struct rdkafka **ret, struct fault *f)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	if (lacking[0] != '\0')
		return fault_raise(f, FAULT_INPUT,
			"KAFKA_BOOTSTRAP_SERVERS is set, but the library of Kafka, " LIBRARY
			", cannot be used (%s): install Debian's package librdkafka1",
			lacking);
	*ret = &functions;
	return 0;
}
